"""How far a search is, in a word."""

from automl.study.reader import Readable


def state(study: Readable, *, driven: bool) -> str:
    """`running`, `paused`, `ended`, or `incomplete`: nothing drives it, and `automl resume` goes on.

    `driven`: whether a process drives it now.
    """
    if driven:
        return "running" if study.history.live.paused is None else "paused"
    plan, counts = study.plan, study.counts
    spent = (plan.trials is not None and counts.begun >= plan.trials) or study.verdict is not None
    spent = spent or (plan.steps is not None and study.history.steps_spent >= plan.steps)
    spent = spent or (plan.time_s is not None and study.elapsed_s >= plan.time_s)
    return "ended" if spent and not counts.running else "incomplete"
