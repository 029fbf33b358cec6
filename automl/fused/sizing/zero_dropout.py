"""Can trials with a dropout of exactly 0 train together with trials that drop? Asked for a user's own models.

A factory may keep `nn.Dropout(0.0)`, or leave the layer out, or run other code. The lanes of a cohort share the code of
one of them, so they may join only where it makes no difference whose code that is.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from automl.data.prepared import Part
from automl.errors import out_of_memory
from automl.fused.modules.blueprint import Blueprint
from automl.fused.signature import dropout_names
from automl.fused.sizing.probe import FIRST_SEED, difference, lane_step

LEAST, MOST = 0.1, 0.5  # probabilities with which a mask surely drops something of a small batch, and keeps something


def zero_dropout_joins(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, batch: int = 16) -> bool:
    """Whether lanes like `config` with and without dropout can share a cohort.

    Two modules are built, one with all dropout probabilities of `config` at 0 and one with them above 0. They must
    consist of the same submodules; and either of them, running a lane of both kinds on the first `batch` samples, must
    give the outputs, gradients and buffers that each lane has with its own module. False also where the factory or the
    model raises, or where no lanes can be run (see `probe`).

    Raises:
        torch.OutOfMemoryError: memory ran out.
    """
    config = {**config, **{name: 0.0 for name in config if name in ("label_smoothing", "clip")}}
    names = dropout_names(config)
    without = {**config, **dict.fromkeys(names, 0.0)}
    dropping = {**config, **{name: min(max(float(config[name]), LEAST), MOST) for name in names}}
    both, few = (without, dropping), data.head(batch)
    try:
        if _submodules(blueprint.module(without, FIRST_SEED)) != _submodules(blueprint.module(dropping, FIRST_SEED)):
            return False
        own = [lane_step(blueprint, [lane], kind, few, first_seed=FIRST_SEED + j) for j, lane in enumerate(both)]
        for template in both:
            shared = lane_step(blueprint, both, kind, few, template=template)
            if any(difference(shared, alone, lane, 0) for lane, alone in enumerate(own)):
                return False
    except Exception as error:  # a user's factory and model may raise anything
        if out_of_memory(error):
            raise
        return False
    return True


def _submodules(module: nn.Module) -> list[tuple[str, type[nn.Module]]]:
    return [(name, type(child)) for name, child in module.named_modules()]
