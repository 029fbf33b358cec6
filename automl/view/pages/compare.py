"""Studies compared: the best value of each after the same number of epochs, and how much sooner one reached it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.core.history import History
from automl.core.trial import Metric, TrialRecord
from automl.errors import SpecError
from automl.leaderboard import words
from automl.leaderboard.rows import SCHEMA
from automl.study.reader import Readable

SHARES = (0.1, 0.25, 0.5, 1.0)  # of the smallest number of epochs that a study has used


@dataclass(frozen=True, slots=True)
class Course:
    """The best loss of a study against the epochs that all its trials had used, one entry for each improvement."""

    epochs: tuple[int, ...]
    losses: tuple[float, ...]
    total: int

    @classmethod
    def of(cls, history: History) -> "Course":
        """The course of a study: losses of trials that ran their full length, epochs of all trials that had ended."""
        epochs: list[int] = []
        losses: list[float] = []
        spent = 0
        for t in sorted((t for t in history.trials if t.state.ended), key=lambda t: t.order):
            spent += t.step
            better = t in history.done and t.loss is not None and (not losses or t.loss < losses[-1])
            if better and t.loss is not None:
                epochs.append(spent)
                losses.append(t.loss)
        return cls(tuple(epochs), tuple(losses), spent)

    def at(self, epochs: float) -> float | None:
        """The best loss after `epochs`; None before the first full trial."""
        losses = [loss for e, loss in zip(self.epochs, self.losses, strict=True) if e <= epochs]
        return losses[-1] if losses else None

    def reaches(self, loss: float) -> int | None:
        """After how many epochs the best was `loss` or better; None: never."""
        return next((e for e, own in zip(self.epochs, self.losses, strict=True) if own <= loss), None)


def compare(studies: Sequence[Readable]) -> dict[str, Any]:
    """The comparison of at least two studies as plain data (schema 1).

    Raises:
        SpecError: the studies are ranked on different metrics, or their steps are not the same.
    """
    metric, unit = studies[0].metric, studies[0].plan.unit
    for other in studies[1:]:
        if (other.metric.name, other.metric.direction) != (metric.name, metric.direction):
            raise SpecError(
                f"{studies[0].name} is ranked on {metric.name} ({metric.direction}), "
                f"{other.name} on {other.metric.name} ({other.metric.direction})"
            )
        ours, theirs = _step(studies[0]), _step(other)
        if ours != theirs:
            said = f"a step of {studies[0].name} is {ours}, one of {other.name} is {theirs}"
            raise SpecError(f"{said}: after equal numbers of them they have not done equal work")
    names = _names(studies)
    courses = [Course.of(s.history) for s in studies]
    epochs = max(min(c.total for c in courses), 1)
    points = [max(round(share * epochs), 1) for share in SHARES]
    rows = [_row(*entry, points) for entry in zip(studies, names, courses, strict=True)]
    return {
        "schema": SCHEMA,
        "metric": metric.name,
        "direction": metric.direction,
        "unit": unit,
        "epochs": points,
        "studies": rows,
        "sooner": _sooner(names, courses),
    }


def _step(study: Readable) -> str:
    """`an epoch`, or `1,000,000 samples`."""
    step: Mapping[str, int] = study.facts.get("step", {})
    return next((f"{size:,} {name}" for name, size in step.items() if name not in ("epochs", "val_rows")), "an epoch")


def _row(study: Readable, name: str, course: Course, points: Sequence[int]) -> dict[str, Any]:
    """One study: what it used, its best value after each of `points` epochs, and its best trial."""
    at = [course.at(point) for point in points]
    return {
        "study": name,
        "trials": len(study.history),
        "epochs": course.total,
        "seconds": round(study.elapsed_s, 3),
        "at": [None if loss is None else study.metric.value(loss) for loss in at],
        "best": _best(study.history.best, study.metric),
    }


def _best(best: TrialRecord | None, metric: Metric) -> dict[str, Any] | None:
    if best is None or best.loss is None:
        return None
    return {"trial": best.number, "value": metric.value(best.loss), "config": best.config}


def _names(studies: Sequence[Readable]) -> list[str]:
    """The names of the studies; folders where two have the same name."""
    names = [study.name for study in studies]
    return [str(s.path) if names.count(s.name) > 1 and s.path else s.name for s in studies]


def _sooner(names: Sequence[str], courses: Sequence[Course]) -> list[dict[str, Any]]:
    """Each pair of which one reached the other's final best value sooner: after how many epochs, and of how many."""
    pairs = []
    for a, fast in zip(names, courses, strict=True):
        for b, slow in zip(names, courses, strict=True):
            if fast is slow or not slow.losses:
                continue
            took, needed = slow.epochs[-1], fast.reaches(slow.losses[-1])
            if needed is not None and needed < took:
                pairs.append({"study": a, "than": b, "epochs": needed, "of": took})
    return pairs


def text(compared: dict[str, Any]) -> str:
    """The comparison for people."""
    names = [words.clean(row["study"]) for row in compared["studies"]]
    unit = f"{compared['unit']}s"
    longest = max(len("study"), *(words.cells(n) for n in names))
    titles = [f"at {e:,}" for e in compared["epochs"]] + ["at the end", "trials", unit, "time"]
    widths = [max(len(t), 9) for t in titles]
    header = "  ".join([words.pad("study", longest), *(f"{t:>{w}}" for t, w in zip(titles, widths, strict=True))])
    aim = "higher" if compared["direction"] == "maximize" else "lower"
    lines = [
        f"best {words.clean(compared['metric'])} ({aim} is better) after equal numbers of {unit} of all trials",
        header,
    ]
    for name, row in zip(names, compared["studies"], strict=True):
        end = row["best"]["value"] if row["best"] else None
        cells = [words.number(v) for v in [*row["at"], end]]
        cells += [f"{row['trials']:,}", f"{row['epochs']:,}", words.duration(row["seconds"])]
        lines.append("  ".join([words.pad(name, longest), *(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))]))
    for s in compared["sooner"]:
        reached = f"{words.clean(s['study'])} reached the best value of {words.clean(s['than'])}"
        times = s["of"] / max(s["epochs"], 1)
        lines.append(f"{reached} after {s['epochs']:,} {unit} instead of {s['of']:,}: {times:.1f} times sooner")
    for name, row in zip(names, compared["studies"], strict=True):
        if row["best"]:
            lines.append(f"{words.pad(name, longest)}  {words.config(row['best']['config'])}")
    return "\n".join(lines)
