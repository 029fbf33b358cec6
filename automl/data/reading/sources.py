"""Sources of data: a built-in name, a file, or a function of the user's, all read into one form, `Raw`."""

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.core.user_code import import_object
from automl.data.cells import deciding, readings
from automl.data.preparing import columns, text
from automl.data.reading import images, separate
from automl.data.reading.many import files
from automl.data.reading.many.files import File
from automl.data.reading.many.table import Table
from automl.data.reading.raw import Raw, from_arrays, from_frame, from_object, from_pair
from automl.data.reading.readers import TABLES, kind_of, read_file, read_labelled_lines
from automl.errors import DataError, TaskError, did_you_mean

BUILT_IN = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""Data sets that come with scikit-learn."""
ON_DISK = {
    "adult": "tables/adult.tsv.gz",
    "coil2000": "tables/coil2000.tsv.gz",
    "cpu_small": "tables/227_cpu_small.tsv.gz",
    "credit_g": "tables/credit_g.tsv.gz",
    "etth1": "ett/ETTh1.csv.gz",
    "houses": "tables/537_houses.tsv.gz",
    "letter": "tables/letter.tsv.gz",
    "mnist": "mnist/mnist.npz",
    "pendigits": "tables/pendigits.tsv.gz",
    "phoneme": "tables/phoneme.tsv.gz",
    "rt_polarity": "text/rt-polarity.all.gz",
    "shakespeare": "shakespeare/input.txt.gz",
    "trec": "text/TREC.train.all.gz",
    "vehicle": "tables/vehicle.tsv.gz",
    "wine_quality_red": "tables/wine_quality_red.tsv.gz",
}
"""Data sets known by name that are part of no package: files below the folder `AUTOML_DATA`."""
_IDX = re.compile(r"(\.idx|ubyte|idx\d)(\.gz)?$")


def read(
    source: Any,
    target: str | None,
    base: Path,
    keep_out: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
    split: Mapping[str, Any] | None = None,
) -> Raw:
    """Read a source whose samples are independent of each other.

    Args:
        source: a built-in name, a path relative to `base`, a pattern, an address, `package.module:function`, or the
            data itself.
        target: the column to predict; several kinds of sources need none.
        base: folder that relative paths and the user's module are looked for in.
        keep_out: columns that are not inputs (weights, groups, times).
        options: those of `prepare:`; `form` and `text` are used.
        split: the rules of `split:`; files that it names hold the validation and the test rows.

    Raises:
        DataError: the source cannot be found or read, or lacks a column.
    """
    options, source = dict(options or {}), resolve(source, base)
    if separate.files_of(split or {}):
        return _separately(source, split or {}, target, base, keep_out, options)
    if isinstance(source, str) and source in BUILT_IN:
        return _built_in(source, target, keep_out)
    path = (base / source).expanduser() if isinstance(source, str | Path) else None
    if several := _several(source, base):
        table = Table(tuple(several), options)
        raw = from_frame(table.whole(), target, keep_out, where=table.name)
        raw.notes += table.columns.differences()
    elif path is not None and path.exists():
        raw = _read_path(path, target, keep_out, options)
    else:
        raw = from_object(read_unchanged(source, base), target, keep_out)
    texts = bool(options.get("text")) or options.get("form") == "sentences"
    if isinstance(raw.x, pd.DataFrame):
        raw.x = columns.read_cells(raw.x, options, texts)
    if options.get("text") or (texts and isinstance(raw.x, pd.DataFrame)):
        _take_texts(raw, options)
    return raw


def _separately(
    source: Any, split: Mapping[str, Any], target: str | None, base: Path, keep_out: tuple[str, ...],
    options: dict[str, Any],
) -> Raw:  # fmt: skip
    """A table whose validation or test rows are in files of their own."""
    whole, parts, notes = separate.joined(
        _content(source, base, options), split, target, lambda file: _content(file, base, options)
    )
    raw = from_frame(whole, target, keep_out)
    raw.parts, raw.notes = parts, raw.notes + notes
    raw.x = columns.read_cells(raw.x, options, bool(options.get("text")))
    if options.get("text"):
        _take_texts(raw, options)
    return raw


def _take_texts(raw: Raw, options: Mapping[str, Any]) -> None:
    """Make the column of texts of a table the only input."""
    if not isinstance(raw.x, pd.DataFrame):
        raise DataError("prepare.text: only a table has columns; leave it out for texts that are in none")
    try:
        raw.column = text.column_of(raw.x, str(options["text"]) if options.get("text") else None)
    except DataError as error:
        raise DataError(f"prepare.text: {error}") from error
    others = [str(name) for name in raw.x.columns if name != raw.column]
    if others:
        some = f"{', '.join(others[:8])}{', ...' if len(others) > 8 else ''}"
        raw.notes.append(f"texts of column {raw.column!r}, the only input; not used: {some}")
    raw.x, raw.form = text.texts_of(raw.x, raw.column), "sentences"


def read_unchanged(source: Any, base: Path, options: Mapping[str, Any] | None = None) -> Any:
    """What a source holds: a DataFrame, a text, an array, a dict of arrays, or what the function returned.

    With the options of `prepare:`, the text cells of a table become numbers and dates where they are such.

    Raises:
        DataError: there is no such file, built-in name or function (the message has the nearest name).
    """
    content = _content(resolve(source, base), base, options)
    if options is not None and isinstance(content, pd.DataFrame):
        frame = columns.plain(content)
        return deciding.typed(frame, readings.rules_of(options, frame))
    return content


def _content(source: Any, base: Path, options: Mapping[str, Any] | None) -> Any:
    if not isinstance(source, str | Path):
        return source
    name = str(source)
    path = (base / name).expanduser()
    if path.is_file():
        return read_file(path, options)
    if several := _several(source, base):
        return Table(tuple(several), options or {}).whole()
    if ":" in name and not path.exists():
        return _call(name, base)
    if "/" in name or Path(name).suffix:
        neighbours = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"data: no file {path}{did_you_mean(path.name, neighbours)}")
    known = (*BUILT_IN, *ON_DISK)
    hint = did_you_mean(name, known) or f"; built in: {', '.join(known)}"
    raise DataError(f"data: {name!r} is not a built-in data set, a file or a package.module:function{hint}")


def resolve(source: Any, base: Path) -> Any:
    """The file behind a name of `ON_DISK`, below `AUTOML_DATA` or else `../shared/data`; other sources unchanged.

    Raises:
        DataError: the file is missing.
    """
    if not isinstance(source, str) or source not in ON_DISK or (base / source).exists():
        return source
    given = os.environ.get("AUTOML_DATA")
    folder = Path(given) if given else Path("..", "shared", "data")
    if not (folder / ON_DISK[source]).is_file():
        raise DataError(f"data: {source} is read from {folder / ON_DISK[source]}, which is missing; set AUTOML_DATA")
    return (folder / ON_DISK[source]).resolve()


def files_of(source: Any, base: Path) -> list[File] | None:
    """The files of a table that `source` names, one or many; None: it names none.

    Raises:
        DataError: a pattern or an address fits no table.
    """
    source = resolve(source, base)
    return None if isinstance(source, str) and source in BUILT_IN else files.find(source, base)


def _several(source: Any, base: Path) -> list[File] | None:
    """The files of a table that is named in another way than by the path of one file."""
    if isinstance(source, str | Path) and (base / source).expanduser().is_file():
        return None
    return files_of(source, base)


def is_long_text(source: Any, options: Mapping[str, Any], base: Path) -> bool:
    """Whether the source is one long text: a text file without `form: sentences`, or a file of token numbers."""
    source = resolve(source, base)
    if not isinstance(source, str | Path) or not (base / source).is_file():
        return False
    suffixes, form = Path(source).suffixes, options.get("form")
    return (".txt" in suffixes and form != "sentences") or (".npy" in suffixes and options.get("tokens") == "ids")


def _read_path(path: Path, target: str | None, keep_out: tuple[str, ...], options: Mapping[str, Any]) -> Raw:
    """Read a file or a folder of images."""
    if path.is_dir():
        notes: list[str] = []
        x, labels, parts = images.read_folder(path, notes)
        return Raw(x, labels, target or "label", "image", parts, notes=notes)
    if _IDX.search(path.name):
        return _read_idx(path, target)
    if options.get("form") == "sentences" and not options.get("text") and kind_of(path) not in TABLES:
        return Raw(*read_labelled_lines(path), target or "label", "sentences")
    content = read_file(path, options)
    if isinstance(content, pd.DataFrame):
        return from_frame(content, target, keep_out, where=path.name)
    if isinstance(content, dict):
        return from_arrays(content, target, where=path.name)
    return _from_npy(path, content, target)


def _from_npy(path: Path, x: NDArray[Any], target: str | None) -> Raw:
    """x from one .npy file and y from another in the same folder (`target`), or y as the last column of x."""
    if target and path.with_name(target).is_file():
        return from_pair(x, np.asarray(read_file(path.with_name(target))), target)
    if x.ndim != 2:
        raise DataError(f"data: {path.name} needs `target:`, the name of the .npy file beside it that holds y")
    return from_pair(x[:, :-1], x[:, -1], target or "the last column")


def _read_idx(path: Path, target: str | None) -> Raw:
    """Images of an IDX file; labels from the file `target`, or the one with "labels" for "images" in its name."""
    labels = path.with_name(target or path.name.replace("images", "labels").replace("idx3", "idx1"))
    if labels == path or not labels.is_file():
        raise DataError(f"data: {path.name} needs `target:`, the name of the IDX file beside it that holds the labels")
    return from_pair(images.read_idx(path), images.read_idx(labels), "label")


def _built_in(name: str, target: str | None, keep_out: tuple[str, ...]) -> Raw:
    if name == "digits" and (quick := _digits_without_sklearn()) is not None:
        return quick
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=name != "digits")
    if name == "digits":
        return Raw(bunch.data.astype(np.float32), bunch.target, "label", "array")
    y = bunch.target
    if name != "diabetes":
        y = pd.Series(np.asarray(bunch.target_names)[bunch.target.to_numpy()], name="target")
    frame = bunch.data.assign(target=y)
    return from_frame(frame, "target" if target in (None, "label", "target") else target, keep_out)


def _digits_without_sklearn() -> Raw | None:
    """The digits from scikit-learn's folder without importing it, which takes seconds; None: they lie elsewhere."""
    spec = find_spec("sklearn")
    file = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else None
    if file is None or not file.is_file():
        return None
    table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return Raw(table[:, :-1], table[:, -1].astype(np.int64), "label", "array")


def _call(reference: str, base: Path) -> Any:
    """What the user's function `package.module:function` returns."""
    try:
        function = import_object(reference, base)
    except TaskError as error:
        raise DataError(f"data: {error}") from error
    if not callable(function):
        raise DataError(f"data: {reference} is not a function")
    return function()
