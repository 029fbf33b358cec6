"""SMAC3 behind a pipe: run by the interpreter of its own environment, which knows nothing of this project.

The first line read is {"params": [...], "trials": n, "seed": s}; from then on one config is written per line, as
{name: number or index}, and its loss is read. The last line written is {"cpu_s": ...}.
"""

import json
import logging
import sys
import tempfile
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")
from ConfigSpace import (  # noqa: E402
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    Float,
    InCondition,
    Integer,
)
from smac import HyperparameterOptimizationFacade, Scenario  # noqa: E402
from smac.runhistory.dataclasses import TrialValue  # noqa: E402


def space(params: list[dict[str, Any]], seed: int) -> Any:
    """A ConfigSpace of the described parameters and their conditions."""
    made = ConfigurationSpace(seed=seed)
    for p in params:
        name, low, high = p["name"], p["low"], p["high"]
        if p["kind"] == "choice":
            made.add(Categorical(name, list(range(high + 1))))
        else:
            kind = Float if p["kind"] == "float" else Integer
            made.add(kind(name, (low, high), log=p["log"]))
    for p in params:
        found = [InCondition(made[p["name"]], made[parent], values) for parent, values in p["when"].items()]
        if found:
            made.add(found[0] if len(found) == 1 else AndConjunction(*found))
    return made


def main() -> None:
    logging.disable(logging.CRITICAL)
    given = json.loads(sys.stdin.readline())
    out, sys.stdout = sys.stdout, sys.stderr  # SMAC may print
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space(given["params"], given["seed"]),
            deterministic=True,
            n_trials=given["trials"],
            seed=given["seed"],
            output_directory=folder,
        )
        smac = HyperparameterOptimizationFacade(scenario, lambda config, seed: 0.0, overwrite=True, logging_level=False)
        for _ in range(given["trials"]):
            info = smac.ask()
            config = {name: getattr(v, "item", lambda v=v: v)() for name, v in dict(info.config).items()}
            print(json.dumps(config), file=out, flush=True)
            smac.tell(info, TrialValue(cost=float(sys.stdin.readline())))
    print(json.dumps({"cpu_s": time.process_time() - started}), file=out, flush=True)


if __name__ == "__main__":
    main()
