"""Which trials are better than which, when they were stopped at different steps.

Losses are compared only at equal steps. The trials start in the order of their losses at the first step at which any
was stopped; those that reached the next such step exchange their places among themselves by their losses there, and
so on; trials of full length do so last, by what they are ranked by. So whoever passed a rung although it was bad
there (to test the rung, or by lot) does not count as good for having got far, and a chain of honest cuts gives the
order in which they were made.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from automl.core.history import History
from automl.core.trial import State, TrialRecord

MOST_STEPS = 12  # at which trials are compared; more (a rule that stops anywhere) are thinned out evenly


def by_merit(history: History, trials: Iterable[TrialRecord] | None = None) -> list[TrialRecord]:
    """Trials (all of `history` unless given) whose outcome is known so far, best first."""
    among = history.of(State.DONE, State.STOPPED, State.PAUSED) if trials is None else trials
    known = sorted((t for t in among if t.loss is not None and t.curve), key=_order)
    cut = sorted({t.step for t in known if t.state is not State.DONE})
    if not cut:
        return known
    spread = np.linspace(0, len(cut) - 1, min(len(cut), MOST_STEPS)).round().astype(int)
    for k in spread:
        known = _exchanged(known, history.losses_at(cut[k]))
    return _exchanged(known, {t.number: t.loss for t in known if t.state is State.DONE and t.loss is not None})


def _exchanged(order: list[TrialRecord], losses: Mapping[int, float]) -> list[TrialRecord]:
    """`order` in which the trials in `losses` have exchanged their places, the lowest loss first."""
    places = [k for k, t in enumerate(order) if t.number in losses]
    ranked = sorted((order[k] for k in places), key=lambda t: losses[t.number])
    found = list(order)
    for place, trial in zip(places, ranked, strict=True):
        found[place] = trial
    return found


def _order(t: TrialRecord) -> tuple[bool, int, float, int]:
    """Full trials by their loss, then whoever got farther; the start, and all there is to say of lonely steps."""
    done = t.state is State.DONE
    return (not done, 0 if done else -t.step, t.loss if t.loss is not None else 0.0, t.number)
