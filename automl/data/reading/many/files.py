"""The files of a table: one, all below a folder, those that a pattern names, or objects of a store (s3://, http://).

Folders named `key=value` (Hive) give their files a column. Names that begin with `.` or `_` are passed over.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from automl.data.reading.images import SUFFIXES as IMAGES
from automl.data.reading.many import stores
from automl.data.reading.readers import TABLES, kind_of
from automl.errors import DataError, did_you_mean

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive calls a folder of rows without a value."""


@dataclass(frozen=True)
class File:
    """One file of a table.

    Attributes:
        path: absolute, or with the address of its store: `s3://bucket/part-0.parquet`.
        size: in bytes; -1: the store does not say it.
        stamp: what changes when the file is written again: the time of its last change, or what its store says.
        partition: the columns that the names of its folders give, with their values.
    """

    path: str
    size: int
    stamp: str
    partition: tuple[tuple[str, str | int | None], ...] = ()

    @property
    def name(self) -> str:
        """For messages: the last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def remote(self) -> bool:
        """Whether it lies in a store."""
        return bool(stores.URL.match(self.path))

    @property
    def kind(self) -> str:
        """The suffix that says what is in it, see `readers.kind_of`."""
        return kind_of(Path(self.name.partition("?")[0]))

    def open(self) -> IO[bytes]:
        """For reading bytes.

        Raises:
            DataError: it is gone, or is not what it was when it was found.
        """
        self.check()
        if not self.remote:
            return Path(self.path).open("rb")
        return stores.opened(self.path)

    def check(self) -> None:
        """Raise DataError where the file is gone, or is not what it was when it was found."""
        try:
            now = File(*stores.about(self.path)) if self.remote else _local(Path(self.path))
        except FileNotFoundError:
            raise DataError(f"data: {self.path} has vanished while the table was read") from None
        if (now.size, now.stamp) != (self.size, self.stamp):
            raise DataError(f"data: {self.path} was changed while the table was read; start again when it is complete")

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "File":
        """What `to_json` made."""
        return cls(data["path"], data["size"], data["stamp"], tuple((k, v) for k, v in data["partition"]))


def find(source: Any, base: Path) -> list[File] | None:
    """The files that `source` names, in the order of their names; None: it names no files of a table.

    Args:
        source: a path relative to `base`, a pattern ("parts/*.parquet", also with `**`), a folder, or an address.
        base: folder that relative paths start from.

    Raises:
        DataError: a pattern or an address fits no file, or its files are of several kinds.
        EnvironmentProblem: the package that reads such a store is missing.
    """
    if not isinstance(source, str | Path):
        return None
    text = str(source)
    if stores.URL.match(text):
        root, stored = stores.below(text)
        tables = [File(*one) for one in stored if len(stored) == 1 or _is_table(one[0].rpartition("/")[2])]
        return _checked(_with_partitions(tables, root), text)
    path = (base / text).expanduser()
    if path.is_file():
        return [_local(path)] if kind_of(path) in TABLES else None
    if path.is_dir():
        found = _below(path)
        return _checked(found, text) if found else None
    if not any(mark in text for mark in "*?["):
        return None
    above = Path(*_before_pattern(path))
    pattern = str(path.relative_to(above)) if path != above else "*"
    fitting = sorted(above.glob(pattern)) if above.is_dir() else []
    paths = [p for p in fitting if p.is_file() and _is_table(p.name) and not _hidden(p.relative_to(above))]
    if not paths:
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise DataError(f"data: no table fits {path}{near}")
    return _checked(_with_partitions([_local(p) for p in paths], str(above)), text)


def no_table(source: str | Path, base: Path) -> DataError:
    """The error for a source that names no files of a table."""
    path = (base / source).expanduser()
    if path.exists():
        return DataError(f"data: {source} is no table in files")
    near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
    return DataError(f"data: {source} does not exist{near}")


def _hidden(path: Path) -> bool:
    return any(part[:1] in "._" for part in path.parts)


def _before_pattern(path: Path) -> Iterable[str]:
    for part in path.parts:
        if any(mark in part for mark in "*?["):
            return
        yield part


def _is_table(name: str) -> bool:
    return name[:1] not in "._" and kind_of(Path(name)) in TABLES


def _below(folder: Path) -> list[File]:
    """The tables below a folder; none where there are images too."""
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[:1] not in "._")
        if any(Path(name).suffix.lower() in IMAGES for name in names):
            return []
        found += [_local(Path(here, name)) for name in sorted(names) if _is_table(name)]
    return _with_partitions(found, str(folder))


def _local(path: Path) -> File:
    stat = path.stat()
    return File(str(path.absolute()), stat.st_size, str(stat.st_mtime_ns))


def _checked(found: list[File], source: str) -> list[File]:
    """The files, if they are of one kind.

    Raises:
        DataError: there are none, or of several kinds.
    """
    if not found:
        raise DataError(f"data: no table fits {source}; readable: {', '.join(TABLES)}")
    kinds = {"parquet" if file.kind in (".parquet", ".pq") else "text": file for file in found}
    if len(kinds) > 1:
        some = " and ".join(file.name for file in kinds.values())
        raise DataError(f"data: {source} names files of several kinds ({some}); name those of one, as in *.parquet")
    return found


# -- folders named key=value ----------------------------------------------------------------------------------------


def _with_partitions(found: list[File], root: str) -> list[File]:
    """The files with the columns that their folders below `root` name; whole numbers as such, where all are."""
    keys = [_keys(file.path.removeprefix(root)) for file in found]
    names = [name for name, _ in keys[0]] if keys else []
    if not names:
        return found
    for file, own in zip(found, keys, strict=True):
        if [name for name, _ in own] != names:
            raise DataError(f"data: {file.path} lies in other folders key=value than {found[0].path} ({names})")
    whole = [all(own[k][1] is None or _is_whole(own[k][1]) for own in keys) for k in range(len(names))]
    text = found[0].kind not in (".parquet", ".pq")

    def typed(k: int, value: str | None) -> str | int | None:
        return int(value) if value is not None and whole[k] and not text else value

    return [
        File(file.path, file.size, file.stamp, tuple((name, typed(k, v)) for k, (name, v) in enumerate(own)))
        for file, own in zip(found, keys, strict=True)
    ]


def _keys(path: str) -> list[tuple[str, str | None]]:
    parts = [part.partition("=") for part in path.split("/")[:-1] if "=" in part]
    return [(unquote(key), None if value == NO_VALUE else unquote(value)) for key, _, value in parts]


def _is_whole(value: str | None) -> bool:
    return value is not None and value.isascii() and value.isdigit() and str(int(value)) == value
