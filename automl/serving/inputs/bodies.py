"""Bodies of requests as rows: JSON, CSV, Arrow and .npy. Whatever the bytes are, it ends in rows or one refusal."""

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.preparing import given
from automl.errors import DataError, did_you_mean
from automl.serving.inputs.checks import Columns, columns_checked, columns_of, frame_checked
from automl.serving.inputs.schema import InputSchema
from automl.serving.problem import Refused

try:
    from orjson import JSONDecodeError, loads
except ImportError:  # a little slower
    JSONDecodeError = ValueError  # type: ignore[assignment,misc]

    def loads(content: bytes, /) -> Any:  # type: ignore[misc]
        """JSON without NaN and infinity."""
        return json.loads(content, parse_constant=_no_constant)


JSON, CSV, ARROW, NPY = "application/json", "text/csv", "application/vnd.apache.arrow.stream", "application/x-npy"
KINDS = {
    JSON: JSON, CSV: CSV, "text/tab-separated-values": CSV, ARROW: ARROW,
    "application/vnd.apache.arrow.file": ARROW, NPY: NPY, "application/npy": NPY,
}  # fmt: skip
KEYS = ("rows", "columns", "model", "version", "proba")
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"PAR1")
"""First bytes of what is unpacked into much more: none of it is a body."""


@dataclass(frozen=True)
class Asked:
    """What a JSON body says beside its rows."""

    content: Any
    model: str | None = None
    version: str | None = None
    proba: bool | None = None


def kind_of(content_type: str) -> str:
    """The kind of a body.

    Raises:
        Refused: it is none that is read.
    """
    name = content_type.partition(";")[0].strip().lower() or JSON
    if name not in KINDS:
        hint = did_you_mean(name, KINDS)
        raise Refused(415, "unknown_content_type", f"a body of type {name[:80]!r} is not read{hint}; send "
                      f"{JSON}, {CSV}, {ARROW} or {NPY}", "content-type")  # fmt: skip
    return KINDS[name]


def read_json(body: bytes) -> Asked:
    """A JSON body: `{"rows": [...]}`, `{"columns": {...}}`, or the list of rows alone.

    Raises:
        Refused: it is no JSON, or has other keys.
    """
    try:
        data = loads(body)
    except (JSONDecodeError, ValueError, RecursionError) as error:
        raise Refused(400, "invalid_json", f"the body is no JSON: {str(error)[:200]}", "body") from None
    if isinstance(data, list):
        return Asked(data)
    if not isinstance(data, dict):
        raise Refused(422, "no_rows", 'expected {"rows": [...]} or a list of rows', "body")
    for key in data:
        if key not in KEYS:
            raise Refused(422, "unknown_key", f"no key {key[:80]!r}{did_you_mean(key, KEYS)}; "
                          f"there are {', '.join(KEYS)}", key[:80])  # fmt: skip
    if ("rows" in data) == ("columns" in data):
        raise Refused(422, "no_rows", 'expected either "rows" or "columns"', "body")
    for key, kind in (("model", str), ("version", str), ("proba", bool)):
        if key in data and not isinstance(data[key], kind):
            raise Refused(422, "wrong_type", f"{key}: expected a {'text' if kind is str else 'truth value'}", key)
    if not isinstance(data.get("rows", []), list):
        raise Refused(422, "no_rows", "expected a list of at least one row", "rows")
    content = _same_length(data["columns"]) if "columns" in data else data["rows"]
    return Asked(content, data.get("model"), data.get("version"), data.get("proba"))


def _same_length(columns: Any) -> dict[str, list[Any]]:
    if not isinstance(columns, dict) or not columns or not all(isinstance(v, list) for v in columns.values()):
        raise Refused(422, "wrong_type", 'expected {"name of a column": [its values], ...}', "columns")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise Refused(422, "wrong_shape", "the columns differ in length", "columns")
    return columns


def rows_of(content: Any, schema: InputSchema, max_rows: int) -> Columns | NDArray[Any] | list[str] | pd.DataFrame:
    """The rows of a JSON body in the form that the model's preparation takes.

    Args:
        content: a list of rows, or a dict of columns of the same length.
        schema: of the model's rows.
        max_rows: a request may have.

    Raises:
        Refused: with the place of the first value that does not fit.
    """
    if isinstance(content, dict):
        count = len(next(iter(content.values())))
        if count and schema.form not in ("array", "text"):
            counted(count, max_rows)
            columns = columns_checked(content, count, schema)
            return pd.DataFrame(columns.values) if schema.form == "series" else columns
        content = [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    if not isinstance(content, list) or not content:
        raise Refused(422, "no_rows", "expected a list of at least one row", "rows")
    counted(len(content), max_rows)
    match schema.form:
        case "array":
            return _array(content, schema.shape)
        case "text":
            return _texts(content)
        case "series":
            return pd.DataFrame(columns_of(content, schema).values)
        case _:
            return columns_of(content, schema)


def counted(rows: int, most: int) -> None:
    """Refuse more rows than a request may have."""
    if rows > most:
        raise Refused(413, "too_many_rows", f"{rows} rows in one request; at most {most} are allowed", "rows")


def _array(content: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        array = np.array(content, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise Refused(422, "wrong_type", f"each row is an array of numbers of shape {list(shape)}", "rows") from None
    return shaped(array, shape)


def shaped(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of samples of `shape`; a channel that is one may be left out, and so may the axis of a single row."""
    if array.dtype.kind not in "iufb":
        raise Refused(422, "wrong_type", f"an array of {array.dtype} holds no numbers", "rows")
    accepted = (shape, shape[1:]) if len(shape) == 3 and shape[0] == 1 else (shape,)
    if array.shape in accepted:
        array = array[None]
    hwc = len(shape) == 3 and array.shape[1:] == (*shape[1:], shape[0])
    if array.shape[1:] not in accepted and not hwc:
        raise Refused(422, "wrong_shape", f"samples have shape {list(shape)}, not {list(array.shape[1:])}", "rows")
    return array


def _texts(content: list[Any]) -> list[str]:
    texts = [row["text"] if isinstance(row, dict) and row.keys() == {"text"} else row for row in content]
    for k, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refused(422, "wrong_type", "each row is a text", f"rows[{k}]")
    return texts


def read_file(body: bytes, kind: str, preparation: Any, schema: InputSchema, max_rows: int) -> Any:
    """The rows of a CSV, Arrow or .npy body.

    Raises:
        Refused: the bytes are no such file, or the rows do not fit the model.
    """
    if kind == NPY:
        array = _npy(body)
        counted(len(array) if array.ndim else 0, max_rows)
        if schema.form == "array":
            return shaped(array, schema.shape)
        if schema.form != "table" or array.ndim != 2 or array.shape[1] != len(schema.names):
            raise Refused(422, "wrong_shape", f"an array of rows has {len(schema.names)} columns: "
                          f"{', '.join(schema.names[:8])}; got shape {list(array.shape)}", "rows")  # fmt: skip
        return pd.DataFrame(array, columns=list(schema.names))
    if schema.form not in ("table", "series"):
        raise Refused(415, "unknown_content_type", f"this model takes {JSON} or {NPY}, no tables", "content-type")
    frame = _csv(body, preparation) if kind == CSV else _arrow(body)
    counted(len(frame), max_rows)
    if not len(frame):
        raise Refused(422, "no_rows", "the table has no rows", "body")
    return frame_checked(frame, schema)


def _npy(body: bytes) -> NDArray[Any]:
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream, max_header_size=4096)
        if dtype.hasobject or dtype.kind not in "iufb":
            raise Refused(422, "wrong_type", f"an array of {str(dtype)[:80]} holds no numbers", "body")
        content = body[stream.tell() :]
        count = 1
        for length in shape:
            count *= int(length)
        if count * dtype.itemsize != len(content) or any(length < 0 for length in shape):
            raise Refused(400, "invalid_npy", "the file's size is not that of the array it describes", "body")
        array = np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    except Refused:
        raise
    except Exception as error:  # its header is text of any kind
        raise Refused(400, "invalid_npy", f"the body is no .npy file: {str(error)[:200]}", "body") from None
    if not array.size:
        raise Refused(422, "no_rows", "the array has no rows", "body")
    return array


def _csv(body: bytes, preparation: Any) -> pd.DataFrame:
    if body.startswith(PACKED):
        raise Refused(415, "compressed_body", "compressed bodies are not read; send the text itself", "body")
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(body)
        file.flush()
        try:
            return given.read_file(preparation, Path(file.name))
        except DataError as error:
            reason = str(error).replace(f"data: {Path(file.name).name}", "the body").replace(file.name, "the body")
            raise Refused(400, "invalid_csv", reason[:400], "body") from None
        except Exception as error:
            raise Refused(400, "invalid_csv", f"the body is no CSV table: {str(error)[:200]}", "body") from None


def _arrow(body: bytes) -> pd.DataFrame:
    import pyarrow as pa

    try:
        source = pa.BufferReader(body)
        opened = pa.ipc.open_file(source) if body[:6] == b"ARROW1" else pa.ipc.open_stream(source)
        table = opened.read_all()
        table.validate(full=True)
        nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
        if not nested:
            frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
            return frame
    except Exception as error:  # its content may be anything
        raise Refused(400, "invalid_arrow", f"the body is no Arrow stream: {str(error)[:200]}", "body") from None
    raise Refused(422, "wrong_type", "a cell is one value, not a list or structure", str(nested[0])[:80])


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON; null is a missing value")
