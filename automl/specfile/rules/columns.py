"""Columns that a specification names, against the header of its table. Only the header is read."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path as File
from typing import IO, Any

from automl.errors import DataError, did_you_mean
from automl.specfile.rules import fitting
from automl.specfile.yaml.complaint import Path
from automl.specfile.yaml.places import Places

TEXT_TABLES = (".csv", ".tsv", ".tab")
PARQUET = (".parquet", ".pq")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
FILES = (*TEXT_TABLES, *PARQUET, *COMPRESSED, ".npz", ".npy", ".txt")
_PATTERN = set("*?[")
_SHOWN = 12  # columns in a message


def check(tree: Mapping[str, Any], folder: File, places: Places) -> None:
    """Complain about a file or columns that are not there, and about what does not suit this kind of data."""
    source = tree.get("data")
    if isinstance(source, str) and _missing(source, folder):
        near = did_you_mean(File(source).name, [p.name for p in (folder / source).parent.glob("*")])
        places.complain(("data",), f"there is no file {source!r} in {folder}", near)
        return
    _separate_files(tree, folder, places)
    names = header(tree, folder)
    prepare = tree.get("prepare") if isinstance(tree.get("prepare"), dict) else {}
    assert isinstance(prepare, dict)
    if names is not None:
        _target(tree, prepare, names, places)
        for path, name in _named(tree, prepare):
            if isinstance(name, str) and name not in names:
                places.complain(path, f"the table has no column {name!r}", _near(name, names))
            elif path[:2] == ("prepare", "drop") and name in _targets(tree):
                places.complain(path, f"{name!r} is the target, which is learned from")
    fitting.check(tree, fitting.kind_of(tree, table=names is not None), names, places)


def _separate_files(tree: Mapping[str, Any], folder: File, places: Places) -> None:
    split = tree.get("split")
    for part in ("val", "test"):
        file = split.get(part) if isinstance(split, dict) else None
        if isinstance(file, str) and not (folder / file).expanduser().is_file():
            near = did_you_mean(File(file).name, [p.name for p in (folder / file).parent.glob("*")])
            places.complain(("split", part), f"there is no file {file!r} in {folder}", near)


def _missing(source: str, folder: File) -> bool:
    if _PATTERN & set(source):
        return ":" not in source and not _several(source, folder)
    try:
        return source.lower().endswith(FILES) and ":" not in source and not (folder / source).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return True


def _several(source: str, folder: File) -> "list[Any]":
    """The files that a pattern or a folder names; empty where they are no tables."""
    from automl.data.reading.many import files

    try:
        return files.find(source, folder) or []
    except (DataError, OSError):
        return []


def header(tree: Mapping[str, Any], folder: File) -> list[str] | None:
    """The columns of the table that `data` names; None where it names no table, or none that can be read."""
    source, prepare = tree.get("data"), tree.get("prepare") or {}
    if not isinstance(source, str) or not isinstance(prepare, dict):
        return None
    path, more = (folder / source).expanduser(), list[str]()
    if ":" not in source and (_PATTERN & set(source) or path.is_dir()):
        found = _several(source, folder)
        if not found:
            return None
        path, more = File(found[0].path), [name for name, _ in found[0].partition]
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    kind = suffixes[-2] if suffixes[-1] in COMPRESSED and suffixes[1:] else suffixes[-1]
    try:
        if kind not in (*TEXT_TABLES, *PARQUET) or not path.is_file():
            return None
        return [*(_parquet(path) if kind in PARQUET else _text(path, prepare)), *more]
    except (DataError, OSError, ValueError, EOFError):
        return None  # the search says what is wrong with the file


def _parquet(path: File) -> list[str]:
    from pyarrow import parquet

    return [str(name) for name in parquet.read_schema(path).names]


def _text(path: File, prepare: Mapping[str, Any]) -> list[str]:
    from automl.data.reading import dialects, encodings

    def opened() -> AbstractContextManager[IO[bytes]]:
        return dialects.unpacked(path.open("rb"))

    encoding = encodings.encoding_of(opened, prepare, whole=False)
    with opened() as file:
        head = file.read(4 * dialects.HEAD).decode(encoding, errors="ignore").lstrip("\ufeff")[: dialects.HEAD]
    given = dialects.separator_option(prepare)
    text, named, _ = dialects.without_comments(head, given)
    _, names = dialects.find(text, path.name, {**prepare, "separator": given or named})
    return [name.strip() for name in names]


def _target(tree: Mapping[str, Any], prepare: Mapping[str, Any], names: list[str], places: Places) -> None:
    for target in _targets(tree):
        if target not in names:
            places.complain(("target",), f"the table has no column {target!r}", _near(target, names))
    if len(_targets(tree)) > 1 and prepare.get("task") == "classification":
        places.complain(("prepare", "task"), "several targets are values; search for one target of classes alone")
    if tree.get("target") is None and not prepare.get("window") and prepare.get("form") != "sentences":
        places.complain(("data",), "a table needs a target", f"; add target: one of {_some(names)}")


def _targets(tree: Mapping[str, Any]) -> list[str]:
    """The names of the targets."""
    target = tree.get("target")
    return [name for name in (target if isinstance(target, list) else [target]) if isinstance(name, str)]


def _named(tree: Mapping[str, Any], prepare: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """(path, name) of every other column that the specification names."""
    split = tree.get("split") if isinstance(tree.get("split"), dict) else {}
    assert isinstance(split, dict)
    yield from ((("split", key), split.get(key)) for key in ("group", "time"))
    yield ("sample_weight",), tree.get("sample_weight")
    yield from ((("prepare", key), prepare.get(key)) for key in ("weight", "text"))
    series = prepare.get("series")
    if isinstance(series, list):
        yield from ((("prepare", "series", k), name) for k, name in enumerate(series))
    else:
        yield ("prepare", "series"), series
    types, categories = prepare.get("types"), prepare.get("categories")
    yield from ((("prepare", "types", name), name) for name in (types if isinstance(types, dict) else ()))
    for k, name in enumerate(categories if isinstance(categories, list) else ()):
        yield ("prepare", "categories", k), name
    drop = prepare.get("drop")
    for k, name in enumerate(drop if isinstance(drop, list) else ()):
        yield ("prepare", "drop", k), name
    if isinstance(drop, str):
        yield ("prepare", "drop"), drop


def _near(name: str, names: list[str]) -> str:
    return did_you_mean(name, names) or f"; columns: {_some(names)}"


def _some(names: list[str]) -> str:
    more = f", ... ({len(names)} columns)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
