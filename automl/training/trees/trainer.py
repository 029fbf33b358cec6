"""One trial of trees, an epoch at a time: each epoch adds its share of the boosting rounds, and is evaluated.

All follows from the data, the config and the seed, so that a trial which goes on elsewhere grows again what it had.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automl import metrics
from automl.core import seeds
from automl.data.prepared import Part, Prepared
from automl.data.streaming.shards import Streamed
from automl.errors import DataError
from automl.metrics.kinds.kind import kind_of
from automl.models import parts
from automl.models.answers.curved import curved
from automl.models.answers.links import linked
from automl.models.combined import bagged
from automl.models.tables.trees import Trees
from automl.training import losses
from automl.training.trees.growing import Grower, Rows, Settings, Tree, packed
from automl.training.trees.histogram import HistogramGrower
from automl.training.trees.lightgbm_grower import LightGBMGrower

GROWERS: dict[str, type[HistogramGrower] | type[LightGBMGrower]] = {
    "sklearn": HistogramGrower,
    "lightgbm": LightGBMGrower,
}
"""`library` -> what grows trees with it."""
AHEAD = 1.5
"""Rounds are grown in pieces, each ending at so many times those that there were: `warm_start` reads all rows again."""
MOST_VALUES = 2**24
"""So many outputs are kept of rounds that are grown at once: rows times units times rounds."""
Loss = Callable[[str, Tensor, Tensor, Tensor | None], Tensor]
"""(kind, outputs, targets, weight) -> the mean loss."""
SEEN_ROWS = 2000
"""So many training rows the training loss is measured on."""


@dataclass
class Member:
    """The trees of one model: that of a trial, or of one fold.

    Attributes:
        data: what it is grown and compared on.
        seed: of what is drawn at random.
        trees: by round.
        grower: None as long as there are no trees.
    """

    data: Prepared
    seed: int
    trees: list[list[Tree]] = field(default_factory=list)
    grower: Grower | None = None


class TreeTrainer:
    """Grows the trees of one trial; called as `training.loop.trainer.Trainer` is.

    After epoch e of E there are `rounds * e / E` rounds, less where the validation loss has not improved for
    `early_stop` rounds; what is measured and kept are the trees up to the round of the lowest validation loss. With
    folds all models have as many rounds, and the loss is that of all rows that one of them holds out.

    Args:
        prepared: the data, in memory.
        config: the trial's hyperparameters, those of the family `trees`.
        epochs: full length of the trial.
        seed: of what is drawn at random.

    Attributes:
        done: epochs so far.
        finished: whether further epochs would change nothing.

    Raises:
        DataError: the data are streamed from disk, or there are no classes or values to predict.
    """

    format = torch.float64
    sharded = False

    def __init__(self, prepared: Prepared, config: Mapping[str, Any], epochs: int, seed: int) -> None:
        if isinstance(prepared.train, Streamed):
            raise DataError("trees need the whole table in memory; raise prepare.memory, or take another model")
        if prepared.kind == "next_token":
            raise DataError("trees predict classes or values; for texts to be continued take transformer or lstm")
        self.prepared, self.config, self.epochs, self.seed = prepared, dict(config), epochs, seed
        self.done, self.finished = 0, False
        self._options = parts.settings("trees", config)
        folds = prepared.folds
        self._members = [Member(prepared, seed)] if folds is None else [
            Member(prepared.fold(k), seeds.derive(seed, "fold", k)) for k in range(folds.count)
        ]  # fmt: skip
        self._losses: list[float] = []  # on the validation rows, after each round
        self._ahead: dict[int, Outputs] = {}  # by round
        self._answer = linked(curved(nn.Identity(), prepared.outputs), prepared.outputs, grown=True).eval()

    def epoch(self) -> dict[str, float]:
        """Grow one epoch's rounds and evaluate.

        Returns:
            `train_loss` (of the first SEEN_ROWS training rows), `val_loss`, and every metric of the task as `val_...`.
        """
        self.done += 1
        rounds = self._options["rounds"]
        at = math.ceil(rounds * self.done / self.epochs)
        self._grow(at)
        best = self._best(at)
        seen, outputs = self._ahead[best].seen, self._values(self._joined(self._ahead[best].val))
        early = self._options["early_stop"]
        self.finished = at >= rounds or bool(early and at - best >= early)
        part = self._members[0].data.train.head(SEEN_ROWS)
        return {"train_loss": self._loss(seen, part, losses.loss),
                "val_loss": self._loss(outputs, self.prepared.val, losses.of_answers),
                **{f"val_{k}": v for k, v in self._metrics(outputs).items()}}  # fmt: skip

    def weights(self) -> dict[str, Tensor]:
        """The arrays of the trees that count, as `models.tables.trees.Trees` takes them; with folds, of a `Bagged`."""
        best = self._best(math.ceil(self._options["rounds"] * self.done / self.epochs))
        found = [self._arrays(member, best) for member in self._members]
        return found[0] if self.prepared.folds is None else bagged.joined(found)

    def _arrays(self, member: Member, rounds: int) -> dict[str, Tensor]:
        assert member.grower is not None
        arrays = packed([tree for trees in member.trees[:rounds] for tree in trees], member.grower.base)
        inside = next(name for name, part in self._answer.named_modules() if type(part) is nn.Identity)
        return {f"{inside}.{name}" if inside else name: value for name, value in arrays.items()}

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on."""
        return {"epoch": self.done}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on after the epoch of a `state()`; its trees are grown again with the next epoch."""
        self.done = int(state["epoch"])

    def _best(self, at: int) -> int:
        """The number of rounds that count after `at` rounds."""
        early = self._options["early_stop"]
        if not early:
            return at
        best = 1
        for k in range(2, at + 1):
            if k - best > early:
                break
            if self._losses[k - 1] < self._losses[best - 1]:
                best = k
        return best

    def _grow(self, at: int) -> None:
        """Go on until there are `at` rounds, or until no further round would count."""
        early = self._options["early_stop"]
        while len(self._losses) < at:
            have = len(self._members[0].trees)
            if early and have and have - self._best(have) >= early:
                self._losses += [math.inf] * (at - have)  # of rounds that would not count
                return
            rounds = have + self._piece(have, at)
            new = [self._grown(member, rounds) for member in self._members]
            self._measure(new)
            for member, trees in zip(self._members, new, strict=True):
                member.trees += trees
            best = self._best(min(at, rounds))
            self._ahead = {k: v for k, v in self._ahead.items() if k >= best}

    def _grown(self, member: Member, rounds: int) -> list[list[Tree]]:
        """The new trees of a model that has `rounds` rounds then."""
        if member.grower is None:
            rows, settings = _rows(member.data), self._settings(member.seed)
            member.grower = GROWERS[self._options["library"]](rows, settings)
        return member.grower.grow(rounds)

    def _piece(self, have: int, at: int) -> int:
        """How many rounds are grown next, where there are `have` of them and `at` are asked for."""
        each = int(self.prepared.outputs) * (len(self.prepared.val) + min(SEEN_ROWS, len(self.prepared.train)))
        wanted = min(self._options["rounds"], max(at, math.ceil(AHEAD * have))) - have
        early = int(self._options["early_stop"]) or wanted
        return int(max(1, min(wanted, max(early, 8), MOST_VALUES // each)))

    def _measure(self, new: list[list[list[Tree]]]) -> None:
        """Outputs and validation loss after each of the new rounds; `new`: of each model."""
        have = len(self._members[0].trees)
        seen = self._members[0].data.train.head(SEEN_ROWS)
        before = self._ahead.get(have) or Outputs(
            _base(self._members[0], seen), [_base(member, member.data.val) for member in self._members]
        )
        of_seen = self._by_round(new[0], seen)
        of_val = [self._by_round(trees, m.data.val) for trees, m in zip(new, self._members, strict=True)]
        for k in range(len(new[0])):
            val = [old + rounds[k] for old, rounds in zip(before.val, of_val, strict=True)]
            self._ahead[have + k + 1] = before = Outputs(before.seen + of_seen[k], val)
            self._losses.append(self._loss(self._values(self._joined(val)), self.prepared.val, losses.of_answers))

    def _joined(self, val: list[Tensor]) -> Tensor:
        """The models' outputs for the rows that each is compared on, as those of all validation rows."""
        folds = self.prepared.folds
        return val[0] if folds is None else folds.joined(val)

    def _by_round(self, new: list[list[Tree]], part: Part) -> Tensor:
        """[rounds, N, outputs] what each of the new rounds adds for the samples of a part."""
        units = int(self.prepared.outputs)
        trees = [tree for each in new for tree in each]
        module = Trees(int(self.prepared.inputs), units)
        module.set(packed(trees, np.zeros(units)))
        total = torch.zeros(len(new), len(part), units, dtype=torch.float64)
        number = torch.tensor([k for k, each in enumerate(new) for _ in each])
        with torch.no_grad():
            for first in range(0, len(part), 1024):
                leaves = module.leaves(part.x[first : first + 1024]).T  # [trees, n]
                for unit in range(units):
                    mine = module.unit == unit
                    total[:, first : first + 1024, unit].index_add_(0, number[mine], leaves[mine])
        return total

    def _values(self, outputs: Tensor) -> Tensor:
        """Sums of leaves as outputs of the saved model."""
        if type(self._answer) is nn.Identity:
            return outputs
        answers: Tensor = self._answer(outputs.float())
        return answers.double()

    def _loss(self, outputs: Tensor, part: Part, loss: Loss) -> float:
        weight = None if part.weight is None else part.weight / part.weight.mean()
        return float(loss(self.prepared.kind, outputs.float(), part.y, weight))

    def _metrics(self, outputs: Tensor) -> dict[str, float]:
        kind, val = self.prepared.kind, self.prepared.val
        return dict(metrics.compute(kind, outputs.float(), val.y, val.weight, scale=self.prepared.unit))

    def _settings(self, seed: int) -> Settings:
        names = ("rounds", "shrinkage", "leaves", "max_depth", "min_leaf", "l2", "feature_share", "bins")
        return Settings(**{name: self._options[name] for name in names}, seed=seed)


@dataclass(frozen=True)
class Outputs:
    """Sums of leaves after a round: for the training rows that the loss is measured on, and each model's for others."""

    seen: Tensor
    val: list[Tensor]


def _base(member: Member, part: Part) -> Tensor:
    """What the member's trees add to, for the rows of a part. [N, outputs]"""
    assert member.grower is not None
    return torch.from_numpy(member.grower.base).expand(len(part), -1)


def _rows(data: Prepared) -> Rows:
    """The training rows, for a grower."""
    train, inputs = data.train, data.inputs
    first = int(inputs) - len(inputs.cardinalities)
    categories = {first + k: count for k, count in enumerate(inputs.cardinalities)}
    weight = None if train.weight is None else train.weight.double().numpy()
    y = train.y.numpy() if data.kind == "classification" else train.y.double().numpy()
    kind = kind_of(data.kind)
    return Rows(train.x.flatten(1).double().numpy(), y, weight, categories, int(data.outputs), kind)
