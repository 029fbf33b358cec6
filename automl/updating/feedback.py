"""New rows from a server: what it was asked, where it was told to keep that, with the true answers that came later."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.errors import BundleError, DataError, SpecError, did_you_mean
from automl.serving.models.store import Store
from automl.serving.watching.kept_rows import FILE, Answered, Reader
from automl.updating.attempt import attempt, recover
from automl.updating.journal import Journal, locked
from automl.updating.options import Options
from automl.updating.place import Place
from automl.updating.update import LEAST, Fresh, Outcome, Say, Update


@dataclass(frozen=True)
class Answers(Fresh):
    """A batch of rows with their answers.

    Attributes:
        origin: the id of the server's database.
        requests: in the order of their predictions.
        digest: of all of them.
        name: for people.
        until: the highest number; rows up to it are never used again.
    """

    origin: str
    requests: list[Answered]
    digest: str
    name: str
    until: int

    @classmethod
    def new(cls, origin: str, requests: list[Answered]) -> "Answers":
        """The batch of these requests."""
        content = hashlib.sha256()
        for one in requests:
            rows = one.rows.tobytes() if isinstance(one.rows, np.ndarray) else json.dumps(one.rows).encode()
            content.update(rows + json.dumps(one.answers).encode())
        numbers = [one.number for one in requests]
        name = f"feedback {min(numbers)} to {max(numbers)}"
        return cls(origin, requests, content.hexdigest()[:16], name, max(numbers))

    def rows(self, preparation: Mapping[str, Any], classes: list[Any]) -> tuple[Any, list[str]]:
        """The rows as `automl.data.further.read` takes them for a model, and sentences about what is left out.

        Answers that are none of the model's classes count from 20 rows on: a single one is rather a slip.

        Raises:
            DataError: nothing is left.
        """
        notes: list[str] = []
        requests = self.requests
        if preparation["form"] == "table":
            needed = {str(column["name"]) for column in preparation["columns"]}
            requests = [one for one in requests if needed <= one.rows.keys()]
            if lacking := sum(len(one.answers) for one in self.requests) - sum(len(one.answers) for one in requests):
                notes.append(f"{lacking} rows of versions with other columns are left out")
        answers: list[Any] = [answer for one in requests for answer in one.answers]
        keep = np.array([answer is not None for answer in answers], dtype=bool)
        if preparation["target"]["kind"] == "classification":
            keep &= _told(answers, classes, notes)
        if not keep.any():
            raise DataError(f"{self.name}: no row has an answer that the model can learn from")
        return _joined(preparation, requests, answers, keep), notes


def _told(answers: list[Any], classes: list[Any], notes: list[str]) -> Any:
    """[N] whether an answer is a class of the model, or one that is given often."""
    known = {str(label) for label in classes}
    often = Counter(str(answer) for answer in answers if answer is not None)
    rare = [label for label, count in often.items() if label not in known and count < LEAST]
    if rare:
        some = ", ".join(map(repr, rare[:5]))
        notes.append(
            f"answers that are no class of the model, and given fewer than {LEAST} times, are left out: {some}"
        )
    return np.array([answer is not None and str(answer) not in rare for answer in answers], dtype=bool)


def _joined(preparation: Mapping[str, Any], requests: list[Answered], answers: list[Any], keep: Any) -> Any:
    """One DataFrame with the target in it, or (x, y)."""
    form, places = preparation["form"], np.flatnonzero(keep)
    y = np.empty(len(answers), dtype=object)
    y[:] = answers
    if form == "table":
        names = list(requests[0].rows)
        columns = {name: [cell for one in requests for cell in one.rows[name]] for name in names}
        frame = pd.DataFrame(columns).assign(**{str(preparation["target"]["name"]): y})
        return frame.iloc[places].reset_index(drop=True)
    labels = y[places]
    if preparation["target"]["kind"] != "classification":
        labels = labels.astype(np.float64)
    if form == "text":
        texts = np.empty(len(answers), dtype=object)
        texts[:] = [text for one in requests for text in one.rows]
        return texts[places], labels
    arrays = [one.rows.reshape(len(one.answers), *preparation["shape"]) for one in requests]
    return np.concatenate(arrays)[places], labels


@dataclass(frozen=True)
class Service:
    """The feedback of one served model.

    Attributes:
        reader: of the server's database.
        model: its name there.
    """

    reader: Reader
    model: str

    @classmethod
    def of(cls, path: Path, place: Place, model: str | None = None) -> "Service":
        """The served model that was made from `place`.

        Args:
            path: the server's folder of state, or the file of feedback in it.
            place: of the model that is updated.
            model: its name at the server; None: the one that is served from `place`, or the only one.

        Raises:
            SpecError: there is no feedback, or it is not clear whose.
        """
        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise SpecError(f"{str(path)!r} is no folder of state of `automl serve` (--state)")
        reader = Reader(file)
        traffic = Store(file.parent).traffic()
        names = sorted({*traffic, *reader.models()})
        if model is not None:
            if model not in names:
                raise SpecError(f"--model: no model {model!r} is served there{did_you_mean(model, names)}")
            return cls(reader, model)
        own = {path.resolve() for path in (place.bundle, place.study) if path is not None}
        same = [name for name, one in traffic.items() if own & {Path(v["source"]).resolve() for v in one["versions"]}]
        for candidates in (same, names):
            if len(candidates) == 1:
                return cls(reader, candidates[0])
        raise SpecError(f"name the served model with --model: {', '.join(same or names) or 'none is served there'}")

    def used(self, place: Place) -> int:
        """The number of the last answer that was used."""
        return int(Journal(place).content.get("feedback", {}).get(self.reader.origin, 0))

    def fresh(self, place: Place) -> int:
        """How many rows have got answers since."""
        return self.reader.count(self.model, self.used(place))

    def answers(self, place: Place) -> Answers:
        """All of them."""
        return Answers.new(self.reader.origin, list(self.reader.answered(self.model, self.used(place))))


def kept_in(path: Path) -> bool:
    """Whether a path is a server's folder of state, or the file of feedback in it."""
    return (path / FILE).is_file() or path.name == FILE


def update(
    where: str | Path, service: str | Path, options: Options | None = None, say: Say | None = None, *,
    model: str | None = None,
) -> Outcome:  # fmt: skip
    """Update a model with the answered rows of a server that have not been used yet.

    Args:
        where: a study or a saved model.
        service: the server's folder of state, or the file of feedback in it.
        options: how to update.
        say: gets sentences about what happens.
        model: its name at the server, where that is not clear.

    Raises:
        DataError: too few rows have an answer.
        AutoMLError: the model cannot be updated.
    """
    options, place = options or Options(), Place.of(Path(where))
    options.check()
    source = Service.of(Path(service), place, model)
    with locked(place):
        if (count := source.fresh(place)) < LEAST:
            raise DataError(f"{count} new rows have got their true answers; {LEAST} are needed for an update")
        return Update(place, options, say or (lambda _: None)).run(source.answers(place))


def follow(
    where: str | Path, service: str | Path, options: Options | None = None, say: Say | None = None, *,
    model: str | None = None, at_least: int = 200, every_s: float = 5.0, once: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Outcome]:  # fmt: skip
    """Update a model each time enough further rows have got their true answers.

    Each answer is used once, also after a kill: the journal says up to which one, in the same write as the outcome.

    Args:
        where, service, options, say, model: see `update`.
        at_least: new answers that make an update.
        every_s: seconds between two checks.
        once: use what is there, then end.
        sleep: called with the seconds to wait.

    Yields:
        What came of each update, once it is written down.

    Raises:
        AutoMLError: the model cannot be updated at all, or it is not clear whose feedback it is.
    """
    options, place = options or Options(), Place.of(Path(where))
    options.check()
    if at_least < LEAST:
        raise SpecError(f"--at-least: {at_least} rows are too few for an update; {LEAST} are needed")
    source = Service.of(Path(service), place, model)
    recover(place)
    while True:
        if source.fresh(place) >= at_least:
            answers = partial(source.answers, place)
            outcome = attempt(place, options, say or (lambda _: None), answers, "the feedback", (BundleError,))
            if outcome is not None:
                yield outcome
        if once:
            return
        sleep(every_s)
