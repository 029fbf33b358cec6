"""`follow`: every new file in a folder is an update, for ever; killed at any moment, it goes on where it was."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from automl.errors import SpecError
from automl.updating.attempt import attempt, recover
from automl.updating.journal import Journal, digest_of
from automl.updating.options import Options
from automl.updating.place import Place
from automl.updating.update import Outcome, Say

UNFINISHED = (".part", ".tmp", ".crdownload", "~")
"""Files whose names end so are still being written."""


def follow(
    where: str | Path, folder: str | Path, options: Options | None = None, say: Say | None = None, *,
    every_s: float = 5.0, once: bool = False, sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Outcome]:  # fmt: skip
    """Update a model with every file of a folder, in the order of their names, and go on looking for new ones.

    A file is known by its content: it is used once, also after a kill, and under another name. A file that cannot be
    used is noted with the reason and left. One that is being written is left until its size stays the same.

    Args:
        where: a study or a saved model.
        folder: that files are put into.
        options: how to update.
        say: gets sentences about what happens.
        every_s: seconds between two checks.
        once: use what is there, then end.
        sleep: called with the seconds to wait.

    Yields:
        What came of each file, once it is written down.

    Raises:
        SpecError: there is no such folder.
        AutoMLError: the model cannot be updated at all.
    """
    options, place, folder = options or Options(), Place.of(Path(where)), Path(folder)
    options.check()
    if not folder.is_dir():
        raise SpecError(f"--follow: {str(folder)!r} is no folder")
    recover(place)
    sizes: dict[Path, tuple[int, int]] = {}
    while True:
        for file in sorted(folder.iterdir()):
            if not file.is_file() or file.name.startswith(".") or file.name.endswith(UNFINISHED):
                continue
            stat = file.stat()
            now = (stat.st_size, stat.st_mtime_ns)
            if not once and sizes.get(file) != now:
                sizes[file] = now  # perhaps it is still being written
                continue
            if Journal(place).known(digest_of(file), options.how) is None:
                outcome = attempt(place, options, say or (lambda _: None), partial(Path, file), file.name)
                if outcome is not None:
                    yield outcome
        if once:
            return
        sleep(every_s)
