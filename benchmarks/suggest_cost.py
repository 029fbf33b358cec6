"""CPU time of suggestions: one, and a batch of 64, at 100 to 10,000 trials, against Optuna.

    OMP_NUM_THREADS=1 python benchmarks/suggest_cost.py             # a few minutes
    OMP_NUM_THREADS=1 python benchmarks/suggest_cost.py --quick

The space has five logarithmic floats, three integers and two choices; all trials ran their full length. Each figure is
the median of three asks in process CPU time, after one that is not counted (imports, encoding the history).
"""

import argparse
import statistics
import time

from automl.core import plugins
from automl.core.history import History
from automl.core.space import Float, Int, Space
from automl.core.strategy import Strategy
from automl.core.trial import State
from automl.testing.spaces import history_of

SPACE = Space.of(
    {
        **{f"f{k}": Float(1e-5, 1, log=True) for k in range(5)},
        **{f"i{k}": Int(1, 64) for k in range(3)},
        "a": list("abc"),
        "b": list("abcd"),
    }
)
STRATEGIES: dict[str, tuple[dict[str, object], int]] = {  # options, most trials it is asked at
    "random": ({}, 10_000),
    "sobol": ({}, 10_000),
    "grid": ({}, 10_000),
    "tpe": ({}, 10_000),
    "genetic": ({}, 10_000),
    "aging": ({}, 10_000),
    "forest": ({}, 10_000),
    "gp": ({}, 1_000),
    "skopt": ({}, 1_000),
    "optuna": ({"sampler": "TPESampler"}, 10_000),
}


def cost(strategy: Strategy, history: History, n: int, repeats: int = 3) -> float:
    """Median CPU seconds of `suggest(history, n)`."""
    spent = []
    for k in range(repeats):
        history.seed = k  # another stream, so that nothing is answered from memory
        started = time.process_time()
        strategy.suggest(history, n)
        spent.append(time.process_time() - started)
    return statistics.median(spent)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="up to 1,000 trials, batches of 16")
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    sizes, batch = ([100, 1_000], 16) if given.quick else ([100, 300, 1_000, 10_000], 64)
    print("CPU ms of one suggestion / of a batch of " + str(batch))
    print("| strategy | " + " | ".join(f"{n:,} trials" for n in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    histories = [history_of(SPACE, n, states=(State.DONE,)) for n in sizes]
    for name, (options, most) in STRATEGIES.items():
        if given.only and name not in given.only:
            continue
        strategy = plugins.make("strategies", {"name": name, **options})
        cells = []
        for history in histories:
            if len(history) > most or (given.quick and name == "skopt"):
                cells.append("")
                continue
            strategy.suggest(history, 1)
            one, many = cost(strategy, history, 1), cost(strategy, history, batch, 1 if name == "optuna" else 3)
            cells.append(f"{one * 1e3:.1f} / {many * 1e3:.0f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
