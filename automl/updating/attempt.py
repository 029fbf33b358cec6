"""One update of a model that is followed: what cannot be used is written down, and the follower goes on."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from automl.errors import AutoMLError, LedgerError
from automl.updating.journal import Journal, locked
from automl.updating.options import Options
from automl.updating.place import Place
from automl.updating.update import Outcome, Say, Update
from automl.updating.versions import settle


def recover(place: Place) -> None:
    """Finish a swap that a kill interrupted; a process that updates now does it itself."""
    with suppress(LedgerError), locked(place):
        settle(place, Journal(place))


def attempt(
    place: Place, options: Options, say: Say, find: Callable[[], Any], name: str,
    through: tuple[type[Exception], ...] = (),
) -> Outcome | None:  # fmt: skip
    """Update with what `find` gives; rows that cannot be used are refused, so that they are not tried again.

    Args:
        place, options, say: see `Update`.
        find: gives the rows, called while this process holds the lock.
        name: of the rows, for people.
        through: further errors that are no fault of the rows.

    Returns:
        None where another process is at it: the rows wait for the next look.

    Raises:
        OSError: a file cannot be read or written.
        AutoMLError: the model itself cannot be updated, or one of `through`.
    """
    blameless: tuple[type[Exception], ...] = (LedgerError, OSError, *through)
    try:
        with locked(place):
            work, rows = Update(place, options, say), find()
            try:
                return work.run(rows)
            except blameless:
                raise
            except AutoMLError as error:
                work.check_model()
                return work.refuse(rows, "", error)
    except LedgerError as error:
        say(f"{name} waits: {error}")
        return None
