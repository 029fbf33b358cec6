"""How often intervals of a mean error hold, on made-up errors of known mean.

Squared residuals (and others) from light tails to very heavy ones. `--rows` test rows are drawn, and as many others
(validation rows) of which only the shape may be used. Printed for each method: how often its 95 % interval held the
true root of the mean, and in brackets the median and the 95 % quantile of its width, as shares of that root.

    python benchmarks/intervals.py [--rows 200] [--samples 400]
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from automl.metrics import intervals, rows

Floats = NDArray[np.float64]
POPULATION = 400_000
DRAWS = 1000


def populations() -> dict[str, Floats]:
    rng, n = np.random.default_rng(0), POPULATION

    def mixed(share: float, times: float) -> Floats:
        return np.asarray((rng.normal(size=n) * np.where(rng.random(n) < share, times, 1)) ** 2)

    return {
        "normal, squared": rng.normal(size=n) ** 2,
        "Laplace, squared": rng.laplace(size=n) ** 2,
        "t with 5, squared": rng.standard_t(5, n) ** 2,
        "t with 3, squared": rng.standard_t(3, n) ** 2,
        "lognormal 1": rng.lognormal(0, 1, n),
        "lognormal 1.5": rng.lognormal(0, 1.5, n),
        "lognormal 2": rng.lognormal(0, 2, n),
        "3 % six times as large": mixed(0.03, 6),
        "2 % ten times as large": mixed(0.02, 10),
        "1 % ten times as large": mixed(0.01, 10),
    }


def sampled(errors: Floats) -> rows.Sample:
    return rows.of_rows("rmse", errors[:, None], np.ones(len(errors)), plain=False)


def accelerated(x: Floats, _: Floats, seed: int) -> intervals.Interval:
    made = sampled(x)
    return intervals.interval(rows.Sample(made.rows, made.of), seed=seed, draws=DRAWS)


def studentized(x: Floats, _: Floats, seed: int) -> intervals.Interval:
    """The bootstrap-t of the logarithm (Efron and Tibshirani 1993, chapter 12)."""
    n, rng = len(x), np.random.default_rng(seed)
    drawn = x[rng.integers(0, n, (DRAWS, n))]
    means = drawn.mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (np.log(means) - np.log(x.mean())) / (drawn.std(1) / means / np.sqrt(n))
    high, low = np.quantile(t[np.isfinite(t)], [0.975, 0.025])
    ends = np.log(x.mean()) - np.array([high, low]) * x.std() / x.mean() / np.sqrt(n)
    return tuple(np.exp(ends / 2).tolist())


def tilted(x: Floats, _: Floats, seed: int) -> intervals.Interval:
    return intervals.interval(sampled(x))


def tilted_with_others(x: Floats, others: Floats, seed: int) -> intervals.Interval:
    return intervals.interval(sampled(x), like=sampled(others))


METHODS: dict[str, Callable[[Floats, Floats, int], intervals.Interval]] = {
    "accelerated bootstrap": accelerated,
    "bootstrap-t": studentized,
    "tilted": tilted,
    "tilted, with others": tilted_with_others,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--samples", type=int, default=400)
    options = parser.parse_args()
    print(f"| errors | {' | '.join(METHODS)} |\n|---|{'---|' * len(METHODS)}")
    for name, errors in populations().items():
        rng, truth, cells = np.random.default_rng(options.rows), float(np.sqrt(errors.mean())), []
        found: dict[str, list[intervals.Interval]] = {method: [] for method in METHODS}
        for k in range(options.samples):
            x, others = errors[rng.integers(0, len(errors), (2, options.rows))]
            for method, interval in METHODS.items():
                found[method].append(interval(x, others, k))
        for ends in found.values():
            low, high = np.array(ends).T
            widths = (high - low) / truth
            held = np.mean((low <= truth) & (truth <= high))
            cells.append(f"{100 * held:.0f} % ({np.median(widths):.2f}, {np.quantile(widths, 0.95):.1f})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
