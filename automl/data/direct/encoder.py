"""A preparation of a table made ready once, so that a row is prepared by a dozen operations of numpy."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.direct.cells import DirectCells, Mixed, missing_code
from automl.data.preparing import columns as cols
from automl.data.preparing import scaling, tables

Floats = NDArray[np.float64]
CUT = tables.LARGEST_SCALED
ENTRIES = {"version", "form", "expects", "columns", "encoding", "crosses", "pca", "reading", "target"}
COLUMN_ENTRIES = {
    *("name", "role", "fill", "center", "scale", "indicator", "style", "values", "clock", "dayfirst", "seen"),
    *("knots", "limit"),
}
ROLES = ("number", "category", "date", "time")
"""What is understood here; a preparation with anything else is left to pandas."""


class Encoder:
    """Prepares rows as `tables.transform` does, to the last bit.

    `raw` values are what stands in the cells: numbers, days, seconds, or codes of categories (0: unseen), NaN where
    there is none; [rows, columns that are used], in the order of `columns`.
    """

    def __init__(self, preparation: Mapping[str, Any]) -> None:
        self.preparation = preparation
        self.columns: list[cols.Column] = preparation["columns"]
        self.names = [column["name"] for column in self.columns]
        self.cells = DirectCells(preparation)
        self._layout()

    @staticmethod
    def of(preparation: Mapping[str, Any]) -> "Encoder | None":
        """The encoder of a preparation; None where it is of no table, of version 0.1, or has an entry unknown here."""
        if preparation.get("form") != "table" or "reading" not in preparation or not preparation.keys() <= ENTRIES:
            return None
        known = all(column["role"] in ROLES and column.keys() <= COLUMN_ENTRIES for column in preparation["columns"])
        return Encoder(preparation) if known and preparation["encoding"] in ("onehot", "embed") else None

    def _layout(self) -> None:
        """Where each column's values go."""
        embed = self.preparation["encoding"] == "embed"
        numbers, others, at = [], [], 0
        self.onehot: list[tuple[int, int, int]] = []  # (column, where its first value goes, code of a missing one)
        self.embedded: list[tuple[int, int]] = []  # (column, code of a missing value)
        for k, column in enumerate(self.columns):
            if column["role"] == "number":
                numbers.append((k, at))
                at += 2 if column["indicator"] else 1
            elif column["role"] in ("date", "time"):
                others.append((k, at))
                at += 3 if column["role"] == "time" else 7 if column["clock"] else 5
            elif embed:
                self.embedded.append((k, missing_code(column)))
            else:
                self.onehot.append((k, at, missing_code(column)))
                at += len(column["values"])
        self.width, self.others = at, others
        self.number = np.array([k for k, _ in numbers], dtype=np.intp)
        self.bent = [j for j, (k, _) in enumerate(numbers) if scaling.is_bent(self.columns[k])]
        self.number_at = np.array([place for _, place in numbers], dtype=np.intp)
        gaps = [j for j, (k, _) in enumerate(numbers) if self.columns[k]["indicator"]]
        self.gaps, self.gaps_at = np.array(gaps, dtype=np.intp), self.number_at[gaps] + 1
        self.fill, self.center, self.scale = (
            np.array([self.columns[k][entry] for k, _ in numbers], dtype=np.float64)
            for entry in ("fill", "center", "scale")
        )
        pca = self.preparation["pca"]
        self.pca = pca and tuple(np.asarray(pca[entry]) for entry in ("center", "components", "scale"))

    def read(self, table: Mapping[str, Sequence[Any]], rows: int, unread: list[str]) -> Floats:
        """The raw values of columns of plain Python values.

        Args:
            table: at least the columns that are used, each with `rows` values.
            rows: how many.
            unread: gets a few words for each column with values that cannot be read, or were not seen in training.
        """
        strange: list[str] = []
        try:
            raw = self.read_plain(table, rows, strange)
        except Mixed:
            return self.read_frame(pd.DataFrame({name: table[name] for name in self.names}), unread)
        unread += strange
        return raw

    def read_plain(self, table: Mapping[str, Sequence[Any]], rows: int, unread: list[str]) -> Floats:
        """As `read`, for columns of one type only.

        Raises:
            Mixed: a column is for pandas.
        """
        raw = np.empty((rows, len(self.columns)))
        for k, column in enumerate(self.columns):
            raw[:, k] = self.cells.read(column, table[column["name"]], unread)
        return raw

    def read_frame(self, frame: pd.DataFrame, unread: list[str]) -> Floats:
        """The raw values of a DataFrame; `unread` as for `read`.

        Raises:
            DataError: a column is missing, or is there twice.
        """
        frame = tables.frame_of(dict(self.preparation), frame)
        cells = tables.Cells(dict(self.preparation), frame, unread)
        raw = np.empty((len(frame), len(self.columns)))
        for k, column in enumerate(self.columns):
            match column["role"]:
                case "number":
                    raw[:, k] = cells.numbers(column)
                case "date":
                    raw[:, k] = cells.days(column)
                case "time":
                    raw[:, k] = cells.seconds(column)
                case _:
                    codes = cells.codes(column).astype(np.float64)
                    gap = cols.as_texts(frame[str(column["name"])], cells.missing) == cols.MISSING
                    raw[:, k] = np.where(gap, np.nan, codes)
        return raw

    def encode(self, raw: Floats) -> NDArray[np.float32]:
        """[rows, D + C] as `tables.transform` gives them."""
        dense = np.zeros((len(raw), self.width), dtype=np.float32)
        self._encode_numbers(raw, dense)
        for k, at in self.others:
            column = self.columns[k]
            encode = tables.encode_date if column["role"] == "date" else tables.encode_time
            for j, block in enumerate(encode(column, np.ascontiguousarray(raw[:, k]))):
                dense[:, at + j] = np.clip(block, -CUT, CUT)
        rows = np.arange(len(raw))
        for k, at, gap in self.onehot:
            code = _codes(raw[:, k], gap)
            seen = code > 0
            dense[rows[seen], at + code[seen] - 1] = 1
        crosses = [dense[:, a] * dense[:, b] for a, b in self.preparation["crosses"]]
        if crosses:
            dense = np.column_stack([dense, *crosses]).astype(np.float32)
        if self.pca:
            center, components, scale = self.pca
            dense = np.ascontiguousarray((dense - center) @ components.T / scale, dtype=np.float32)
        if not self.embedded:
            return dense
        codes = np.column_stack([_codes(raw[:, k], gap) for k, gap in self.embedded]).astype(np.float32)
        return np.concatenate([dense, codes], axis=1)

    def _encode_numbers(self, raw: Floats, dense: NDArray[np.float32]) -> None:
        if not len(self.number):
            return
        values = raw[:, self.number]
        missing = ~np.isfinite(values)
        values = np.clip(np.where(missing, self.fill, values), -cols.LARGEST, cols.LARGEST)
        scaled = (values - self.center) / self.scale
        for j in self.bent:
            scaled[:, j] = scaling.bent(np.ascontiguousarray(scaled[:, j]), self.columns[self.number[j]])
        dense[:, self.number_at] = np.clip(scaled, -CUT, CUT)
        if len(self.gaps):
            dense[:, self.gaps_at] = missing[:, self.gaps]


def _codes(raw: Floats, gap: int) -> NDArray[np.intp]:
    """Codes of a column of categories, `gap` for missing values."""
    return np.where(np.isnan(raw), gap, raw).astype(np.intp)
