"""What a search ends with: the final block for people, one JSON document for programs."""

import json
import shlex
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

from automl.core.trial import State, TrialRecord
from automl.leaderboard import words
from automl.leaderboard.board import SCHEMA, full_length, saved_share
from automl.study.reader import Readable
from automl.view.screens import verdict

WIDTH = 100


def final(study: Readable, outcome: str = "", width: int = WIDTH) -> str:
    """The final block: counts, winner, config and score, what early stopping saved, where things are, what next.

    `outcome` says in a word or two how the search ended ("interrupted"); empty or "finished": by its budget.
    """
    lines = [*_folded(_headline(study, outcome), width), *winner(study, width), *failures(study, width), *_saved(study)]
    if study.path is not None:
        lines += _files(study, outcome)
    return "\n".join(lines)


def document(study: Readable) -> dict[str, Any]:
    """What `automl search --json` prints (schema 1)."""
    counts, best = study.counts, study.winner
    return {
        "schema": SCHEMA,
        "study": study.name,
        "path": None if study.path is None else str(study.path),
        "metric": study.metric.name,
        "direction": study.metric.direction,
        "best": None if best is None else _best_json(study, best),
        "counts": {"done": counts.done, "stopped": counts.stopped, "failed": counts.failed},
        "epochs": study.history.steps_spent,
        "seconds": round(study.elapsed_s, 3),
        **verdict.fields(study),
    }


def document_text(study: Readable) -> str:
    return json.dumps(document(study), ensure_ascii=False, allow_nan=False)


def _best_json(study: Readable, best: TrialRecord) -> dict[str, Any]:
    value = None if best.loss is None else study.metric.value(best.loss)
    return {"trial": best.number, "value": value, "step": best.step, "config": best.config}


def _headline(study: Readable, outcome: str) -> str:
    c = study.counts
    parts = [f"{c.done} done", f"{c.stopped} stopped early", f"{c.failed} failed"]
    parts += [f"{n} {name}" for n, name in ((c.paused, "paused"), (c.running, "unfinished")) if n]
    verb = words.clean(outcome).strip() or "finished"
    verb = verb[0].upper() + verb[1:]
    return f"{verb}: {words.plural(c.ended, 'trial')} in {words.duration(study.elapsed_s)}: {', '.join(parts)}"


def winner(study: Readable, width: int) -> list[str]:
    """The winner, its score and config, in lines of about `width` cells."""
    best = study.winner
    if best is None or best.loss is None:
        leading = min(
            (t for t in study.history.trials if t.loss is not None and t.state is not State.FAILED),
            key=lambda t: (t.loss, t.number),
            default=None,
        )
        if leading is None or leading.loss is None:
            return ["best  none: no trial reported a value"]
        at = f"{words.trial(leading.number)} got to {words.number(study.metric.value(leading.loss))} at {leading.step}"
        return [f"best  none: no trial ran its full length ({at})"]
    name, value = words.clean(study.metric.name), words.number(study.metric.value(best.loss))
    step = f" after {words.plural(best.step, 'epoch')}" if full_length(study.history) else ""
    lines = [f"best  {words.trial(best.number)}  {name} {value}{step}"]
    told = [part for line in verdict.lines(study) for part in _folded(line, width)]
    return [*lines, *_wrapped(words.config(best.config, digits=4), "      ", width), *told]


def _folded(line: str, width: int) -> list[str]:
    """A sentence in lines of `width` cells, the further ones indented."""
    how: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(line, max(width, 40), subsequent_indent="      ", **how)


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, broken between its double blanks only."""
    lines: list[str] = []
    for part in text.split("  "):
        if lines and words.cells(lines[-1]) + 2 + words.cells(part) <= width:
            lines[-1] += "  " + part
        elif part:
            lines.append(indent + part)
    return lines


def failures(study: Readable, width: int) -> list[str]:
    """The commonest causes of failures, a line each; none where none failed."""
    failed = [t for t in study.history.failed if t.failure is not None]
    causes = Counter((t.failure.kind, words.clean(t.failure.message)) for t in failed if t.failure)
    lines = []
    for k, ((kind, message), n) in enumerate(causes.most_common(3)):
        first = next(
            t for t in failed if t.failure and (t.failure.kind, words.clean(t.failure.message)) == (kind, message)
        )
        lines.append(words.fit(f"{'fail ' if k == 0 else '     '} {n}x {kind}: {message}", max(width, 40)))
        if first.failure and first.failure.traceback:
            log = words.clean(Path(study.path or "") / first.failure.traceback)
            lines.append(f"      {words.trial(first.number)}: {log}")
    if len(causes) > 3:
        lines.append(f"      and {words.plural(len(causes) - 3, 'other cause')}")
    return lines


def _saved(study: Readable) -> list[str]:
    share = saved_share(study.history)
    spent = words.plural(study.history.steps_spent, "epoch")
    if share is None or share < 0.0005:
        return []
    return [f"saved {share:.0%} of the epochs by early stopping ({spent} run)"]


def _files(study: Readable, outcome: str) -> list[str]:
    assert study.path is not None
    where = words.clean(study.path)
    has = [f"{name}/" for name in ("best", "ensemble", "logs") if (study.path / name).is_dir()]
    used = words.size(sum(file.stat().st_size for file in study.path.rglob("*") if file.is_file()))
    lines = [f"files {where}" + (f": {', '.join(has)}, ledger" if has else "") + f" ({used} on disk)"]
    quoted = shlex.quote(where)
    resume = f"automl resume {quoted}"
    if not (study.counts.running or outcome == "interrupted"):
        resume += f" --trials +{study.plan.trials or 20}"
    lines.append(f"next  {resume}  |  automl top {quoted}")
    if (study.path / "best" / "manifest.json").is_file():
        lines.append(f"      python: automl.load({where!r}).predict(rows)")
    return lines
