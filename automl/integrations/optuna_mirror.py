"""The logger "optuna": a search in an Optuna storage while it runs, for optuna-dashboard and Optuna's own plots.

It reads the ledger as another process would, so the storage is never ahead of what a killed search has kept; and it
writes in a thread of its own, so a slow storage delays no trial. A trial has the same number here and there.
"""

import secrets
import threading
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core.trial import TrialRecord
from automl.errors import EnvironmentProblem, SpecError
from automl.integrations.optuna_journal import frozen, journal, quiet
from automl.study.live.following import Followed
from automl.study.reader import Readable
from automl.study.trials import Trials

if TYPE_CHECKING:
    import optuna

FACT = "optuna_mirror"
"""The study's fact that names its mirror, {"id": ..., "name": ...}; the study in the storage has the id, too."""
ID, NUMBER = "automl_id", "automl_trial"
WAIT_S = 60.0
"""So long the end of a search waits for what was not written yet."""


class OptunaMirror:
    """A logger that keeps a copy of the search in an Optuna storage.

    Args:
        storage: a URL of Optuna's (`sqlite:///optuna.db`, `postgresql://...`), or the path of a journal file.
        every_s: seconds between two looks at the ledger.

    Raises:
        EnvironmentProblem: optuna is not installed.

    Example:
        automl.search("space.yaml", loggers=[{"name": "optuna", "storage": "journal.log"}])
    """

    def __init__(self, storage: str, every_s: float = 1.0) -> None:
        self.storage, self.every_s = storage, every_s
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: Exception | None = None

    def begin(self, study: Readable) -> None:
        """Open the storage, and find there what earlier sessions have written.

        Raises:
            SpecError: the study has no folder, or the storage cannot be opened.
        """
        if study.path is None:
            raise SpecError("a mirror is written from a study's folder; give the study a path")
        with closing(Followed(study.path)) as followed:
            known = followed.facts.get(FACT)
        with quiet():
            storage = _storage(self.storage)
            chosen = _chosen(storage, study.path.name, known)
            if isinstance(study, Trials):
                study.keep_facts({FACT: chosen})  # first, so that a killed search finds its mirror again
            copy = Copy(study.path, _opened(storage, study, chosen))
        self._thread = threading.Thread(target=self._run, args=(copy,), name="optuna mirror", daemon=True)
        self._thread.start()

    def _run(self, copy: "Copy") -> None:
        try:
            while not self._ending.wait(self.every_s):
                copy.bring_up_to_date()
            copy.bring_up_to_date()
        except Exception as error:
            self._problem = error

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Tell what has gone wrong since; the thread sees the trial itself."""
        if self._problem is not None:
            raise self._problem

    def finish(self, study: Readable, outcome: str) -> None:
        """Wait for what is not written yet.

        Raises:
            EnvironmentProblem: the storage is too slow; `automl resume` with the same storage goes on.
        """
        self._ending.set()
        if self._thread is None:
            return
        self._thread.join(WAIT_S)
        if self._problem is not None:
            raise self._problem
        if self._thread.is_alive():
            raise EnvironmentProblem(f"{self.storage} is behind; resume the study with the same storage to go on")


class Copy:
    """The copy of a study as a study of Optuna's, brought up to date again and again.

    Args:
        path: the study's folder.
        target: where the copy is; empty, or what an earlier copy of the same study has written.

    Raises:
        SpecError: `target` has other trials.
    """

    def __init__(self, path: Path, target: "optuna.Study") -> None:
        self.study = Followed(path)
        self.began = datetime.now() - timedelta(seconds=self.study.elapsed_s)
        self.storage, self.id = target._storage, target._study_id
        self.ids: list[int] = []  # of Optuna's trials, by number
        self.written: list[tuple[str, int]] = []  # their states, and the last steps of their curves
        for theirs in sorted(self.storage.get_all_trials(self.id, deepcopy=False), key=lambda one: one.number):
            if theirs.number != len(self.ids) or theirs.user_attrs.get(NUMBER) != theirs.number:
                raise SpecError(f"{target.study_name}: trial {theirs.number} in the storage is none of this study's")
            self.ids.append(theirs._trial_id)
            self.written.append((theirs.state.name, max(theirs.intermediate_values, default=-1)))
        self._whole = True

    def bring_up_to_date(self) -> int:
        """Write what is new in the ledger; returns how many trials were written."""
        changed: Iterable[TrialRecord] = self.study.look()
        if self._whole:  # what an earlier session left open
            changed, self._whole = list(self.study.history.trials), False
        written = 0
        for record in changed:
            if record.number < len(self.ids):
                written += self._update(record)
        for record in self.study.history.trials[len(self.ids) :]:
            self._create(record)
            written += 1
        return written

    def _create(self, record: TrialRecord) -> None:
        """Write a whole trial at once, which is one transaction of the storage."""
        made = frozen(self.study, record, self.began)
        left_out = () if made.state.is_finished() else ("state", "reason")  # attributes cannot be taken back
        kept = {name: value for name, value in made.user_attrs.items() if name not in left_out}
        made.user_attrs = {**kept, NUMBER: record.number}
        made._validate()
        self.ids.append(self.storage.create_new_trial(self.id, template_trial=made))
        self.written.append((made.state.name, record.step if record.curve else -1))

    def _update(self, record: TrialRecord) -> bool:
        """Bring a trial up to date that is there; one that has ended there stays as it is."""
        import optuna

        state, step = self.written[record.number]
        id, made = self.ids[record.number], frozen(self.study, record, self.began)
        if optuna.trial.TrialState[state].is_finished() or (made.state.name, record.step) == (state, max(step, 0)):
            return False
        for at, value in made.intermediate_values.items():
            if at > step:
                self.storage.set_trial_intermediate_value(id, at, value)
        if made.state.is_finished():
            for name, value in made.user_attrs.items():
                self.storage.set_trial_user_attr(id, name, value)
        if made.state.name != state:
            self.storage.set_trial_state_values(id, made.state, made.values)
        self.written[record.number] = (made.state.name, record.step if record.curve else -1)
        return True


def _storage(given: str) -> "optuna.storages.BaseStorage":
    """The storage at a URL, or in a journal file."""
    import optuna

    try:
        return optuna.storages.get_storage(given) if "://" in given else journal(Path(given))
    except Exception as error:  # of any database's driver
        raise SpecError(f"optuna storage {given!r}: cannot be opened ({type(error).__name__}: {error})") from error


def _chosen(storage: "optuna.storages.BaseStorage", name: str, known: Any) -> dict[str, str]:
    """The study's fact: what an earlier session wrote, if that is still the mirror's; else a name that is free."""
    there = {study.study_name: study for study in storage.get_all_studies()}
    if isinstance(known, dict) and isinstance(known.get("id"), str) and isinstance(known.get("name"), str):
        found = there.get(known["name"])
        theirs = None if found is None else found.user_attrs.get(ID)
        if found is None or theirs == known["id"] or (theirs is None and not storage.get_n_trials(found._study_id)):
            return {"id": known["id"], "name": known["name"]}
    names = (name if k == 1 else f"{name}-{k}" for k in range(1, len(there) + 2))
    return {"id": secrets.token_hex(8), "name": next(one for one in names if one not in there)}


def _opened(storage: "optuna.storages.BaseStorage", study: Readable, chosen: dict[str, str]) -> "optuna.Study":
    """Optuna's study of that name, a new one where there is none.

    Raises:
        SpecError: it has other objectives.
    """
    import optuna

    objectives = study.history.objectives.metrics
    ways = [metric.direction for metric in objectives]
    target = optuna.create_study(storage=storage, study_name=chosen["name"], directions=ways, load_if_exists=True)
    if [way.name.lower() for way in target.directions] != ways:
        raise SpecError(f"{chosen['name']}: the study in the storage has other objectives; take another storage")
    target.set_metric_names([metric.name for metric in objectives])
    target.set_user_attr(ID, chosen["id"])
    return target
