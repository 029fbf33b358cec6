"""The inbox: files by which people and programs ask a search for a change, and the answers to them.

A request is one file, `inbox/ID.json`, with the JSON that `requests` describes. It is written under another name and
renamed, so that it is never read half written. The driver answers with `inbox/ID.answer`, `{"ok": true, "done":
[...]}` or `{"ok": false, "error": "..."}`, and deletes the request. Whoever may write into the folder may ask.
"""

import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from automl.core import files
from automl.errors import EnvironmentProblem, SpecError
from automl.study import paths
from automl.study.live.requests import MOST_BYTES, Request

REQUEST, ANSWER = ".json", ".answer"
MOST = 1000
"""So many requests are read at once; the others wait."""
KEPT_S = 86_400
"""Seconds after which answers that nobody has read are deleted."""
LOOK_S = 0.02
READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def post(study: Path, wanted: Mapping[str, Any]) -> str:
    """Write a request into the inbox of the study in the folder `study`; returns its id.

    Raises:
        SpecError: it is no request.
        EnvironmentProblem: the folder cannot be written.
    """
    try:
        content = json.dumps(dict(wanted), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise SpecError(f"a request holds plain values only ({error})") from None
    Request.of(content)
    inbox, id = study / paths.INBOX, f"{time.time_ns()}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        files.refuse_links(inbox)
        inbox.mkdir(exist_ok=True)
        files.write(inbox / f"{id}{REQUEST}", content)
    except OSError as error:
        raise EnvironmentProblem(f"{inbox}: cannot write here ({error.strerror or error})") from error
    return id


def answer(study: Path, id: str, wait_s: float) -> dict[str, Any] | None:
    """Wait for the answer to the request `id` and delete it; None where there is none after `wait_s` seconds."""
    file, until = study / paths.INBOX / f"{id}{ANSWER}", time.monotonic() + wait_s
    while True:
        with suppress(OSError, ValueError):
            found = json.loads(file.read_bytes())
            file.unlink(missing_ok=True)
            return dict(found)
        if time.monotonic() >= until:
            return None
        time.sleep(LOOK_S)


def waiting(study: Path) -> Iterator[tuple[Path, bytes | SpecError]]:
    """The requests in the inbox, the oldest first: their files and contents, or what is wrong with them."""
    inbox = study / paths.INBOX
    try:
        if inbox.is_symlink():
            return
        found = sorted(entry.path for entry in os.scandir(inbox) if entry.name.endswith(REQUEST))
    except OSError:
        return
    for path in [Path(path) for path in found if not Path(path).name.startswith(".")][:MOST]:
        yield path, _content(path)


def _content(path: Path) -> bytes | SpecError:
    """What a file holds. Never followed: a link; never waited for: a pipe."""
    try:
        with open(os.open(path, READ), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return SpecError("a request is a file")
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        return SpecError(f"the request cannot be read ({error.strerror or error})")


def reply(request: Path, content: Mapping[str, Any]) -> None:
    """Answer the request in this file, and delete it."""
    with suppress(OSError):
        files.write(request.with_suffix(ANSWER), json.dumps(dict(content)).encode())
    files.delete(request)


def tidy(study: Path) -> None:
    """Delete answers that nobody has read for long."""
    with suppress(OSError):
        for entry in os.scandir(study / paths.INBOX):
            if entry.name.endswith(ANSWER) and time.time() - entry.stat(follow_symlinks=False).st_mtime > KEPT_S:
                Path(entry.path).unlink(missing_ok=True)
