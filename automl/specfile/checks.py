"""Rules between keys: which belong together, which exclude each other, and which names must exist elsewhere.

They read the plain tree, so that they apply even when another part of it is wrong.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from automl import metrics
from automl.core.space import Space, describe
from automl.errors import SpecError, did_you_mean
from automl.specfile import options, templates
from automl.specfile.grammar import SpecModel
from automl.specfile.rules import families, steps
from automl.specfile.yaml.explain import shown
from automl.specfile.yaml.places import Places

TASKS = ("model", "train", "command")
KNOWN_PLACEHOLDERS = frozenset({"trial", "seed", "epochs", "device", "folder", "config"})
"""Names that the arguments of a command may use besides parameters."""
DECISIONS = ("accuracy", "balanced_accuracy", "f1_macro", "f1_micro", "mcc", "qwk")
"""Metrics of predicted classes, which thresholds can be chosen for."""
_DATA_ONLY = (
    "data", "target", "split", "prepare", "augment", "sample_weight", "class_weight", "parametrization", "refit",
    "adjust", "ensemble", "pack", "patience", "steps",
)  # fmt: skip


def check(tree: Mapping[str, Any], known: list[str], places: Places) -> None:
    """Check all rules between keys.

    Args:
        tree: the whole specification as plain data.
        known: names of all parameters.
        places: takes the complaints.
    """
    _task(tree, places)
    _metric(tree, places)
    _plugins(tree, places)
    if places.names_known:
        _command(tree, known, places)
        _report(tree, places)
        _constraints(tree, known, places)
    _parallel(tree, places)
    _adjust(tree, places)
    _pack(tree, places)
    steps.check(tree, places)
    _weights(tree, places)
    if tree.get("patience") and tree.get("value") == "last":
        places.complain(("value",), "patience keeps the best epoch, so value must be best, got last")


def _weights(tree: Mapping[str, Any], places: Places) -> None:
    """Weights to begin with are for a model that this package builds, and whose first weights are used as they are."""
    given = tree.get("warm")
    if not any(isinstance(one, dict) and "weights" in one for one in (given if isinstance(given, list) else [given])):
        return
    model = tree.get("model")
    if model is None:
        why = "is for model; a program of your own loads weights itself, with automl.load or torch.load"
    elif isinstance(model, list) and len(model) > 1:
        why = "needs one model family: those of others have other weights"
    elif tree.get("parametrization") == "mup":
        why = "does not go with parametrization: mup, which scales the first weights"
    elif isinstance(tree.get("split"), dict) and tree["split"].get("folds"):
        why = "does not go with folds: the earlier model may have learned from what a fold holds out"
    else:
        return
    places.complain(("warm",), f"weights {why}")


def misspelt(tree: Mapping[str, Any], key: str) -> bool:
    """Whether an unknown key of `tree` was probably meant to be `key`; then `key` is not reported as missing."""
    return any(repr(key) in did_you_mean(k, SpecModel.names()) for k in tree if k not in SpecModel.names())


def _task(tree: Mapping[str, Any], places: Places) -> None:
    given = [key for key in TASKS if key in tree]
    if not given:
        if not any(misspelt(tree, task) for task in TASKS):
            places.complain((), "exactly one of model, train, command is needed, got none", key=True)
        return
    if len(given) > 1:
        places.complain(
            (given[1],), f"exactly one of model, train, command is needed, got {' and '.join(given)}", key=True
        )
        return
    if given == ["model"]:
        length = ("epochs", "model needs epochs, the length of a full trial")
        for key, why in (("data", "model needs data"), *(() if "steps" in tree else (length,))):
            if key not in tree and not misspelt(tree, key):
                places.complain(("model",), f"{why}; {key} is missing", key=True)
        families.check(tree, places)
        return
    for key in _DATA_ONLY:
        if key in tree:
            places.complain((key,), f"can only be used with model, but this spec has {given[0]}", key=True)


def _metric(tree: Mapping[str, Any], places: Places) -> None:
    metric = tree.get("metric")
    named = metric if isinstance(metric, dict) else {"name": metric}
    name, given = named.get("name"), named.get("direction")
    if not isinstance(name, str) or not name.strip():
        return
    path = ("metric", "name") if isinstance(metric, dict) else ("metric",)
    if isinstance(tree.get("model"), str | list) and (measured := _not_measured(name)):
        places.complain(
            path, f"{name!r} is not measured", did_you_mean(name, measured) or f"; measured are {', '.join(measured)}"
        )
        return
    try:
        usual = metrics.direction(name)
    except SpecError as error:
        if given is None:
            places.complain(path, str(error).removeprefix(f"metric {name!r}: "))
        return
    if given in ("minimize", "maximize") and given != usual:
        places.warn(("metric", "direction"), f"{name} is usually {usual}d, got {given}")


def _not_measured(name: str) -> list[str]:
    """All metrics that the built-in training measures, if `name` is not among them; else nothing."""
    known = ["train_loss", *(f"val_{one}" for one in metrics.known())]
    return [] if name in known else known


def _plugins(tree: Mapping[str, Any], places: Places) -> None:
    for key, group in (("strategy", "strategies"), ("stopper", "stoppers"), ("executor", "executors")):
        described = tree.get(key)
        long = {"name": described} if isinstance(described, str) else described
        if isinstance(long, dict) and isinstance(long.get("name"), str) and long["name"].strip():
            for below, message, hint in options.check(group, long):  # type: ignore[arg-type]
                inside = below or (("name",) if isinstance(described, dict) else ())
                places.complain((key, *inside), message, hint, key=bool(below) and message.endswith("such option"))


def _parallel(tree: Mapping[str, Any], places: Places) -> None:
    """A sharded model needs several devices."""
    if tree.get("parallel") != "shard":
        return
    given = [tree.get(key) for key in ("resources", "executor")]
    gpus = [each["gpus"] for each in given if isinstance(each, dict) and isinstance(each.get("gpus"), int | float)]
    lists = [each["devices"] for each in given if isinstance(each, dict) and isinstance(each.get("devices"), list)]
    if not any(number > 1 for number in gpus) and not any(len(devices) > 1 for devices in lists):
        rule = "shard needs trials on several devices, e.g. resources: {gpus: 2}"
        places.complain(("parallel",), f"{rule}, or {{devices: [cpu, cpu]}} to try it without GPUs")
    if tree.get("compile") in ("always", True):
        places.complain(("compile",), "a sharded model cannot be compiled; write compile: never or parallel: replicate")


def _adjust(tree: Mapping[str, Any], places: Places) -> None:
    """Logits are adjusted on validation rows that the model was not trained on; thresholds are for one metric."""
    way = tree.get("adjust")
    if way not in ("calibrate", "thresholds"):
        return
    if tree.get("refit") == "train+val":
        places.complain(("adjust",), "needs validation rows that no model was trained on; leave out refit")
    metric = tree.get("metric")
    name = str(metric.get("name") if isinstance(metric, dict) else metric).removeprefix("val_")
    if way == "thresholds" and name not in DECISIONS:
        places.complain(("adjust",), f"thresholds are chosen for val_{', val_'.join(DECISIONS)}, not for {name}")
    for key in ("ensemble", "pack") if way == "thresholds" else ():
        if tree.get(key):
            places.complain(("adjust",), f"thresholds are those of a single model; leave out {key}, or take calibrate")


def _pack(tree: Mapping[str, Any], places: Places) -> None:
    """A pack is its own evaluation: what belongs to finalists cannot be combined with it."""
    if not tree.get("pack"):
        return
    reasons = {
        "ensemble": "a pack is an ensemble already; write pack: {models: 32} for its size",
        "refit": "a pack is not trained again; leave out one of them",
        "objectives": "a pack is chosen by one metric; leave out one of them",
        "fidelity": "a pack has no finalists that could be trained at full size; leave out one of them",
    }
    if tree.get("finalists", "none") != "none":
        reasons["finalists"] = "a pack has no finalists: its ensemble is the winner; leave out one of them"
    for key, why in reasons.items():
        if tree.get(key) not in (None, "none"):
            places.complain((key,), why, key=True)


def _command(tree: Mapping[str, Any], known: list[str], places: Places) -> None:
    command = tree.get("command")
    for k, word in enumerate(command if isinstance(command, list) else ()):
        try:
            names = sorted(templates.names_in(word)) if isinstance(word, str) else []
        except SpecError as error:
            places.complain(("command", k), str(error))
            continue
        for name in names:
            if name not in known and name not in KNOWN_PLACEHOLDERS:
                hint = did_you_mean(name, [*known, *KNOWN_PLACEHOLDERS])
                others = ", ".join(sorted(KNOWN_PLACEHOLDERS))
                places.complain(("command", k), f"{{{name}}} is not a parameter of the space, nor {others}", hint)


def filled_in(tree: Mapping[str, Any], space: Space, places: Places) -> None:
    """Fill in the arguments of a command once, with the middle of the space, as each trial will."""
    command = tree.get("command")
    values = {**space.decode([0.5] * space.dim), "trial": 0, "seed": 0, "epochs": 1, "device": "cpu", "folder": "."}
    for k, word in enumerate(command if isinstance(command, list) else ()):
        try:
            if isinstance(word, str):
                templates.fill(word, {**values, "config": "{}"})
        except SpecError as error:
            places.complain(("command", k), str(error))


def _report(tree: Mapping[str, Any], places: Places) -> None:
    """The pattern for reports belongs to a command, and has a group with the name of the metric."""
    pattern, metric = tree.get("report"), tree.get("metric")
    if not isinstance(pattern, str):
        return
    if "command" not in tree:
        places.complain(("report",), "only the output of a command is searched for reports", key=True)
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        places.complain(("report",), f"is no regular expression: {error}")
        return
    name = metric.get("name") if isinstance(metric, dict) else metric
    if isinstance(name, str) and name not in groups:
        places.complain(("report",), f"needs a group of the metric's name: (?P<{name}>[0-9.eE+-]+)")


# -- constraints ---------------------------------------------------------------------------------------------------

_ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
    ast.In, ast.NotIn, ast.Name, ast.Load, ast.Constant, ast.Tuple, ast.List,
)  # fmt: skip


def constraint_problems(text: str, known: list[str]) -> Iterator[tuple[str, str]]:
    """(message, hint) of every reason why `text` is not a constraint on the parameters `known`."""
    if len(text) > 500:
        yield "the constraint is longer than 500 characters", ""
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield f"{text!r} is not a valid expression such as width % heads == 0", ""
        return
    nodes = list(ast.walk(tree))
    for node in nodes:
        if not isinstance(node, _ALLOWED):
            yield f"{type(node).__name__.lower()} is not allowed; only comparisons, arithmetic, and, or, not, in", ""
            return
    for node in nodes:
        operands = (node.left, node.right) if isinstance(node, ast.BinOp) else ()
        if any(isinstance(one, ast.Tuple | ast.List) or _is_text(one) for one in operands):
            yield f"{text!r}: arithmetic takes numbers, no text and no list", ""
            return
    used = list(dict.fromkeys(n.id for n in nodes if isinstance(n, ast.Name)))
    if not used:
        yield f"{text!r} uses no parameter", ""
    for name in used:
        if name not in known:
            yield f"{name!r} is not a parameter of the space", did_you_mean(name, known)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not isinstance(node.value, int | float)


def _constraints(tree: Mapping[str, Any], known: list[str], places: Places) -> None:
    constraints = tree.get("constraints")
    for k, text in enumerate(constraints if isinstance(constraints, list) else ()):
        if isinstance(text, str):
            for message, hint in constraint_problems(text, known):
                places.complain(("constraints", k), message, hint)


def first(configs: Any, space: Space, places: Places) -> None:
    """Check the configs to try first: known names, active, values in their ranges. They may leave parameters out."""
    for k, config in enumerate(configs if isinstance(configs, list) else ()):
        before = places.found
        for name, value in config.items() if isinstance(config, dict) else ():
            path = ("first", k, name)
            if name in space.constants:
                if space.constants[name] != value:
                    places.complain(path, f"is the constant {shown(space.constants[name])}, got {shown(value)}")
            elif name not in space.params:
                near = did_you_mean(name, [*space.params, *space.constants])
                places.complain(path, "is not a parameter of the space", near, key=True)
            elif not isinstance(value, dict) and not space.params[name].contains(value):
                places.complain(path, f"{shown(value)} is outside {describe(space.params[name])}")
        if isinstance(config, dict) and places.found == before:
            try:
                space.completed(config)
            except SpecError as error:
                places.complain(("first", k), str(error))
