"""How much memory a table may take, and so whether it is read into memory or streamed from disk."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from automl.data.reading.many.files import File
from automl.errors import DataError

FACTOR = 5
"""Memory that reading a table takes, in sizes of its file."""
FACTOR_COMPRESSED = 16
"""The same for compressed files and Parquet."""


def reason_to_stream(found: Sequence[File], options: Mapping[str, Any]) -> str:
    """Why a table is to be streamed; empty where it is to be read into memory.

    Args:
        found: its files.
        options: those of `prepare:`.

    Raises:
        DataError: `prepare.memory` is not a size.
    """
    if options.get("window") or options.get("text") or options.get("form"):
        return ""
    needed = sum(_factor(file) * max(file.size, 0) for file in found)
    limit = memory_limit(options)
    if needed <= limit:
        return ""
    return f"about {needed / 2**20:,.0f} MiB in memory, more than {limit / 2**20:,.0f} MiB (prepare.memory)"


def _factor(file: File) -> int:
    compressed = not file.name.lower().endswith(file.kind) or file.kind in (".parquet", ".pq")
    return FACTOR_COMPRESSED if compressed else FACTOR


def memory_limit(options: Mapping[str, Any]) -> float:
    """Bytes that reading a table may take: `prepare.memory` ("500MB", "2GB"), else half of what is free.

    Raises:
        DataError: `prepare.memory` is not a size above 0.
    """
    given = options.get("memory")
    if given is None:
        return 0.5 * available_bytes()
    units = {"KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
    text = str(given).upper().replace(" ", "").replace("IB", "B")
    number, unit = text[:-2], text[-2:]
    try:
        size = float(number) * units[unit]
    except (KeyError, ValueError):
        raise DataError(f'prepare.memory: expected a size such as "500MB" or "2GB", got {given!r}') from None
    if size <= 0:
        raise DataError(f"prepare.memory: must be above 0, got {given!r}")
    return size


def available_bytes() -> float:
    """Bytes this process may still take: the least that the machine, its control group and its own limits leave."""
    import psutil

    limits = [float(psutil.virtual_memory().available)]
    if sys.platform == "linux":  # other systems report neither limits nor groups
        import resource

        used = psutil.Process().memory_info().data
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            soft, _ = resource.getrlimit(limit)
            if soft != resource.RLIM_INFINITY:
                limits.append(max(0.0, float(soft) - used))
        group = Path("/sys/fs/cgroup")
        with suppress(OSError, ValueError):  # there are no control groups of version 2
            most, now = (group / "memory.max").read_text().strip(), (group / "memory.current").read_text()
            if most != "max":
                limits.append(max(0.0, float(most) - float(now)))
    return min(limits)
