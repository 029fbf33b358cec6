"""What was decided about the data: a few lines before the first trial, all of it, and the winner beside a guess."""

import json
import re
import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from automl.data.summary.facts import FEW, INPUT, LEFT_OUT, TARGET, ClassFacts, ColumnFacts, Summary, of_study
from automl.leaderboard import words
from automl.study.reader import Readable

INDENT = 11  # cells of the labels
WIDTH = 100
MOST = 8  # lines before the first trial
LIST = 3  # items of a list there
CLASSES = 30  # lines of the whole
EQUAL = 1e-5  # reported values are rounded: a relative difference this small is none
UNBROKEN = "\x00"  # stands for a blank where a line must not end
YAML_WORDS = ("y", "n", "yes", "no", "true", "false", "on", "off", "null")
Line = tuple[str, str]  # (label, sentence)


def brief(summary: Summary, metric: str = "", where: str = "") -> list[Line]:
    """The most important of it, at most eight labelled sentences.

    Args:
        summary: what was decided.
        metric: the study's; what a guess would score in it is said.
        where: what `automl data` is to be called with for the rest; empty: that is not said.
    """
    lines = [("rows", _rows(summary)), ("target", _target(summary, metric))]
    lines.append(("inputs", _inputs(summary, LIST)))
    lines += [("warning", text) for text in _warnings(summary)]
    lines += [("guessed", text) for text in summary.doubts]
    if len(lines) > MOST - 1:
        kept = MOST - 2
        more = Counter(label for label, _ in lines[kept:])
        rest = " and ".join(words.plural(n, {"guessed": "guess"}.get(label, label)) for label, n in more.items())
        lines = [*lines[:kept], ("more", rest.replace("guesss", "guesses"))]
    if where and summary.columns:
        lines.append(("all of it", f"automl data {shlex.quote(where)}"))
    return [(label, words.clean(sentence)) for label, sentence in lines]


def text(summary: Summary, width: int = WIDTH) -> str:
    """Everything that was decided: a table of the columns, then labelled sentences, in lines of `width` cells."""
    lines = []
    if summary.columns:
        lines += [*_columns(summary, width), ""]
    lines += labelled("rows", _rows(summary), width)
    lines += labelled("target", _target(summary), width)
    lines += _classes(summary.target.classes, summary.target.count, width)
    lines += labelled("inputs", _inputs(summary), width)
    for guess, names in _by_guess(summary).items():
        scores = ", ".join(f"{words.clean(name)} {words.number(summary.baselines[name])}" for name in names)
        lines += labelled("baseline", f"{words.clean(guess)}: {scores}", width)
    for label, sentences in (("warning", _warnings(summary)), ("guessed", summary.doubts)):
        for sentence in sentences:
            lines += labelled(label, sentence, width)
    for note in summary.notes:
        if note not in summary.doubts:
            lines += labelled("decided", note, width)
    return "\n".join(lines)


def labelled(label: str, sentence: str, width: int) -> list[str]:
    """A labelled sentence in lines of at most `width` cells, not broken in what stands in `backticks`."""
    whole = re.sub("`[^`]*`", lambda match: match[0].replace(" ", UNBROKEN), words.clean(sentence))
    made = textwrap.wrap(
        whole, max(width, 40), initial_indent=f"{label:<{INDENT}}", subsequent_indent=" " * INDENT,
        break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(UNBROKEN, " ") for line in made]


def document(summary: Summary | None, *, whole: bool) -> dict[str, Any] | None:
    """It as JSON-able values; `whole`: with a line for each column."""
    if summary is None:
        return None
    made = summary.to_json()
    if not whole:
        made["left_out"] = {c.name: c.note for c in summary.columns if c.role == LEFT_OUT}
        del made["columns"]
    return made


def compared(study: Readable) -> dict[str, Any] | None:
    """The winner beside a constant guess; None where either is not known.

    Returns:
        {"metric", "value": of the guess, "guess": in words, "beaten": whether the winner is better}
    """
    summary, name = of_study(study.facts), study.metric.name
    best, verdict = study.winner, study.verdict
    if summary is None or name not in summary.baselines or best is None or best.loss is None:
        return None
    guessed = summary.baselines[name]
    winner = study.metric.loss(verdict["finalists"][0]["mean"]) if verdict else best.loss
    beaten = winner < study.metric.loss(guessed) - EQUAL * abs(guessed)
    return {"metric": name, "value": guessed, "guess": summary.guesses.get(name, ""), "beaten": beaten}


def below_baseline(study: Readable) -> str:
    """One sentence that says so where the winner is no better than a constant guess; empty where it is."""
    found = compared(study)
    if found is None or found["beaten"]:
        return ""
    score = f"{words.clean(found['metric'])} {words.number(found['value'])}"
    return f"the winner is no better than a guess without a model: {words.clean(found['guess'])} scores {score}"


def _rows(summary: Summary) -> str:
    folded = summary.rows.get("val") == 0  # with folds the training rows are held out in turn
    shown = {"train in folds" if folded and name == "train" else name: count for name, count in summary.rows.items()}
    parts = ", ".join(f"{count:,} {words.clean(name)}" for name, count in shown.items() if count or name != "val")
    out = f"; {words.plural(summary.left_out_rows, 'row')} left out" if summary.left_out_rows else ""
    return f"{sum(summary.rows.values()):,} ({parts}){out}"


def _target(summary: Summary, metric: str = "") -> str:
    target = summary.target
    said = f"{_name(target.name)}, {words.clean(target.kind).replace('_', ' ')}"
    if target.classes:
        total = max(sum(summary.rows.values()), 1)
        shares = [f"{_name(one.label)!r} {_share(one.rows / total)}" for one in target.classes]
        said = f"{_name(target.name)}, {target.count:,} classes: {_listed(shares, LIST, target.count)}"
    elif target.spread:
        least, median, most = (words.short(value, 4) for value in target.spread)
        said += f" of numbers from {least} to {most}, median {median}"
    if metric in summary.baselines:
        guess = words.clean(summary.guesses.get(metric, ""))
        said += f"; {guess} would score {words.clean(metric)} {words.number(summary.baselines[metric])}"
    return said


def _inputs(summary: Summary, most: int = 12) -> str:
    if not summary.columns:
        return words.clean(summary.inputs)
    unused = [f"{_name(c.name)}: {words.clean(c.note)}" if c.note else _name(c.name)
              for c in summary.columns if c.role == LEFT_OUT]  # fmt: skip
    dropped = [_name(c.name) for c in summary.columns if c.role == "dropped"]
    total = summary.used + summary.unused + len(dropped)
    said = f"{summary.used:,} of {words.plural(total, 'column')}"
    if summary.inputs:
        said = f"{words.clean(summary.inputs)}, from {said}"
    said += f", without {_listed(unused, most, summary.unused, '; ')}" if unused else ""
    return said + (f"; dropped: {_listed(dropped, most)}" if dropped else "")


def _warnings(summary: Summary) -> list[str]:
    said = []
    if summary.leaks:
        each = [f"{_name(name)} alone predicts the target ({words.clean(how)})" for name, how in summary.leaks.items()]
        drop = ", ".join(_yaml(name) for name in list(summary.leaks)[:LIST])
        said.append(f"{_listed(each, LIST)}; drop what is known only after the target: `prepare: {{drop: [{drop}]}}`")
    if summary.target.rare:
        rare = [f"{_name(one.label)!r} ({one.train})" for one in summary.target.classes if one.train < FEW]
        count = words.plural(summary.target.rare, "class").replace("classs", "classes")
        have = "has" if summary.target.rare == 1 else "have"
        said.append(f"{count} {have} fewer than {FEW} training rows: {_listed(rare, LIST, summary.target.rare)}")
    if summary.text:
        names, remedy = _listed([_name(name) for name in summary.text], LIST), _yaml(summary.text[0])
        does = "holds sentences and is" if len(summary.text) == 1 else "hold sentences and are"
        said.append(f"{names} {does} left out; `prepare: {{text: {remedy}}}` learns from that column alone")
    return said


def _by_guess(summary: Summary) -> Mapping[str, list[str]]:
    """The metrics in which each guess is the best one."""
    found: dict[str, list[str]] = {}
    for name in summary.baselines:
        found.setdefault(summary.guesses.get(name, ""), []).append(name)
    return found


def _columns(summary: Summary, width: int) -> list[str]:
    rows = [
        (
            _name(c.name),
            c.role,
            c.kind or "-",
            _missing(c),
            "-" if c.distinct is None else f"{c.distinct:,}",
            _shown(c, _spread(summary) if c.role == TARGET else ""),
        )
        for c in summary.columns
    ]
    made = _table(("column", "role", "kind", "missing", "values", "what was decided; examples"), rows, width)
    if counted := max(c.counted for c in summary.columns):
        made.append(f"(missing and different values were counted in {counted:,} rows)")
    if (more := summary.used + summary.unused - sum(c.role in (INPUT, LEFT_OUT) for c in summary.columns)) > 1:
        made.append(f"(and {words.plural(more, 'further column')})")
    return made


def _missing(column: ColumnFacts) -> str:
    if column.missing is None:
        return "-"
    return _share(column.missing / column.counted) if column.counted else f"{column.missing:,}"


def _spread(summary: Summary) -> str:
    """`7.61 to 343.4`: the values of a target of numbers; empty for others."""
    if summary.target.spread is None:
        return ""
    least, _, most = (words.short(value, 4) for value in summary.target.spread)
    return f"from {least} to {most}"


def _shown(column: ColumnFacts, spread: str = "") -> str:
    examples = ", ".join(words.fit(words.clean(_short(example)), 20, cut="~") for example in column.examples)
    return "; ".join(part for part in (words.clean(column.note), spread, examples) if part)


def _short(example: str) -> str:
    """Numbers without digits that nobody reads; dates without a clock that is always midnight."""
    if len(example) > 8 and example.replace(".", "", 1).lstrip("-").isdecimal() and "." in example:
        return f"{float(example):.6g}"
    return example.removesuffix("T00:00:00")


def _classes(classes: Sequence[ClassFacts], count: int, width: int) -> list[str]:
    if not classes:
        return []
    total = max(sum(one.rows for one in classes), 1)
    few = classes if len(classes) <= CLASSES else (*classes[: CLASSES // 2], *classes[-CLASSES // 2 :])
    rows = [(_name(one.label), f"{one.rows:,}", _share(one.rows / total), f"{one.train:,}", "") for one in few]
    made = _table(("class", "rows", "share", "for training", ""), rows, width - INDENT)
    made += [f"and {count - len(few):,} between them"] if count > len(few) else []
    return [" " * INDENT + line for line in made]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Rows of cells under a header; numbers to the right, and the last column cut at `width`."""
    lines = [header, *rows]
    widths = [min(max(words.cells(line[k]) for line in lines), 28) for k in range(len(header) - 1)]
    right = [all(row[k][:1].isdigit() or row[k] in ("-", "") for row in rows) for k in range(len(header) - 1)]
    made = []
    for line in lines:
        cells = [
            words.pad(words.fit_middle(cell, w), w, right=r) for cell, w, r in zip(line, widths, right, strict=False)
        ]
        made.append(words.fit("  ".join([*cells, line[-1]]).rstrip(), width, cut="..."))
    return made


def _name(text: str) -> str:
    """The name of a column or class as it is shown: at most 40 cells of one line."""
    return words.fit_middle(words.clean(text), 40) or "''"


def _yaml(name: str) -> str:
    """The name of a column as it is written in a specification."""
    name = words.clean(name)
    plain = re.fullmatch(r"[A-Za-z_](?:[\w -]*\w)?", name) and name.lower() not in YAML_WORDS
    return name if plain else json.dumps(name, ensure_ascii=False)


def _share(share: float) -> str:
    """`12 %`, `0.4 %`, `0 %`."""
    percent = 100 * share
    return f"{percent:.0f} %" if percent == 0 or percent >= 99.95 else f"{percent:.1f} %"


def _listed(items: Sequence[str], most: int, count: int = 0, comma: str = ", ") -> str:
    """`a, b, c and 12 more`; `count`: how many there are, where `items` are some of them."""
    more = max(count, len(items)) - len(items[:most])
    return comma.join(items[:most]) + (f" and {more:,} more" if more > 0 else "")
