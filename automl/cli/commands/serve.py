"""`automl serve`: saved models behind HTTP, their keys, and which of their versions answers."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from automl.cli import options
from automl.errors import EnvironmentProblem, SpecError

option = options.option

Bundles = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME[@VERSION]=]BUNDLE...", help="Studies (their winners) or folders of saved models."),
]
State = Annotated[Path, option("--state", help="The folder of keys, versions, logs and feedback.")]
Host = Annotated[str, option("--host", help="Where to listen; anything but this machine itself needs keys.")]
Port = Annotated[int, option("--port", min=0, max=65535, help="The port.")]
Workers = Annotated[int, option("--workers", min=1, help="Processes that answer.")]
Device = Annotated[str, option("--device", help="Where models compute: cpu, cuda, cuda:1, ...")]
Canary = Annotated[
    list[str] | None,
    option("--canary", metavar="[NAME@]VERSION=SHARE", help="Let a version answer a share of requests: v2=5%."),
]
Shadow = Annotated[
    list[str] | None, option("--shadow", metavar="[NAME@]VERSION", help="Let a version compute, but never answer.")
]
Need = Annotated[bool, option("--keys/--no-keys", help="Need keys; always so where others can reach the server.")]
NewKey = Annotated[bool, option("--new-key", help="Make a key, print it, exit; a running server accepts it at once.")]
Scopes = Annotated[str, option("--scopes", help="Scopes of the new key: predict, read, admin.")]
Note = Annotated[str, option("--note", help="A note on the new key, e.g. its owner.")]
Revoke = Annotated[str | None, option("--revoke", metavar="ID", help="Delete a key by its second part, then exit.")]
Use = Annotated[
    str | None, option("--use", metavar="[NAME@]VERSION", help="Switch a running server to this version, then exit.")
]
Rollback = Annotated[
    str | None, option("--rollback", metavar="NAME", help="Switch back to the previous version, then exit.")
]
Status = Annotated[
    str | None, option("--status", metavar="URL", help="Print the state of a running server, then exit.")
]
Key = Annotated[str | None, option("--key", help="The key for --status ($AUTOML_SERVE_KEY).")]
TlsCert = Annotated[Path | None, option("--tls-cert", help="Serve HTTPS with this certificate (PEM).")]
TlsKey = Annotated[Path | None, option("--tls-key", help="The private key of the certificate (PEM).")]
Hosts = Annotated[list[str] | None, option("--allowed-host", help="A name by which clients call the server.")]
MaxBytes = Annotated[str, option("--max-bytes", help="Maximum size of a request, such as 10MB.")]
MaxRows = Annotated[int, option("--max-rows", min=1, help="Maximum number of rows of a request.")]
Timeout = Annotated[float, option("--timeout", min=0.1, help="Seconds for a request's body, and for its answer.")]
Rate = Annotated[float, option("--rate", min=0, help="Requests a second for each key or address; 0: any.")]
Queue = Annotated[int, option("--queue", min=1, help="Rows that may wait; more are refused with 503.")]
Latency = Annotated[float, option("--latency-ms", min=1, help="Batches grow as long as they take half of this.")]
Strict = Annotated[bool, option("--strict", help="Refuse values outside of what training has seen.")]
AuditBodies = Annotated[bool, option("--audit-bodies", help="Write bodies of requests into the audit log.")]
KeepRows = Annotated[int, option("--keep-rows", min=0, help="Rows to keep, for `automl update` to learn from.")]
Trust = Annotated[bool, option("--trust", help="Run the code that a bundle of one's own model names.")]

Ray = Annotated[bool, option("--ray", help="Serve with Ray Serve: replicas on the nodes of a Ray cluster.")]
RayAddress = Annotated[str, option("--ray-address", help="The cluster ($RAY_ADDRESS); else one is started here.")]
Replica = Annotated[str, option("--replicas", metavar="N|MIN-MAX", help="With --ray; a range follows the traffic.")]
Busy = Annotated[float, option("--busy", min=1, help="With --ray: requests per replica above which one is added.")]

LOCAL = ("localhost", "127.0.0.1", "::1")
UNITS = {"": 1, "b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30}


def serve(
    bundles: Bundles = None, host: Host = "127.0.0.1", port: Port = 8000, workers: Workers = 1, device: Device = "cpu",
    state: State = Path("serving"), canary: Canary = None, shadow: Shadow = None, use: Use = None,
    rollback: Rollback = None, keys: Need = False, new_key: NewKey = False, scopes: Scopes = "predict,read",
    note: Note = "", revoke: Revoke = None, status: Status = None, key: Key = None, tls_cert: TlsCert = None,
    tls_key: TlsKey = None, allowed_host: Hosts = None, max_bytes: MaxBytes = "10MB", max_rows: MaxRows = 10_000,
    timeout: Timeout = 30.0, rate: Rate = 0.0, queue: Queue = 20_000, latency_ms: Latency = 50.0,
    strict: Strict = False, audit_bodies: AuditBodies = False, keep_rows: KeepRows = 0, trust: Trust = False,
    ray: Ray = False, ray_address: RayAddress = "", replicas: Replica = "1", busy: Busy = 32.0,
    dir: options.Dir = options.STUDIES,
) -> None:  # fmt: skip
    """Serve saved models over HTTP, with a live page.

    Rows are checked, keys and limits keep others out, and numbers are kept for Prometheus. A new winner in a study's
    folder is served as its next version; `--rollback` goes back.
    """
    if new_key or revoke:
        return _keys(state, new_key, scopes, note, revoke)
    if status is not None:
        return _status(status, key)
    traffic = Traffic(canary or [], shadow or [], use, rollback)
    if not bundles and traffic.wanted:
        return _change(state, traffic)
    from automl.serving import server
    from automl.serving.settings import Settings

    settings = Settings(
        state=str(state), host=host, port=port, workers=workers, device=device, trust=trust,
        keys=keys or (host not in LOCAL and (state / "keys.json").is_file()), hosts=tuple(allowed_host or ()),
        max_bytes=_bytes(max_bytes), max_rows=max_rows, timeout_s=timeout, rate=rate, queue_rows=queue,
        latency_ms=latency_ms, strict=strict, audit_bodies=audit_bodies, keep_rows=keep_rows,
    )  # fmt: skip
    sources = [_source(text, dir) for text in bundles or ()]
    if not sources:
        raise SpecError("name at least one study or saved model to serve")
    server.check(settings, tls_cert, tls_key)
    if not ray:
        server.check_port(settings)
    store = server.adopt(settings, sources)
    if traffic.wanted:
        _change(state, traffic)
    _announce(store.traffic(), settings, tls_cert is not None)
    tls = (tls_cert, tls_key) if tls_cert and tls_key else None
    if ray:
        return _on_ray(settings, sources, store, tls, (ray_address, replicas, busy))
    return server.run(settings, sources, store, tls)


def _on_ray(settings: Any, sources: Any, store: Any, tls: Any, asked: tuple[str, str, float]) -> None:
    """Connect to a Ray cluster, or start one here, and serve on it."""
    from automl.executors import ray_connect
    from automl.serving import on_ray

    wanted = on_ray.Replicas.of(asked[1], asked[2])
    with ray_connect.signals_kept():
        on_ray.load()
    ray = ray_connect.load()
    address = asked[0] or os.environ.get("RAY_ADDRESS", "")
    if ray_connect.existing(address) and ray_connect.open_to_all(address):
        raise EnvironmentProblem(
            f"the Ray cluster at {address} lets everybody in, who could change what is served: start it with "
            "RAY_AUTH_MODE=token"
        )
    mine = ray_connect.connect(ray, address, insecure=True, cpus=wanted.most + 1)  # it was looked at
    try:
        with ray_connect.quiet(ray):
            on_ray.run(settings, sources, store, wanted, tls)
    finally:
        if mine:
            ray_connect.disconnect(ray)


@dataclass(frozen=True)
class Traffic:
    """What is asked of the versions: shares of canaries, shadows, the one to use, and the model to roll back."""

    canary: list[str]
    shadow: list[str]
    use: str | None
    rollback: str | None

    @property
    def wanted(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.canary or self.shadow or self.use or self.rollback)


def _keys(state: Path, new: bool, scopes: str, note: str, revoke: str | None) -> None:
    from automl.serving.security.keys import Keys

    keys = Keys(state / "keys.json")
    if revoke is not None:
        keys.revoke(revoke)
        typer.echo(f"key {revoke} is revoked", err=True)
    if new:
        made = keys.new(tuple(scope.strip() for scope in scopes.split(",") if scope.strip()), note)
        typer.echo("this key is shown once; the server keeps its hash only:", err=True)
        typer.echo(made)


def _status(url: str, key: str | None) -> None:
    """Ask a running server for its state."""
    import json
    import urllib.error
    import urllib.request

    from automl.serving.watching.screen import as_text

    address = url if "://" in url else f"http://{url}"
    if not address.startswith(("http://", "https://")):
        raise SpecError(f"--status: {url!r} is no address such as http://127.0.0.1:8000")
    request = urllib.request.Request(address.rstrip("/") + "/v1/status")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            typer.echo(as_text(json.load(answer)))
    except urllib.error.HTTPError as error:
        hint = "; give its key: --key or $AUTOML_SERVE_KEY" if error.code in (401, 403) else ""
        raise EnvironmentProblem(f"{address} answers {error.code} {error.reason}{hint}") from error
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(f"no server answers at {address}: {error}") from error


def _change(state: Path, asked: Traffic) -> None:
    """Change which versions answer; a running server sees it within a second."""
    from automl.serving.models.store import Store

    store = Store(state)
    known = store.traffic()
    if not known:
        raise SpecError(f"nothing was served with --state {state} yet")
    if asked.rollback is not None:
        made = store.rollback(asked.rollback)
        typer.echo(f"{asked.rollback}: version {made['current']} answers", err=True)
    if asked.use is not None:
        model, version = _named(asked.use, known)
        store.set_traffic(model, current=version)
        typer.echo(f"{model}: version {version} answers", err=True)
    shares: dict[str, dict[str, float]] = {}
    for text in asked.canary:
        name, _, share = text.partition("=")
        model, version = _named(name, known)
        shares.setdefault(model, {})[version] = _share(share)
    for model, wanted in shares.items():
        store.set_traffic(model, canary=wanted)
        typer.echo(f"{model}: {', '.join(f'{v} answers {s:.1%}' for v, s in wanted.items())}", err=True)
    for text in asked.shadow:
        model, version = _named(text, known)
        store.set_traffic(model, shadow=version)
        typer.echo(f"{model}: version {version} computes as shadow", err=True)


def _named(text: str, known: dict[str, Any]) -> tuple[str, str]:
    """(model, version) of `[NAME@]VERSION`."""
    model, at, version = text.rpartition("@")
    if not at and len(known) > 1:
        raise SpecError(f"{text!r}: name the model too, as NAME@VERSION (models: {', '.join(known)})")
    return (model, version) if at else (next(iter(known)), text)


def _share(text: str) -> float:
    number = text.strip().removesuffix("%")
    try:
        return float(number) / 100 if text.strip().endswith("%") else float(number)
    except ValueError:
        raise SpecError(f"--canary: {text!r} is no share such as 5% or 0.05") from None


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found is None or found[2] not in UNITS:
        raise SpecError(f"--max-bytes: {text!r} is no size such as 500KB or 10MB")
    return int(float(found[1]) * UNITS[found[2]])


def _source(text: str, folder: Path) -> Any:
    """A bundle of the command line."""
    from automl.serving.server import Source

    named, equals, rest = text.partition("=")
    if equals and not _place(text, folder).is_dir():
        name, _, version = named.partition("@")
        path = _place(rest, folder)
    else:
        name, version, path = "", "", _place(text, folder)
    if not path.is_dir():
        raise SpecError(f"no study and no saved model {rest or text!r} (also searched in {folder})")
    own = path.resolve().parent.name if path.name == "best" else path.resolve().name
    return Source(name or re.sub(r"[^A-Za-z0-9._-]+", "_", own).lstrip("._-") or "model", version or None, path)


def _place(text: str, folder: Path) -> Path:
    return folder / text if (folder / text).is_dir() else Path(text)


def _announce(traffic: dict[str, Any], settings: Any, tls: bool) -> None:
    """Say on stderr what is served, and where."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http{'s' if tls else ''}://{host}:{settings.port}"
    for name, one in traffic.items():
        others = [f"{v} {share:.1%}" for v, share in one["canary"].items()]
        others += [f"{one['shadow']} as shadow"] if one["shadow"] else []
        typer.echo(f"{name} {one['current']}{', ' if others else ''}{', '.join(others)}", err=True)
    typer.echo(f"{address}  (live page; /docs: the API; Ctrl-C ends it gracefully)", err=True)
    if settings.keys and not tls:
        typer.echo("keys travel unencrypted: use --tls-cert and --tls-key, or a proxy that does", err=True)
