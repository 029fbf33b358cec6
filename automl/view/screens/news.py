"""`DataNews`: says once, before the first trial, what was decided about the data."""

from automl.data.summary.facts import FACT, of_study
from automl.study.reader import Readable
from automl.view.pages.data import Line, brief


class DataNews:
    """What a screen is to show when the data are loaded; a study that goes on has shown it before.

    Args:
        study: as it begins.
    """

    def __init__(self, study: Readable) -> None:
        self._known = study.facts.get(FACT)

    def lines(self, study: Readable) -> list[Line]:
        """Labelled sentences, once, as soon as they are known; empty before and afterwards."""
        facts = study.facts.get(FACT)
        if facts is None or facts == self._known:
            return []
        self._known = facts
        summary = of_study(study.facts)
        where = "" if study.path is None else str(study.path)
        return [] if summary is None else brief(summary, study.metric.name, where)
