"""`automl doctor`: checks versions, devices, memory, disk, file system, limits and plugins of this machine."""

import os
import platform
import resource
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from automl.core import plugins
from automl.core.machine import gpus
from automl.errors import UnknownPlugin

Level = Literal["ok", "note", "problem"]
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "beegfs", "gpfs", "9p", "afs"}
LIBRARIES = ("torch", "optuna", "scikit-optimize", "deap", "scikit-learn", "pandas", "numpy", "rich", "safetensors")
OPTIONAL = {"ray": "ray", "matplotlib": "report", "onnx": "onnx", "tensorboard": "loggers", "mlflow": "loggers"}
SAFE_SQLITE = (3, 51, 3)


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: what was checked, what was found, how serious it is, and what to do about it."""

    what: str
    found: str
    level: Level = "ok"
    advice: str = ""


def examine(folder: Path) -> list[Finding]:
    """All findings about this machine; a check that fails is itself a finding.

    Args:
        folder: where studies are kept; it need not exist.
    """
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "libraries": _libraries,
        "torch": _torch,
        "sqlite": _sqlite,
        "machine": _machine,
        "disk": lambda: _disk(folder),
        "limits": _limits,
        "plugins": _plugins,
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            findings += check()
        except Exception as error:
            findings.append(Finding(name, f"{type(error).__name__}: {error}", "problem", "this check itself failed"))
    return findings


def text(findings: Sequence[Finding]) -> str:
    """The findings for people: a line each, marked `!` (a note) or `X` (a problem), with advice below."""
    longest = max(len(f.what) for f in findings)
    lines = []
    for f in findings:
        mark = {"ok": "  ", "note": "! ", "problem": "X "}[f.level]
        lines.append(f"{mark}{f.what:<{longest}}  {f.found}")
        lines += [f"  {'':<{longest}}  -> {f.advice}"] if f.advice else []
    return "\n".join(lines)


def _python() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", f"{platform.system()} {platform.release()} {platform.machine()}")


def _libraries() -> Iterator[Finding]:
    missing = []
    for name in LIBRARIES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            missing.append(name)
    for name in missing:
        yield Finding(name, "missing", "problem", f"pip install {name}")
    for name, extra in OPTIONAL.items():
        try:
            yield Finding(name, f"{version(name)} (optional)")
        except PackageNotFoundError:
            yield Finding(name, "not installed (optional)", "ok", f"pip install 'automl-search[{extra}]' for it")


def _torch() -> Iterator[Finding]:
    import torch

    from automl.training import gpu

    if listed := gpus.visible():
        if found := gpu.problem("cuda:0"):
            yield Finding("cuda", found.partition("; or ")[0], "problem", gpu.ON_THE_CPU)
            return
        yield Finding("gpus", f"{len(listed)} by the driver, {torch.cuda.device_count()} by torch")
    if not torch.cuda.is_available():
        built = torch.version.cuda
        if built and any(Path("/proc/driver").glob("nvidia*")):
            yield Finding(
                "cuda", f"torch is built for CUDA {built}, but finds no GPU", "problem", "compare with nvidia-smi"
            )
        else:
            yield Finding("cuda", "no GPU: trials run on the CPU")
        return
    for k in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(k)
        free, total = torch.cuda.mem_get_info(k)
        busy = free < 0.5 * total
        yield Finding(
            f"cuda:{k}",
            f"{properties.name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CUDA {torch.version.cuda}",
            "note" if busy else "ok",
            "another program uses this GPU" if busy else "",
        )


def _sqlite() -> Iterator[Finding]:
    old = sqlite3.sqlite_version_info < SAFE_SQLITE
    yield Finding(
        "sqlite",
        sqlite3.sqlite_version,
        "ok",
        "older than 3.51.3: never let two programs write to one ledger (the driver's lock prevents it)" if old else "",
    )


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = _cgroup("cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, max(int(quota[0]) // int(quota[1]), 1))
    yield Finding("cpu", f"{cores} cores available, {os.cpu_count()} in the machine")
    import psutil

    memory, limit = psutil.virtual_memory(), _cgroup("memory.max")
    total = min(memory.total, int(limit)) if limit.isdecimal() else memory.total
    low = memory.available < 2 * 2**30
    found = f"{memory.available / 2**30:.1f} GiB available, {total / 2**30:.1f} GiB in total"
    yield Finding("memory", found, "note" if low else "ok", "little memory is free: use fewer workers" if low else "")
    shared = Path("/dev/shm")
    if shared.is_dir():
        size = shutil.disk_usage(shared).total
        small = size < 2**30
        advice = "too small for tensors shared between workers; in docker: docker run --shm-size=8g" if small else ""
        yield Finding("/dev/shm", f"{size / 2**30:.1f} GiB", "note" if small else "ok", advice)


def _cgroup(name: str) -> str:
    """A limit of this process's control group (cgroup version 2); empty where there is none."""
    file = Path("/sys/fs/cgroup") / name
    return file.read_text(encoding="ascii").strip() if file.is_file() else ""


def _disk(folder: Path) -> Iterator[Finding]:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    low = free < 2**30
    level: Level = "problem" if low else "ok"
    yield Finding("disk", f"{free / 2**30:.1f} GiB free in {place}", level, "free some space" if low else "")
    kind = _file_system(place)
    network = kind in NETWORK
    advice = (
        "use a local disk: file locks, which protect the ledger, are unreliable on network file systems"
        if network
        else ""
    )
    yield Finding("file system", kind or "unknown", "problem" if network else "ok", advice)
    try:
        with tempfile.TemporaryFile(dir=place):
            yield Finding("write access", f"yes, in {place}")
    except OSError as error:
        yield Finding("write access", f"{error.strerror} in {place}", "problem", "choose another --dir")


def _file_system(place: Path) -> str:
    """The type of the file system that holds `place`: that of the longest mount point above it."""
    mounts = Path("/proc/mounts")
    if not mounts.is_file():
        return ""
    best = ("", "")
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, where, kind, *_ = line.split()
        where = where.replace("\\040", " ")
        inside = where == "/" or str(place) == where or str(place).startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1]


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft < 1024
    yield Finding(
        "open files", f"limit {soft}, can be raised to {hard}", "note" if few else "ok", "ulimit -n 4096" if few else ""
    )


def _plugins() -> Iterator[Finding]:
    groups: tuple[plugins.Group, ...] = ("strategies", "stoppers", "executors", "search_spaces", "loggers")
    for group in groups:
        broken = {}
        for name in plugins.names(group):
            try:
                plugins.load(group, name)
            except UnknownPlugin as error:
                broken[name] = str(error)
        usable = [n for n in plugins.names(group) if n not in broken]
        yield Finding(group.replace("_", " "), ", ".join(usable) or "none")
        for name, reason in broken.items():
            optional = any(f"No module named '{library}" in reason for library in OPTIONAL)
            level: Level = "ok" if optional else "note"
            yield Finding(f"{group}: {name}", reason, level, "" if optional else "it cannot be used")
