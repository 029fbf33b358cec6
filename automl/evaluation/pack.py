"""Pack: a search whose result is not one model but the best ones together, with no training after it.

While trials train, a greedy ensemble is chosen again and again from the models of those that have ended (after every
`EVERY` of them). Where it stops getting better, or the time is used up, the search ends; trials that still run then
count with their best epoch so far. The ensemble is the winner, `studies/NAME/ensemble/`; it alone is evaluated on the
test rows, once. The best single model stays in `best/`. The idea: Gorishniy et al. 2026, "TabPack" (arXiv 2607.05380).

The ledger has what was found after every `EVERY` trials (fact "pack"), so that a search that was killed ends where it
would have ended.
"""

import hashlib
import json
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl import metrics
from automl.core.trial import State, TrialRecord
from automl.driver.screen import NullScreen, Screen
from automl.evaluation import ensemble_selection, verdict
from automl.evaluation.ensemble_selection import Choice, validation_outputs
from automl.evaluation.finalists import holdout_of
from automl.evaluation.holdout import Holdout
from automl.leaderboard import words
from automl.metrics import intervals
from automl.study import paths, winner
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask

if TYPE_CHECKING:
    from torch import Tensor

FACT = "pack"
EVERY = 8
"""The ensemble is chosen again each time this number of trials has ended."""
GAIN = 0.01
"""An ensemble is better if its error (for accuracy and the like: the distance to 1) is lower by this share."""
KEPT_SHARE, KEPT_S, SAVED_S = 0.03, 0.5, 0.05
"""This share of the time, and at least so many seconds, are kept for the last choice and the test rows; and so many
seconds for each trial whose model is saved when the time ends."""


@dataclass(frozen=True)
class PackOptions:
    """How a pack is made.

    Attributes:
        models: the maximum size of the ensemble; a model that is taken twice counts twice.
        patience: the search ends after this number of further trials without a better ensemble.
    """

    models: int = 32
    patience: int = 40


@dataclass
class Pack:
    """The ensemble of one search, while it runs and at its end.

    Attributes:
        study: the search; `begin` is called before it is driven.
        task: what it trains.
        options: how large the ensemble is, and when the search ends.
        screen: where progress is shown.
    """

    study: Study
    task: BuiltinTask
    options: PackOptions = field(default_factory=PackOptions)
    screen: Screen = field(default_factory=NullScreen)
    _holdout: Holdout | None = None
    _outputs: "dict[str, Tensor]" = field(default_factory=dict)
    _choice_s: float = 0.0
    _loading: "Future[Holdout] | None" = None
    _loading_since: float = 0.0

    def begin(self) -> None:
        """Before the search, or its continuation: do what a killed driver left undone."""
        self.study.budget.pack = True
        self.study.budget.kept_s = self._kept_s
        self._conclude_if_enough()
        if self._ended >= EVERY * (len(self._found) + 1) and not self.study.budget.concluded:
            self._choose_again()
            self._conclude_if_enough()

    def trial_ended(self, study: Study, record: TrialRecord) -> None:
        """Tidy up after a trial that ended; after every `EVERY`-th one the ensemble is chosen again."""
        winner.keep_best(study, record)
        if record.state is State.DONE and self._ended % EVERY == 0 and not self.study.budget.concluded:
            self._choose_again()
            self._conclude_if_enough()

    def finish(self) -> None:
        """After the search: write the ensemble, evaluate it on the test rows, and write the verdict down."""
        study, pool = self.study, self._pool()
        assert study.path is not None
        if not pool:
            self.screen.note("pack: no ensemble, as no trial left a model that can be averaged")
            return
        asked = {"models": sorted(pool), "size": self.options.models}
        single = next(t for t in study.ranked(study.pool) if _name(t.number) in pool)
        if study.verdict is None or study.verdict["asked"] != asked:
            choice = self._choice(pool)
            members = ensemble_selection.write(study.path / paths.ENSEMBLE, pool, choice)
            self._judge(choice, members, single, asked)
        assert study.verdict is not None
        winner.promote(study, single, pool[_name(single.number)], study.verdict)

    # -- while the search runs -----------------------------------------------------------------------------------------

    @property
    def _ended(self) -> int:
        """How many trials have ended with a model."""
        return self.study.history.count(State.DONE)

    @property
    def _found(self) -> list[dict[str, Any]]:
        """What the ledger has: {trials: that had ended, models: in the ensemble, value: on the validation rows}."""
        return list(self.study.facts.get(FACT, []))

    def _choose_again(self) -> None:
        study, pool = self.study, self._pool()
        if not pool:
            return
        best, choice = self._better(), self._choice(pool)
        made = {"trials": self._ended, "models": len(choice.weights), "value": choice.value}
        study.keep_facts({FACT: [*self._found, made]})
        if self._better() != best:
            name, value = study.metric.name, words.number(choice.value)
            models = words.plural(len(choice.weights), "model")
            self.screen.note(f"ensemble of {models} of {self._ended} trials: {name} {value}")

    def _pool(self) -> dict[str, Path]:
        """The models to choose from, by name; none of language models, whose outputs are too large to be kept."""
        found = {_name(number): path for number, path in winner.pool(self.study).items()}
        return found if found and (self.study.verdict or self._rows().kind != "next_token") else {}

    def _choice(self, pool: dict[str, Path]) -> Choice:
        begun, holdout = time.perf_counter(), self._rows()
        for name, path in pool.items():
            if name not in self._outputs:
                self._outputs[name] = validation_outputs(path, holdout)
        choice = ensemble_selection.choose({n: self._outputs[n] for n in sorted(pool)}, holdout, self.options.models)
        self._choice_s = time.perf_counter() - begun
        return choice

    def _rows(self) -> Holdout:
        """The validation and test rows, loaded when they are needed first, or in the meantime."""
        if self._holdout is None:
            self._holdout = holdout_of(self.task) if self._loading is None else self._loading.result()
        return self._holdout

    def _load_in_the_meantime(self) -> None:
        """Begin to load the rows in a thread, so that no time has to be kept for it."""
        self._loading = Future()
        threading.Thread(target=self._load, args=(self._loading,), daemon=True).start()
        self._loading_since = time.monotonic()

    def _load(self, loading: "Future[Holdout]") -> None:
        try:
            loading.set_result(holdout_of(self.task))
        except BaseException as error:  # raised where the rows are needed
            loading.set_exception(error)

    def _better(self) -> dict[str, Any] | None:
        """The last of the ensembles found that was better than the one before by at least `GAIN`."""
        last = None
        for made in self._found:
            if last is None or self._error(made) < (1 - GAIN) * self._error(last):
                last = made
        return last

    def _error(self, made: dict[str, Any]) -> float:
        metric = self.study.metric
        _, most = metrics.bounds(metric.name)
        value = float(made["value"])
        return most - value if metric.direction == "maximize" else abs(value)

    def _conclude_if_enough(self) -> None:
        better = self._better()
        if better is not None and self._found[-1]["trials"] - better["trials"] >= self.options.patience:
            why = f"{self.options.patience} further trials have not made the ensemble better"
            if not self.study.budget.concluded:
                self.screen.note(f"the search ends: {why} (pack.patience)")
            self.study.budget.concluded = why

    def _kept_s(self) -> float:
        """How long the last models, the last choice and the evaluation on test rows will take."""
        plan, trials = self.study.plan, self.study.history.trials
        if plan.time_s is None:
            return 0.0
        if trials and self._holdout is None and self._loading is None:
            self._load_in_the_meantime()
        load_s = 0.0
        if self._loading is not None and not self._loading.done():
            took_s = time.monotonic() - self._loading_since
            load_s = min(max(trials[0].started_s - took_s, 0.1 * took_s), plan.time_s / 4)
        saved_s = SAVED_S * len(self.study.history.running) / max(plan.workers, 1)
        kept_s = max(KEPT_SHARE * plan.time_s, KEPT_S, 2 * self._choice_s) + saved_s + load_s
        return min(kept_s, plan.time_s / 3)

    # -- the verdict ---------------------------------------------------------------------------------------------------

    def _judge(self, choice: Choice, members: dict[str, Path], single: TrialRecord, asked: dict[str, Any]) -> None:
        """Evaluate the ensemble on the test rows, and write down what was found."""
        from automl.bundle.ensemble import average

        study, holdout, weights = self.study, self._rows(), choice.weights
        kept = (self._outputs[name] for name in weights)
        val = holdout.sample_of(average(kept, list(weights.values()), holdout.kind), "val")
        result = verdict.verdict_of_pack(study, single, val.value, asked)
        result["ensemble"] = ensemble_selection.described(holdout, choice, val.value)
        if holdout.test_rows:
            digest = hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest()[:8]
            result["looks"] = verdict.record_test_evaluation(study, f"{paths.ENSEMBLE}-{digest}", self.screen)
            reason, value, interval, told = holdout.undefined("test"), None, None, dict[str, float]()
            if not reason:
                outputs = ensemble_selection.outputs_of(holdout, members, weights, "test")
                test, told = holdout.sample_of(outputs, "test"), holdout.metrics_of(outputs, "test")
                value, interval = test.value, list(intervals.interval(test, like=val))
            result["test"] = {
                "metric": f"test_{holdout.name}", "value": value, "interval": interval, "undefined": reason,
                "rows": holdout.test_rows, "metrics": told,
            }  # fmt: skip
            result["ensemble"]["test"] = value
        self._describe(result)
        verdict.record(study, result)

    def _describe(self, result: dict[str, Any]) -> None:
        """Add the scores of all together to the ensemble's manifest and card."""
        from automl.bundle import card
        from automl.bundle.compressed.writing import add_scores

        study, test = self.study, result["test"]
        assert study.path is not None
        val, scored = result["ensemble"]["val"], test is not None and test["value"] is not None
        lines = ["", f"{result['ensemble']['models']} models answer together.", "", "## How good it is", ""]
        lines += [f"- {study.metric.name} {val:.6g}, by which it was chosen.", *card.tested(test)]
        scores = {study.metric.name: val, **(test["metrics"] | {test["metric"]: test["value"]} if scored else {})}
        add_scores(study.path / paths.ENSEMBLE, scores, {test["metric"]: test["interval"]} if scored else {}, lines)


def _name(trial: int) -> str:
    """What the model of a trial is called in the ensemble."""
    return f"t{trial:04d}"
