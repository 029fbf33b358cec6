"""Objects in stores (s3://, gs://, hf://, http://, ...), through fsspec; what fails is tried again."""

import io
import re
import time
from collections.abc import Callable
from functools import cache
from typing import IO, Any, TypeVar, cast

from automl.errors import AutoMLError, DataError, EnvironmentProblem

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
TRIES = 4
"""How often a store is asked."""
WAIT_S = 0.5
"""Before it is asked again; twice as long before each further time."""
BUFFER = 2**20
"""Bytes that are read at once."""
Stored = tuple[str, int, str]
"""(address, bytes or -1, what changes with each version) of an object."""
T = TypeVar("T")


@cache
def file_system(protocol: str) -> Any:
    """The store of a protocol; keys and addresses are those of its package (AWS_..., FSSPEC_S3_ENDPOINT_URL).

    Raises:
        DataError: there is no such protocol.
        EnvironmentProblem: the package that reads such a store is missing.
    """
    import fsspec  # type: ignore[import-untyped]

    try:
        return fsspec.filesystem(protocol)
    except ImportError as error:
        raise EnvironmentProblem(
            f"data: reading {protocol}:// needs a package that is missing ({error}): pip install 'automl-search[cloud]'"
        ) from error
    except ValueError as error:
        raise DataError(f"data: {protocol}:// is not known; such as s3://, gs://, hf://, http:// are") from error


def _of(url: str) -> tuple[Any, str]:
    """(the store, the path in it) of an address."""
    store = file_system(url.partition("://")[0].lower())
    return store, store._strip_protocol(url)


def _asked(url: str, ask: Callable[[], T]) -> T:
    """What a store answers.

    Raises:
        FileNotFoundError: there is no such object.
        EnvironmentProblem: it has failed several times.
    """
    for number in range(TRIES):
        try:
            return ask()
        except (FileNotFoundError, AutoMLError):
            raise
        except Exception as error:  # each store has errors of its own
            if number + 1 == TRIES:
                raise EnvironmentProblem(f"data: {url} cannot be read ({TRIES} tries): {error}") from error
        time.sleep(WAIT_S * 2**number)
    raise AssertionError


def about(url: str) -> Stored:
    """What a store says of an object now.

    Raises:
        FileNotFoundError, EnvironmentProblem: see `_asked`.
    """
    store, path = _of(url)
    store.invalidate_cache()
    info = _asked(url, lambda: store.info(path))
    return url, _size(info), _stamp(info)


def _size(info: dict[str, Any]) -> int:
    return -1 if info.get("size") is None else int(info["size"])


def _stamp(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "version_id", "LastModified", "last_modified", "mtime", "updated", "created"):
        if value := info.get(key):
            return f"{key}={value.timestamp() if hasattr(value, 'timestamp') else value}"
    return ""


def below(url: str) -> tuple[str, list[Stored]]:
    """(the address that all of them begin with, the objects at an address, below it, or that fit its pattern).

    Raises:
        EnvironmentProblem: the store has failed several times.
    """
    store, path = _of(url)
    marks = [path.find(mark) for mark in "*[" if mark in path]
    root = path[: min(marks)].rpartition("/")[0] if marks else path
    try:
        if marks:
            found = _asked(url, lambda: store.glob(path, detail=True))
        elif url.lower().startswith("http") or _asked(url, lambda: store.isfile(path)):
            return url, [about(url)]
        else:
            found = _asked(url, lambda: store.find(path, detail=True))
    except FileNotFoundError:
        return url, []
    shown = []
    for name, info in sorted(found.items()):
        hidden = any(part[:1] in "._" for part in name.removeprefix(root).strip("/").split("/") if part)
        if info.get("type", "file") == "file" and not hidden:
            shown.append((store.unstrip_protocol(name), _size(info), _stamp(info)))
    return store.unstrip_protocol(root), shown


def opened(url: str) -> IO[bytes]:
    """An object for reading, from any place on.

    Raises:
        FileNotFoundError, EnvironmentProblem: see `_asked`.
    """
    store, path = _of(url)
    return cast("IO[bytes]", io.BufferedReader(_Object(url, _asked(url, lambda: store.open(path, "rb"))), BUFFER))


class _Object(io.RawIOBase):
    """An open object whose reads are tried again."""

    def __init__(self, url: str, opened: Any) -> None:
        self._url, self._opened = url, opened

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._opened.seek(offset, whence))

    def tell(self) -> int:
        return int(self._opened.tell())

    def readinto(self, buffer: Any) -> int:
        place = self._opened.tell()

        def read() -> bytes:
            self._opened.seek(place)
            content: bytes = self._opened.read(len(buffer))
            return content

        content = _asked(self._url, read)
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._opened.close()
        super().close()
