"""What each node of a Ray cluster has: for `automl doctor --cluster`."""

import os
import platform
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from automl.errors import EnvironmentProblem
from automl.executors import ray_connect
from automl.version import __version__

GIB = 2**30
CLOCK_S = 2.0  # clocks that differ by more are told
ASKED = 5  # times that a node's clock is asked; the quickest answer counts
WAIT_S = 120.0


@dataclass
class Node:
    """One node. `problems`: sentences; numbers of a node that does not answer are those that Ray knows."""

    address: str
    host: str = ""
    cpus: float = 0.0
    gpus: float = 0.0
    memory_gib: float = 0.0
    python: str = ""
    torch: str = ""
    automl: str = ""
    shared: bool | None = None  # whether it sees the folder of studies
    clock_s: float | None = None  # its clock minus the driver's
    problems: list[str] = field(default_factory=list)


class Probe:
    """An actor that looks at the node it is on."""

    def facts(self, mark: str) -> dict[str, str]:
        """Versions, and what the file `mark` holds there."""
        return {"host": platform.node(), **versions(), "mark": _read(mark)}

    def now(self) -> float:
        """Seconds since 1970 by this node's clock."""
        return time.time()


def versions() -> dict[str, str]:
    """Versions on this machine; empty where something is not installed."""
    found = {"python": platform.python_version(), "automl": __version__, "torch": ""}
    with suppress(PackageNotFoundError):
        found["torch"] = version("torch")
    return found


def _read(file: str) -> str:
    with suppress(OSError):
        return Path(file).read_text(encoding="ascii")
    return ""


def examine(address: str, folder: Path) -> list[Node]:
    """What the nodes of the cluster have; the driver's own versions and clock are what they are compared with.

    Args:
        address: of the cluster; empty: `RAY_ADDRESS`.
        folder: where studies are kept, which all nodes must see; it is made if it is not there.

    Raises:
        EnvironmentProblem: the cluster cannot be reached, or is open to everybody.
    """
    if not (address or os.environ.get("RAY_ADDRESS")):
        raise EnvironmentProblem("which cluster? give --ray HOST:PORT, or set RAY_ADDRESS")
    ray = ray_connect.load()
    connected = ray_connect.connect(ray, address, insecure=False, cpus=0)
    mark = folder.absolute() / f".seen-{uuid.uuid4().hex}"
    try:
        with ray_connect.quiet(ray):
            folder.mkdir(parents=True, exist_ok=True)
            mark.write_text(mark.name, encoding="ascii")
            alive = [node for node in ray.nodes() if node["Alive"]]
            return [_examined(ray, about, probe, mark) for about, probe in [(n, _probe(ray, n)) for n in alive]]
    finally:
        mark.unlink(missing_ok=True)
        if connected:
            ray_connect.disconnect(ray)


def _probe(ray: Any, about: dict[str, Any]) -> Any:
    """A probe on that node; they start at the same time."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(about["NodeID"], soft=False)
    return ray.remote(Probe).options(num_cpus=0, max_restarts=0, scheduling_strategy=there).remote()


def _examined(ray: Any, about: dict[str, Any], probe: Any, mark: Path) -> Node:
    has = about["Resources"]
    node = Node(about["NodeManagerAddress"], about.get("NodeManagerHostname", ""), has.get("CPU", 0), has.get("GPU", 0))
    node.memory_gib = round(has.get("memory", 0) / GIB, 1)
    try:
        facts = ray.get(probe.facts.remote(str(mark)), timeout=WAIT_S)
        node.clock_s = round(_clock(ray, probe), 3)
    except ray.exceptions.RayError as error:
        last = str(getattr(error, "cause", None) or error).strip().splitlines()[-1]
        node.problems.append(f"it cannot run automl: {last}")
        return node
    finally:
        ray.kill(probe)
    node.python, node.torch, node.automl = facts["python"], facts["torch"], facts["automl"]
    node.shared = facts["mark"] == mark.name
    node.problems += differences(node, versions(), mark.parent)
    return node


def _clock(ray: Any, probe: Any) -> float:
    """The node's clock minus ours, in seconds, from the quickest of several answers."""
    best = (float("inf"), 0.0)
    for _ in range(ASKED):
        before = time.time()
        there = ray.get(probe.now.remote(), timeout=WAIT_S)
        after = time.time()
        best = min(best, (after - before, there - (before + after) / 2))
    return best[1]


def differences(node: Node, here: dict[str, str], folder: Path) -> list[str]:
    """What keeps the node from working for a driver with these versions, one sentence each."""
    found = []
    for name in ("python", "torch", "automl"):
        there = getattr(node, name)
        if there != here[name]:
            found.append(f"{name} is {there or 'missing'}, the driver has {here[name] or 'none'}")
    if not node.shared:
        found.append(
            f"it does not see the driver's folder {folder}: keep studies on a file system that all nodes share"
        )
    if node.clock_s is not None and abs(node.clock_s) > CLOCK_S:
        found.append(f"its clock differs by {node.clock_s:+.1f} s: let all nodes keep the time by NTP")
    return found


def as_json(nodes: Sequence[Node]) -> dict[str, Any]:
    """One document with all nodes."""
    return {"schema": 1, "nodes": [asdict(node) for node in nodes]}


def text(nodes: Sequence[Node]) -> str:
    """A line for each node, and its problems below it, marked X."""
    head = ("node", "cpus", "gpus", "GiB", "python", "torch", "automl", "shared", "clock")
    rows = [head, *(_row(node) for node in nodes)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = []
    for row, node in zip(rows, [None, *nodes], strict=True):
        mark = "X " if node and node.problems else "  "
        lines.append((mark + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip())
        lines += [f"    -> {problem}" for problem in (node.problems if node else [])]
    return "\n".join(lines)


def _row(node: Node) -> tuple[str, ...]:
    shared = {True: "yes", False: "no", None: "?"}[node.shared]
    clock = "?" if node.clock_s is None else f"{node.clock_s:+.3f} s"
    name = f"{node.address} {node.host}".strip() if node.host != node.address else node.address
    sizes = (f"{node.cpus:g}", f"{node.gpus:g}", f"{node.memory_gib:g}")
    return (name, *sizes, node.python or "?", node.torch or "?", node.automl or "?", shared, clock)
