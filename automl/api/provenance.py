"""What a search depends on: its specification, and the user's code and data files, which are known by their content."""

import copy
import difflib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.specfile import Spec

WHOLE = 16 * 2**20  # files up to this many bytes are read whole, larger ones in samples
SAMPLES, SAMPLE = 64, 64 * 2**10  # how many samples of how many bytes

# What may change between two sessions of a study without making its trials incomparable.
ANY_TIME = {"study", "budget", "workers", "executor", "resources", "parallel", "isolation", "retries", "trial_timeout"}
ANY_TIME |= {"price", "warm", "fuse", "compile", "finalists", "refit", "ensemble", "pack"}


def code(read: "Spec") -> dict[str, str]:
    """{file: digest} of the modules and programs that a specification names, if they are in its folder."""
    return {file: digest(read.folder / file) for file in _code_files(read)}


def data(read: "Spec") -> dict[str, str]:
    """{file: digest} of the data, if they are a file, or a table in several files or in a store."""
    if read.data is None or (":" in read.data and "://" not in read.data):
        return {}
    if (read.folder / read.data).is_file():
        return {read.data: digest(read.folder / read.data)}
    if not any(mark in read.data for mark in "*?[:") and not (read.folder / read.data).is_dir():
        return {}
    from automl.data.reading.many import files

    found = files.find(read.data, read.folder)
    if not found:
        return {}
    own = [(file.name, file.size, file.stamp if file.remote else digest(Path(file.path))) for file in found]
    return {read.data: hashlib.sha256(repr(own).encode()).hexdigest()[:32]}


def recorded_spec(read: "Spec", study: Path | None = None) -> dict[str, Any]:
    """The specification as the ledger of the study in the folder `study` keeps it."""
    folder = read.folder.absolute()
    return {
        "tree": read.to_json(),
        "text": read.text,
        "folder": str(folder),
        "path": str(read.path.absolute()) if read.path else None,
        **({"beside": os.path.relpath(folder, study.absolute())} if study else {}),
    }


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Files whose content is not what it was; files that were not known before do not count.

    Names are relative to the specification's folder. In older studies they have that folder in front.
    """
    known = [(Path(file).parts, content) for file, content in before.items()]
    return sorted(
        file
        for file, content in now.items()
        if any(then[-len(parts) :] == parts and content != old for parts in [Path(file).parts] for then, old in known)
    )


def edited(kept: Mapping[str, Any], file: Path | None, accept: bool) -> tuple[dict[str, Any], list[str]]:
    """The specification as `kept` in the study's ledger, with the entries that its file has changed since; and notes.

    Args:
        kept: see `kept`.
        file: where the specification's file lies now.
        accept: accept changes of entries other than `ANY_TIME`.

    Raises:
        SpecError: the file is wrong now, or has changes that are not accepted.
    """
    from automl import specfile

    tree = copy.deepcopy(dict(kept["tree"]))
    if file is None or not file.is_file() or (text := file.read_text(errors="replace")) == kept["text"]:
        return tree, []
    before, now = specfile.parse(kept["text"], str(file), begun=True).to_json(), specfile.read(file).to_json()
    entries = sorted(key for key in before | now if before.get(key) != now.get(key))
    lines = difflib.unified_diff(kept["text"].splitlines(), text.splitlines(), "begun with", "now", n=0, lineterm="")
    shown = "\n".join(f"  {line}" for line in lines)
    refused = [key for key in entries if key not in ANY_TIME]
    if refused and not accept:
        raise SpecError(
            f"{file} was edited since the study was begun ({', '.join(refused)}):\n{shown}\n"
            "undo that, begin another study, or go on all the same with --accept-spec-change"
        )
    for key in entries:
        tree.pop(key, None)
        if key in now:
            tree[key] = now[key]
    note = f"{file} was edited since; going on with {', '.join(entries)} as it says now:\n{shown}"
    return tree, [note] if entries else []


def digest(file: Path) -> str:
    """A hash of size and content; of a large file, of samples spread over it."""
    size = file.stat().st_size
    found = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        if size <= WHOLE:
            found.update(stream.read())
        else:
            for k in range(SAMPLES):
                stream.seek(k * (size - SAMPLE) // (SAMPLES - 1))
                found.update(stream.read(SAMPLE))
    return found.hexdigest()[:32]


def _code_files(read: "Spec") -> Iterator[str]:
    """Files below the specification's folder that its references and its command name."""
    for reference in (read.train, read.model, read.data):
        if reference and ":" in reference:
            module = reference.partition(":")[0].replace(".", "/")
            for file in (f"{module}.py", f"{module}/__init__.py"):
                if (read.folder / file).is_file():
                    yield file
    for word in read.command or ():
        try:
            if (read.folder / word).is_file() and not Path(word).is_absolute():
                yield word
        except (OSError, ValueError):  # not the name of a file
            continue
