"""The same application on Ray Serve: replicas on the nodes of a cluster, as many as the traffic needs.

Every replica is one worker process of ours with all its checks, keys and counts; Ray passes requests on to them, starts
others in the place of dead ones, and adds or removes some. The state's folder has to be seen by all nodes.
"""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from automl.core import files
from automl.errors import EnvironmentProblem, SpecError
from automl.serving.models.store import Store
from automl.serving.server import Lookout, Source
from automl.serving.settings import Settings
from automl.version import __version__

NAME = "automl"
"""Of the application in the cluster, and of its one deployment."""
ONGOING = 512
"""So many requests at once are passed to a replica, which makes batches of them."""


@dataclass(frozen=True)
class Replicas:
    """How many replicas there are.

    Attributes:
        least, most: limits of the number of replicas; equal: a fixed number.
        busy: requests that a replica has at once when another one is worth it.
    """

    least: int = 1
    most: int = 1
    busy: float = 32.0

    @classmethod
    def of(cls, text: str, busy: float = 32.0) -> Self:
        """`2`, or `1-8`.

        Raises:
            SpecError: the text is neither.
        """
        first, dash, last = text.partition("-")
        try:
            least = int(first)
            most = int(last) if dash else least
        except ValueError:
            least, most = 0, 0
        if not 1 <= least <= most:
            raise SpecError(f"--replicas: {text!r} is no number of replicas such as 2, and no range such as 1-8")
        return cls(least, most, busy)

    def options(self) -> dict[str, Any]:
        """For Ray Serve's deployment."""
        if self.least == self.most:
            return {"num_replicas": self.most}
        return {
            "autoscaling_config": {
                "min_replicas": self.least, "max_replicas": self.most, "target_ongoing_requests": self.busy,
            }
        }  # fmt: skip


def load() -> Any:
    """The module `ray.serve`.

    Raises:
        EnvironmentProblem: a package that it needs is missing.
    """
    try:
        from ray import serve
    except ImportError as error:
        raise EnvironmentProblem(
            f"automl serve --ray needs Ray Serve ({error}): pip install 'automl-search[serve-ray]'"
        ) from error
    return serve


def application(settings: str, version: str) -> Any:
    """The application of a replica, made on its node.

    Args:
        settings: as JSON.
        version: of the automl that has started it.

    Raises:
        EnvironmentProblem: the node has another version, or does not see the state's folder.
    """
    import torch

    from automl.serving.app import Service

    ours = Settings.from_json(settings)
    if version != __version__:
        raise EnvironmentProblem(f"this node has automl {__version__}, the server was started by {version}")
    if not (ours.folder / "control.json").is_file():
        raise EnvironmentProblem(
            f"this node does not see {ours.state}: --state has to be on a disk that all nodes share"
        )
    torch.set_num_threads(ours.threads)
    return Service(ours).gate


def deployment(serve: Any, settings: Settings, replicas: Replicas) -> Any:
    """What Ray Serve is to run."""
    shared = replace(
        settings, state=str(settings.folder.absolute()), workers=replicas.most, threads=settings.threads or 1,
        shared=True, drain_s=0.0,
    ).to_json()  # fmt: skip
    version = __version__

    def made() -> Any:
        from automl.serving.on_ray import application

        return application(shared, version)

    needs = {"num_cpus": settings.threads or 1, **({"num_gpus": 1} if settings.device.startswith("cuda") else {})}
    return serve.deployment(
        serve.ingress(made)(), name=NAME, max_ongoing_requests=ONGOING, max_queued_requests=settings.queue_rows,
        ray_actor_options=needs, graceful_shutdown_timeout_s=settings.timeout_s,
        health_check_period_s=2, **replicas.options(),
    )  # fmt: skip


@contextmanager
def running(
    settings: Settings, sources: Sequence[Source], store: Store, replicas: Replicas,
    tls: tuple[Path, Path] | None = None,
) -> Iterator[None]:  # fmt: skip
    """Serve inside the block, on the cluster that this process is connected to.

    Raises:
        EnvironmentProblem: Ray Serve is missing, or the replicas do not start.
    """
    serve = load()
    files.empty(settings.folder / "run")
    lookout = Lookout(store, sources)
    http: dict[str, Any] = {"host": settings.host, "port": settings.port, "request_timeout_s": settings.timeout_s + 5}
    if tls is not None:
        http |= {"ssl_certfile": str(tls[0].absolute()), "ssl_keyfile": str(tls[1].absolute())}
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    before = _applications(serve)
    if NAME in before:
        raise EnvironmentProblem(f"the cluster serves an application {NAME!r} already; end it first (serve.delete)")
    try:
        serve.start(http_options=http)
        bound = deployment(serve, settings, replicas).bind()
        serve.run(bound, name=NAME, route_prefix="/", blocking=False)
        lookout.start()
        yield
    except RuntimeError as error:  # Ray's words are many lines
        last = str(error).strip().splitlines()
        raise EnvironmentProblem(f"the replicas do not start: {last[-1] if last else error}") from error
    finally:
        lookout.stop()
        with suppress(Exception):  # the cluster may be gone
            if before:
                serve.delete(NAME)
            else:
                serve.shutdown()


def _applications(serve: Any) -> set[str]:
    """What the cluster serves already."""
    with suppress(Exception):
        return set(serve.status().applications)
    return set()


@contextmanager
def signalled() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set inside the block."""
    ended = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: ended.set())
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    settings: Settings, sources: Sequence[Source], store: Store, replicas: Replicas,
    tls: tuple[Path, Path] | None = None,
) -> None:  # fmt: skip
    """Serve until a signal ends it, also one that comes while the replicas start; see `running`."""
    with signalled() as ended, running(settings, sources, store, replicas, tls):
        while not ended.wait(1.0):
            pass
