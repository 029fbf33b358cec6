"""`Columns`: which columns files have, and whether they are the same in all of them."""

from collections.abc import Sequence

import pyarrow as pa
from pyarrow import parquet

from automl.data.reading.many.cells import Cells
from automl.data.reading.many.files import File
from automl.data.reading.readers import as_data_error, column_names
from automl.errors import DataError, did_you_mean


class Columns:
    """The columns of files, looked up once.

    Args:
        files: the first one says which columns there are.
        cells: reads them where they are text; None: they are Parquet.
    """

    def __init__(self, files: Sequence[File], cells: Cells | None) -> None:
        self._files, self._cells = files, cells
        self._known: dict[str, dict[str, str]] = {}

    def check(self, file: File) -> list[str]:
        """The columns of the first file, which this one has too, in whatever order.

        Raises:
            DataError: it lacks one.
        """
        own, wanted = self.of(file), self.of(self._files[0])
        if missing := [name for name in wanted if name not in own]:
            near = did_you_mean(missing[0], [name for name in own if name not in wanted])
            raise DataError(f"data: {file.name} has no column {missing[0]!r}, which {self._files[0].name} has{near}")
        return list(wanted)

    def differences(self) -> list[str]:
        """A sentence for each way in which files differ that does no harm: order of columns, columns more."""
        wanted, said = self.of(self._files[0]), []
        first = self._files[0].name
        orders = [f.name for f in self._files if [n for n in self.of(f) if n in wanted] != list(wanted)]
        if orders:
            said.append(
                f"{orders[0]} has its columns in another order than {first}{_more(orders)}: read by their names"
            )
        for name in dict.fromkeys(n for f in self._files for n in self.of(f) if n not in wanted):
            where = [f.name for f in self._files if name in self.of(f)]
            said.append(f"column {name!r} of {where[0]}{_more(where)} left out: {first} does not have it")
        return said

    def of(self, file: File) -> dict[str, str]:
        """The columns of a file, those of its folders last, with what they hold: "text", "numbers", ..."""
        known = self._known.get(file.path)
        if known is None:
            if self._cells is None:
                with as_data_error(file.name), file.open() as opened:
                    schema = parquet.read_schema(opened)
                index = {n for n in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(n, str)}
                known = {field.name: _kind(field.type) for field in schema if field.name not in index}
            else:
                header = self._cells.layout(file).header
                known = dict.fromkeys(column_names(header, header), "text")
            known |= {name: "numbers" if isinstance(value, int) else "text" for name, value in file.partition}
            self._known[file.path] = known
        first = self._known.get(self._files[0].path, {})
        for name, kind in known.items():
            if kind and first.get(name) and first[name] != kind:
                raise DataError(
                    f"data: column {name!r} holds {kind} in {file.name} and {first[name]} in {self._files[0].name}; "
                    "give it the same type in all files"
                )
        return known


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more files)" if len(names) > 1 else ""


def _kind(kind: pa.DataType) -> str:
    """What a column of this type holds, in words; empty for types that are read cell by cell."""
    types = pa.types
    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_boolean(kind):
        return "true and false"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "numbers"
    if types.is_string(kind) or types.is_large_string(kind):
        return "text"
    return "dates" if types.is_timestamp(kind) or types.is_date(kind) else ""
