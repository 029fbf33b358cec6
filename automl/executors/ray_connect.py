"""Connects to a Ray cluster, or starts one on this machine; refuses a cluster that is open to everybody.

Whoever reaches an open Ray cluster can run any program on it, as any worker (CVE-2023-48022 and what followed). Ray
has had token authentication since 2.52. A cluster that is there already, on this machine or elsewhere, is used only if
it turns a caller without a token away: it is asked, whatever the environment of this process promises.
"""

import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from automl.errors import EnvironmentProblem
from automl.executors import devices

T = TypeVar("T")
INSTALL = "pip install 'automl-search[ray]'"
PROBE_S = 60.0
TOKEN_HINT = "it asks for a token: RAY_AUTH_MODE=token, and the token in ~/.ray/auth_token or at RAY_AUTH_TOKEN_PATH"


def load() -> Any:
    """Import and return the module `ray`.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a worker without a GPU hides them itself
    try:
        with signals_kept():
            import ray
            import ray.util
    except ImportError as error:
        raise EnvironmentProblem(f"the ray executor needs Ray ({error}): {INSTALL}") from error
    return ray


def connect(ray: Any, address: str, *, insecure: bool, cpus: float) -> bool:
    """Connect to the cluster at `address`, else at `RAY_ADDRESS`, else start Ray here with at least `cpus` CPUs.

    Returns:
        whether this has connected: a program that is connected already stays so.

    Raises:
        EnvironmentProblem: the cluster cannot be reached, or is open to everybody.
    """
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS", "")
    guarded = existing(address) and not insecure
    if guarded and open_to_all(address):
        raise EnvironmentProblem(
            f"the Ray cluster at {address} lets everybody in: whoever reaches it can run programs on it. Start it with "
            "RAY_AUTH_MODE=token, or use it as it is with the option `insecure: true` of the ray executor"
        )
    options: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": logging.ERROR}
    if not address or address == "local":
        options |= {"num_cpus": max(devices.cores(), -(-cpus // 1)), "include_dashboard": False}
    try:
        with signals_kept():
            patiently(lambda: ray.init(**options))
    except (ConnectionError, RuntimeError, ValueError, ImportError, OSError, ray.exceptions.RayError) as error:
        where = f"reach the Ray cluster at {address}" if address else "start Ray on this machine"
        hint = f" ({TOKEN_HINT})" if guarded else ""
        raise EnvironmentProblem(f"cannot {where}: {error}{hint}") from error
    return True


def patiently(start: Callable[[], T]) -> T:
    """Start Ray on this machine; once more where it gave up after 30 s, which a busy machine may need."""
    try:
        return start()
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
    program = str(Path(sys.modules["ray"].__file__ or "").parent)
    left = []  # the processes of the node that was given up
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(program in argument for argument in child.cmdline()):
                child.kill()
                left.append(child)
    psutil.wait_procs(left, timeout=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the node's pipes
        gc.collect()
    return start()


def disconnect(ray: Any) -> None:
    """Undo `connect`."""
    with signals_kept():
        ray.shutdown()


def draining(ray: Any) -> frozenset[str]:
    """Ids of the nodes that are announced to be taken away (`ray drain-node`, or a cloud's warning).

    Ray has no public function for that; through `ray://`, and where its own one is missing, there are none.
    """
    state = getattr(getattr(ray._private, "state", None), "state", None)
    asks = getattr(state, "get_draining_nodes", None)
    if asks is None or ray.util.client.ray.is_connected():
        return frozenset()
    return frozenset(asks())


def existing(address: str) -> bool:
    """Whether the address is that of a cluster that is there already: anywhere, also on this machine.

    One at this machine's own address can be reached from other machines as well.
    """
    return address not in ("", "local")


def open_to_all(address: str, timeout_s: float = PROBE_S) -> bool:
    """Whether the cluster answers a caller without a token. One that cannot be asked counts as open.

    Args:
        timeout_s: how long to wait for its answer.

    Raises:
        EnvironmentProblem: the cluster cannot be reached.
    """
    if "://" in address:  # the port of Ray's client: only a client can ask
        command = [sys.executable, "-c", f"import ray; ray.init({address!r}, log_to_driver=False)"]
    else:
        health = ["-m", "ray.scripts.scripts", "health-check", "--skip-version-check", "--address", address]
        command = [sys.executable, *health]
    without = {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")}
    try:
        done = subprocess.run(
            command,
            env={**without, "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblem(f"cannot reach the Ray cluster at {address}: no answer in {timeout_s:g} s") from error
    if done.returncode == 0:
        return True
    said = done.stdout + done.stderr
    if any(word in said for word in ("InvalidAuthToken", "Unauthenticated", "UNAUTHENTICATED")):
        return False
    raise EnvironmentProblem(f"cannot reach the Ray cluster at {address}: {last_line(done)}")


def last_line(done: "subprocess.CompletedProcess[str]", nothing: str = "no answer") -> str:
    """The last line that a program has written, of its errors if there are any; `nothing`: if it has written nothing.

    That is where Ray, Slurm and kubectl say why they failed.
    """
    return (done.stderr.strip() or done.stdout.strip() or nothing).splitlines()[-1].strip()


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Keep signal handlers: Ray sets its own for SIGTERM, which would end the driver before it has saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def quiet(ray: Any) -> Iterator[None]:
    """Keep Ray from printing messages about dying processes on stdout, over the screen and into `--json`."""
    module = ray._private.worker
    printer = getattr(module, "print_to_stdstream", None)
    if printer is None:
        yield
        return
    module.print_to_stdstream = lambda *args, **options: None
    try:
        yield
    finally:
        module.print_to_stdstream = printer
