"""How many of our functions a reader must go through, from the worker's loop to one step of an optimizer."""

from pathlib import Path
from typing import Any

import pytest

import automl
from automl.fused.optim import update
from tests.laws.test_hops import our_frames

MOST = 10
SPEC = """
model: {model}
data: digits
metric: val_loss
epochs: 1
space:
  depth: 1
  width: {width}
  lr: {{float: [1e-3, 2e-2], log: true}}
  optimizer: {optimizer}
  batch_size: 256
stopper: none
strategy: random
budget: {{trials: 5}}
finalists: none
fuse: {fuse}
"""
SEARCHES = {
    "lanes of one shape": ("mlp", "16", "adamw", "require"),
    "lanes of many shapes": ("mlp", "{int: [8, 64]}", "adamw", "require"),
    "a rule over rows": ("mlp", "16", "lion", "require"),
    "a trial alone": ("convnet", "4", "adamw", "never"),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_few_frames_from_the_loop_to_a_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def watched(part: type) -> None:
        step = part.__call__

        def call(self: Any, s: int) -> None:
            seen.append(our_frames())
            step(self, s)

        monkeypatch.setattr(part, "__call__", call)

    for part in (update.RowKernel, update.RowRule, update.LeafKernel):
        watched(part)
    model, width, optimizer, fuse = SEARCHES[name]
    (tmp_path / "space.yaml").write_text(SPEC.format(model=model, width=width, optimizer=optimizer, fuse=fuse))
    automl.search(tmp_path / "space.yaml", path=tmp_path / "s", executor="inline", workers=1)
    frames = max(seen, key=len)
    below = frames[len(frames) - 1 - frames[::-1].index("lane_loop.py:serve") :]
    assert len(below) + 1 <= MOST, below  # the step itself is one more
