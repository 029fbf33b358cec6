"""What a search ends with: the final block for people, one JSON document for programs."""

import json
import shlex
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core.trial import State, TrialRecord
from automl.data.summary.facts import of_study
from automl.leaderboard import words
from automl.leaderboard.rows import SCHEMA, full_length, saved_share
from automl.study import spent
from automl.study.reader import Readable
from automl.view.pages import data, finalists

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
INDENT = 11  # cells of the labels


def final(study: Readable, outcome: str = "", width: int = WIDTH) -> str:
    """The final block for people.

    It has counts, the winner with config and score, causes of failures, what early stopping saved, where the files are,
    and what to do next.

    Args:
        study: the study that has ended.
        outcome: how the search ended in a word or two ("interrupted"); empty or "finished": its budget was used up.
        width: of the lines, in cells.
    """
    lines = [*_folded(_headline(study, outcome), "", width), *winner(study, width), *failures(study, width)]
    lines += _saved(study)
    lines += _folded(taken, "cost", width) if (taken := spent.of_search(study)) else []
    if study.path is not None:
        lines += _files(study, outcome)
    return "\n".join(lines)


def print_final(results: "Console | None", study: Readable, outcome: str) -> None:
    """Print the final block, unless the search failed before its first trial or `results` is None."""
    if results is not None and len(study.history):
        results.print(final(study, outcome, min(results.width, 100)), markup=False, highlight=False, soft_wrap=True)


def document(study: Readable) -> dict[str, Any]:
    """What `automl search --json` prints: the result of a study as plain data (schema 1)."""
    counts, best = study.counts, study.winner
    return {
        "schema": SCHEMA,
        "study": study.name,
        "path": None if study.path is None else str(study.path),
        "metric": study.metric.name,
        "direction": study.metric.direction,
        "best": None if best is None else _best_json(study, best),
        "counts": {
            "done": counts.done,
            "stopped": counts.stopped,
            "failed": counts.failed,
            "paused": counts.paused,
            "unfinished": counts.running,
            "begun": counts.begun,
        },
        "epochs": study.history.steps_spent,
        "seconds": round(study.elapsed_s, 3),
        "cost": spent.document(spent.total(study), spent.price_of(study)),
        "data": data.document(of_study(study.facts), whole=False),
        "baseline": data.compared(study),
        **finalists.fields(study),
    }


def document_text(study: Readable) -> str:
    """`document` as one line of JSON."""
    return json.dumps(document(study), ensure_ascii=False, allow_nan=False)


def _best_json(study: Readable, best: TrialRecord) -> dict[str, Any]:
    value = None if best.loss is None else study.metric.value(best.loss)
    more = {"values": study.history.objectives.values(best.vector)} if best.vector else {}
    return {"trial": best.number, "value": value, **more, "step": best.step, "config": best.config}


def _headline(study: Readable, outcome: str) -> str:
    c = study.counts
    parts = [f"{c.done} done", f"{c.stopped} stopped early", f"{c.failed} failed"]
    parts += [f"{n} {name}" for n, name in ((c.paused, "paused"), (c.running, "unfinished")) if n]
    verb = words.clean(outcome).strip() or "finished"
    verb = verb[0].upper() + verb[1:]
    return f"{verb}: {words.plural(c.begun, 'trial')} in {words.duration(study.elapsed_s)}: {', '.join(parts)}"


def winner(study: Readable, width: int) -> list[str]:
    """The winner, its config and its scores, in lines of about `width` cells."""
    best = study.winner
    if best is None or best.loss is None:
        return _folded("none: no trial reported a value", "best", width)
    name, value = words.clean(study.metric.name), words.number(study.metric.value(best.loss))
    full = full_length(study.history)
    step = f" after {words.plural(best.counted or best.step, study.plan.unit)}" if full else ""
    together = finalists.together(study)
    if best.state is not State.DONE:
        step += " (when the time ended)" if together else " (no trial ran its full length)"
    lines = [_labelled("winner", together)] if together else []
    lines.append(_labelled("single" if together else "best", f"{words.trial(best.number)}  {name} {value}{step}"))
    if best.vector:
        lines += _wrapped(other_objectives(study, best), width)
    lines += _wrapped(words.config(best.config, digits=4), width)
    sentences = finalists.sentences(study)
    if beaten := data.below_baseline(study):
        sentences = [("warning", beaten), *sentences]
    return lines + [part for label, text in sentences for part in _folded(text, label, width)]


def other_objectives(study: Readable, record: TrialRecord) -> str:
    """A trial's other objectives and limited metrics, and how many trials stand on the front with it."""
    objectives = study.history.objectives
    values = objectives.values(record.vector)
    parts = [f"{words.clean(n)} {words.amount(v)}" for n, v in values.items() if n != study.metric.name]
    broken = [str(one) for one in objectives.limits if one.loss(values[one.name]) > one.loss(one.bound)]
    if broken:
        parts.append(f"breaks {', '.join(broken)}: no full trial keeps all limits")
    elif objectives.several and study.history.front():
        parts.append(f"one of {words.plural(len(study.history.front()), 'trial')} on the front (automl top --front)")
    return "  ".join(parts)


def failures(study: Readable, width: int) -> list[str]:
    """The three most frequent causes of failures, each with the log of its first trial; empty without failures."""
    failed = [t for t in study.history.failed if t.failure is not None]
    causes = Counter((t.failure.kind, words.clean(t.failure.message)) for t in failed if t.failure)
    lines = []
    for k, ((kind, message), n) in enumerate(causes.most_common(3)):
        first = next(
            t for t in failed if t.failure and (t.failure.kind, words.clean(t.failure.message)) == (kind, message)
        )
        lines.append(words.fit(_labelled("failed" if k == 0 else "", f"{n}x {kind}: {message}"), max(width, 40)))
        if first.failure and first.failure.traceback:
            log = words.clean(Path(study.path or "") / first.failure.traceback)
            lines.append(_labelled("", f"{words.trial(first.number)}: {log}"))
    if len(causes) > 3:
        lines.append(_labelled("", f"and {words.plural(len(causes) - 3, 'other cause')}"))
    return lines


def _saved(study: Readable) -> list[str]:
    share = None if study.verdict and study.verdict.get("pack") else saved_share(study.history)
    spent = words.plural(study.history.steps_spent, study.plan.unit)
    if share is None or share < 0.0005:
        return []
    return [_labelled("saved", f"{share:.0%} of the {study.plan.unit}s by early stopping ({spent} run)")]


def _files(study: Readable, outcome: str) -> list[str]:
    assert study.path is not None
    where = words.clean(study.path)
    has = [f"{name}/" for name in ("best", "ensemble", "logs") if (study.path / name).is_dir()]
    used = words.size(sum(file.stat().st_size for file in study.path.rglob("*") if file.is_file()))
    content = f": {', '.join(has)}, ledger" if has else ""
    quoted = shlex.quote(where)
    resume = f"automl resume {quoted}"
    if not (study.counts.running or outcome == "interrupted"):
        resume += f" --trials +{study.plan.trials or 20}"
    lines = [_labelled("files", f"{where}{content} ({used} on disk)")]
    lines.append(_labelled("next", f"{resume}  |  automl top {quoted}"))
    if (study.path / "best" / "manifest.json").is_file():
        lines.append(_labelled("", f"python: automl.load({where!r}).predict(rows)"))
    return lines


def _labelled(label: str, text: str) -> str:
    return f"{label:<{INDENT}}{text}"


def _folded(text: str, label: str, width: int) -> list[str]:
    """A sentence in lines of `width` cells, the further ones indented."""
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=f"{label:<{INDENT}}" if label else "",
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _wrapped(text: str, width: int) -> list[str]:
    """A config in indented lines of at most `width` cells, broken only between its double blanks."""
    lines: list[str] = []
    for part in text.split("  "):
        if lines and words.cells(lines[-1]) + 2 + words.cells(part) <= width:
            lines[-1] += "  " + part
        elif part:
            lines.append(_labelled("", part))
    return lines
