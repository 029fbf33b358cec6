"""One trial in full: for people (`text`) and for programs (`document`)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from automl.core.history import History
from automl.core.trial import State, TrialRecord
from automl.leaderboard import words
from automl.leaderboard.rows import SCHEMA, placed
from automl.leaderboard.sparkline import BLOCKS, Range
from automl.study import spent
from automl.study.reader import Readable
from automl.view.pages import lineage

HEIGHT = 6  # lines of the curve
TAIL = 10  # reports in the table below the curve

ORIGINS = {"earlier": "an earlier study", "edit": "a request"}
"""What the origins of trials are called, where they are no plain words."""


def document(study: Readable, number: int) -> dict[str, Any]:
    """The trial `number` for programs (schema 1), with all its reports and attempts."""
    record = study.history.trials[number]
    best = study.history.best
    summary = placed(record, study.history, rank=_rank(study.history, record), best=record is best).to_json()
    failure = record.failure and {
        "kind": record.failure.kind,
        "message": record.failure.message,
        "step": record.failure.step,
        "log": record.failure.traceback,
    }
    reports = [{"step": step, **values} for step, values in study.reports(number)]
    extra = {"attempt": record.attempt, "origin": record.origin, "failure": failure, "reports": reports}
    extra["attempts"] = study.attempts(number)
    extra["cost"] = spent.document(record.cost, spent.price_of(study))
    extra |= {"schedule": parts} if (parts := lineage.document(study.history, record)) else {}
    found = {"schema": SCHEMA, "study": study.name, "metric": study.metric.name, **summary, **extra}
    return {name: _finite(value) for name, value in found.items()}


def _finite(value: Any) -> Any:
    """The value with null for numbers that are not finite, which JSON does not have; older ledgers hold some."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def text(study: Readable, number: int, width: int, *, unicode: bool = True) -> str:
    """The trial `number` for people, in lines of about `width` cells; `unicode`: whether the curve may use blocks."""
    record, metric = study.history.trials[number], study.metric
    rank = _rank(study.history, record)
    value = "-" if record.loss is None else words.number(metric.value(record.loss))
    head = f"{words.trial(number)} of {words.clean(study.name)}: {record.state.value}"
    head += f", {words.clean(metric.name)} {value}" + (f" at step {record.step}" if record.step else "")
    head += f", rank {rank} of {len(study.history)}" if rank else ""
    lines = [head + _title(study, record), *_further(study.history, record), *_retrained(study, number)]
    if record.ended_s is not None:
        began = words.duration(record.started_s)
        lines.append(
            f"  ran for {words.duration(record.ended_s - record.started_s)}, started {began} after the search began"
        )
    lines += [f"  {taken}"] if (taken := spent.line(study, record.cost)) else []
    lines += _speed(study, number)
    if record.attempt > 1:
        lines.append(f"  attempt {record.attempt}: {_attempts(record)}")
    if record.origin:
        lines.append(f"  suggested by: {_origin(record)}")
    if record.reason:
        lines.append(f"  {words.clean(record.reason)}")
    if record.failure is not None:
        lines.append(f"  {record.failure.kind} at step {record.failure.step}: {words.clean(record.failure.message)}")
        lines += [f"  log: {words.clean(record.failure.traceback)}"] if record.failure.traceback else []
    lines += ["", "config", *_config(study.history, record), *lineage.lines(study.history, record)]
    if len(record.curve) > 1:
        points = [(step, metric.value(loss)) for step, loss in record.curve]
        lines += ["", words.clean(metric.name), *_chart(points, width, metric.direction == "maximize", unicode)]
    return "\n".join([*lines, *_reports(study.reports(number), width)])


def _origin(record: TrialRecord) -> str:
    """Who suggested a trial, and with whose weights it began."""
    if record.parent is not None:
        return f"the strategy, as an heir of {words.trial(record.parent[0])} at step {record.parent[1]}"
    return ORIGINS.get(record.origin) or words.clean(record.origin)


def _speed(study: Readable, number: int) -> list[str]:
    """How fast the last attempt trained, where it was measured: see `automl.training.throughput`."""
    measured = [one["details"] for one in study.attempts(number) if "samples_per_s" in one["details"]]
    if not measured:
        return []
    line = f"  trained on {measured[-1]['samples_per_s']:,.0f} samples/s"
    if {"tflops", "peak_share"} <= measured[-1].keys():
        share = f"{measured[-1]['peak_share']:.0%} of the device's measured matrix peak"
        line += f", {measured[-1]['tflops']:.3g} TFLOP/s: {share}"
    return [line]


def _title(study: Readable, record: TrialRecord) -> str:
    """Whether it is the winner, or the best trial of the search."""
    winner, best = study.winner, study.history.best
    if winner is not None and record.number == winner.number:
        verdict = study.verdict
        if verdict and verdict.get("pack"):
            return " (the best single model; the winner is an ensemble)"
        return " (the winner)" if verdict else " (the winner so far)"
    return " (the best of the search)" if record is best else ""


def _further(history: History, record: TrialRecord) -> list[str]:
    """The trial's front and its other objectives and limited metrics, where there are any."""
    if not record.vector:
        return []
    values = history.objectives.values(record.vector)
    parts = [f"{words.clean(n)} {words.amount(v)}" for n, v in values.items() if n != history.metric.name]
    broken = [str(o) for o in history.objectives.limits if o.loss(values[o.name]) > o.loss(o.bound)]
    front = history.front_of(record.number)
    parts += [f"breaks {', '.join(broken)}"] if broken else [f"front {front}"] if front else []
    return [f"  {', '.join(parts)}"]


def _retrained(study: Readable, number: int) -> list[str]:
    """The values of a finalist on fresh seeds."""
    finalists = [f for f in (study.verdict or {}).get("finalists", []) if f["trial"] == number]
    values = [words.number(value) for f in finalists for value in f["values"]]
    return [f"  retrained on {words.plural(len(values), 'fresh seed')}: {', '.join(values)}"] if values else []


def _rank(history: History, record: TrialRecord) -> int | None:
    """The trial's rank on the leaderboard; None without a value or when it failed."""
    if record.loss is None or record.state is State.FAILED:
        return None
    others = (t for t in history.trials if t.loss is not None and t.state is not State.FAILED)
    return sum(history.rank_key(t) < history.rank_key(record) for t in others) + 1


def _config(history: History, record: TrialRecord) -> list[str]:
    """A line for each hyperparameter, by group, with all digits."""
    groups: dict[str, list[str]] = {}
    for name in record.config:
        groups.setdefault(history.declared.groups.get(name, ""), []).append(name)
    longest = max((words.cells(words.clean(name)) for name in record.config), default=0)
    lines = []
    for group, names in groups.items():
        lines += [f"  {words.clean(group)}"] if group else []
        lines += [f"    {words.pad(words.clean(n), longest)}  {_exact(record.config[n])}" for n in names]
    return lines


def _exact(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return words.clean(value)


def _chart(points: Sequence[tuple[int, float]], width: int, maximize: bool, unicode: bool) -> list[str]:
    """The curve as columns of block characters, HEIGHT lines high, with the ends of its range at the left."""
    scale = replace(Range.of([points], maximize=maximize), better=0)
    high, low = words.number(scale.high), words.number(scale.low)
    label = max(len(high), len(low))
    cells = max(min(width - label - 4, 72), 8)
    values = [value for _, value in points]
    if len(values) > cells:
        values = [values[(k + 1) * len(values) // cells - 1] for k in range(cells)]
    ramp = BLOCKS if unicode else ".:|"
    levels = [scale.level(v, HEIGHT * len(ramp)) + 1 for v in values]
    lines = []
    for line in reversed(range(HEIGHT)):
        glyphs = "".join(
            " " if k <= line * len(ramp) else ramp[min(k - line * len(ramp), len(ramp)) - 1] for k in levels
        )
        name = high if line == HEIGHT - 1 else low if line == 0 else ""
        lines.append(f"  {name:>{label}} {glyphs}".rstrip())
    return [*lines, f"  {'':>{label}} steps {points[0][0]} to {points[-1][0]}"]


def _reports(reports: Sequence[tuple[int, Mapping[str, float]]], width: int) -> list[str]:
    """The last reports, a column for each metric that fits."""
    names = list(dict.fromkeys(name for _, values in reports for name in values))
    if not reports or not names:
        return []
    shown, used = [], 8
    for name in names:
        cells = max(words.cells(words.clean(name)), 10)
        if used + cells + 2 > width:
            break
        shown.append((name, cells))
        used += cells + 2
    lines = ["", "    step  " + "  ".join(words.pad(words.clean(n), c, right=True) for n, c in shown)]
    if len(reports) > TAIL:
        lines.append(f"     ...  ({len(reports) - TAIL} earlier reports)")
    for step, values in reports[-TAIL:]:
        numbers = (words.pad(words.number(values.get(n)), c, right=True) for n, c in shown)
        lines.append(f"  {step:>6}  " + "  ".join(numbers))
    return lines


def _attempts(record: TrialRecord) -> str:
    """Why there was more than one attempt."""
    reasons = [f"continued after {words.plural(record.resumed, 'pause')}"] if record.resumed else []
    reasons += [f"its worker was lost {words.plural(record.retries, 'time')}"] if record.retries else []
    return ", ".join(reasons)
