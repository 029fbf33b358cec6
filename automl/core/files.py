"""Writing files so that a kill at any moment leaves either the old file or the whole new one."""

import os
from pathlib import Path


def write(file: Path, content: bytes) -> None:
    """Write a whole file or none: temporary file, flush to the disk, rename, flush the folder."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
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
