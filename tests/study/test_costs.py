"""What training takes: measured by workers, facts of the ledger, shown, and used where time is the only budget."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from automl_strategies.surrogates.drawbacks.pace import PaceModel
from automl_strategies.surrogates.observations import haste, observations

import automl
from automl.core.history import History
from automl.core.space import Float, Space
from automl.core.trial import Cost, Plan, State
from automl.study import paths, spent
from automl.testing.stress import replay
from automl.view.pages.trial import text
from automl.worker.meter import Meter

SPACE = {"x": automl.Float(0, 1), "y": automl.Float(0, 1)}


def test_costs_add_up() -> None:
    both = Cost(1.0, 2, 0.5).plus(Cost(3.0, 1, 0.25, 10.0))
    assert both == Cost(4.0, 3, 0.5, 10.0)
    assert Cost(1.0).plus(None) == Cost(1.0)


def train(trial: automl.Trial) -> None:
    for step in trial.steps(2):
        trial.report(step, loss=trial["x"])


def test_every_attempt_is_paid_and_a_study_that_is_opened_again_knows_it(tmp_path: Path) -> None:
    study = automl.search(train, space=SPACE, metric="loss", trials=4, executor="inline", path=tmp_path / "s")
    costs = [t.cost for t in study.history.trials]
    assert [cost and cost.steps for cost in costs] == [2] * 4
    assert all(cost is not None and cost.seconds > 0 for cost in costs)
    view = automl.Study.open(tmp_path / "s")
    assert [t.cost for t in view.history.trials] == costs
    assert view.history.paid == study.history.paid
    assert list(replay.problems(tmp_path / "s")) == []
    assert " of training, " in text(view, 0, 100)


def test_a_copy_cut_at_any_fact_has_the_costs_up_to_there(tmp_path: Path) -> None:
    automl.search(train, space=SPACE, metric="loss", trials=3, executor="inline", path=tmp_path / "s")
    from automl.study.ledger.ledger import Ledger

    ledger = Ledger.read_only(tmp_path / "s")
    kinds = [fact[1] for fact in ledger.in_order()]
    ledger.close()
    ends = [k for k, kind in enumerate(kinds) if kind == "end"]
    assert [kinds[k - 1] for k in ends] == ["edit"] * len(ends)  # one transaction: neither is there without the other


def test_repair_keeps_costs(tmp_path: Path) -> None:
    from automl.study.ledger.repair import repair

    study = automl.search(train, space=SPACE, metric="loss", trials=3, executor="inline", path=tmp_path / "s")
    repair(tmp_path / "s", tmp_path / "new")
    assert (tmp_path / "new" / paths.LEDGER).is_file()
    assert automl.Study.open(tmp_path / "new").history.paid == study.history.paid


class Nvml:
    """A stand-in for pynvml: two GPUs whose counters go up by 2 J with each look."""

    NVMLError = RuntimeError

    def __init__(self, *, counts: bool = True) -> None:
        self.counts, self.millijoules = counts, 0

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, k: int) -> int:
        return k

    def nvmlDeviceGetMigMode(self, handle: int) -> tuple[int, int]:
        return 0, 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if not self.counts:
            raise RuntimeError("not supported")
        self.millijoules += 2000
        return self.millijoules


def test_energy_is_that_of_the_workers_gpus_times_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert Meter(("cuda:1",), share=0.5, nvml=Nvml()).read()["joules"] == 1.0
    assert Meter(("cuda:0", "cuda:1"), nvml=Nvml()).read()["joules"] == 8.0
    assert "joules" not in Meter(("cuda:0",), nvml=Nvml(counts=False)).read()
    assert Meter(("cpu",)).read().keys() == {"seconds"}


def test_what_a_search_has_cost(tmp_path: Path) -> None:
    study: Any = SimpleNamespace(
        history=SimpleNamespace(paid=[(0, Cost(1800.0, 90, 1.25, 7200.0)), (1, Cost(1800.0, 90, 1.0, 7200.0))]),
        plan=Plan(),
        facts={"price": 2.5},
    )
    assert spent.of_search(study) == "1h00m of training, 20 s per epoch, 1.25 GiB, 4 Wh, price 2.5"
    assert spent.document(spent.total(study), 2.5) == {
        "seconds": 3600.0, "steps": 180, "peak_gib": 1.25, "joules": 14400.0, "money": 2.5,
    }  # fmt: skip
    study.facts = {}
    study.history.paid = [(0, Cost(1.0))]
    assert spent.of_search(study) == ""


def history(plan: Plan, seconds: Any, trials: int = 20) -> History:
    found = History(Space.of({"x": Float(0, 1), "y": Float(0, 1)}), plan=plan)
    for k in range(trials):
        config = found.space.sample(found.rng(0, "random"))
        number = found.begin(config, at_s=float(k)).number
        found.point(number, 1, float(config["y"] or 0))  # type: ignore[arg-type]
        found.end(number, State.DONE, at_s=k + 1.0)
        found.pay(number, Cost(seconds(config), 1))
    return found


def slow(config: Any) -> float:
    return float(20 ** config["x"])


def test_time_counts_only_where_it_is_the_only_budget_and_less_and_less() -> None:
    assert haste(history(Plan(time_s=38.0), slow), 20) == 0.5
    assert haste(history(Plan(time_s=38.0), slow), 1) == 1.0
    assert haste(history(Plan(time_s=38.0, trials=100), slow), 20) == 0.0
    assert haste(history(Plan(trials=100), slow), 20) == 0.0


def test_seconds_are_predicted_where_they_follow_from_the_config() -> None:
    data = observations(history(Plan(time_s=1000.0), slow))
    model = PaceModel.of(data)
    assert model is not None
    cheap, dear = model.cheapness(np.array([[0.1, 0.5], [0.9, 0.5]]))
    assert cheap - dear == pytest.approx(data.haste * 0.8 * np.log(20), rel=0.2)
    rng = np.random.default_rng(0)
    assert PaceModel.of(observations(history(Plan(time_s=1000.0), lambda _: rng.uniform(1, 20)))) is None
    assert PaceModel.of(observations(history(Plan(time_s=1000.0), lambda _: 1.0))) is None
    assert PaceModel.of(observations(history(Plan(trials=100), slow))) is None


@pytest.mark.parametrize("name", ["gp", "quick_gp", "forest"])
def test_cheap_configs_come_first_where_time_is_the_budget(name: str) -> None:
    from automl.core import plugins

    def mean_x(plan: Plan) -> float:
        found = history(plan, slow, 30)
        configs = plugins.make("strategies", name).suggest(found, 4)
        return float(np.mean([config["x"] for config in configs]))

    assert mean_x(Plan(time_s=3000.0)) < mean_x(Plan(time_s=3000.0, trials=1000))
