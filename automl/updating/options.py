"""How a model is updated: the options, the same on the command line and in Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.errors import SpecError, did_you_mean

AUTO = ("head", "finetune", "retrain")
"""What `auto` tries, in this order, until one is promoted."""
HOW = ("auto", *AUTO, "search")


@dataclass(frozen=True)
class Options:
    """How to update.

    Attributes:
        how: `auto`, `head`, `finetune`, `retrain` or `search`.
        lose: how much may be lost on rows that were held out: of metrics up to 1 the difference, of errors a share.
        hold_out: the share of the new rows that is held out, the latest ones.
        keep_rows: the maximum number of rows kept to learn from; a quarter as many held-out rows are kept too.
        trials: the budget of a search (`how="search"`).
        trust: run the user's code that the model or its data name.
        old: rows that replace those of the search, for a bundle without them.
        base: the folder that paths of the specification start from; None: as the study knows it.
        device: where to train, as torch names it.
    """

    how: str = "auto"
    lose: float = 0.01
    hold_out: float = 0.25
    keep_rows: int = 200_000
    trials: int = 8
    trust: bool = False
    old: Any = None
    base: Path | None = None
    device: str = "cpu"

    def check(self) -> None:
        """Check the values.

        Raises:
            SpecError: one is none; says which.
        """
        if self.how not in HOW:
            raise SpecError(f"--how: {self.how!r}{did_you_mean(self.how, HOW)}; one of {', '.join(HOW)}")
        if not 0 < self.hold_out < 1 or not 0 <= self.lose < 1:
            raise SpecError("--hold-out lies between 0 and 1, --lose from 0 to below 1")
