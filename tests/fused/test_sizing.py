"""Which trials train together, and how many of them."""

import json

import pytest

import automl
from automl.core.messages import ALIKE, Ready
from automl.driver.grouped import GroupedOrder
from automl.fused.problem import Entry
from automl.fused.report import EpochCost
from automl.fused.signature import MIXES, group, mixed_signature, signature
from automl.fused.sizing.lane_count import BucketTiming, LaneCountController
from automl.study.study import Study
from automl.tasks.fusing import mixes
from tests.fused.test_mixed import CONFIGS, F32, engine


def test_signatures_and_groups():
    one, other = CONFIGS[0], CONFIGS[3]
    assert mixed_signature(one, MIXES["mlp"]) == mixed_signature(other, MIXES["mlp"])
    assert signature(one) != signature(other)
    assert group(one, (), own_factory=False) == signature(one, own_factory=False)
    assert group(one, ()) == f"{signature(one)}/{signature(one)}"
    assert group(one, MIXES["mlp"]) == f"{mixed_signature(one, MIXES['mlp'])}/{signature(one)}"
    assert mixed_signature({**one, "embedding": 3}, MIXES["mlp"]) != mixed_signature(one, MIXES["mlp"])


def test_spaces_with_few_kinds_of_models_keep_them_apart():
    few = {"width": [16, 32], "optimizer": ["sgd", "adamw"], "lr": automl.Float(1e-4, 1.0)}
    many = {"width": automl.Int(16, 256), "lr": automl.Float(1e-4, 1.0)}
    assert mixes("mlp", automl.Space.of(few)) == ()
    assert mixes("mlp", automl.Space.of(many)) == MIXES["mlp"]
    assert mixes("convnet", automl.Space.of(many)) == ()
    assert mixes("own:build", automl.Space.of(many)) == ()


def test_a_worker_may_ask_for_a_group_or_for_a_part_of_it():
    space = {"a": automl.Choice([0, 1, 2, 3]), "x": automl.Float(0, 1)}
    study = Study(space, metric="loss", trials=200, defaults=False)
    order = GroupedOrder(study, lambda config: f"{config['a'] // 2}/{config['a']}")  # type: ignore[operator]
    order.begin(1)
    alike = order.ask(Ready(0, 16, fits=ALIKE))
    assert len(alike) > 1
    assert len({one.config["a"] for one in alike}) == 1
    idle = order.ask(Ready(0, 16))
    assert len({one.config["a"] // 2 for one in idle}) == 1  # type: ignore[operator]
    assert len({one.config["a"] for one in idle}) == 2
    assert {one.config["a"] for one in order.ask(Ready(0, 8, busy=True, fits="1"))} == {2, 3}
    assert {one.config["a"] for one in order.ask(Ready(0, 8, busy=True, fits="1/3"))} == {3}
    assert order.ask(Ready(0, 8, busy=True, fits="1/")) == []


def test_what_was_measured_is_remembered_by_the_next_worker(tmp_path):
    file = tmp_path / "lanes.json"
    first = engine("auto", dtype=F32, measurements=file)
    assert first.reason_to_run_alone(CONFIGS) is None
    first.admit([Entry(t, CONFIGS[t % 6], t, 3) for t in range(12)])
    assert first.target_lanes(CONFIGS[0]) == 16
    first.run_epoch()
    (kept,) = json.loads(file.read_text()).values()
    assert kept["mixed"]
    assert list(kept["costs"]) == ["16"]
    second = engine("auto", dtype=F32, measurements=file)
    assert second.policy.controller(CONFIGS).timings.keys() == {16}
    assert second.target_lanes(CONFIGS[0]) == first.target_lanes(CONFIGS[0]) == kept["lanes"] == 32
    file.write_text("{half a f")
    assert engine("auto", dtype=F32, measurements=file).target_lanes(CONFIGS[0]) == 16


def uniform_engine(file, step_seconds):
    """Lanes of one shape; a step of one lane takes `step_seconds(lanes)`."""
    e = engine("auto", dtype=F32, measurements=file, mixing=())
    e.policy.step_seconds = lambda blueprint, config, kind, data, lanes: step_seconds(lanes)
    return e


def test_a_second_worker_does_not_time_lanes_of_one_shape_again(tmp_path):
    file, timed = tmp_path / "lanes.json", []

    def step_seconds(lanes):
        timed.append(lanes)
        return 1e-3 / lanes

    measured = uniform_engine(file, step_seconds).policy.controller(CONFIGS[:1])
    assert timed == [1, 8]
    assert (measured.solo_s, measured.probed_s) == (1e-3, 1e-3 / 8)
    assert uniform_engine(file, step_seconds).policy.controller(CONFIGS[:1]) == measured
    assert timed == [1, 8]
    uniform_engine(file, step_seconds).policy.controller(CONFIGS[1:2])
    assert timed == [1, 8, 1, 8]
    assert len(json.loads(file.read_text())) == 2
    file.write_text(json.dumps({key: {"of": "another version"} for key in json.loads(file.read_text())}))
    uniform_engine(file, step_seconds).policy.controller(CONFIGS[:1])
    assert timed == [1, 8] * 3


def test_steps_are_timed_on_real_cohorts():
    controller = engine("auto", dtype=F32, mixing=()).policy.controller(CONFIGS[:1])
    assert controller.solo_s > controller.probed_s > 0


def test_what_an_older_version_measured_is_read():
    kept = {"lanes": 16, "probed_at": 8, "solo": 4e-3, "probed": 1e-3, "mixed": False, "first": 16, "lane_s": 0.1,
            "costs": {"16": 8e-4}}  # fmt: skip
    controller = LaneCountController.from_json(128, kept, epochs=5)
    assert controller == LaneCountController(128, 8, 4e-3, 1e-3, False, 16, 5, 0.1, 0.0, {16: BucketTiming(8e-4, 2)})
    assert controller.to_json() == {**kept, "costs": {16: 8e-4}}


def full(bucket, seconds, work):
    """The cost of an epoch of a full bucket."""
    return EpochCost(bucket, bucket, seconds, work)


def test_lanes_are_no_more_than_the_search_can_wait_for():
    controller = LaneCountController(128, first_lanes=8, epochs=20, lane_s=0.01)  # a trial among 16 lanes takes 3.2 s
    assert controller.may_wait(8)
    assert not controller.may_wait(16)
    assert not controller.record(EpochCost(8, 4, 0.04, 376))  # half empty: says nothing about costs
    assert controller.record(full(8, 0.08, 752))
    assert controller.target == 8
    for _ in range(200):
        controller.record(full(8, 0.08, 752))
    assert controller.target == 16  # 3.2 s is less than a quarter of 16 s
    impatient = LaneCountController(128, timings={16: BucketTiming(1e-3)}, epochs=0, lane_s=9.0)
    assert impatient.target == 32  # it does not matter how long a trial takes


def test_more_lanes_are_not_given_up_for_their_first_slow_epoch():
    controller = LaneCountController(128, first_lanes=16)
    controller.record(full(16, 1.0, 1000))
    assert controller.target == 32
    controller.record(full(32, 1.0, 1000))  # new memory: no cheaper than 16
    assert controller.target == 32
    controller.record(full(32, 0.8, 1000))
    assert controller.target == 64
    controller.record(full(64, 0.8, 1000))
    controller.record(full(64, 0.75, 1000))
    assert controller.target == 32
    again = LaneCountController.from_json(128, controller.to_json())
    assert again is not None
    assert again.target == 32


@pytest.mark.parametrize(
    ("fewer", "epochs", "first"),
    [(1.2, 1000, 4), (1.4, 1000, 8), (1.2, 1, 16)],  # (cost of a lane among 4 by that among 8, of a trial; lanes)
)
def test_lanes_are_few_where_a_full_trial_would_end_late_among_many(fewer, epochs, first):
    step_s = {1: 4e-3, 4: fewer * 1e-3, 8: 1e-3}
    controller = LaneCountController.measured(step_s.__getitem__, 10, 128, epochs)
    assert (controller.first_lanes, controller.probed_lanes) == (first, min(first, 8))
    assert controller.pays(first)


@pytest.mark.parametrize(
    ("lanes", "probed_s", "pays"),
    [(8, 0.83, True), (8, 0.84, False), (4, 0.41, True), (4, 0.42, False), (16, 0.83, True), (2, 0.01, False)],
)
def test_lanes_train_together_if_a_step_is_cheaper_by_a_fifth(lanes: int, probed_s: float, pays: bool) -> None:
    """One alone takes 1 s; of eight together each takes `probed_s`, and four cost as much as the eight rows."""
    controller = LaneCountController(max_lanes=64, probed_lanes=8, solo_s=1.0, probed_s=probed_s)
    assert controller.pays(lanes) is pays


def test_the_bucket_grows_up_to_max_lanes_itself():
    timings = {2: BucketTiming(1.0), 4: BucketTiming(0.5), 8: BucketTiming(0.25)}
    for most, target in ((8, 8), (7, 4), (4, 4)):
        assert LaneCountController(max_lanes=most, first_lanes=2, timings=timings.copy()).target == target
