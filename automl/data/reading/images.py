"""Images from files: a folder with one folder per class, and IDX files (MNIST's own format)."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.splits import NAMES, Parts
from automl.errors import DataError, EnvironmentProblem

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm")
PARTS = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2, "testing": 2}
"""Names of folders that hold the folders of the classes of one part each -> the part."""
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> NDArray[Any]:
    """Read an IDX file, also gzipped, as an array of the shape and type it states.

    The format: two zero bytes, type, number of axes, sizes (big-endian int32), values.

    Raises:
        DataError: the file is not an IDX file, or is cut short.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"data: {path.name} cannot be read: {error}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        raise DataError(f"data: {path.name} is not an IDX file")
    kind: np.dtype[Any] = np.dtype(_TYPES[raw[2]])
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", axes, 4)
    if len(raw) != 4 + 4 * axes + int(shape.prod()) * kind.itemsize:
        raise DataError(f"data: {path.name} is cut short: {len(raw)} bytes for shape {shape.tolist()}")
    return np.frombuffer(raw, kind, offset=4 + 4 * axes).reshape(shape).astype(kind.newbyteorder("="))


def read_folder(folder: Path, notes: list[str]) -> tuple[NDArray[np.uint8], NDArray[Any], Parts | None]:
    """Read the images of `folder/CLASS/*.png` and the like, or of `folder/train/CLASS/*.png`, `folder/val/...`.

    All images get the size and the mode (grey or colour) of the first. Hidden files and folders, and files that are no
    images by their names, are passed over.

    Args:
        folder: has one folder for each class.
        notes: gets a line that counts what was passed over.

    Returns:
        ([N, H, W] or [N, H, W, 3] uint8, [N] class names, [N] the part of each image, or None where the folders are
        those of classes).

    Raises:
        DataError: there are no images, or one cannot be read.
        EnvironmentProblem: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise EnvironmentProblem("image folders need Pillow: pip install pillow") from error
    files = _images_of(folder, notes)
    if not files:
        raise DataError(
            f"data: {folder} has neither a table (.csv, .parquet) nor images in folders named after their class"
        )
    files, parts = _in_parts(folder, files, notes)
    images, size, mode, resized = [], None, "L", 0
    for path, _ in files:
        try:
            with Image.open(path) as image:
                if size is None:
                    size, mode = image.size, "L" if image.mode in ("1", "L", "I;16") else "RGB"
                converted = image.convert(mode)
                resized += converted.size != size
                images.append(np.asarray(converted if converted.size == size else converted.resize(size)))
        except (UnidentifiedImageError, OSError) as error:
            raise DataError(f"data: {path} cannot be read as an image: {error}") from error
    if resized and size is not None:
        notes.append(f"{folder.name}: {resized} images of another size read as {size[0]} x {size[1]}, as the first is")
    return np.stack(images), np.array([label for _, label in files], dtype=object), parts


def _in_parts(
    folder: Path, files: list[tuple[Path, str]], notes: list[str]
) -> tuple[list[tuple[Path, str]], Parts | None]:
    """The files with the classes inside of folders of parts, and the parts; unchanged where there are none of those."""
    inside = [path.relative_to(folder).parts for path, _ in files]
    codes = [PARTS.get(names[0].lower(), -1) for names in inside]
    if min(codes) < 0 or 0 not in codes or len(set(codes)) < 2 or min(map(len, inside)) < 3:
        return files, None
    counts = ", ".join(f"{codes.count(k)} {name}" for k, name in enumerate(NAMES) if k in codes)
    notes.append(f"{folder.name}: the folders in it are parts ({counts}), those in them classes")
    labelled = [(path, names[1]) for (path, _), names in zip(files, inside, strict=True)]
    order = sorted(range(len(files)), key=lambda k: (labelled[k][1], labelled[k][0]))
    return [labelled[k] for k in order], np.array([codes[k] for k in order], dtype=np.int8)


def _images_of(folder: Path, notes: list[str]) -> list[tuple[Path, str]]:
    """(file, name of its class) of every image."""
    files, hidden, foreign, empty = [], 0, [], []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_dir():
            continue
        if any(_is_hidden(part) for part in inside):
            hidden += 1
        elif path.suffix.lower() not in SUFFIXES or len(inside) < 2:
            foreign.append("/".join(inside))
        elif path.stat().st_size == 0:
            empty.append("/".join(inside))
        else:
            files.append((path, inside[0]))
    if hidden:
        notes.append(f"{folder.name}: {hidden} hidden files passed over")
    for names, what in ((foreign, "that are no images in a folder of a class"), (empty, "that are empty")):
        if names:
            some = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            notes.append(f"{folder.name}: {len(names)} files {what} passed over ({some})")
    return sorted(files, key=lambda file: (file[1], file[0]))


def _is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by a system: `._x.png`, `.cache`, `__MACOSX`, `Thumbs.db`."""
    return name.startswith((".", "__MACOSX", "@eaDir")) or name.lower() in ("thumbs.db", "desktop.ini")
