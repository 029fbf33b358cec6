"""The application of one worker process: predictions answered at once, everything else by FastAPI behind the gate."""

import asyncio
import contextlib
import gc
import importlib.resources
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from automl.errors import SpecError
from automl.serving import openapi
from automl.serving.inputs.answers import encoded
from automl.serving.models.registry import Loader, Registry
from automl.serving.predict import Predictions
from automl.serving.problem import Refused, unexpected
from automl.serving.security.gate import Answer, Gate, Visit
from automl.serving.settings import Settings
from automl.serving.traffic.batching import Batcher
from automl.serving.traffic.ending import graceful
from automl.serving.watching import counts as counting
from automl.serving.watching import prometheus, status
from automl.serving.watching.feedback import Feedback
from automl.serving.watching.kept_rows import FILE
from automl.version import __version__

TICK_S = 0.5
ICON = ("icon.svg", "image/svg+xml")
ASSETS = {
    "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ICON, "/favicon.ico": ICON,
}  # fmt: skip
"""Path -> file and type; browsers ask for the last one for any address, such as a model's card."""


class Answers(BaseModel):
    """True answers that came later."""

    model_config = ConfigDict(extra="forbid")
    request_id: str = Field(max_length=64)
    answers: list[str | float | int | bool | None] = Field(max_length=100_000)


def _unknown_classes(registry: Registry, made: Mapping[str, Any], answers: Sequence[object]) -> list[str]:
    """A sentence for true answers that are no class of the model: a new class, or a slip of the client."""
    try:
        served = registry.find(made["model"], made["version"], "")
    except Refused:
        return []  # no longer loaded
    if served.kind != "classification":
        return []
    unknown = list(dict.fromkeys(one for one in answers if one is not None and one not in served.classes))
    if not unknown:
        return []
    named = [", ".join(map(repr, labels[:5]))[:200] for labels in (unknown, served.classes)]
    return [f"no class of the model: {named[0]} (it has {named[1]}{', ...' if len(served.classes) > 5 else ''})"]


class Change(BaseModel):
    """Which versions answer; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")
    current: str | None = None
    canary: dict[str, float] | None = None
    shadow: str | None = None


class Service:
    """All parts of one worker process; `gate` is the application for the HTTP server."""

    def __init__(self, settings: Settings, load: Loader | None = None) -> None:
        self.settings = settings
        self.registry = Registry(settings, load)
        self.batcher = Batcher(settings.queue_rows, settings.batch_rows, settings.latency_ms / 1000)
        self.counts = counting.Counts(settings.window, settings.false_alarms)
        self.feedback = Feedback(settings.folder / FILE, settings.remember, settings.keep_rows, shared=settings.shared)
        self.started = time.time()
        self.own = settings.folder / "run" / f"{os.getpid()}-{int(1000 * self.started)}.json"
        self.predictions = Predictions(settings, self.registry, self.batcher, self.counts, self.feedback)
        self.app = _application(self)
        handlers = {
            ("POST", "/v1/predict"): ("predict", self.predictions.answer),
            ("GET", "/health/live"): ("predict", self._live),
            ("GET", "/health/ready"): ("predict", self._ready),
        }
        self.gate = Gate(settings, handlers, self.app, self._finished)

    async def _live(self, visit: Visit) -> Answer:
        return Answer(200, b'{"status":"live"}')

    async def _ready(self, visit: Visit) -> Answer:
        if self.gate.draining or not self.registry.ready:
            why = "the server is ending" if self.gate.draining else "models are being loaded"
            raise Refused(503, "not_ready", why, retry_after_s=1)
        return Answer(200, b'{"status":"ready"}')

    def _finished(self, visit: Visit, seconds: float) -> None:
        predicted = visit.scope["path"] == "/v1/predict"
        self.counts.request(visit.status, visit.code, seconds, visit.rows, predicted=predicted)

    def tree(self) -> dict[str, Any]:
        """The counts of all workers."""
        queue = {"rows": self.batcher.rows, "batches": self.batcher.batches, "computed": self.batcher.computed}
        self.counts.queue = queue
        return counting.of_all(self.own.parent, self.own, self.counts.tree())

    def status(self, tree: dict[str, Any]) -> dict[str, Any]:
        """The state of the server, from the counts of all workers."""
        server = {"version": __version__, "workers": self.settings.workers, "started": self.started,
                  "draining": self.gate.draining, "false_alarms": self.settings.false_alarms,
                  "window": self.settings.window}  # fmt: skip
        return status.status(self.registry, self.counts, tree, self.feedback.scores(), **server)

    @contextlib.asynccontextmanager
    async def life(self, _: FastAPI) -> AsyncIterator[None]:
        """Load the models, follow changes, and write what was collected at the end."""
        await asyncio.to_thread(self.registry.refresh)
        await asyncio.to_thread(self._warm)
        gc.collect()
        gc.freeze()  # what is loaded by now stays; looking through it again and again would take milliseconds
        tasks = [asyncio.create_task(self.registry.follow()), asyncio.create_task(self._ticks())]
        try:
            with graceful(self.settings.drain_s, self._drain):
                yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            gc.unfreeze()
            self.batcher.close()
            self._write()
            self.feedback.close()
            if self.gate.audit is not None:
                self.gate.audit.close()

    def _drain(self) -> None:
        self.gate.draining = True

    async def _ticks(self) -> None:
        parent = multiprocessing.parent_process()
        while True:
            await asyncio.sleep(TICK_S)
            if parent is not None and not parent.is_alive():  # it was killed: nobody would ever end this one
                os.kill(os.getpid(), signal.SIGTERM)
                return
            await asyncio.to_thread(self._warm)
            routed = [served for route in self.registry.routes.values() for served in route.versions.values()]
            self.batcher.keep(routed)
            self.counts.keep(routed)
            for watched in list(self.counts.models.values()):
                watched.flush()
            tree = encoded(self.counts.tree()) if self.settings.workers > 1 else b""
            await asyncio.to_thread(self._write_all, tree)

    def _warm(self) -> None:
        """Compute for new versions what takes long the first time."""
        for route in list(self.registry.routes.values()):
            for served in route.versions.values():
                if self.counts.of(served).drift.warm(self.settings.window):
                    served.warm()

    def _write(self) -> None:
        self._write_all(encoded(self.counts.tree()) if self.settings.workers > 1 else b"")

    def _write_all(self, tree: bytes) -> None:
        if tree:
            counting.write(self.own, tree)
        self.feedback.flush()
        if self.gate.audit is not None:
            self.gate.audit.flush()


def _visit(request: Request, scope: str) -> Visit:
    visit: Visit = request.scope["visit"]
    visit.identity.need(scope)
    return visit


def _json(content: Any, code: int = 200) -> Response:
    return Response(encoded(content), code, media_type="application/json")


def _application(service: Service) -> FastAPI:
    app = FastAPI(title="automl serve", version=__version__, lifespan=service.life, openapi_url=None, docs_url=None,
                  redoc_url=None, redirect_slashes=False)  # fmt: skip
    _refusals(app)
    _models(app, service)
    _pages(app, service)
    return app


def _refusals(app: FastAPI) -> None:
    """One shape for all refusals; what nobody expected is logged by the gate."""

    def refused(request: Request, problem: Refused) -> Response:
        request.scope["visit"].code = problem.code
        headers = dict(problem.headers())
        return Response(encoded(problem.body()), problem.status, headers, "application/json")

    @app.exception_handler(Refused)
    async def ours(request: Request, error: Refused) -> Response:
        return refused(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "body"
        code = "invalid_json" if first["type"] == "json_invalid" else "invalid_value"
        status = 400 if code == "invalid_json" else 422
        return refused(request, Refused(status, code, str(first["msg"])[:300], where[:200]))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
        message = f"{request.method} {request.url.path[:200]}: {error.detail}"
        return refused(request, Refused(error.status_code, code, message, "path"))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return refused(request, unexpected(request.scope["visit"].id))


def _models(app: FastAPI, service: Service) -> None:
    registry = service.registry

    @app.get("/v1/models", summary="The models and their versions")
    async def models(request: Request) -> Response:
        _visit(request, "read")
        known = [
            {"name": name, "task": route.current.kind, "current": route.current.version,
             "canary": {served.version: share for served, share in route.canary},
             "shadow": route.shadow and route.shadow.version,
             "versions": [{"version": one.version, "digest": one.digest} for one in route.versions.values()]}
            for name, route in registry.routes.items()
        ]  # fmt: skip
        return _json({"models": known, "failures": registry.failures})

    @app.get("/v1/models/{name}", summary="The card of a model: data, metrics with intervals, limits of use")
    async def card(request: Request, name: str, version: str | None = None) -> Response:
        visit = _visit(request, "read")
        return _json(registry.find(name, version, visit.id).card())

    @app.post("/v1/models/{name}/traffic", summary="Choose which versions answer (scope admin)")
    async def traffic(request: Request, name: str, change: Change) -> Response:
        wanted = change.model_dump()
        return await changed(request, lambda: registry.store.set_traffic(name, **wanted), "wrong_traffic", "traffic")

    @app.post("/v1/models/{name}/rollback", summary="Go back to the former version (scope admin)")
    async def rollback(request: Request, name: str) -> Response:
        return await changed(request, lambda: registry.store.rollback(name), "no_former_version", "model")

    async def changed(request: Request, change: Callable[[], Any], code: str, where: str) -> Response:
        """Change which versions answer, in this process at once; `code` and `where` name what cannot be."""
        _visit(request, "admin")
        try:
            made = await asyncio.to_thread(change)
        except SpecError as error:
            raise Refused(422, code, str(error), where) from None
        await asyncio.to_thread(registry.refresh)
        return _json(made)

    @app.post("/v1/feedback", summary="True answers that came later, by request id")
    async def feedback(request: Request, answers: Answers) -> Response:
        visit = _visit(request, "predict")
        key = visit.identity.id
        made = await asyncio.to_thread(service.feedback.answered, answers.request_id, key, answers.answers)
        return _json({**made, "warnings": _unknown_classes(registry, made, answers.answers)})


def _pages(app: FastAPI, service: Service) -> None:
    def document() -> dict[str, Any]:
        return openapi.description(app.openapi(), service.registry)

    @app.get("/v1/status", summary="Numbers of the running server")
    async def state(request: Request) -> Response:
        _visit(request, "read")
        tree = service.tree()
        return _json(await asyncio.to_thread(service.status, tree))

    @app.get("/metrics", summary="Numbers for Prometheus")
    async def metrics(request: Request) -> Response:
        _visit(request, "read")
        tree = service.tree()
        text = await asyncio.to_thread(lambda: prometheus.text(service.status(tree), tree))
        return Response(text, media_type=prometheus.CONTENT_TYPE)

    @app.get("/openapi.json", include_in_schema=False)
    async def described(request: Request) -> Response:
        _visit(request, "read")
        return _json(document())

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        _visit(request, "read")
        address = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
        return Response(openapi.page(document(), service.registry, address), media_type="text/html")

    @app.get("/", include_in_schema=False)
    async def live(request: Request) -> Response:
        _visit(request, "read")
        return Response(openapi.shell("automl serve", _asset("page.html").decode(), "/page.js"), media_type="text/html")

    for path in ASSETS:
        app.get(path, include_in_schema=False)(asset)


async def asset(request: Request) -> Response:
    """A file of the pages."""
    name, kind = ASSETS[request.url.path]
    return Response(_asset(name), media_type=kind)


def _asset(name: str) -> bytes:
    return importlib.resources.files("automl.serving.watching").joinpath("page", name).read_bytes()
