"""The chosen variant's single evaluation on the test set, and its place in the study's folder."""

from pathlib import Path
from typing import Any

from automl.bundle import ensemble
from automl.bundle.compressed import writing
from automl.compression.record import CompressionRecord
from automl.compression.subject import Original
from automl.core import files as plain
from automl.driver.screen import Screen
from automl.evaluation import verdict
from automl.metrics import intervals
from automl.study.study import Study


def judge(
    original: Original, study: Study, record: CompressionRecord, name: str, screen: Screen
) -> dict[str, Any] | None:
    """Evaluate a variant on the test set, once: if it was evaluated before, return that result.

    Args:
        original: what the variant was made of.
        study: open; its ledger counts the models that were evaluated on the test set.
        record: where the result goes.
        name: of the variant.
        screen: shows that the test set is evaluated.

    Returns:
        `metric`, `value` and its `interval`; `original`, its score on the same rows; `gain` and `gain_interval` of the
        paired bootstrap; `rows`; `looks`, how many models have been evaluated on the test set so far. None where there
        is no test set, or the metric has no value on it.
    """
    holdout, before = original.holdout, record.test(name)
    if before is not None or not holdout.test_rows or holdout.undefined("test"):
        return before
    assert study.path is not None
    if study.verdict is None or not study.verdict.get("test"):  # then the original was not evaluated yet
        verdict.record_test_evaluation(study, "best", screen)
    bundle = record.bundle(name)
    looks = verdict.record_test_evaluation(study, str(bundle.relative_to(study.path)), screen)
    ours, theirs = holdout.sample(bundle, "test"), holdout.sample(original.bundle, "test")
    gain, between = intervals.difference(ours, theirs, sign=original.sign)
    found = {
        "metric": f"test_{holdout.name}", "value": ours.value,
        "interval": list(intervals.interval(ours, like=holdout.sample(record.scored(name), "val"))),
        "original": theirs.value, "gain": gain, "gain_interval": list(between), "rows": holdout.test_rows,
        "looks": looks, "metrics": holdout.metrics(bundle, "test"),
    }  # fmt: skip
    record.add_test(name, found)
    return found


def publish(record: CompressionRecord, name: str, test: dict[str, Any] | None) -> Path:
    """Copy the bundle of a variant to `compressed/best`, with its test score in manifest and card; returns it."""
    best = record.folder / "best"
    new = plain.empty(best.with_name(".best.new"))
    plain.copy(record.bundle(name), new)
    if test is not None:
        low, high = test["gain_interval"]
        writing.add_scores(new, test["metrics"] | {test["metric"]: test["value"]}, {test["metric"]: test["interval"]}, [
            "", "## How good it is", "",
            f"- {test['metric']} {test['value']:.6g}, 95 % interval {test['interval'][0]:.6g} to"
            f" {test['interval'][1]:.6g}, on {test['rows']} test rows.",
            f"- The original has {test['original']:.6g} on the same rows: change {test['gain']:+.4g}, 95 % interval"
            f" {low:+.4g} to {high:+.4g} (above 0 is better).",
        ])  # fmt: skip
    ensemble.replace(new, best)
    return best
