"""Writing, copying and deleting files in a folder that may come from somebody else: no symbolic link is followed.

A kill at any moment leaves either the old file or the whole new one.
"""

import os
import shutil
from pathlib import Path

from automl.errors import LedgerError

EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)

LONGEST_NAME = 100
"""Characters of the name of a study."""
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}


def write(file: Path, content: bytes) -> None:
    """Write a whole file or none: temporary file, flush to the disk, rename, flush the folder.

    A symbolic link of that name is replaced; what it points to stays as it is.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with open(os.open(temporary, EXCLUSIVE, 0o666), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def delete(path: Path) -> None:
    """Delete a file, a symbolic link (never what it points to), or a folder with all that is in it."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def empty(folder: Path) -> Path:
    """Make `folder` new and empty; what had its name is deleted."""
    delete(folder)
    folder.mkdir(parents=True)
    return folder


def copy(source: Path, target: Path) -> None:
    """Copy the files of a folder, and of those in it; symbolic links and what is no file (a pipe, ...) are left out."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            copy(path, target / path.name)
        elif path.is_file():
            shutil.copy2(path, target / path.name)


def refuse_links(*places: Path, files: bool = False) -> None:
    """Check that none of these is a symbolic link, so that nothing outside is written or deleted through it.

    `files`: they are files that are written in place, so a second name of one (a hard link) is refused too.

    Raises:
        LedgerError: one is; says which, and what to do.
    """
    for place in places:
        if place.is_symlink():
            raise LedgerError(
                f"{str(place)!r} is a symbolic link, which could have files outside of the study written or deleted; "
                "put what it points to in its place (the study's folder as a whole may be a link)"
            )
        if files and place.exists() and not (place.is_file() and place.stat().st_nlink == 1):
            raise LedgerError(
                f"{str(place)!r} is no file of its own but has a second name elsewhere (a hard link) or is no file; "
                "put a copy of it in its place"
            )


def as_name(text: object, most: int = LONGEST_NAME) -> str:
    """`text` as a name for files and screens: no separator, no control character, not hidden, not too long."""
    kept = "".join(c if c.isprintable() and c not in "/\\:" else "_" for c in str(text))
    kept = kept.strip(". -")[:most].encode()[: 2 * most].decode(errors="ignore").strip(". -") or "study"
    return f"_{kept[: most - 1]}" if _is_device(kept) else kept


def _is_device(name: str) -> bool:
    return name.split(".")[0].strip().upper() in DEVICES


def why_no_name(text: object) -> str:
    """Why `text` cannot be the name of a study, which is a plain name of a folder; empty where it can."""
    if not isinstance(text, str):
        return "is no text"
    if text in ("", ".", "..") or not text.strip():
        return "is no name"
    if any(c in text for c in "/\\:"):
        return "is a path, not a name"
    if not text.isprintable():
        return "has a character that cannot be printed"
    if len(text) > LONGEST_NAME or len(text.encode()) > 2 * LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} characters"
    if text[0] in ".-" or text != text.strip() or text[-1] == ".":
        return "begins or ends with a dot, a dash or a blank"
    if _is_device(text):
        return "is a device on Windows"
    return ""
