"""The verdict: what the finalists showed, as JSON-able data in the study's ledger.

winner             number of the winning trial in the search
metric             the study's metric
finalists          one entry each, the winner first: trial, found (its value in the search), mean, interval and
                   values over fresh seeds, seeds (how many of them ended well); with several objectives or limits
                   also front (its number among the finalists, 0: breaks a limit) and objectives (see `front`)
big                the target fidelity, {} without one
optimism           how much better the winner's value in the search was than its mean on fresh seeds; None with a
                   target fidelity: these are values of another model
tied               finalists that the winner does not clearly beat
seeds_have_no_effect   whether the runs of every finalist report exactly the same on all seeds (older studies: `deaf`)
default, first     the search's value of the space's defaults, and of the best of the first suggested trials
test               score, interval and all metrics on the test rows; None without any. `undefined` is why the study's
                   metric has no value on them (then score and interval are None), else "" (older studies lack it)
looks              how many models were evaluated on the test rows so far
ensemble           see `automl.evaluation.ensemble_selection.make`; None without one
asked, refit       what the verdict was asked for
pack               true where the ensemble is the winner (see `automl.evaluation.pack`). Then `winner` is the best
                   single trial, `finalists` has it alone, `mean` being the ensemble's value on the validation rows,
                   and `test` is the ensemble's
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from automl import metrics
from automl.core.history import History
from automl.core.trial import Metric, State, TrialRecord
from automl.driver.screen import Screen
from automl.evaluation import front
from automl.evaluation.candidates import Finalist, FinalistOptions, saved_model
from automl.evaluation.holdout import Holdout
from automl.metrics import intervals
from automl.study.study import Study

FACT = "finalists"
"""The verdict's name in the ledger."""
TEST_EVALUATIONS = "test_looks"
"""The name in the ledger of the list of all evaluations on the test rows; each is written down before it happens."""
CONFIDENT = 0.95
"""The winner beats another finalist when it is better in this share of bootstrap draws."""
FIRST = 20
"""So many of the strategy's first trials are searched for `first`."""


def judged_before(study: Study, finalists: Sequence[Finalist], options: FinalistOptions) -> bool:
    """Whether the study has a verdict on these very runs, for the same options."""
    before = study.verdict
    return before is not None and before["asked"] == asked(finalists, options)


def asked(finalists: Sequence[Finalist], options: FinalistOptions) -> dict[str, Any]:
    """What a verdict depends on: the runs by trial, and the options."""
    runs = {str(f.trial.number): [t.number for t in f.runs] for f in finalists}
    big = {"big": dict(options.target_fidelity)} if options.target_fidelity else {}
    return {"runs": runs, "refit": options.refit, "ensemble": options.ensemble, **big}


def verdict_on(
    study: Study, runs: Study, finalists: Sequence[Finalist], holdout: Holdout | None, options: FinalistOptions
) -> dict[str, Any]:
    """The verdict without test score and ensemble.

    Args:
        study: the search.
        runs: the finalists' study.
        finalists: the best one first.
        holdout: the rows, where models were saved; None: only the values of the runs are known.
        options: of the finalists.
    """
    metric, best = study.metric, finalists[0]
    assert best.trial.loss is not None
    objectives = study.history.objectives
    others = [] if objectives.several else finalists[1:]  # points of a front are not better or worse than each other
    tied = [f for f in others if f.complete and not _beats(best, f, runs, holdout, metric)]
    return {
        "winner": best.trial.number,
        "metric": metric.name,
        "finalists": [
            {**_entry(finalist, metric), **more}
            for finalist, more in zip(finalists, front.entries(finalists, objectives), strict=True)
        ],
        "big": dict(options.target_fidelity),
        "optimism": None if options.target_fidelity else best.loss - best.trial.loss,
        "tied": [f.trial.number for f in tied],
        "seeds_have_no_effect": seeds_have_no_effect(runs, finalists),
        "default": _best_value(study, [t for t in study.history.done if t.origin == "default"]),
        "first": _best_value(study, _first_suggested(study.history)),
        "asked": asked(finalists, options),
        "refit": options.refit,
        "test": None,
        "looks": 0,
        "ensemble": None,
    }


def verdict_of_pack(study: Study, single: TrialRecord, val: float, asked: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a search whose result is an ensemble, without its test score.

    Args:
        study: the search.
        single: the best single trial.
        val: the ensemble's value on the validation rows.
        asked: what the verdict depends on.
    """
    assert single.loss is not None
    found = {"trial": single.number, "found": study.metric.value(single.loss), "mean": val, "interval": None}
    return {
        "pack": True,
        "winner": single.number,
        "metric": study.metric.name,
        "finalists": [{**found, "seeds": 0, "values": []}],
        "big": {},
        "optimism": None,
        "tied": [],
        "seeds_have_no_effect": False,
        "default": _best_value(study, [t for t in study.history.done if t.origin == "default"]),
        "first": _best_value(study, _first_suggested(study.history)),
        "asked": asked,
        "refit": False,
        "test": None,
        "looks": 0,
        "ensemble": None,
    }


def seeds_have_no_effect(runs: Study, finalists: Sequence[Finalist]) -> bool:
    """Whether each finalist has reported exactly the same on all of its seeds: all metrics, at all steps.

    One finalist that differs shows that the training uses its seed. Equal last values alone show nothing: an accuracy
    on a few hundred rows is often equal by chance, and one that has reached its bound (accuracy 1) always is.

    Args:
        runs: the finalists' study.
        finalists: with their runs.
    """
    repeated = [f for f in finalists if len(f.runs) > 1]
    bounds = metrics.bounds(runs.metric.name)
    losses = {loss for f in repeated for run in f.runs for _, loss in run.curve}
    if not repeated or {runs.metric.value(loss) for loss in losses} <= set(bounds):
        return False
    return all(
        len({run.curve for run in f.runs}) == 1 and all(runs.reports(r.number) == runs.reports(f.runs[0].number)
                                                        for r in f.runs)
        for f in repeated
    )  # fmt: skip


def _entry(finalist: Finalist, metric: Metric) -> dict[str, Any]:
    values = finalist.values(metric)
    return {
        "trial": finalist.trial.number,
        "found": metric.value(finalist.trial.loss or 0.0),
        "mean": float(np.mean(values)) if values else None,
        "interval": _clipped(metric, intervals.mean_interval(values)),
        "seeds": len(values),
        "values": values,
    }


def _clipped(metric: Metric, interval: intervals.Interval | None) -> list[float] | None:
    """The interval within the metric's bounds: no accuracy is above 1."""
    low, high = metrics.bounds(metric.name)
    return None if interval is None else [max(interval[0], low), min(interval[1], high)]


def _first_suggested(history: History) -> list[TrialRecord]:
    """Of the first `FIRST` trials that the strategy suggested, those that ran their full length; none where it
    suggested no more than these: the best of all is the winner."""
    suggested = [t for t in history.trials if not t.origin]
    return [t for t in suggested[:FIRST] if t.state is State.DONE] if len(suggested) > FIRST else []


def _best_value(study: Study, trials: Sequence[TrialRecord]) -> dict[str, Any] | None:
    best = min((t for t in trials if t.loss is not None), key=lambda t: (t.loss, t.number), default=None)
    return None if best is None or best.loss is None else {"trial": best.number, "value": study.metric.value(best.loss)}


def _beats(best: Finalist, other: Finalist, runs: Study, holdout: Holdout | None, metric: Metric) -> bool:
    """Whether the winner is clearly better: over rows and seeds where models were saved, else over seeds alone."""
    sign = -1.0 if metric.direction == "minimize" else 1.0
    models = [[saved_model(runs, t) for t in f.runs] for f in (best, other)]
    if holdout is not None and all(m is not None for pair in models for m in pair):
        a, b = ([holdout.sample(m, "val") for m in pair if m is not None] for pair in models)
        return intervals.better(a, b, sign=sign) > CONFIDENT
    return intervals.better_by_seeds(best.values(metric), other.values(metric), sign=sign) > CONFIDENT


def record_test_evaluation(study: Study, model: str, screen: Screen) -> int:
    """Write down that `model` is about to be evaluated on the test rows; returns how many evaluations that makes.

    The same model again counts once: the process was killed in between.
    """
    evaluations = list(study.ledger.facts().get(TEST_EVALUATIONS, []))
    if model not in [one["model"] for one in evaluations]:
        evaluations.append({"model": model, "at_s": round(study.elapsed_s, 1)})
        study.ledger.describe(**{TEST_EVALUATIONS: evaluations})
        screen.note("final evaluation on the test set")
    return len(evaluations)


def score_on_test(holdout: Holdout, model: Path, unrefitted: Path) -> dict[str, Any]:
    """The winner's score on the test rows.

    Args:
        holdout: the rows.
        model: the winner's bundle.
        unrefitted: the winner's bundle before it was trained on the validation rows too: its errors on these rows
            tell how errors are distributed, for the interval.
    """
    reason, value, interval = holdout.undefined("test"), None, None
    if not reason:
        sample = holdout.sample(model, "test")
        value = sample.value
        interval = list(intervals.interval(sample, like=holdout.sample(unrefitted, "val")))
    return {
        "metric": f"test_{holdout.name}",
        "value": value,
        "interval": interval,
        "undefined": reason,
        "rows": holdout.test_rows,
        "metrics": holdout.metrics(model, "test"),
    }


def record(study: Study, verdict: dict[str, Any]) -> None:
    """Write the verdict into the study's ledger."""
    study.ledger.describe(**{FACT: verdict})
    study.facts[FACT] = verdict
