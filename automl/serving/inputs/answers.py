"""Answers as bytes: JSON, or CSV and Arrow where the client asks for them."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from automl.serving.inputs.bodies import ARROW, CSV, JSON

try:
    from orjson import dumps as _dumps

    def encoded(content: Any) -> bytes:
        """A tree of plain values as JSON; NaN and infinity become null."""
        return _dumps(content)
except ImportError:

    def encoded(content: Any) -> bytes:
        """A tree of plain values as JSON; NaN and infinity become null."""
        try:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:
            return json.dumps(_finite(content), separators=(",", ":")).encode()


def _finite(content: Any) -> Any:
    if isinstance(content, float) and (content != content or content in (float("inf"), float("-inf"))):
        return None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list | tuple) else content


def answer_format(accept: str) -> str:
    """The kind of answer that a header `Accept` asks for: CSV or Arrow where it names them first, else JSON."""
    first = accept.partition(",")[0].partition(";")[0].strip().lower()
    return first if first in (CSV, ARROW) else JSON


def as_table(answer: Mapping[str, Any]) -> dict[str, list[Any]]:
    """An answer's predictions and probabilities as columns, named as `automl predict` names them."""
    predictions = answer["predictions"]
    columns: dict[str, list[Any]] = {}
    if "series" in answer:
        columns["series"] = answer["series"]
    if predictions and isinstance(predictions[0], list):
        several = list(zip(*predictions, strict=True))
        names = [f"prediction of {name}" for name in answer.get("targets", ())]
        names = names or ["prediction", *(f"prediction {k}" for k in range(2, len(several) + 1))]
        columns |= {name: list(values) for name, values in zip(names, several, strict=True)}
    else:
        columns["prediction"] = predictions
    shares = zip(*answer.get("probabilities", ()), strict=True)
    return columns | {f"p({name})": list(v) for name, v in zip(answer.get("classes", ()), shares, strict=False)}


def as_csv(answer: Mapping[str, Any]) -> bytes:
    """An answer as CSV; labels are to the letter what they were in the training data."""
    columns = as_table(answer)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def as_arrow(answer: Mapping[str, Any]) -> bytes:
    """An answer as an Arrow stream."""
    import pyarrow as pa

    columns = as_table(answer)
    if len({type(label) for label in columns["prediction"]}) > 1:
        columns["prediction"] = [str(label) for label in columns["prediction"]]
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
