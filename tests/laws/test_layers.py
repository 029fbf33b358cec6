"""The arrows of the design: a file imports only from its left (type-checking imports aside)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Each layer may import from the layers before it, and from its own.
LAYERS = [
    {"errors"},
    {"seeds", "metrics", "scores", "lock", "tilting", "samples", "honest"},
    {"parameters", "space"},
    {"trial"},
    {"strategy", "stopping"},
    {"messages", "plugins", "checkpoint", "hyperparameters"},
    {"fused", "models", "data"},
    {"spec"},
    {"training"},
    {"bundle", "ensemble", "formats"},
    {"ledger", "leaderboard"},
    {"reading"},
    {"screen", "signals"},
    {"study", "tasks", "worker", "repair"},
    {"executors", "winner", "lockstep", "grouping", "watch", "callbacks"},
    {"driver"},
    {"holdout"},
    {"finalists"},
    {"loggers"},
    {"provenance"},
    {"running"},
    {"api"},
    {"view"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
HEAVY = {"torch", "triton", "ray", "optuna", "sklearn", "scipy", "skopt", "deap", "matplotlib", "mlflow", "wandb"}
TORCH_LAYERS = {"fused", "models", "data", "training", "bundle", "formats", "scores"}
DRAWING = ROOT / "automl" / "view" / "figures"  # loaded by `plot` and `report` alone: matplotlib is at home there


def imports(path: Path, *, runtime_only: bool = True) -> Iterator[tuple[str, bool]]:
    """(module, whether at the top level) of every import that happens when the code runs."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if runtime_only and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = node.module
            if module == "automl":
                names = [alias.name for alias in node.names if not alias.name.startswith("__")]
                yield from ((f"automl.{name}", id(node) in top) for name in names)
            else:
                yield module, id(node) in top


def part(module: str) -> str:
    return module.split(".")[1]


CORE = [p for p in sorted((ROOT / "automl").rglob("*.py")) if "testing" not in p.parts]


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_only_from_its_left(path: Path) -> None:
    me = path.relative_to(ROOT / "automl").parts[0].removesuffix(".py")
    if me in ("__init__", "__main__"):
        return
    assert me in LEVEL, f"{me} has no place in LAYERS: give it one"
    for module, at_top in imports(path):
        assert not module.startswith(("automl_strategies", "automl_search_spaces")), "the core names no plugin"
        if not module.startswith("automl."):
            continue
        other = part(module)
        lazily_drawn = (me, other) in (("leaderboard", "view"), ("running", "view")) and not at_top
        assert LEVEL.get(other, 99) <= LEVEL[me] or lazily_drawn, f"{me} must not import {other}"


@pytest.mark.parametrize("path", CORE, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_heavy_is_loaded_by_the_core(path: Path) -> None:
    me = path.relative_to(ROOT / "automl").parts[0].removesuffix(".py")
    if me in TORCH_LAYERS or DRAWING in path.parents:
        return
    for module, at_top in imports(path):
        assert not (at_top and module.split(".")[0] in HEAVY), f"{me} loads {module} when it is imported"


@pytest.mark.parametrize("path", sorted((ROOT / "strategies").rglob("*.py")), ids=lambda p: p.name)
def test_strategies_know_only_the_words_they_need(path: Path) -> None:
    allowed = {"errors", "space", "trial", "strategy", "seeds", "stopping", "plugins"}
    for module, _ in imports(path):
        if module.startswith("automl."):
            assert part(module) in allowed, f"{path.name} must not import {module}"
