"""YAHPO Gym's surrogates of real trainings (Pfisterer et al., AutoML 2022): networks on tables, boosted trees.

They are smooth and promise, in corners, more than real trainings reach; see shared/data/README.md. Inputs are the codes
of the choices and the numbers as they are, in the order YAHPO Gym 1.0 gives; what is inactive is 0.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from _problems import Problem
from _tables import DATA

from automl.core.space import Choice, Config, Float, Int, Space

LCBENCH = {"develop": ("168335",), "report": ("167168", "189873")}
XGBOOST = {"develop": ("12", "16"), "report": ("1501",)}
NUMBERS = {
    "lcbench": "epoch batch_size learning_rate momentum weight_decay num_layers max_units max_dropout",
    "rbv2_xgboost": "nrounds eta gamma lambda alpha subsample max_depth min_child_weight colsample_bytree "
    "colsample_bylevel rate_drop skip_drop trainsize repl",
}
CHOICES = {"lcbench": "OpenML_task_id", "rbv2_xgboost": "task_id booster num.impute.selected.cpo"}
OUTPUT = {"lcbench": 1, "rbv2_xgboost": 0}  # accuracy
GIVEN: dict[str, dict[str, float]] = {"lcbench": {"epoch": 52}, "rbv2_xgboost": {"trainsize": 1, "repl": 10}}


def problems(half: str) -> list[Problem]:
    return [
        *(_problem("lcbench", task, "numeric", half) for task in LCBENCH[half]),
        *(_problem("rbv2_xgboost", task, "conditional", half) for task in XGBOOST[half]),
    ]


def _problem(scenario: str, task: str, kind: str, half: str) -> Problem:
    known = json.loads((DATA / "surrogates" / "best_known.json").read_text())
    target = "val_accuracy" if scenario == "lcbench" else "acc"
    fixed: dict[str, Any] = {**GIVEN[scenario], CHOICES[scenario].split()[0]: task}

    def loss(config: Config) -> float:
        return -accuracy(scenario, {**config, **fixed})

    best = float(known[f"yahpo_v1/{scenario}/{task}/{target}"]["best"])
    return Problem(f"{scenario}_{task}", _space(scenario, set(fixed)), loss, best, kind, half)


def accuracy(scenario: str, config: Mapping[str, Any]) -> float:
    """What the surrogate foretells for `config`, the task and the fidelity included."""
    session, codes = _model(scenario)
    choices = [codes[name][str(config.get(name, "#na#"))] for name in CHOICES[scenario].split()]
    numbers = [float(config.get(name, 0.0)) for name in NUMBERS[scenario].split()]
    at = {"x_cat": np.array([choices], np.int32), "x_cont": np.array([numbers], np.float32)}
    return float(session.run(None, at)[0][0, OUTPUT[scenario]])


@lru_cache
def _model(scenario: str) -> tuple[Any, dict[str, dict[str, int]]]:
    import onnxruntime

    folder = DATA / "surrogates" / scenario
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    return session, json.loads((folder / "encoding.json").read_text())


def _space(scenario: str, fixed: set[str]) -> Space:
    found = json.loads(Path(DATA / "surrogates" / scenario / "config_space.json").read_text())
    when = {c["child"]: {c["parent"]: tuple(c.get("values") or [c["value"]])} for c in found["conditions"]}
    params: dict[str, Any] = {}
    for h in found["hyperparameters"]:
        name = h["name"]
        if name in fixed:
            continue
        if h["type"] == "categorical":
            params[name] = Choice(tuple(h["choices"]), when=when.get(name, {}))
        else:
            made = Int if h["type"] == "uniform_int" else Float
            params[name] = made(h["lower"], h["upper"], log=h["log"], when=when.get(name, {}))
    return Space.of(params)
