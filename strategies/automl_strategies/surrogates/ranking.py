"""Ranks trials that were stopped at different steps.

Losses are compared only at equal steps. First the trials are ordered by their losses at the first step at which any
trial was stopped. Then those that reached the next such step are reordered among themselves by their losses there, and
so on; last come the trials of full length, by the loss that they are ranked by. So a trial that passed a rung although
it was bad there (to test the rung, or as part of a control sample) does not count as good because it got far; and
after correct cuts the order is that in which the trials were cut.

With several objectives or limits, places among the trials at a step stand for losses, and those among all trials of
full length (`History.score`).
"""

from collections.abc import Iterable, Mapping

import numpy as np

from automl.core.history import History
from automl.core.trial import State, TrialRecord

MOST_STEPS = 12
"""Steps at which trials are compared; of more (a stopper may stop at any step), evenly spaced ones are used."""

LEAST = 3
"""Trials with a loss that a model needs, however many others failed."""


def rank_trials(history: History, trials: Iterable[TrialRecord] | None = None) -> list[TrialRecord]:
    """Those of `trials` (None: of all done, stopped and paused ones) that have reported, the best first."""
    among = history.of(State.DONE, State.STOPPED, State.PAUSED) if trials is None else trials
    order = sorted((t for t in among if t.loss is not None and t.curve), key=lambda t: _first_order(history, t))
    cut = sorted({t.step for t in order if t.state is not State.DONE})
    if not cut:
        return order
    spread = np.linspace(0, len(cut) - 1, min(len(cut), MOST_STEPS)).round().astype(int)
    for k in spread:
        order = _reordered(order, history.losses_at(cut[k]))
    return _reordered(order, {t.number: history.score(t) for t in order if t.state is State.DONE})


def _reordered(order: list[TrialRecord], losses: Mapping[int, float]) -> list[TrialRecord]:
    """`order`, with the trials in `losses` sorted by these on the places that they hold together."""
    places = [k for k, t in enumerate(order) if t.number in losses]
    ranked = sorted((order[k] for k in places), key=lambda t: losses[t.number])
    result = list(order)
    for place, trial in zip(places, ranked, strict=True):
        result[place] = trial
    return result


def _first_order(history: History, t: TrialRecord) -> tuple[bool, int, float, int]:
    """Full trials by their score, then the others by how far they got, which is all that is known of single steps."""
    done = t.state is State.DONE
    return (not done, 0 if done else -t.step, history.score(t), t.number)
