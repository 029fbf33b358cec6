"""`update`: a model learns from new rows; what comes of it answers only if it is not worse."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.core import files
from automl.data import further
from automl.data.further import Labelled
from automl.errors import AutoMLError, DataError, did_you_mean
from automl.updating import batches, versions
from automl.updating.batches import Batch
from automl.updating.challengers.round import Round
from automl.updating.champion import OLD, Champion, new_classes, old_rows, open_champion, split_new, unknown_values
from automl.updating.journal import Entry, Journal, digest_of, locked
from automl.updating.options import AUTO, Options
from automl.updating.place import Place
from automl.updating.text import described

LEAST = 20
"""Fewer new rows than this are no update: too few could be held out."""
CONFIDENCE = 0.95
Say = Callable[[str], None]


class Fresh(ABC):
    """Rows with true answers that a server has collected; each of its answers has a number.

    Attributes:
        digest: of the content.
        name: for people.
        origin: the id of the server's database.
        until: the highest number; the journal has it from the moment on that the rows were used.
    """

    digest: str
    name: str
    origin: str
    until: int

    @abstractmethod
    def rows(self, preparation: Mapping[str, Any], classes: list[Any]) -> tuple[Any, list[str]]:
        """The rows as `automl.data.further.read` takes them, and sentences about what is left out."""


@dataclass(frozen=True)
class Outcome:
    """What came of an update.

    Attributes:
        entry: as the journal has it: rows, tries with their comparisons, the version that was promoted.
        version: that answers now.
        again: whether these rows were known already, so that nothing was done.
        notes: sentences for the user.
    """

    entry: Entry
    version: int
    again: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def promoted(self) -> int | None:
        """The new version; None where the champion stays."""
        number: int | None = self.entry["promoted"]
        return number


def update(where: str | Path, data: Any, options: Options | None = None, say: Say | None = None) -> Outcome:
    """Update a model with new rows.

    The rows are read by the model's own schema. The latest part of them is held out. In each way that is tried, a
    challenger is made; the first one that loses at most `lose` on old and on new rows that were held out (paired
    bootstrap, 95 % sure over all tries) becomes the next version and answers.

    Args:
        where: a study, or a saved model.
        data: a file; a DataFrame with the true answers in it; or `(x, y)` arrays. Rows of a server: see
            `automl.updating.feedback`.
        options: how.
        say: gets sentences about what happens.

    Returns:
        What came of it; also where the champion stays.

    Raises:
        DataError: the rows cannot be read, or are too few.
        AutoMLError: the model cannot be updated.

    Example:
        >>> outcome = automl.update("studies/flowers", "new.csv")
        >>> outcome.promoted, outcome.entry["tries"]
    """
    options, place = options or Options(), Place.of(Path(where))
    options.check()
    with locked(place):
        return Update(place, options, say or (lambda _: None)).run(data)


class Update:
    """One process's work on a model's versions; it holds the lock.

    Args:
        place: of the model.
        options: how to update.
        say: gets sentences about what happens.
    """

    def __init__(self, place: Place, options: Options, say: Say) -> None:
        self.place, self.options, self.say = place, options, say
        self.journal = Journal(place)
        versions.settle(place, self.journal)

    def run(self, data: Any, name: str = "") -> Outcome:
        """See `update`; `name` is that of the rows, for people."""
        digest, name = _digest(data, name)
        if (entry := self.journal.known(digest, self.options.how)) is not None:
            if self._used(data):
                self.journal.commit()
            return Outcome(entry, self._current, again=True)
        champion = open_champion(self.place, trust=self.options.trust, base=self.options.base)
        self._remember_search(champion)
        left_out: list[str] = []
        if isinstance(fresh := data, Fresh):
            data, left_out = fresh.rows(champion.model.preparation, champion.model.classes)
        found = further.read(data, champion.model.preparation, champion.spec)
        if len(found) < LEAST:
            raise DataError(f"{name}: {len(found)} rows are too few for an update; {LEAST} are needed")
        new = Batch.new(digest, found, split_new(found, self.options.hold_out))
        notes = [*left_out, *self._notes(champion, found)]
        for note in notes:
            self.say(note)
        self._used(fresh)
        return self._tried(champion, new, name, notes)

    def _used(self, data: Any) -> bool:
        """Let the journal's next commit say that a server's answers were used; whether that is any."""
        if isinstance(data, Fresh):
            self.journal.content.setdefault("feedback", {})[data.origin] = data.until
            return True
        return False

    @property
    def _current(self) -> int:
        assert self.journal.current is not None
        return self.journal.current

    def _remember_search(self, champion: Champion) -> None:
        """Keep the rows of the search, once."""
        if OLD in self.journal.content["batches"]:
            return
        found, held = old_rows(champion, self.options.old, trust=self.options.trust)
        batch = Batch.new(OLD, found, held)
        for part in (True, False):
            if not (batch.held == part).any():
                raise DataError("the old rows have none to learn from, or none that are held out")
        batches.write(self.place.rows(OLD), self._bounded([batch])[0])
        self.journal.content["batches"].append(OLD)
        self.journal.commit()

    def _notes(self, champion: Champion, found: Labelled) -> list[str]:
        notes = [*found.notes, *(f"{message}: treated as unknown until `retrain`" for message in
                                 unknown_values(champion, found))]  # fmt: skip
        if champion.model.kind == "classification":
            more = new_classes(champion.model.classes, found.y)
            if more:
                some = ", ".join(map(repr, more[:5]))
                notes.append(f"new class{'es' * (len(more) > 1)} of {champion.model.preparation['target']['name']!r}: "
                             f"{some}; the challenger gets an output for each")  # fmt: skip
        return notes

    def _bounded(self, several: list[Batch]) -> list[Batch]:
        """At most as many rows as are kept; each batch keeps its place."""
        most = self.options.keep_rows
        learned = {b.digest: b for b in batches.sample(several, most, held=False)}
        held = {b.digest: b for b in batches.sample(several, most // 4, held=True)}
        return [batches.joined(learned.get(b.digest), held.get(b.digest)) for b in several
                if b.digest in learned or b.digest in held]  # fmt: skip

    def _tried(self, champion: Champion, new: Batch, name: str, notes: list[str]) -> Outcome:
        """Try the ways, compare, and write down what came of it."""
        before = [batches.read(self.place.rows(d)) for d in self.journal.content["batches"] if d != new.digest]
        ways = AUTO if self.options.how == "auto" else (self.options.how,)
        sure = 1 - (1 - CONFIDENCE) / len(ways)
        this = Round(champion, new, before, self.options, self.place)
        entry: Entry = {
            "digest": new.digest, "file": name, "how": self.options.how, "parent": self._current,
            "rows": {"learned": int((~new.held).sum()), "held": int(new.held.sum())}, "notes": notes, "tries": [],
            "promoted": None, "refused": None,
        }  # fmt: skip
        for way in ways:
            tried, bundle = this.attempt(way, sure)
            entry["tries"].append(tried)
            self.say(described(tried))
            if tried["passed"] and bundle is not None:
                entry["promoted"] = versions.next_number(self.journal)
                self._add(champion, entry, tried, bundle)
                break
        self._commit(entry, [*before, new])
        return Outcome(entry, self._current, notes=notes)

    def _add(self, champion: Champion, entry: Entry, tried: Entry, bundle: Path) -> None:
        """Bring the challenger to its place as a version; it counts once the journal is written."""
        rows = {"digest": entry["digest"], "file": entry["file"], **entry["rows"]}
        parent = self.journal.version(entry["parent"])
        lineage = {"version": entry["promoted"], "how": tried["how"], "rows": rows,
                   "parent": {"version": parent["version"], "manifest": parent["manifest"]}}  # fmt: skip
        found = versions.describe(bundle, self.place.bundle, lineage, tried["metrics"])
        target = self.place.version(entry["promoted"])
        files.delete(target)
        bundle.rename(target)
        self.journal.add_version({**lineage, "parent": parent["version"], "metrics": tried["metrics"],
                                  "spec": parent["spec"], "manifest": found})  # fmt: skip

    def _commit(self, entry: Entry, several: list[Batch]) -> None:
        kept = self._bounded(several)
        new = next((b for b in kept if b.digest == entry["digest"]), None)
        if new is not None:
            batches.write(self.place.rows(new.digest), new)
        self.journal.updates.append(entry)
        order = self.journal.content["batches"]
        if entry["digest"] not in order:
            order.append(entry["digest"])
        stay = {b.digest for b in kept}
        self.journal.content["batches"] = [d for d in order if d in stay]
        self.journal.commit()
        versions.settle(self.place, self.journal)
        self._shrink(several, kept)
        files.delete(self.place.work)

    def _shrink(self, several: list[Batch], kept: list[Batch]) -> None:
        """Delete rows that fell out of the sample; a kill here costs nothing but room."""
        left = {b.digest: b for b in kept}
        for batch in several:
            if batch.digest not in left:
                self.place.rows(batch.digest).unlink(missing_ok=True)
            elif len(left[batch.digest].held) < len(batch.held):
                batches.write(self.place.rows(batch.digest), left[batch.digest])

    def check_model(self) -> None:
        """Check that the model itself can be updated, whatever the rows.

        Raises:
            AutoMLError: it cannot; then no file is to blame.
        """
        self._remember_search(open_champion(self.place, trust=self.options.trust, base=self.options.base))

    def refuse(self, data: Any, name: str, error: AutoMLError) -> Outcome:
        """Write down that rows cannot be used, so that they are not tried again."""
        digest, name = _digest(data, name)
        entry = {"digest": digest, "file": name, "how": self.options.how, "parent": self._current, "rows": None,
                 "notes": [], "tries": [], "promoted": None, "refused": str(error)}  # fmt: skip
        self.journal.updates.append(entry)
        self._used(data)
        self.journal.commit()
        return Outcome(entry, self._current)


def _digest(data: Any, name: str) -> tuple[str, str]:
    """(by which rows are known, their name)."""
    if isinstance(data, Fresh):
        return data.digest, data.name
    if isinstance(data, str | Path):
        path = Path(data).expanduser()
        if not path.is_file():
            near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else [])
            raise DataError(f"no file {str(data)!r} of new rows{near}")
        return digest_of(path), name or path.name
    import hashlib

    content = hashlib.sha256()
    if isinstance(data, pd.DataFrame):
        content.update(",".join(map(str, data.columns)).encode())
        content.update(pd.util.hash_pandas_object(data.astype(str), index=False).to_numpy().tobytes())
        return content.hexdigest()[:16], name or "a DataFrame"
    for array in data:
        content.update(np.ascontiguousarray(np.asarray(array)).astype(str).tobytes())
    return content.hexdigest()[:16], name or "arrays"
