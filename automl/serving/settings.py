"""The options of a server, as one value that its worker processes get too."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        state: the folder of keys, versions, logs and feedback.
        host, port: where to listen.
        workers: processes that answer.
        threads: of torch in each worker; 0: cores divided by workers.
        device: where models compute, as torch names it.
        trust: import the code that bundles of one's own models name.
        keys: whether a key is needed.
        hosts: names by which clients may call the server; empty: any (with keys), or loopback names (without).
        max_bytes, max_rows: of one request.
        timeout_s: until a request's body must be there, and until its answer must be.
        rate: requests a second for each key (or address); 0: no limit.
        queue_rows: rows that may wait.
        batch_rows: rows that are computed at once, at most.
        latency_ms: a batch is made no larger than what is computed in half of this time.
        strict: refuse values outside of what training has seen, instead of a warning.
        audit: write who asked what; `audit_bodies`: with the bodies.
        remember: predictions kept for feedback.
        keep_rows: rows kept for `automl update`; 0: none.
        shared: the state lies on a disk that several machines share.
        drain_s: how long new requests are still answered after SIGTERM.
        window: rows after which drift is tested.
        false_alarms: the share of windows in which a model whose inputs have not changed raises an alarm, at most.
    """

    state: str
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 0
    device: str = "cpu"
    trust: bool = False
    keys: bool = False
    hosts: tuple[str, ...] = ()
    max_bytes: int = 10 * 2**20
    max_rows: int = 10_000
    timeout_s: float = 30.0
    rate: float = 0.0
    queue_rows: int = 20_000
    batch_rows: int = 1024
    latency_ms: float = 50.0
    strict: bool = False
    audit: bool = True
    audit_bodies: bool = False
    remember: int = 100_000
    keep_rows: int = 0
    shared: bool = False
    drain_s: float = 1.0
    window: int = 1000
    false_alarms: float = 0.01

    @property
    def folder(self) -> Path:
        """The folder of the state."""
        return Path(self.state)

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Names in the Host header that are answered; empty: all of them."""
        return self.hosts or (() if self.keys else LOOPBACK)

    def to_json(self) -> str:
        """As text, for worker processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        data = json.loads(text)
        return cls(**{**data, "hosts": tuple(data["hosts"])})
