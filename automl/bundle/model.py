"""`Model`: a loaded network with its preparation, which answers for rows as they come."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.bundle.outputs import compute
from automl.data.direct import rows as direct
from automl.data.direct.encoder import Encoder
from automl.data.preparing import given, series, text, transform
from automl.errors import DataError
from automl.metrics.kinds.kind import Kind

if TYPE_CHECKING:
    from automl.data.prepared import Part


class Model:
    """A trained model with its preparation: give it rows as they come, get labels or values.

    Example:
        >>> model = automl.load("studies/flowers")
        >>> model.predict(pandas.read_csv("new.csv"))

    Attributes:
        module: the network alone, in evaluation mode.
        config: its hyperparameters.
        kind: "classification", "regression" or "next_token".
        classes: the label behind each output unit (classification).
        metrics: its scores, by names such as `val_accuracy` and `test_accuracy`.
        manifest: all that the bundle says of itself.
        preparation: how rows are prepared, as numbers and names.
        sample: a few unprepared rows.
    """

    def __init__(
        self,
        module: nn.Module,
        manifest: Mapping[str, Any],
        preparation: dict[str, Any],
        device: torch.device,
        sample: Any = (),
    ) -> None:
        self.module, self.device = module.to(device).eval(), device
        self.manifest, self.preparation, self.sample = manifest, preparation, sample
        self._encoder = Encoder.of(preparation)
        self._remembered: Part | None = None
        self.config: dict[str, Any] = manifest["config"]
        self.kind = Kind.of_target(manifest["kind"], preparation.get("target", {}))
        self.classes: list[Any] = manifest["classes"]
        self.metrics: dict[str, float] = manifest["metrics"]

    @property
    def targets(self) -> list[str]:
        """The names of the columns that `predict` returns, where the model predicts several targets or quantiles
        ("0.1 of price"); else empty."""
        entry = self.preparation["target"]
        names = [str(name) for name in entry.get("columns", ())]
        if not self.kind.levels or len(entry["scale"]) > max(1, len(names)):  # a forecast of several steps
            return names
        return [f"{level:g} of {name}" for name in names or [entry["name"]] for level in self.kind.levels]

    def __repr__(self) -> str:
        return f"Model({self.manifest['model']}, {self.kind}, config={self.config})"

    def predict(self, rows: Any) -> NDArray[Any]:
        """The prediction for each row.

        Args:
            rows: unprepared rows: a DataFrame (pandas, polars, Arrow), an array, one row or several as dicts or lists,
                or the path of a file; texts for a language model.

        Returns:
            [N] labels; or [N] values in the data's own unit ([N, D] where D values are predicted, [N, D * Q] where Q
            quantiles of each, 0 or 1 for D labels, see `targets`); or,
            for a language model, the likeliest token after each token, [N, window].
        """
        return self.decoded(self._told(rows))

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        """[N, classes] probabilities, in the order of `classes`; of several labels the probability of each.

        Raises:
            DataError: the model does not classify.
        """
        if self.kind != "classification" and self.kind.variant != "labels":
            raise DataError(f"probabilities are for classes; this model's task is {self.kind}")
        return self.probabilities(self._told(rows))

    def _told(self, rows: Any) -> Tensor:
        """The outputs; one warning counts the values that could not be read or were not in training."""
        unread: list[str] = []
        outputs = self.outputs(rows, unread)
        warn_of(unread)
        return outputs

    def outputs(self, rows: Any, unread: list[str] | None = None) -> Tensor:
        """Raw outputs [N, units] (logits, or values in standard units) for unprepared rows.

        `unread` gets a few words for each column with values that cannot be read, or were not in training.
        """
        return compute(self.module, self.prepared(rows, unread), self.device)

    def prepared(self, rows: Any, unread: list[str] | None = None) -> Tensor:
        """Unprepared rows as the network takes them, [N, *inputs.shape]; `unread` as for `outputs`."""
        quick = direct.prepared(self._encoder, rows, unread) if self._encoder is not None else None
        return transform.transform(self.preparation, rows, unread) if quick is None else quick

    def table(self, path: Path) -> pd.DataFrame:
        """The table in a file of rows for this model, read as the training file was; text stays as it is there."""
        return given.read_file(self.preparation, path)

    def series_names(self, rows: Any) -> list[str]:
        """The name of the series of each prediction for `rows`; empty where the model was trained on a single series.

        Example:
            >>> dict(zip(model.series_names(rows), model.predict(rows)))
        """
        return self.last_rows(rows)[0]

    def last_rows(self, rows: Any) -> tuple[list[str], list[str]]:
        """(names of the series, times of their last rows) that predictions for `rows` follow; empty where unknown."""
        return series.last_rows(self.preparation, rows) if self.preparation["form"] == "series" else ([], [])

    def decoded(self, outputs: Tensor) -> NDArray[Any]:
        """Outputs [N, units] as labels, or as values in the data's own unit."""
        if self.kind == "regression":
            target = self.preparation["target"]
            each = max(1, len(self.kind.levels))
            scale, center = (np.repeat(np.asarray(target[name]), each) for name in ("scale", "center"))
            if self.kind.variant == "labels":
                return np.asarray(outputs >= 0.5).astype(np.int64)
            values = outputs.double().numpy() * scale + center
            return np.asarray(values[:, 0] if values.shape[1] == 1 else values)
        return np.asarray(np.asarray(self.classes)[outputs.argmax(-1).numpy()])

    def probabilities(self, outputs: Tensor) -> NDArray[Any]:
        """Outputs [N, classes] as probabilities."""
        if self.kind.variant == "labels":
            return outputs.double().numpy()
        return np.asarray(outputs.double().softmax(-1))

    def partial_fit(self, rows: Any, *, how: str = "head", old: Any = None) -> Self:
        """Learn from further rows, in memory; the saved model stays as it is (`automl.update` makes a new version).

        Nothing is held out or compared here. Rows of earlier calls (at most 5,000) are learned from again, so that
        they are not forgotten; give `old` rows of the training data for the same reason.

        Args:
            rows: a table with the true answers in their column, or a file of one; `(x, y)` for a model of arrays. They
                may have new classes.
            how: "head": the last layer is fitted again, in closed form; "finetune": all weights learn, at a low rate.
            old: rows from before, in the same form.

        Returns:
            The model itself.

        Raises:
            DataError: the rows cannot be read, or the model cannot learn in this way.

        Example:
            >>> model = automl.load("studies/flowers").partial_fit(pandas.read_csv("new.csv"))
        """
        from automl.bundle.partial import partial_fit

        self._remembered = partial_fit(self, rows, how, old, self._remembered)
        return self

    def generate(self, prompt: str, tokens: int, temperature: float = 1.0, seed: int = 0) -> str:
        """Continue a text with a language model.

        Args:
            prompt: a text of at least one token.
            tokens: how many tokens to add.
            temperature: logits are divided by it before one is drawn; 0 takes the likeliest token each time.
            seed: of the draws.

        Returns:
            `prompt` and what follows it.

        Raises:
            DataError: this is no language model, or the prompt is empty.
        """
        if self.kind != "next_token" or not prompt:
            raise DataError("generate needs a language model and a prompt of at least one token")
        split_by, window = self.preparation["tokens"], self.preparation["window"]
        vocabulary = self.preparation["vocabulary"]
        code = {token: k + 1 for k, token in enumerate(vocabulary)}
        codes = [code.get(token, 0) for token in text.split_tokens(prompt, split_by)]
        generator = torch.Generator().manual_seed(seed)
        for _ in range(tokens):
            codes.append(self._next_token(codes[-window:], temperature, generator))
        added = [vocabulary[k - 1] for k in codes[len(codes) - tokens :]]
        return prompt + "".join(f" {token}" if split_by in ("word", "ids") else token for token in added)

    def _next_token(self, codes: list[int], temperature: float, generator: torch.Generator) -> int:
        with torch.no_grad():
            logits = self.module(torch.tensor([codes], device=self.device))[0, -1].double().cpu()
        logits[0] = -torch.inf  # never the unknown token
        if temperature > 0:
            return int(torch.multinomial((logits / temperature).softmax(0), 1, generator=generator))
        return int(logits.argmax())


def warn_of(unread: list[str]) -> None:
    """One warning for the values that could not be read, or were not in training; none where there are none."""
    if unread:
        warnings.warn(in_one_line(unread), UserWarning, stacklevel=4)


def in_one_line(unread: list[str]) -> str:
    """The messages about rows to predict: values that could not be read, and what is odd about the rows of a series."""
    values = [message for message in unread if message.startswith("column ")]
    rows = [message for message in unread if not message.startswith("column ")]
    return "; ".join([*rows, *([f"values treated as missing or unknown: {'; '.join(values)}"] if values else [])])
