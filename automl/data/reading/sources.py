"""Reading: a built-in name, a file or a function of the user's, all brought to one form, `Raw`."""

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
from automl.data.reading import images
from automl.data.reading.raw import Raw, from_arrays, from_frame, from_object, from_pair
from automl.data.reading.readers import read_file, read_labelled_lines
from automl.errors import DataError, TaskError, did_you_mean

BUILT_IN = ("breast_cancer", "diabetes", "digits", "iris", "wine")
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
"""Data sets known by name that are not part of any package: files below the folder `AUTOML_DATA`."""
_IDX = re.compile(r"(\.idx|ubyte|idx\d)(\.gz)?$")


def read(
    source: Any,
    target: str | None,
    base: Path,
    keep_out: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
) -> Raw:
    """`source`: built-in name, path (relative to `base`), `package.module:function`, or the data itself.

    `keep_out`: columns that are no inputs (weights, groups, time); `options`: those of `prepare:`, of which `form` and
    `text` matter here. Raises DataError with what is wrong.
    """
    wanted, source = dict(options or {}), located(source, base)
    if isinstance(source, str) and source in BUILT_IN:
        return _built_in(source, target, keep_out)
    path = (base / source).expanduser() if isinstance(source, str | Path) else None
    if path is not None and path.exists():
        found = _path(path, target, keep_out, wanted)
    else:
        found = from_object(read_unchanged(source, base), target, keep_out)
    if wanted.get("text"):
        column = str(wanted["text"])
        if column not in found.x.columns:
            raise DataError(f"prepare.text: no column {column!r}{did_you_mean(column, found.x.columns)}")
        found.x, found.form = found.x[column].fillna("").astype(str).to_numpy(dtype=object), "sentences"
    return found


def _path(path: Path, target: str | None, keep_out: tuple[str, ...], wanted: Mapping[str, Any]) -> Raw:
    if path.is_dir():
        return Raw(*images.read_folder(path), target or "label", "image")
    if _IDX.search(path.name):
        return _idx(path, target)
    if wanted.get("form") == "sentences" and not wanted.get("text"):
        return Raw(*read_labelled_lines(path), target or "label", "sentences")
    found = read_file(path)
    if isinstance(found, pd.DataFrame):
        return from_frame(found, target, keep_out, where=path.name)
    if isinstance(found, dict):
        return from_arrays(found, target, where=path.name)
    return _npy(path, found, target)


def located(source: Any, base: Path) -> Any:
    """The file behind a name of `ON_DISK`, below `AUTOML_DATA` or else `../shared/data`; anything else as it is."""
    if not isinstance(source, str) or source not in ON_DISK or (base / source).exists():
        return source
    given = os.environ.get("AUTOML_DATA")
    folder = Path(given) if given else Path("..", "shared", "data")
    if not (folder / ON_DISK[source]).is_file():
        raise DataError(f"data: {source} is read from {folder / ON_DISK[source]}, which is missing; set AUTOML_DATA")
    return (folder / ON_DISK[source]).resolve()


def file_of(source: Any, base: Path) -> Path | None:
    """The file that `source` names, if it names one."""
    source = located(source, base)
    path = (base / source).expanduser() if isinstance(source, str | Path) else None
    return path if path and path.is_file() else None


def is_long_text(source: Any, options: Mapping[str, Any], base: Path) -> bool:
    """True for a text file that is not said to be sentences, and for a vector of token ids."""
    source = located(source, base)
    if not isinstance(source, str | Path) or not (base / source).is_file():
        return False
    suffixes, form = Path(source).suffixes, options.get("form")
    return (".txt" in suffixes and form != "sentences") or (".npy" in suffixes and options.get("tokens") == "ids")


def read_unchanged(source: Any, base: Path) -> Any:
    """What a source holds, as it is: a DataFrame, a text, an array, a dict of arrays, or what the function returned."""
    source = located(source, base)
    if not isinstance(source, str | Path):
        return source
    name = str(source)
    path = (base / name).expanduser()
    if path.is_file():
        return read_file(path)
    if ":" in name and not path.exists():
        return _call(name, base)
    if "/" in name or Path(name).suffix:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"data: no file {path}{did_you_mean(path.name, beside)}")
    known = (*BUILT_IN, *ON_DISK)
    hint = did_you_mean(name, known) or f"; built in: {', '.join(known)}"
    raise DataError(f"data: {name!r} is no built-in data set, no file and no package.module:function{hint}")


def _digits() -> Raw | None:
    """The digits from scikit-learn's folder, without the seconds that importing it takes; None: it lies elsewhere."""
    found = find_spec("sklearn")
    file = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz" if found and found.origin else None
    if file is None or not file.is_file():
        return None
    table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return Raw(table[:, :-1], table[:, -1].astype(np.int64), "label", "array")


def _built_in(name: str, target: str | None, keep_out: tuple[str, ...]) -> Raw:
    if name == "digits" and (quick := _digits()) is not None:
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


def _npy(path: Path, found: NDArray[Any], target: str | None) -> Raw:
    """x in one .npy file and y in another beside it (`target`), or y as the last column."""
    if target and path.with_name(target).is_file():
        return from_pair(found, np.asarray(read_file(path.with_name(target))), target)
    if found.ndim != 2:
        raise DataError(f"data: {path.name} needs `target:`, the name of the .npy file beside it that holds y")
    return from_pair(found[:, :-1], found[:, -1], target or "the last column")


def _idx(path: Path, target: str | None) -> Raw:
    """Images of an IDX file, labels from `target`, or from the file of the same name with labels for images."""
    other = path.with_name(target or path.name.replace("images", "labels").replace("idx3", "idx1"))
    if other == path or not other.is_file():
        raise DataError(f"data: {path.name} needs `target:`, the name of the IDX file beside it that holds the labels")
    return from_pair(images.read_idx(path), images.read_idx(other), "label")


def _call(reference: str, base: Path) -> Any:
    """What the function `package.module:function` returns."""
    try:
        function = import_object(reference, base)
    except TaskError as error:
        raise DataError(f"data: {error}") from error
    if not callable(function):
        raise DataError(f"data: {reference} is not a function")
    return function()
