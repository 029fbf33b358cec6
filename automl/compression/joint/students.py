"""A single network that learns from all that answer together (distillation): it begins as the best of the networks.

It is trained on the training rows, on their labels and on what the winner answers for them. A winner of folds has seen
all these rows; so for each fold a sibling of the student learns from the models of that fold alone, which have not seen
the rows that the fold holds out, and on these the siblings are scored in the student's place.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from automl.bundle.compressed.writing import Network
from automl.compression.joint import pieces
from automl.compression.joint.pieces import Piece
from automl.compression.subject import Original
from automl.compression.ways.tuning import slower, taught
from automl.data.prepared import Part, Prepared
from automl.models.adjusting import Adjusted


@dataclass(frozen=True)
class Student:
    """What came of it.

    Attributes:
        begun_as: the network that it began as; of folds the first one.
        network: the student.
        siblings: {fold: the network that is scored on the rows of that fold}; empty without folds.
    """

    begun_as: Piece
    network: Network
    siblings: Mapping[int, Network]


def best_network(original: Original, winner: Sequence[Piece], output: Callable[[Piece], Tensor]) -> str | None:
    """The group with the best validation score of those that are no trees; None where there are none.

    Args:
        original: whose task it is.
        winner: its networks.
        output: gives the outputs of a network's group on the validation rows.
    """
    groups = {piece.group: piece for piece in winner if not piece.has_trees}
    values = {name: original.holdout.sample_of(output(piece), "val").value for name, piece in groups.items()}
    return max(values, key=lambda name: original.sign * values[name], default=None)


def teach(original: Original, winner: Sequence[Piece], group: str, epochs: int, say: Callable[[str], None]) -> Student:
    """Train the student, and its siblings where there are folds.

    Args:
        original: whose task it is.
        winner: all that teach.
        group: of `best_network`.
        epochs: how long; in what the search said in their place.
        say: called with each message for the user.

    Raises:
        ArithmeticError: a loss is not finite.
    """
    own = [piece for piece in winner if piece.group == group]
    siblings = {}
    for piece in own:
        if (fold := piece.fold) is not None:
            of_fold = [one for one in winner if one.fold == fold]
            siblings[fold] = _taught(original, of_fold, piece, fold, epochs, partial(_told, say, fold))
    return Student(own[0], _taught(original, winner, own[0], None, epochs, say), siblings)


def _told(say: Callable[[str], None], fold: int, text: str) -> None:
    say(f"fold {fold + 1}: {text}")


def _taught(
    original: Original, teachers: Sequence[Piece], begin: Piece, fold: int | None, epochs: int,
    say: Callable[[str], None],
) -> Network:  # fmt: skip
    """One network that has learned from others, on all training rows, or on those of a fold."""

    def prepared(config: Mapping[str, Any]) -> Prepared:
        data = original.data.of(config)
        return replace(data, train=replace(data.train, folds=None)) if fold is None else data.fold(fold)

    def rows(config: Mapping[str, Any]) -> Tensor:
        train: Part = prepared(config).train
        return train.x

    answers = pieces.outputs(original, teachers, rows)
    module = begin.module.inner if isinstance(begin.module, Adjusted) else begin.module
    weights = taught(original, prepared(begin.config), slower(begin.config), epochs, answers, module, say)
    return Network(begin.config, {}, weights)
