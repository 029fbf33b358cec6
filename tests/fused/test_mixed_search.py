"""Searches whose trials have different shapes and train in one program."""

from pathlib import Path

import automl
from automl.core.trial import State
from automl.study.study import Study

SPEC = """
model: mlp
data: digits
split: {train: 0.5, val: 0.25, test: 0.25}
metric: val_accuracy
epochs: 9
space:
  depth: {int: [1, 4]}
  width: {int: [16, 128], log: true}
  activation: [relu, gelu, silu]
  norm: [none, batch, layer]
  dropout: {float: [0.0, 0.6]}
  optimizer: [sgd, adamw]
  lr: {float: [1e-4, 1.0], log: true}
  momentum: {float: [0.5, 0.99], when: {optimizer: sgd}}
  batch_size: [32, 64, 128]
strategy: random
stopper: {name: asha, eta: 2}
budget: {trials: 16}
seed: 7
finalists: none
"""


def search(folder: Path, fuse: str) -> Study:
    return automl.search(folder / "space.yaml", path=folder / fuse, executor="inline", workers=1,
                         overrides={"fuse": fuse})  # fmt: skip


def test_fused_and_unfused_searches_of_many_shapes_agree_to_the_last_digit(tmp_path):
    (tmp_path / "space.yaml").write_text(SPEC)
    fused, alone = search(tmp_path, "require"), search(tmp_path, "never")
    assert len(fused.history.trials) == len(alone.history.trials) == 16
    both = 0
    for a, b in zip(fused.history.trials, alone.history.trials, strict=True):
        assert a.config == b.config
        shared = min(len(a.curve), len(b.curve))
        assert a.curve[:shared] == b.curve[:shared]
        if a.state is State.DONE and b.state is State.DONE:
            both += 1
            one, other = fused.reports(a.number)[-1][1], alone.reports(b.number)[-1][1]
            assert one == other
    assert both
    model = automl.load(fused.path)
    assert fused.best is not None
    assert -model.metrics["val_accuracy"] == dict(fused.best.curve)[9]
