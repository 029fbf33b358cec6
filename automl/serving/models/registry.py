"""The loaded versions of one worker process, and which of them answers a request."""

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from automl.bundle.ensemble import Ensemble
from automl.bundle.loading import load
from automl.bundle.model import Model
from automl.errors import AutoMLError, did_you_mean
from automl.serving.models.served import Served
from automl.serving.models.store import Store, Traffic
from automl.serving.problem import Refused
from automl.serving.settings import Settings

Loader = Callable[[Path], Model | Ensemble]


@dataclass(frozen=True)
class Route:
    """Which versions of a model answer.

    Attributes:
        current: the version that answers.
        canary: (version, share of the requests) of others that answer instead.
        shadow: a version that computes too, and never answers.
        versions: all that are loaded, by name.
    """

    current: Served
    canary: tuple[tuple[Served, float], ...] = ()
    shadow: Served | None = None
    versions: dict[str, Served] = field(default_factory=dict)

    def choose(self, request_id: str) -> Served:
        """The version that answers a request; the same request id gets the same version."""
        if self.canary:
            drawn = zlib.crc32(request_id.encode()) / 2**32
            for served, share in self.canary:
                if drawn < share:
                    return served
                drawn -= share
        return self.current


class Registry:
    """Loads what `control.json` names and replaces all routes at once; requests keep the version they began with."""

    def __init__(self, settings: Settings, load_bundle: Loader | None = None) -> None:
        self.store, self.settings = Store(settings.folder), settings
        self.routes: dict[str, Route] = {}
        self.failures: dict[str, str] = {}
        self._load = load_bundle or (lambda path: load(path, trust=settings.trust, device=settings.device))
        self._traffic: dict[str, Traffic] = {}

    @property
    def ready(self) -> bool:
        """Whether every model has a version that answers."""
        return bool(self.routes) and self.routes.keys() == self.store.traffic().keys()

    def find(self, model: str | None, version: str | None, request_id: str) -> Served:
        """The loaded model that answers a request.

        Raises:
            Refused: there is no model or version of that name.
        """
        if model is None:
            if len(self.routes) != 1:
                names = ", ".join(self.routes) or "none is loaded"
                raise Refused(422, "no_model", f"name the model (models: {names})", "model")
            route = next(iter(self.routes.values()))
        elif (found := self.routes.get(model)) is not None:
            route = found
        else:
            hint = did_you_mean(model, self.routes)
            raise Refused(404, "unknown_model", f"no model {model[:80]!r} is served{hint}", "model")
        if version is None:
            return route.choose(request_id)
        if version not in route.versions:
            hint = did_you_mean(version, route.versions)
            raise Refused(404, "unknown_version", f"no version {version[:80]!r} is loaded{hint}", "version")
        return route.versions[version]

    def shadow_of(self, served: Served) -> Served | None:
        """The version that computes beside `served`, where there is one."""
        route = self.routes.get(served.name)
        return None if route is None or route.shadow is served else route.shadow

    def refresh(self) -> bool:
        """Load what `control.json` newly names, then route to it. Takes seconds for large models: run it in a thread.

        Returns:
            Whether the routes have changed.
        """
        traffic = self.store.traffic()
        if traffic is self._traffic:
            return False
        routes = {}
        for name, wanted in traffic.items():
            route = self._route(name, wanted)
            if route is not None:
                routes[name] = route
        self.routes, self._traffic = routes, traffic
        return True

    async def follow(self, every_s: float = 0.3) -> None:
        """Refresh for ever, loading in a thread of its own."""
        while True:
            await asyncio.sleep(every_s)
            if self.store.traffic() is not self._traffic:
                await asyncio.to_thread(self.refresh)

    def _route(self, name: str, traffic: Traffic) -> Route | None:
        old = self.routes.get(name)
        known = {served.digest: served for served in old.versions.values()} if old else {}
        wanted = [traffic["current"], *traffic["canary"], *filter(None, [traffic["shadow"]]), *traffic["former"][-1:]]
        explicit = [v["version"] for v in traffic["versions"]][-3:]
        versions = {}
        for entry in traffic["versions"]:
            if entry["version"] in wanted or entry["version"] in explicit:
                served = known.get(entry["digest"]) or self._loaded(name, entry["version"], entry["digest"])
                if served is not None:
                    versions[entry["version"]] = served
        current = versions.get(traffic["current"])
        if current is None:  # it cannot be loaded: what answered so far goes on
            return old
        canary = tuple((versions[v], share) for v, share in traffic["canary"].items() if v in versions)
        return Route(current, canary, versions.get(traffic["shadow"] or ""), versions)

    def _loaded(self, name: str, version: str, digest: str) -> Served | None:
        key = f"{name} {version}"
        try:
            served = Served(
                name, version, digest, self._load(self.store.path(name, digest)), strict=self.settings.strict
            )
        except (AutoMLError, OSError) as error:
            self.failures[key] = str(error)
            return None
        self.failures.pop(key, None)
        return served
