"""The journal of a model's versions: one JSON file, replaced as a whole, which is all that is known after a kill.

versions   one entry each: version, parent, how it was made, rows (digest, file), metrics, spec, manifest, made
updates    one entry for each batch of rows and way: digest, file, how, rows, tries (numbers), promoted, refused
batches    digests of the rows that are kept, in order of arrival; the first ones are those of the search
current    the version that answers
feedback   {id of a server's database: number of the last of its answers that was used}
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.core import files
from automl.errors import BundleError, SpecError
from automl.study.ledger.lock import DriverLock
from automl.updating.place import Place

Entry = dict[str, Any]
EMPTY: Mapping[str, Any] = {"schema": 1, "current": None, "versions": [], "updates": [], "batches": []}


class Journal:
    """What `journal.json` says; `commit` writes it.

    Attributes:
        content: see above.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.content: Entry = deepcopy(dict(EMPTY))
        if place.journal.is_file():
            try:
                self.content = json.loads(place.journal.read_bytes())
                assert self.content["schema"] == 1
            except (ValueError, KeyError, TypeError, AssertionError) as error:
                raise BundleError(f"{place.journal}: not a journal of versions this automl can read") from error

    @property
    def versions(self) -> list[Entry]:
        """All versions, the oldest first."""
        found: list[Entry] = self.content["versions"]
        return found

    @property
    def updates(self) -> list[Entry]:
        """All updates, the oldest first."""
        found: list[Entry] = self.content["updates"]
        return found

    @property
    def current(self) -> int | None:
        """The version that answers."""
        found: int | None = self.content["current"]
        return found

    def version(self, number: int) -> Entry:
        """The entry of a version.

        Raises:
            SpecError: there is none of that number.
        """
        for entry in self.versions:
            if entry["version"] == number:
                return entry
        known = ", ".join(str(entry["version"]) for entry in self.versions) or "none"
        raise SpecError(f"there is no version {number} (versions: {known})")

    def known(self, digest: str, how: str) -> Entry | None:
        """The update with rows of this digest that was done in this way; None where there was none."""
        return next((u for u in self.updates if u["digest"] == digest and u["how"] == how), None)

    def add_version(self, entry: Entry) -> None:
        """Add a version, with the time, and let it answer."""
        self.versions.append({**entry, "made": datetime.now(UTC).isoformat(timespec="seconds")})
        self.content["current"] = entry["version"]

    def commit(self) -> None:
        """Write everything at once; before it nothing has happened, after it everything has."""
        self.place.folder.mkdir(parents=True, exist_ok=True)
        files.write(self.place.journal, json.dumps(self.content, indent=1).encode())


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Keep other processes from updating the same model inside the block.

    Raises:
        LedgerError: another one does.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    lock = DriverLock.take(place.folder / "lock")
    try:
        yield
    finally:
        lock.release()


def digest_of(file: Path) -> str:
    """The digest by which the rows of a file are known."""
    import hashlib

    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
