"""A study that another process drives, read on while it grows: each look reads only what is new."""

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.core.live.edits import LIMITS
from automl.core.trial import TrialRecord
from automl.errors import LedgerError
from automl.study import paths
from automl.study.ledger import kinds
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.replay import Replay
from automl.study.ledger.schema import REPAIR, SINCE, Fact, check_version, translated
from automl.study.live import since
from automl.study.reader import StudyView
from automl.study.safety import LOG

BASIS = ("space", "metric", "objectives", "choose", "seed")
"""Facts with which a history begins: where one changes, all is read again."""
SETTLED_S = 0.1
"""A file that was changed so shortly before a look may change once more without a later time of change."""


class Followed(StudyView):
    """A study opened for reading whose history grows with its ledger. The file is open only during a look.

    It may be used in several threads, one after the other.

    Attributes:
        generation: grows when all was read again, because the ledger is another one or its basis was changed.
        edits: the requests that were carried out, and what they have changed: facts, the newest last.

    Raises:
        LedgerError: there is no study at `path`, it has not begun yet, or its ledger is damaged.

    Example:
        study = Followed(Path("studies/digits"))
        while True:
            time.sleep(1)
            for number in study.look():
                print(study.history.trials[number])
    """

    generation = 0
    edits: list[Fact]

    def __init__(self, path: Path) -> None:
        self._stamp = self._stamped(path)
        self._looked_s = time.time()
        super().__init__(path)
        self.ledger.close()

    def _read(self, path: Path) -> None:
        super()._read(path)
        self._seq = since.last(self.ledger.db)
        self._version = check_version(self.ledger.db, path / paths.LEDGER)
        self.edits = _asked(self.ledger.in_order("edit")) if self._version >= SINCE["edits"] else []
        self._replay = Replay(self.history, {}, {})

    @staticmethod
    def _stamped(path: Path) -> tuple[object, ...]:
        """What changes when the ledger does: which file it is, sizes and times of it and of its write-ahead log."""
        found: list[object] = []
        for name in (paths.LEDGER, LOG):
            try:
                status = (path / name).stat()
                found += [status.st_ino, status.st_size, status.st_mtime_ns]
            except OSError:
                found.append(None)
        return tuple(found)

    @property
    def _settled(self) -> bool:
        """Whether a change since the last look would be seen in the files' times."""
        times = [one for one in self._stamp[2::3] if isinstance(one, int)]
        return all(self._looked_s - one / 1e9 > SETTLED_S for one in times)

    def look(self) -> list[TrialRecord]:
        """Read what is new.

        Returns:
            the trials that have changed, by number; all, where all was read again (see `generation`).

        Raises:
            LedgerError: the ledger is gone or damaged; what was known stays, and the next look tries again.
        """
        assert self.path is not None
        stamp, now_s = self._stamped(self.path), time.time()
        if stamp == self._stamp and self._settled:
            return []
        with (
            translated(self.path / paths.LEDGER, reading=True),
            closing(Ledger.read_only(self.path, scan=False)) as ledger,
            since.moment(ledger.db),
        ):
            facts = ledger.facts()
            kinds.require(facts, REPAIR)
            version = check_version(ledger.db, self.path / paths.LEDGER)
            grown = stamp[:1] == self._stamp[:1] and self._version == version >= SINCE["edits"]
            new = self._new(ledger) if grown and not self._differs(facts) else None
        changed = self._anew() if new is None else self._take(new, facts)
        self._stamp, self._looked_s = stamp, now_s
        return changed

    def _differs(self, facts: dict[str, Any]) -> bool:
        """Whether the history would begin in another way now; limits of the budget can change while it goes on."""
        plans = [{k: v for k, v in given["plan"].items() if k not in LIMITS} for given in (facts, self.facts)]
        return plans[0] != plans[1] or any(facts.get(name) != self.facts.get(name) for name in BASIS)

    def _anew(self) -> list[TrialRecord]:
        assert self.path is not None
        generation = self.generation + 1
        vars(self).update(vars(Followed(self.path)), generation=generation)
        return list(self.history.trials)

    def _new(self, ledger: Ledger) -> list[Fact] | None:
        """The facts since the last look; None where some of them could not be used."""
        if self._seq < 0:
            return None
        live = [t.number for t in (*self.history.running, *self.history.paused)]
        return since.facts(ledger.db, self._seq, len(self.history), live)

    def _take(self, new: list[Fact], facts: dict[str, Any]) -> list[TrialRecord]:
        """Bring new facts into the history; returns the trials that have changed."""
        history, known = self.history, self._seq
        self._seq = -1  # until all went well
        try:
            for fact in new:
                self._replay.take(fact)
        except LedgerError:
            raise
        except Exception as error:  # rows may hold anything
            raise LedgerError(f"the ledger's content is damaged ({error!r}); {REPAIR}") from error
        self._seq = new[-1][0] if new else known
        edits = [fact for fact in new if fact[1] == "edit"]
        self.edits += _asked(edits)
        if facts["plan"] != self.facts["plan"]:
            history.plan = replace(history.plan, **{name: facts["plan"][name] for name in LIMITS})
        self.facts = facts
        self._elapsed_s = max([self._elapsed_s, *(fact[5] for fact in new)])
        named = [kinds.edit(fact[3], REPAIR).get("trial", -1) for fact in edits]
        return [history.trials[n] for n in sorted({*(fact[2] for fact in new), *named} - {-1})]


def _asked(edits: Iterable[Fact]) -> list[Fact]:
    """Those that somebody has asked for: what attempts have cost has no source."""
    return [fact for fact in edits if fact[4]]
