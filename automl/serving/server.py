"""Runs the server: one process or several, which end gracefully, and a look-out for new versions of what is served."""

import logging
import os
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.bundle import files as bundle_files
from automl.core import files
from automl.errors import AutoMLError, EnvironmentProblem, SpecError
from automl.serving.models.store import NAME, Store
from automl.serving.security.keys import Keys
from automl.serving.settings import LOOPBACK, Settings

SETTINGS = "AUTOML_SERVE_SETTINGS"
"""The environment variable by which worker processes get the settings."""
LOOK_S = 1.0
"""How often sources are looked at for a new version."""
log = logging.getLogger("automl.serving")


@dataclass(frozen=True)
class Source:
    """A bundle to serve: the model's name, the version's (None: the next number), and where it lies."""

    model: str
    version: str | None
    path: Path


def check(settings: Settings, certificate: Path | None = None, key: Path | None = None) -> None:
    """Check that the server may listen where it is told to.

    Raises:
        SpecError: an address that others can reach needs keys; or half of a certificate is given.
        EnvironmentProblem: a package is missing.
    """
    if settings.host not in LOOPBACK and not settings.keys:
        raise SpecError(
            f"--host {settings.host} can be reached from other machines, so it needs keys: "
            f"make one with `automl serve --new-key --state {settings.state}`"
        )
    if settings.keys and not len(Keys(settings.folder / "keys.json")):
        raise SpecError(f"there is no key yet: make one with `automl serve --new-key --state {settings.state}`")
    if (certificate is None) != (key is None):
        raise SpecError("--tls-cert and --tls-key belong together: give both or neither")
    for path in (certificate, key):
        if path is not None and not path.is_file():
            raise SpecError(f"no file {str(path)!r}")
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(
            f"automl serve needs the package {error.name}: pip install 'automl-search[serve]'"
        ) from error


def check_port(settings: Settings) -> None:
    """Check that the server can listen, before anything is written that belongs to another one which listens there.

    Raises:
        EnvironmentProblem: another program has the port, or the address is none of this machine's.
    """
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise EnvironmentProblem(
                f"{settings.host} port {settings.port} cannot be used: {why}; choose another one with --port"
            ) from error


def adopt(settings: Settings, sources: Sequence[Source]) -> Store:
    """Copy the bundles into the state. The first one of a model answers where it is new; else traffic stays as it was.

    Raises:
        BundleError: there is no bundle, or it is damaged.
        SpecError: a name is none.
    """
    store = Store(settings.folder)
    seen: set[str] = set()
    for source in sources:
        if not NAME.fullmatch(source.model) or (source.version and not NAME.fullmatch(source.version)):
            raise SpecError(f"{source.model!r} is no name for a model: use letters, digits, '.', '_' and '-'")
        store.adopt(source.model, source.path, source.version, current=source.model not in seen)
        seen.add(source.model)

    def keep(content: dict[str, Any]) -> None:
        for name in [name for name in content if name not in seen]:
            del content[name]

    if seen:
        store.change(keep)
    return store


class Lookout(threading.Thread):
    """Looks at the folders of what is served; a new bundle there becomes the version that answers.

    Attributes:
        failures: why the newest bundle of a model was not taken.
    """

    def __init__(self, store: Store, sources: Sequence[Source], every_s: float = LOOK_S) -> None:
        super().__init__(name="lookout", daemon=True)
        self.store, self.every_s = store, every_s
        self.sources = [
            source for k, source in enumerate(sources) if source.model not in {s.model for s in sources[:k]}
        ]
        self.failures: dict[str, str] = {}
        self._stop = threading.Event()
        self._seen = {source.model: _stamp(source.path) for source in self.sources}

    def run(self) -> None:
        """Look until the end."""
        while not self._stop.wait(self.every_s):
            self.look()

    def look(self) -> None:
        """Look once."""
        for source in self.sources:
            stamp = _stamp(source.path)
            if stamp is None or stamp == self._seen[source.model]:
                continue
            try:
                version = self.store.adopt(source.model, source.path)
                self.store.set_traffic(source.model, current=version)  # also one that answered before: a rollback
                self._seen[source.model] = stamp
                self.failures.pop(source.model, None)
                log.warning("model %s: version %s of %s answers now", source.model, version, source.path)
            except (AutoMLError, OSError) as error:  # perhaps it is just being written
                self.failures[source.model] = str(error)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()


def _stamp(path: Path) -> tuple[int, int] | None:
    with suppress(AutoMLError, OSError):
        stat = (bundle_files.find(path) / bundle_files.MANIFEST).stat()
        return stat.st_mtime_ns, stat.st_ino
    return None


def run(settings: Settings, sources: Sequence[Source], store: Store, tls: tuple[Path, Path] | None = None) -> None:
    """Serve until a signal ends it. Answers that have begun are finished; nothing new is begun `drain_s` after it."""
    import uvicorn

    logging.basicConfig(stream=sys.stderr, format="automl: %(message)s", level=logging.WARNING)
    files.empty(settings.folder / "run")
    lookout = Lookout(store, sources)
    lookout.start()
    os.environ[SETTINGS] = settings.to_json()
    more: Mapping[str, Any] = {"ssl_certfile": str(tls[0]), "ssl_keyfile": str(tls[1])} if tls else {}
    config = uvicorn.Config(
        "automl.serving.server:application", factory=True, host=settings.host, port=settings.port,
        workers=settings.workers, log_config=None, access_log=False, server_header=False, timeout_keep_alive=65,
        timeout_graceful_shutdown=max(1, round(settings.timeout_s)), lifespan="on", ws="none", proxy_headers=False,
        http=_protocol(), **more,
    )  # fmt: skip
    try:
        if settings.workers == 1:
            uvicorn.Server(config).run()
        else:
            _several(config)
    finally:
        lookout.stop()
        os.environ.pop(SETTINGS, None)


def _protocol() -> Any:
    """What speaks HTTP: the quick parser with our limits; where it is not installed, uvicorn's own, which has some."""
    try:
        from automl.serving.traffic.protocol import Guarded
    except ImportError:
        return "h11"
    return Guarded


def _several(config: Any) -> None:
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors.multiprocess import Multiprocess, Process

    class Supervisor(Multiprocess):
        """Replaces workers that have died, and closes its own end of the socket when it ends.

        A worker that is slow to start (a large model, a busy machine) is no dead one, so it is not asked for a sign.
        """

        def keep_subprocess_alive(self) -> None:
            for k, worker in enumerate(self.processes):
                if self.should_exit.is_set() or worker.process.is_alive():
                    continue
                worker.process.join()
                if worker.exitcode == STARTUP_FAILURE:
                    log.error("a worker process could not start; the server ends")
                    self.should_exit.set()
                    return
                log.warning("worker process %s has died (exit code %s) and is replaced", worker.pid, worker.exitcode)
                self.processes[k] = Process(self.config, self.sockets)
                self.processes[k].start()

        def terminate_all(self) -> None:
            super().terminate_all()
            for opened in self.sockets:  # nobody is to wait in a queue that is never read
                opened.close()

    Supervisor(config, sockets=[config.bind_socket()]).run()


def application() -> Any:
    """The application of a worker process, for the HTTP server."""
    import torch

    from automl.serving.app import Service

    settings = Settings.from_json(os.environ[SETTINGS])
    torch.set_num_threads(settings.threads or max(1, (os.cpu_count() or 1) // settings.workers))
    return Service(settings).gate
