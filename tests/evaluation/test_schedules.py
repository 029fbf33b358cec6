"""A schedule of several configs is repeated part by part, also where schedules begin alike."""

from automl.core.history import History
from automl.core.space import Float, Space
from automl.core.strategy import Heir
from automl.core.trial import Plan, Stage, State, origin_of, schedule_of
from automl.evaluation.schedules import Parts, Repeat, ended, key

SPACE = Space.of({"x": Float(0, 1)})
ALONE = (Stage({"x": 0.1}),)
TWICE = (Stage({"x": 0.1}, 2), Stage({"x": 0.2}))
THRICE = (Stage({"x": 0.1}, 2), Stage({"x": 0.2}, 3), Stage({"x": 0.3}))


def trained(repeat: Repeat, *, fails: int | None = None, lanes: int = 100) -> History:
    """All runs, each up to its pause or its end, at most `lanes` at once; trial `fails` fails instead."""
    history, stopper = History(SPACE, plan=Plan(horizon=4)), Parts(repeat)
    for _ in range(100):
        for number, reason in stopper.drop(history).items():
            history.end(number, State.STOPPED, reason=reason)
        if not (room := min(lanes, stopper.room(history) or 0)):
            return history
        for config in repeat.suggest(history, room):
            parent = (config.of, history.trials[config.of].step) if isinstance(config, Heir) else None
            history.begin(config, origin=origin_of(parent) if parent else "")
        for record in list(history.running):
            for step in range(record.step + 1, 5):
                history.point(record.number, step, 1.0)
                if step < 4 and stopper.verdict(history, record.number).kind == "pause":
                    history.pause(record.number)
                    break
            else:
                history.end(record.number, State.FAILED if record.number == fails else State.DONE)
    raise AssertionError("it does not end")


def test_every_schedule_is_trained_as_often_as_there_are_seeds() -> None:
    for lanes in (1, 100):
        repeat = Repeat((THRICE, ALONE, TWICE), 2)
        runs = trained(repeat, lanes=lanes)
        assert len(runs) == 2 * 6
        for schedule in repeat.schedules:
            found = ended(runs, schedule)
            assert [t.state for t in found] == [State.DONE] * 2
            assert [key(schedule_of(runs.trials, t.number)) for t in found] == [key(schedule)] * 2
            assert [repeat.seed(runs, t) for t in found] == [0, 1], "the same seeds for all schedules"
        assert repeat.left(runs) == 0
        assert all("went on as trial" in t.reason for t in runs.stopped)


def test_a_part_that_fails_ends_its_run_alone() -> None:
    repeat = Repeat((TWICE, (Stage({"x": 0.4}),)), 1)
    runs = trained(repeat, fails=2)
    assert runs.trials[2].parent == (0, 2)
    assert [t.state for t in ended(runs, TWICE)] == [State.FAILED]
    assert [t.state for t in ended(runs, repeat.schedules[1])] == [State.DONE]


def test_plain_configs_need_no_parts() -> None:
    repeat = Repeat.of(({"x": 0.1}, {"x": 0.4}), 2)
    assert not repeat.in_parts
    history = History(SPACE)
    assert [c["x"] for c in repeat.suggest(history, 10)] == [0.1, 0.4, 0.1, 0.4]
    history.begin({"x": 0.1})
    assert [c["x"] for c in repeat.suggest(history, 2)] == [0.4, 0.1]
