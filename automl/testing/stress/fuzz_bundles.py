"""Mutations of saved models: whatever a bundle holds, loading it gives a model, or a BundleError that says why not.

python -m automl.testing.stress.fuzz_bundles 50000 [seed]      ends with exit code 1 at the first thing that is neither

A mutant has right hashes, as a stranger's would: only its content is wrong. A process may take `MEMORY` bytes more
than before, so a file that asks for more is found too.
"""

import copy
import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from automl.bundle import files, loading
from automl.errors import BundleError

MEMORY = 4 * 2**30
JSON = ("manifest.json", "model.json", "preparation.json", "sample.json")
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2, 3, 0.5, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf"), "", "x", "../x", "/etc",
    "\x00", "\x1b[31m", "a" * 300, [], {}, [[]], [0], [None], {"a": 1}, [[1, 2], [3]], "float", "table", "mlp",
    "os:system", "=1+1", "1", [10**9], [10**6, 10**6],
)  # fmt: skip


def bundles(folder: Path) -> list[Path]:
    """A few small models of three families, of classes and of numbers."""
    import numpy as np
    import pandas as pd

    from automl.bundle import io
    from automl.data import load
    from automl.models import build
    from automl.training import Trainer

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=80), rng.choice(["u", "v"], 80)
    table = pd.DataFrame({"a": a, "b": b, "y": np.where(a > 0, "good", "bad")})
    numbers = pd.DataFrame({"a": a, "c": rng.normal(size=80), "y": 3 * a + 1})
    made = []
    for k, (rows, model) in enumerate(
        ((table, "mlp"), (numbers, "mlp"), (table, "transformer"), (table, "sparse_mlp"))
    ):
        prepared = load(rows, seed=1, target="y")
        config = {"depth": 1, "width": 16, "lr": 1e-2}
        trainer = Trainer(build(model), prepared, config, 1, seed=0)
        weights, scores = trainer.weights(), trainer.epoch()
        made.append(
            io.save(folder / str(k), model=model, config=config, prepared=prepared, state_dict=weights, metrics=scores)
        )
    return made


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all entries of a JSON tree."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree[:20]) if isinstance(tree, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(tree: Any, rng: random.Random) -> Any:
    """The tree with one entry replaced, deleted, doubled or taken from elsewhere."""
    tree = copy.deepcopy(tree)
    everywhere = list(places(tree))
    if not everywhere:
        return rng.choice(VALUES)
    *above, last = rng.choice(everywhere)
    holder = tree
    for key in above:
        holder = holder[key]
    how = rng.random()
    if how < 0.6:
        holder[last] = copy.deepcopy(rng.choice(VALUES))
    elif how < 0.75:
        del holder[last]
    elif how < 0.85 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[last]))
    else:
        *there, name = rng.choice(everywhere)
        other = tree
        for key in there:
            other = other[key] if isinstance(other, dict | list) else other
        holder[last] = copy.deepcopy(other[name]) if isinstance(other, dict) and name in other else -7
    return tree


def mutant(source: Path, target: Path, rng: random.Random) -> str:
    """Write a changed copy of a bundle, with right hashes; returns which file was changed."""
    shutil.copytree(source, target)
    name = rng.choice(JSON)
    tree: Any = json.loads((target / name).read_text())
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        tree = changed(tree, rng) if isinstance(tree, dict | list) else tree
    (target / name).write_text(json.dumps(tree))
    manifest = json.loads((target / files.MANIFEST).read_text())
    if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) and name != files.MANIFEST:
        manifest["files"][name] = files.sha256(target / name)
        (target / files.MANIFEST).write_text(json.dumps(manifest))
    return name


def wrong(folder: Path) -> str:
    """What loading the bundle, and its answers for its own sample rows, do that they should not; empty if nothing."""
    try:
        loading.load(folder)
    except BundleError as error:
        return f"an escape in the message: {error!r}" if "\x1b" in str(error) else ""
    except BaseException:
        return traceback.format_exc()
    return ""


def run(count: int, seed: int = 0) -> Mapping[str, int]:
    """Load `count` mutants.

    Returns:
        how many were refused or loaded, by file.

    Raises:
        AssertionError: one gave something else; it says what.
    """
    rng = random.Random(seed)
    seen: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as home, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources = bundles(Path(home) / "whole")
        for k in range(count):
            folder = Path(home) / "mutant"
            name = mutant(rng.choice(sources), folder, rng)
            if trouble := wrong(folder):
                kept = (folder / name).read_text()[:3000]
                raise AssertionError(f"mutant {k} (seed {seed}), {name}:\n{trouble}\n{kept}")
            seen[name] = seen.get(name, 0) + 1
            shutil.rmtree(folder)
    return seen


def main(count: int = 5000, seed: int = 0) -> int:
    """Run, and print how many mutants there were."""
    began = time.monotonic()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    import torch  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    seen = run(count, seed)
    print(f"{sum(seen.values())} changed bundles in {time.monotonic() - began:.0f} s: {dict(sorted(seen.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
