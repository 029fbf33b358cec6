"""Whether a value has the type that an option of a plugin declares."""

import ast
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from automl.errors import SpecError

_WORDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "None": "null",
    "Sequence": "a list", "Mapping": "a mapping {key: value}",
}  # fmt: skip
_KINDS: dict[str, type] = {"str": str, "Sequence": Sequence, "Mapping": Mapping}


def wrong(annotation: object, value: Any) -> str:
    """What an option needs, where `value` is not that.

    Args:
        annotation: the type, or its source: `int`, `float | None`, `Literal["stop", "promote"]`. Types other than
            numbers, text, true and false, null, lists, mappings and literals are not checked.
        value: given for the option.

    Returns:
        Words such as "a whole number"; empty where the value has the type.

    Example:
        wrong("int | None", "many")  # "a whole number or null"
    """
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    try:
        parts = list(_parts(ast.parse(text.removeprefix("typing."), mode="eval").body))
    except (SyntaxError, ValueError):
        return ""
    if not parts or any(part not in _WORDS and not isinstance(part, tuple) for part in parts):
        return ""
    if any(_fits(part, value) for part in parts):
        return ""
    literals = [one for part in parts if isinstance(part, tuple) for one in part]
    words = [_WORDS[part] for part in parts if isinstance(part, str) and part != "None"]
    if literals:
        words.append(f"one of {', '.join(map(str, literals))}")
    return " or ".join(words)


def check_number(name: str, value: object, *, least: float = 0, whole: bool = True) -> None:
    """Check a number that may be missing.

    Args:
        name: of the option, for the message.
        value: given for it; None is right.
        least: the smallest value that it may have.
        whole: whether it must be a whole number.

    Raises:
        SpecError: it is no number, or too small.
    """
    said = wrong("int | None" if whole else "float | None", value)
    if said or (value is not None and not float(value) >= least):  # type: ignore[arg-type]  # it is a number
        kind = "a whole number" if whole else "a number"
        bound = f", {least:g} or more" if math.isfinite(least) else ""
        raise SpecError(f"{name} takes {kind}{bound}; got {value!r}")


def _parts(node: ast.expr) -> Any:
    """The alternatives of a type: names, and tuples of literals."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _parts(node.left)
        yield from _parts(node.right)
    elif isinstance(node, ast.Constant) and node.value is None:
        yield "None"
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value).rsplit(".", 1)[-1] == "Literal":
        values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        yield tuple(ast.literal_eval(one) for one in values)
    else:
        generic = node.value if isinstance(node, ast.Subscript) else node
        yield ast.unparse(generic).rsplit(".", 1)[-1]


def _fits(part: str | tuple[Any, ...], value: Any) -> bool:
    if isinstance(part, tuple):
        return any(value == one and type(value) is type(one) for one in part)
    if part == "None":
        return value is None
    if part == "bool":
        return isinstance(value, bool)
    if part in _KINDS:
        return isinstance(value, _KINDS[part]) and not (part == "Sequence" and isinstance(value, str))
    return isinstance(value, Integral if part == "int" else Real) and not isinstance(value, bool)
