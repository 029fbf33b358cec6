"""One version of a model, loaded: rows in, answers out."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.bundle.ensemble import Ensemble, average
from automl.bundle.model import Model
from automl.data import seen
from automl.data.direct.encoder import Encoder
from automl.data.preparing import transform
from automl.errors import DataError
from automl.serving.inputs import bodies, checks
from automl.serving.inputs.checks import Columns
from automl.serving.inputs.schema import schema_of
from automl.serving.problem import LONGEST, Refused

MOST_WARNINGS = 20


@dataclass(frozen=True)
class Ready:
    """Rows that are prepared.

    Attributes:
        inputs: for each preparation of the members, [N, ...] as their networks take them.
        raw: [rows, columns] what stands in the cells, for watching; None where the form has no columns.
        outside: [rows, columns] which of them lie outside of what training has seen.
        warnings: sentences for the client.
        series: the names of the series that are answered for.
    """

    inputs: tuple[Tensor, ...]
    raw: NDArray[np.float64] | None = None
    outside: NDArray[np.bool_] | None = None
    warnings: list[str] = field(default_factory=list)
    series: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inputs[0])


class Served:
    """A loaded model or ensemble under its name and version.

    Attributes:
        model: what `automl.load` gives.
        schema: of its rows.
        encoder: prepares rows of a table without pandas; None for other forms, and models of version 0.1.
    """

    def __init__(self, name: str, version: str, digest: str, model: Model | Ensemble, *, strict: bool = False) -> None:
        self.name, self.version, self.digest, self.model, self.strict = name, version, digest, model, strict
        self.members = model.models if isinstance(model, Ensemble) else [model]
        self.weights = model.weights if isinstance(model, Ensemble) else [1]
        self.preparations: list[dict[str, Any]] = []
        self.slots: list[int] = []  # the preparation of each member
        for member in self.members:
            if member.preparation not in self.preparations:
                self.preparations.append(member.preparation)
            self.slots.append(self.preparations.index(member.preparation))
        self.preparation = self.preparations[0]
        self.encoders = [Encoder.of(preparation) for preparation in self.preparations]
        self.encoder = self.encoders[0]
        self.schema = schema_of(self.preparation, self.members[0].sample)
        self.kind, self.classes = model.kind, model.classes

    def prepare(self, rows: Any) -> Ready:
        """Rows, as `automl.serving.inputs.bodies` gives them, as the networks take them.

        Raises:
            Refused: a cell cannot be read, or (strict) was not seen in training.
        """
        unread: list[str] = []
        try:
            ready = self._table(rows, unread) if self.encoder is not None else self._other(rows, unread)
        except DataError as error:
            raise Refused(422, "invalid_rows", str(error)[:500], "rows") from None
        checks.refuse_unreadable(unread, rows if isinstance(rows, Columns) else None)
        if not len(ready):
            raise Refused(422, "no_rows", "the rows have nothing to predict", "rows")
        warnings = [warning[:LONGEST] for warning in [*unread, *ready.warnings][:MOST_WARNINGS]]
        if self.strict:
            checks.refuse_unseen(warnings)
        return Ready(ready.inputs, ready.raw, ready.outside, warnings, ready.series)

    def _table(self, rows: Any, unread: list[str]) -> Ready:
        read: list[tuple[NDArray[np.float64], Tensor]] = []
        for encoder in self.encoders:
            told = unread if not read else []
            if encoder is None:
                raise DataError("the members of this ensemble are of several versions")
            raw = (
                encoder.read(rows.values, rows.rows, told)
                if isinstance(rows, Columns)
                else encoder.read_frame(rows, told)
            )
            read.append((raw, torch.from_numpy(encoder.encode(raw))))
        raw = read[0][0]
        outside = checks.out_of_range(raw, self.schema)
        warnings = checks.range_warnings(outside, raw, self.schema.used) if outside.any() else []
        return Ready(tuple(x for _, x in read), raw, outside, warnings)

    def _other(self, rows: Any, unread: list[str]) -> Ready:
        rows = pd.DataFrame(rows.values) if isinstance(rows, Columns) else rows
        inputs = tuple(transform.transform(one, rows, unread if not k else []) for k, one in
                       enumerate(self.preparations))  # fmt: skip
        names = self.model.series_names(rows) if isinstance(rows, pd.DataFrame) else []
        if not isinstance(rows, np.ndarray) or self.schema.form != "array":
            return Ready(inputs, series=names)
        raw = rows.astype(np.float64) if self._features else seen.means(rows)[:, None]
        known = self.schema.seen
        outside = (rows < known["least"]) | (rows > known["most"]) if "least" in known else np.zeros(1, dtype=bool)
        warnings = []
        if outside.any():
            span = f"{known['least']:g} to {known['most']:g}"
            warnings = [f"{int(outside.sum())} values outside of {span}, the range in training"]
        shown = outside if self._features and outside.shape == raw.shape else None
        return Ready(inputs, raw, shown, warnings)

    @property
    def _features(self) -> bool:
        return "features" in self.schema.seen

    def compute(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """The outputs [N, units] for prepared rows, on the CPU."""
        with torch.inference_mode():
            outputs = [
                member.module(inputs[slot].to(member.device)).cpu()
                for member, slot in zip(self.members, self.slots, strict=True)
            ]
            return outputs[0] if isinstance(self.model, Model) else average(outputs, self.weights, self.kind)

    def warm(self) -> None:
        """Answer the sample rows once: the first time takes long."""
        with contextlib.suppress(Refused):
            sample = list(self.schema.sample)
            self.compute(self.prepare(bodies.rows_of(sample, self.schema, max(len(sample), 1))).inputs)

    def answer(self, outputs: Tensor, *, proba: bool) -> dict[str, Any]:
        """The predictions, and (classification, where asked for) the probabilities in the order of `classes`.

        A model of several targets names them: `targets`, in the order of the predictions of a row.

        Raises:
            Refused: probabilities are asked of a model that does not classify.
        """
        answer: dict[str, Any] = {"targets": self.model.targets} if self.model.targets else {}
        answer["predictions"] = self.model.decoded(outputs).tolist()
        if proba:
            if self.kind != "classification":
                raise Refused(422, "no_probabilities", f"this model's task is {self.kind}; it has none", "proba")
            answer |= {"classes": self.classes, "probabilities": self.model.probabilities(outputs).tolist()}
        return answer

    def card(self) -> dict[str, Any]:
        """What the model is, for programs: data, metrics with intervals, limits of use."""
        manifest, together = self.members[0].manifest, self._together
        notes = [str(note) for note in manifest.get("notes", ())]
        return {
            "name": self.name, "version": self.version, "digest": self.digest, "task": self.kind,
            "architecture": [str(member.manifest["model"]) for member in self.members],
            "classes": self.classes, "metrics": together.get("metrics", {}),
            "intervals": together.get("intervals", {}), "data": manifest.get("data"), "notes": notes,
            "limits": self._limits(), "made_with": manifest.get("versions", {}), "input": self.schema.to_json(),
        }  # fmt: skip

    @property
    def _together(self) -> Mapping[str, Any]:
        """The manifest that has the scores of what answers: an ensemble's own."""
        return self.model.manifest

    def _limits(self) -> list[str]:
        """What the model should not be used for, as far as its data say."""
        said = ["Answers are for rows like those of the training data; values outside of its ranges are guesses."]
        if self.kind == "classification":
            said.append("Probabilities are those of the network; they are not calibrated.")
        if not any(self._together.get("intervals", {})):
            said.append("No score on test rows with an interval is known for this model.")
        return said
