"""The report: one HTML file with charts as inline SVG that needs no network, so that it can be sent to others.

Every text that comes from a user is escaped; the content security policy forbids everything but the file's own style
and its one short script (by its hash), which sorts the table.
"""

import base64
import hashlib
import html
import json
from datetime import UTC, datetime
from typing import Any

from automl.data.summary.facts import of_study
from automl.errors import NothingToDraw
from automl.leaderboard import words
from automl.leaderboard.board import Leaderboard
from automl.leaderboard.rows import saved_share
from automl.study.reader import Readable
from automl.view import figures
from automl.view.pages import data
from automl.view.pages.final import failures, winner

ROWS = 100

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b1b1b;max-width:1080px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:0}h2{font-size:1.15rem;margin:2.2rem 0 .4rem;border-bottom:1px solid #ddd}
p.sub{color:#666;margin:.1rem 0 1.2rem}svg{max-width:100%;height:auto}
.facts{display:flex;flex-wrap:wrap;gap:.6rem}.facts div{border:1px solid #ddd;border-radius:6px;padding:.5rem .9rem}
.facts b{display:block;font-size:1.25rem}.facts span{color:#666;font-size:.85rem}
table{border-collapse:collapse;font-size:13px;white-space:nowrap}th{cursor:pointer;text-align:left;background:#f4f4f4}
th,td{padding:.15rem .5rem;border-bottom:1px solid #eee}td.n{text-align:right;font-variant-numeric:tabular-nums}
tr.best{font-weight:600;background:#eef6ff}.wide{overflow-x:auto}pre{background:#f6f6f6;padding:.8rem;overflow-x:auto}
.done{color:#0072B2}.stopped{color:#9a6a00}.failed{color:#D55E00}.running,.paused{color:#666}p.none{color:#888}
"""

SCRIPT = """
document.querySelectorAll('th').forEach(function(th){th.addEventListener('click',function(){
var body=th.closest('table').tBodies[0],k=th.cellIndex,down=th.dataset.down!=='1';th.dataset.down=down?'1':'0';
var key=function(r){var t=r.cells[k].dataset.v||r.cells[k].textContent,n=parseFloat(t);return isNaN(n)?t:n};
Array.from(body.rows).sort(function(a,b){var x=key(a),y=key(b);
if(typeof x!==typeof y)return typeof x==='number'?-1:1;
return(x<y?-1:x>y?1:0)*(down?1:-1)}).forEach(function(r){body.appendChild(r)})})});
"""
SCRIPT_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"
"""The only script that a browser runs in a report, as a content security policy names it."""

NOTES = {
    "history": "Each dot is a trial; the line is the best trial so far that ran its full length.",
    "front": "Blue: trials that ran their full length. The stairs: what they dominate. Squares: finalists, their means "
    "over fresh seeds with 95 % intervals, black for the winner; a dotted line leads to what the search had found.",
    "curves": "The best trial is black. Very bad values lie outside the axes.",
    "importance": "How much the distribution of each hyperparameter among the best fifth of the trials differs from "
    "that among all trials, minus the difference that chance alone would give.",
    "parallel": "One line per trial, bright for the best ranks. At the bottom of an axis: not part of that config.",
    "contour": "The shading is a smooth average of nearby trials, not the prediction of a model.",
    "rungs": "How well ranks at a step agree with the final ranks, among trials that ran their full length. Stopped "
    "trials are missing here; the agreement among all trials is probably higher.",
    "timeline": "White gaps are idle time.",
    "seeds": "Blue dots: scores on fresh seeds. Bar: their mean and its 95 % interval. Cross: the search estimate. "
    "Shaded: the winner's test score and its interval.",
    "errors": "Errors of the saved model on the validation rows.",
    "compression": "Black: the winner; orange: the chosen variant. Bars: 95 % intervals of the paired difference.",
    "cost": "The line joins the trials that no other trial beats in both score and time.",
}


def report(study: Readable, *, now: datetime | None = None) -> str:
    """The report of a study as HTML text.

    Args:
        study: the study.
        now: when the report is written; None: the present.

    Raises:
        EnvironmentProblem: matplotlib is not installed.
    """
    now = now or datetime.now(UTC)
    parts = [_head(study, now), _data(study), *_sections(study), _table(study), _spec(study)]
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {SCRIPT_SOURCE}"
    policy += "; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_text(study.name)}: search report</title><style>{STYLE}</style></head><body>"
        + "\n".join(part for part in parts if part)
        + f"<script>{SCRIPT}</script></body></html>\n"
    )


def _text(raw: object) -> str:
    """Anything as HTML text: without control characters, and escaped."""
    return html.escape(words.clean(raw), quote=True)


def _head(study: Readable, now: datetime) -> str:
    c, best, share = study.counts, study.winner, saved_share(study.history)
    states = [f"{c.done} done", f"{c.stopped} stopped early", f"{c.failed} failed"]
    states += [f"{n} {name}" for n, name in ((c.paused, "paused"), (c.running, "unfinished")) if n]
    facts = [
        (
            "-" if best is None or best.loss is None else words.number(study.metric.value(best.loss)),
            f"best {study.metric.name}",
        ),
        (f"{c.begun:,}", f"trials: {', '.join(states)}"),
        (words.duration(study.elapsed_s), "search time"),
        (
            f"{study.history.steps_spent:,}",
            f"{study.plan.unit}s" + (f", {share:.0%} saved by early stopping" if share else ""),
        ),
    ]
    cells = "".join(f"<div><b>{_text(big)}</b><span>{_text(small)}</span></div>" for big, small in facts)
    how = [str(study.facts.get(k, {}).get("name", "")) for k in ("strategy", "stopper")]
    sub = f"strategy {how[0]}, stopper {how[1]}, seed {study.history.seed}; written {now:%Y-%m-%d %H:%M} UTC"
    lines = [*winner(study, 100), *failures(study, 100)]
    return (
        f'<h1>{_text(study.name)}</h1><p class="sub">{_text(sub)}</p><div class="facts">{cells}</div>'
        "<h2>Result</h2><pre>" + "\n".join(html.escape(line) for line in lines) + "</pre>"
    )


def _data(study: Readable) -> str:
    """What was decided about the data; empty where the study has kept nothing of it."""
    summary = of_study(study.facts)
    if summary is None:
        return ""
    shown = "\n".join(html.escape(words.clean(line)) for line in data.text(summary, 120).splitlines())
    return f'<section id="data"><h2>Data</h2><pre>{shown}</pre></section>'


def _sections(study: Readable) -> list[str]:
    sections = []
    for kind, (_, title) in figures.KINDS.items():
        if kind == "front" and not study.history.objectives.several:
            continue
        note = f"<p>{_text(NOTES[kind])}</p>" if kind in NOTES else ""
        try:
            drawn = figures.svg(figures.draw(kind, study)).replace('id="', f'id="{kind}-').replace('"#', f'"#{kind}-')
            drawn = drawn.replace("url(#", f"url(#{kind}-")
        except NothingToDraw as reason:
            note, drawn = "", f'<p class="none">Not shown: {_text(reason)}.</p>'
        sections.append(f'<section id="{kind}"><h2>{_text(title)}</h2>{note}{drawn}</section>')
    return sections


def _table(study: Readable) -> str:
    board = Leaderboard.of(study.history, ROWS, study.winner)
    names = list(dict.fromkeys([*board.columns, *(n for r in board.rows for n in r.config)]))
    further = [name for name in dict.fromkeys(n for r in board.rows for n in r.values) if name != study.metric.name]
    further += ["front"] if study.history.objectives.several else []
    titles = ["rank", "trial", "state", study.metric.name, *further, "step", "seconds", *names, "note"]
    lines = []
    for r in board.rows:
        cells = [
            _cell(r.rank),
            f"<td>{words.trial(r.trial)}</td>",
            f'<td class="{r.state}">{r.state}</td>',
            _cell(r.value, words.number(r.value)),
            *(_cell({"front": r.front, **r.values}.get(name)) for name in further),
            _cell(r.step),
            _cell(r.seconds, words.duration(r.seconds)),
            *(_cell(r.config.get(n), present=n in r.config) for n in names),
            f"<td>{_text(r.note)}</td>",
        ]
        lines.append(f'<tr class="best">{"".join(cells)}</tr>' if r.best else f"<tr>{''.join(cells)}</tr>")
    more = f"<p>The best {ROWS} of {board.trials:,} trials.</p>" if board.trials > ROWS else ""
    head = "".join(f"<th>{_text(t)}</th>" for t in titles)
    body = "\n".join(lines)
    return (
        f'<h2>Leaderboard</h2><p>Click a column title to sort.</p>{more}<div class="wide"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any, shown: str = "", *, present: bool = True) -> str:
    """A table cell; numbers are right-aligned and sorted by their exact value."""
    if value is None and present:
        return '<td class="n">-</td>'
    if not present:
        return "<td></td>"
    if isinstance(value, float):
        return f'<td class="n" data-v="{value!r}">{_text(shown or words.short(value))}</td>'
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td class="n">{value}</td>'
    return f"<td>{_text(words.short(value))}</td>"


def _spec(study: Readable) -> str:
    """The specification as it was written, or the space where there is none."""
    given = study.facts.get("spec") or {}
    text = given.get("text") or json.dumps(study.space.to_json(), indent=2, ensure_ascii=False)
    shown = "\n".join(html.escape(words.clean(line.replace("\t", "    "))) for line in text.splitlines())
    return f"<h2>Specification</h2><pre>{shown}</pre>"
