"""What the facts in a ledger look like: checked when they are read, because a ledger may come from somebody else."""

import json
import math
import sqlite3
from collections.abc import Mapping
from typing import Any

from automl.core.live.edits import LIMITS
from automl.errors import LedgerError, SpecError
from automl.study.ledger.schema import SINCE

NUMBER, WHOLE, TEXT, TRUTH, ANY = "a number", "a whole number", "a text", "true or false", "anything"
WORDS = "a text of any characters"
VALUE = "a number, also an infinite or missing one"
CHOICE = "a text, a finite number, true, false, null, or a list of these"
WAYS, COUNTED = frozenset({"minimize", "maximize"}), frozenset({"last", "best"})
NUMBER_OR_NONE, TEXT_OR_NONE = "a number or null", "a text or null"
Shape = str | frozenset[str] | list[Any] | dict[str, Any] | tuple[str, Any]
"""A kind; a set of texts; ("or null", shape); [shape of all items], or [that, "at least one"]; {key: shape}, with `?`
behind optional keys and `*` for all other keys."""
PAIR = "two numbers"
INTERVAL: Shape = ("or null", PAIR)
_BEST = ("or null", {"trial": WHOLE, "value": NUMBER})
_SPREAD = {"found": NUMBER, "mean": NUMBER_OR_NONE, "interval": INTERVAL, "values": [NUMBER]}
_FINALIST = {"trial": WHOLE, "found": NUMBER, "mean": NUMBER_OR_NONE, "interval": INTERVAL, "seeds": WHOLE,
             "values": [NUMBER], "front?": WHOLE, "objectives?": {"*": _SPREAD}}  # fmt: skip
_TEST = {"metric": TEXT, "value": NUMBER_OR_NONE, "interval": INTERVAL, "undefined?": TEXT, "rows": WHOLE, "*": ANY}
_ENSEMBLE = {"models": WHOLE, "among?": WHOLE, "metric": TEXT, "test": NUMBER_OR_NONE, "gain": NUMBER_OR_NONE,
             "sure?": NUMBER_OR_NONE, "*": ANY}  # fmt: skip
_VERDICT = {
    "winner": WHOLE, "metric": TEXT, "finalists": [_FINALIST, "at least one"], "big?": {"*": ANY},
    "optimism": NUMBER_OR_NONE, "tied": [WHOLE], "seeds_have_no_effect?": TRUTH, "deaf?": TRUTH, "default": _BEST,
    "first": _BEST, "asked": {"*": ANY}, "refit": TRUTH, "test": ("or null", _TEST), "looks": WHOLE,
    "ensemble": ("or null", _ENSEMBLE), "pack?": TRUTH, "*": ANY,
}  # fmt: skip
_VARIANT = {"name": TEXT, "way": TEXT, "base": TEXT, "bytes": WHOLE, "parameters": WHOLE, "latency_ms": NUMBER,
            "latency64_ms": NUMBER, "score": NUMBER, "gain": NUMBER, "low": VALUE, "high": VALUE, "alone": TRUTH,
            "note": TEXT, "failed": TEXT, "digest": TEXT}  # fmt: skip
_ON_TEST = {"metric": TEXT, "value": NUMBER, "interval": PAIR, "original": NUMBER, "gain": NUMBER,
            "gain_interval": PAIR, "rows": WHOLE, "looks": WHOLE, "metrics": {"*": NUMBER}}  # fmt: skip
_COMPRESSION = {
    "schema": WHOLE, "of": {"*": ANY}, "sensitivity": {"*": {"*": {"*": PAIR}}}, "variants": {"*": _VARIANT},
    "tests": {"*": _ON_TEST}, "chosen?": TEXT_OR_NONE, "asked?": {"*": ANY},
}  # fmt: skip
_OBJECTIVE = {"name": TEXT, "direction": frozenset(("minimize", "maximize"))}
_LIMIT = {"name": TEXT, "at_most?": NUMBER, "at_least?": NUMBER}
SHAPES: dict[str, Shape] = {
    "name": TEXT,
    "space": {"*": ANY},
    "metric": {"name": TEXT, "direction": WAYS, "count?": COUNTED},
    "seed": WHOLE,
    "plan": {**dict.fromkeys(("trials", "steps", "time_s", "horizon", "compared_at?"), NUMBER_OR_NONE), "unit?": TEXT},
    "step": {"*": WHOLE},
    "strategy": {"name": TEXT, "*": ANY},
    "stopper": {"name": TEXT, "*": ANY},
    "deterministic": TRUTH,
    "spec": ("or null", {"tree": {"*": ANY}, "text": TEXT, "folder": TEXT, "path": TEXT_OR_NONE, "beside?": TEXT}),
    "code": {"*": TEXT},
    "data": {"*": TEXT},
    "test_looks": [{"model": TEXT, "*": ANY}],
    "objectives": ("or null", {"metrics": [_OBJECTIVE, "at least one"], "limits": [_LIMIT]}),
    "price": NUMBER_OR_NONE,
    "weights": {"from": TEXT, "trial": ("or null", WHOLE), "sha256": TEXT, "learned": TEXT},
    "choose": {"at_most?": {"*": NUMBER}, "at_least?": {"*": NUMBER}},
    "finalists": ("or null", _VERDICT),
    "compression": _COMPRESSION,
    "pack": [{"trials": WHOLE, "models": WHOLE, "value": NUMBER}],
}
"""{fact: what it looks like}; facts that are not here are checked by those who read them."""
REQUIRED = ("name", "space", "metric", "seed", "plan")
DETAILS = {"samples_per_s?": NUMBER, "tflops?": NUMBER, "peak_share?": NUMBER, "*": ANY}
"""What the details of an attempt look like."""
METRICS = {"*": VALUE}
FAILURE = {"kind": TEXT, "message": WORDS, "step?": WHOLE, "traceback?": TEXT}
CONFIG = {"*": CHOICE}
_TRIAL: Shape = {"kind": TEXT, "trial": WHOLE}
EDITS: dict[str, Shape] = {
    "add": {"kind": TEXT, "config": CONFIG},
    "stop": _TRIAL,
    "pin": _TRIAL,
    "pause": {"kind": TEXT},
    "resume": {"kind": TEXT},
    "budget": {"kind": TEXT, "limit": frozenset(LIMITS), "was": NUMBER_OR_NONE, "to": NUMBER_OR_NONE},
    "narrow": {"kind": TEXT, "name": TEXT, "to": [CHOICE]},
    "cost": {"kind": TEXT, "trial": WHOLE, "attempt": WHOLE, "seconds": NUMBER, "steps": WHOLE, "peak_gib?": NUMBER,
             "joules?": NUMBER},
    "warm": {"kind": TEXT, "name": TEXT, "seeds": [CONFIG], "configs": [CONFIG], "losses": [NUMBER], "full": WHOLE},
}  # fmt: skip
"""{kind of an edit: what it looks like}."""
_COUNT = "typeof({0}) = 'integer' AND {0} BETWEEN 0 AND 9007199254740992"
_SECONDS = "typeof({0}) IN ('integer', 'real') AND {0} BETWEEN 0 AND 1e12"
_VALUE = "typeof({0}) IN ('integer', 'real') AND abs({0}) < 1.8e308"
_TEXT, _MAYBE_TEXT = "typeof({0}) = 'text'", "typeof({0}) IN ('text', 'null')"
_MAYBE_COUNT = f"({{0}} IS NULL OR {_COUNT})"
COLUMNS = {
    "trials": {"number": _COUNT, "seq": _COUNT, "at_s": _SECONDS, "config": _TEXT, "origin": _MAYBE_TEXT,
               "asked": _MAYBE_COUNT},
    "attempts": {"trial": _COUNT, "attempt": _COUNT, "seq": _COUNT, "at_s": _SECONDS, "worker": _MAYBE_TEXT,
                 "outcome": _MAYBE_TEXT, "details": _MAYBE_TEXT},
    "reports": {"trial": _COUNT, "step": _COUNT, "seq": _COUNT, "at_s": _SECONDS, "attempt": _COUNT, "value": _VALUE,
                "metrics": _TEXT, "horizon": _MAYBE_COUNT},
    "pauses": {"seq": _COUNT, "trial": _COUNT, "at_s": _SECONDS, "step": _COUNT, "reason": _MAYBE_TEXT},
    "ends": {"trial": _COUNT, "seq": _COUNT, "at_s": _SECONDS, "state": _TEXT, "reason": _MAYBE_TEXT,
             "failure": _MAYBE_TEXT},
    "edits": {"seq": _COUNT, "at_s": _SECONDS, "request": _TEXT, "source": _TEXT, "what": _TEXT},
}  # fmt: skip
"""{table: {column: the condition that all its values fulfil}}."""
LATER = {"asked", "horizon"}
"""Columns that older ledgers lack."""


def check_columns(db: sqlite3.Connection, remedy: str) -> None:
    """Check that the columns of all tables hold what they are for.

    Raises:
        LedgerError: one does not; says which row, and the `remedy`.
    """
    version = db.execute("PRAGMA user_version").fetchone()[0]
    for table, conditions in COLUMNS.items():
        present = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if version < SINCE.get(table, 1):
            continue
        if missing := conditions.keys() - present - LATER:
            raise LedgerError(f"the ledger is damaged: no such column: {table}.{min(missing)}; {remedy}")
        kept = {column: condition.format(column) for column, condition in conditions.items() if column in present}
        query = f"SELECT {', '.join(kept)} FROM {table} WHERE NOT ({' AND '.join(kept.values())}) LIMIT 1"
        if row := db.execute(query).fetchone():
            shown = ", ".join(f"{column} {str(value)[:30]!r}" for column, value in zip(kept, row, strict=True))
            raise LedgerError(f"the ledger's content is damaged: a row of {table} cannot be ({shown}); {remedy}")


def require(facts: Mapping[str, Any], remedy: str) -> None:
    """Check that the facts that every study has are there.

    Raises:
        LedgerError: one is missing; says which, and the `remedy`.
    """
    if missing := [name for name in REQUIRED if name not in facts]:
        raise LedgerError(f"the ledger's content is damaged: it does not say the study's {missing[0]}; {remedy}")


def check(facts: Mapping[str, Any], remedy: str) -> None:
    """Check all facts that are in `SHAPES`.

    Raises:
        LedgerError: one has another kind; says which, and the `remedy`.
    """
    for name, shape in SHAPES.items():
        if name in facts and (problem := misfit(facts[name], shape)):
            raise LedgerError(f"the ledger's content is damaged: the study's {name}{problem}; {remedy}")


def refuse_unreadable(facts: Mapping[str, Any]) -> None:
    """Refuse to write facts that `check` would call damaged.

    Raises:
        SpecError: one is such; says which.
    """
    for name in SHAPES.keys() & facts.keys():
        if problem := misfit(facts[name], SHAPES[name]):
            zero = "; no text in it may have the character zero" if problem.endswith(TEXT) else ""
            raise SpecError(f"the study's {name}{problem}{zero}")


def content(text: Any, shape: Shape, remedy: str) -> Any:
    """What a JSON field of a row holds.

    Raises:
        LedgerError: it is no JSON, or not what `shape` says.
    """
    try:
        found = json.loads(text)
        problem = misfit(found, shape)
    except (ValueError, TypeError, RecursionError) as error:
        problem = f" ({error!r})"
    if problem:
        raise LedgerError(f"the ledger's content is damaged: {str(text)[:50]!r}{problem}; {remedy}")
    return found


def edit(text: Any, remedy: str) -> dict[str, Any]:
    """The edit that a row holds.

    Raises:
        LedgerError: it is none; says what is wrong, and the `remedy`.
    """
    found: dict[str, Any] = content(text, {"kind": frozenset(EDITS), "*": ANY}, remedy)
    return dict(content(text, EDITS[found["kind"]], remedy))


def misfit(value: Any, shape: Shape) -> str:
    """Where a value is not what `shape` says, and what it has to be: `.test.rows is not a whole number`; or empty."""
    if isinstance(shape, tuple):
        return "" if value is None else misfit(value, shape[1])
    if isinstance(shape, frozenset):
        return "" if isinstance(value, str) and value in shape else f" is not one of {', '.join(sorted(shape))}"
    if isinstance(shape, str):
        return "" if _is(value, shape) else f" is not {shape}"
    if isinstance(shape, list):
        if not isinstance(value, list) or (len(shape) > 1 and not value):
            return f" is not a list{' with entries' * (len(shape) > 1)}"
        return next((f"[{k}]{found}" for k, one in enumerate(value) if (found := misfit(one, shape[0]))), "")
    if not isinstance(value, dict):
        return " is not a mapping"
    return _misfit_of_mapping(value, shape)


def _misfit_of_mapping(value: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if key != "*" and name in value:
            if found := misfit(value[name], inner):
                return f".{name}{found}"
        elif key == name != "*":
            return f" has no {name!r}"
    known = {key.removesuffix("?") for key in shape}
    for name in value.keys() - known:
        if "*" not in shape:
            return f" has an unknown {str(name)[:50]!r}"
        if found := misfit(value[name], shape["*"]):
            return f".{str(name)[:50]!r}{found}"
    return ""


def _is(value: Any, kind: str) -> bool:
    if kind == PAIR:
        return isinstance(value, list) and len(value) == 2 and all(_is(one, NUMBER) for one in value)
    if kind == CHOICE:
        if isinstance(value, list):
            return all(_is(one, CHOICE) for one in value)
        return not isinstance(value, dict) and not (isinstance(value, float) and not math.isfinite(value))
    if value is None:
        return kind in (NUMBER_OR_NONE, TEXT_OR_NONE, VALUE, ANY)
    if isinstance(value, bool):
        return kind in (TRUTH, VALUE, ANY)
    if isinstance(value, int | float):
        if kind in (VALUE, ANY):
            return isinstance(value, float) or _is_usual(value)
        whole = isinstance(value, int)
        return (kind in (NUMBER, NUMBER_OR_NONE) or (whole and kind == WHOLE)) and _is_usual(value)
    if isinstance(value, str) and kind in (TEXT, TEXT_OR_NONE):
        return "\0" not in value  # it may be the name of a file
    return kind == ANY or (kind == WORDS and isinstance(value, str))


def _is_usual(value: float) -> bool:
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)
