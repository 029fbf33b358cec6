"""What people read about updates and versions."""

from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]


def described(tried: Entry) -> str:
    """What a try has shown, in a few lines."""
    if tried["error"]:
        return f"{tried['how']}: left out, {tried['error']}"
    verdict = "promoted" if tried["passed"] else f"not promoted, {_why(tried)}"
    lines = [f"{tried['how']} ({tried['seconds']:.1f} s): {verdict}"]
    return "\n".join([*lines, *(_compared(part, tried[part]) for part in ("old", "new"))])


def _compared(part: str, one: Entry) -> str:
    interval = f"95 % interval {one['low']:+.4f} to {one['high']:+.4f}"
    return (
        f"  {part} rows  {one['metric']} {one['champion']:.4f} -> {one['challenger']:.4f}  "
        f"better by {one['gap']:+.4f} ({interval}, {one['rows']} rows held out)"
    )


def _why(tried: Entry) -> str:
    for part in ("old", "new"):
        one = tried[part]
        if not one["passed"]:
            return (
                f"on {part} rows it could lose more than the {one['limit']:.4f} that are allowed: {-one['floor']:.4f} "
                f"({one['sure']:.1%} sure)"
            )
    return "it is no better on the new rows"


def outcome(entry: Entry, version: int, *, again: bool) -> str:
    """What came of an update, in a line."""
    if entry["refused"]:
        return f"{entry['file']}: refused, {entry['refused']}"
    if again:
        result = f"version {entry['promoted']}" if entry["promoted"] else "no new version"
        return f"{entry['file']}: these rows are known already ({entry['how']}: {result}); version {version} answers"
    rows = f"{entry['rows']['learned']} rows to learn from, {entry['rows']['held']} held out"
    if entry["promoted"]:
        return f"{entry['file']} ({rows}): version {entry['promoted']} answers, made from version {entry['parent']}"
    return f"{entry['file']} ({rows}): version {version} stays"


def versions(entries: list[Any], current: int | None) -> str:
    """A table of the versions, the newest last; `*` marks the one that answers."""
    lines = [f"  {'version':8} {'from':5} {'how':9} {'made':20} {'rows':24} scores"]
    for one in entries:
        mark = "*" if one["version"] == current else " "
        rows = one["rows"]
        source = f"{rows['file']} ({rows['learned']} + {rows['held']})" if rows else "-"
        parent = f"v{one['parent']}" if one["parent"] else "-"
        scores = ", ".join(f"{name} {value:.4f}" for name, value in _few(one["metrics"]).items())
        made = one["made"][:19].replace("T", " ")
        lines.append(f"{mark} {'v' + str(one['version']):8} {parent:5} {one['how']:9} {made:20} {source:24} {scores}")
    return "\n".join(lines)


def _few(metrics: Entry) -> dict[str, float]:
    """The scores that are shown: of each part of the rows the first one."""
    shown: dict[str, float] = {}
    for prefix in ("val_", "new_", "test_"):
        names = [f"{prefix}{name}" for name in ("accuracy", "rmse", "loss") if f"{prefix}{name}" in metrics]
        shown |= {name: metrics[name] for name in names[:1]}
    return shown
