"""What the driver keeps of its workers."""

from automl.core.messages import Assignment, Measured, Ready, Reported
from automl.driver.worker_table import WorkerState, WorkerTable


def report(*trials: int, note: str = "") -> Reported:
    return Reported(0, tuple(Measured(trial, 1, 1, {}) for trial in trials), note)


def test_a_trial_begins_when_its_worker_reports_without_it() -> None:
    """A worker that has several trials, but trains one at a time: the others wait for their turn."""
    state = WorkerState()
    state.assign([Assignment(0, {}), Assignment(1, {})], 10.0)
    assert state.begun_s == {0: 10.0, 1: 10.0}
    assert state.reported(report(0, note="fast"), 15.0) == 5.0
    assert (state.note, state.heard_s) == ("fast", 15.0)
    assert state.begun_s == {0: 10.0, 1: 15.0}, "trial 1 has not begun yet"
    state.reported(report(1), 18.0)
    assert state.begun_s == {0: 10.0, 1: 15.0}


def test_a_worker_starts_until_one_of_its_trials_has_reported() -> None:
    state = WorkerState()
    state.assign([Assignment(0, {}), Assignment(1, {})], 10.0)
    assert state.starting
    state.reported(report(1), 15.0)
    assert not state.starting
    state.assign([Assignment(2, {})], 16.0)
    assert not state.starting, "a lane beside others that train"
    state.ended(0)
    state.ended(1)
    assert state.starting


def test_a_trial_ends_once() -> None:
    state = WorkerState()
    state.assign([Assignment(4, {})], 0.0)
    assert state.ended(4) == Assignment(4, {})
    assert state.ended(4) is None
    assert (state.trials, state.begun_s, state.silent) == ({}, {}, set())


def test_a_note_on_slow_trials_is_due_again_with_new_trials_only() -> None:
    state = WorkerState(slow_noted=True)
    state.assign([], 1.0)
    assert state.slow_noted
    state.assign([Assignment(0, {})], 2.0)
    assert not state.slow_noted


def test_time_of_suspension_does_not_count() -> None:
    state = WorkerState()
    state.assign([Assignment(0, {})], 1.0)
    state.shift(3600.0)
    assert (state.heard_s, state.begun_s) == (3601.0, {0: 3601.0})


def test_the_worker_that_asked_first_is_answered_first() -> None:
    table = WorkerTable(3)
    assert table.longest_waiting() is None
    for worker in (2, 0, 1):
        table.asks(Ready(worker))
    assert table.longest_waiting() == 2
    table[2].waiting = None  # it has been answered
    assert table.longest_waiting() == 0
    table.replaced(0)
    assert table.longest_waiting() == 1
    assert table.any_waiting


def test_a_worker_that_joins_is_included() -> None:
    table = WorkerTable(1)
    table.include(0)
    assert len(table) == 1
    table.include(3)
    assert len(table) == 4


def test_a_worker_that_was_given_up_stays_so_when_its_process_ends() -> None:
    table = WorkerTable(2)
    table[0].given_up = True
    table[1].assign([Assignment(7, {})], 0.0)
    assert table.any_training
    assert table.replaced(1).trials.keys() == {7}
    assert not table.any_training
    table.replaced(0)
    assert table.usable == 1
