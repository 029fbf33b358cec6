"""Versions of the models that are served: copies of their bundles, and which version answers whom (`control.json`).

Every change is one atomic replacement of `control.json`, which all worker processes look at, so a change of the
traffic needs neither a restart nor a message, and a worker that starts later sees it too.

state/  control.json                 {model: its versions, the current one, canary, shadow, former ones}
        models/MODEL/DIGEST/         a copy of each bundle, named by the hash of its manifest
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.bundle import files as bundle_files
from automl.core import files
from automl.errors import BundleError, SpecError, did_you_mean
from automl.serving.json_file import JsonFile

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEPT = 8
"""So many versions of a model are kept; those that answer are never deleted."""
Traffic = dict[str, Any]


class Store:
    """The folder of versions. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.control = folder, JsonFile(folder / "control.json")

    def traffic(self) -> dict[str, Traffic]:
        """{model: its traffic}, read again where the file has changed."""
        return self.control.read()

    def path(self, model: str, digest: str) -> Path:
        """The copy of a bundle."""
        return self.folder / "models" / model / digest

    def change(self, change: Callable[[dict[str, Traffic]], None]) -> dict[str, Traffic]:
        """Change `control.json` while no other process does. `change` gets its content and may raise."""
        with self._locked():
            self.control.forget()
            content = json.loads(json.dumps(self.traffic()))
            change(content)
            files.write(self.control.file, json.dumps(content, indent=1).encode())
            return self.traffic()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".control.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def adopt(self, model: str, source: Path, version: str | None = None, *, current: bool = True) -> str:
        """Copy the bundle in `source` and make it a version of `model`; what is known already keeps its version.

        Args:
            model: its name.
            source: a study or a bundle.
            version: its name; None: v1, v2, ...
            current: whether a new version answers from now on; the first one of a model always does.

        Returns:
            The version's name.

        Raises:
            BundleError: there is no bundle, or it changes while it is copied.
            SpecError: the name of the version is taken.
        """
        digest = self._copy(model, source)
        adopted = ""

        def add(content: dict[str, Traffic]) -> None:
            nonlocal adopted
            traffic = content.setdefault(
                model, {"versions": [], "made": 0, "current": None, "former": [], "canary": {}, "shadow": None}
            )
            before = {known["version"] for known in traffic["versions"]}
            adopted = self._add(traffic, digest, source, version)
            if traffic["current"] is None or (current and adopted not in before):
                _make_current(traffic, adopted)
            _drop_old(traffic)

        self.change(add)
        self._delete_unused(model)
        return adopted

    def _copy(self, model: str, source: Path) -> str:
        """Copy a bundle that may be replaced at any moment; returns its digest."""
        for _ in range(5):
            folder = bundle_files.find(source)
            digest = bundle_files.sha256(folder / bundle_files.MANIFEST)[:12]
            target = self.path(model, digest)
            if target.is_dir():
                return digest
            work = target.with_name(f".{digest}.{os.getpid()}.part")
            files.empty(work)
            try:
                files.copy(folder, work)
                if bundle_files.sha256(work / bundle_files.MANIFEST)[:12] == digest:
                    work.rename(target)
                    return digest
            except OSError:  # replaced while it was copied, or copied by another process
                if target.is_dir():
                    return digest
            finally:
                files.delete(work)
        raise BundleError(f"{source}: it changes all the time, so it cannot be copied")

    def _add(self, traffic: Traffic, digest: str, source: Path, version: str | None) -> str:
        for known in traffic["versions"]:
            if known["digest"] == digest and version in (None, known["version"]):
                return str(known["version"])
        names = {known["version"] for known in traffic["versions"]}
        if version in names:
            raise SpecError(f"the version {version!r} is another model already; choose another name")
        traffic["made"] += 1
        while version is None and f"v{traffic['made']}" in names:
            traffic["made"] += 1
        name = version or f"v{traffic['made']}"
        added = datetime.now(UTC).isoformat(timespec="seconds")
        traffic["versions"].append(
            {"version": name, "digest": digest, "source": str(source.absolute()), "added": added}
        )
        return name

    def _delete_unused(self, model: str) -> None:
        used = {version["digest"] for version in self.traffic()[model]["versions"]}
        for path in (self.folder / "models" / model).iterdir():
            if path.name not in used and not path.name.startswith("."):
                files.delete(path)

    def set_traffic(
        self, model: str, *, current: str | None = None, canary: Mapping[str, float] | None = None,
        shadow: str | None = None,
    ) -> Traffic:  # fmt: skip
        """Choose which versions answer. None leaves an entry as it is; an empty canary, and a shadow "", end theirs.

        Raises:
            SpecError: there is no such model or version, or the shares are none.
        """

        def choose(content: dict[str, Traffic]) -> None:
            traffic = _of(content, model)
            names = [version["version"] for version in traffic["versions"]]
            for name in [*filter(None, (current, shadow)), *(canary or {})]:
                if name not in names:
                    raise SpecError(f"model {model!r} has no version {name!r}{did_you_mean(name, names)}")
            if canary is not None:
                if not all(0 < share < 1 for share in canary.values()) or sum(canary.values()) >= 1:
                    raise SpecError("the shares of a canary lie between 0 and 1, and leave some for the current one")
                traffic["canary"] = dict(canary)
            if shadow is not None:
                traffic["shadow"] = shadow or None
            if current is not None:
                _make_current(traffic, current)

        return self.change(choose)[model]

    def rollback(self, model: str) -> Traffic:
        """Let the version answer that did before the current one; canary and shadow end.

        Raises:
            SpecError: there is none.
        """

        def back(content: dict[str, Traffic]) -> None:
            traffic = _of(content, model)
            if not traffic["former"]:
                raise SpecError(f"model {model!r} has no former version to go back to")
            traffic["current"] = traffic["former"].pop()
            traffic["canary"], traffic["shadow"] = {}, None

        return self.change(back)[model]


def _of(content: dict[str, Traffic], model: str) -> Traffic:
    if model not in content:
        raise SpecError(f"no model {model!r} is served{did_you_mean(model, content)}")
    return content[model]


def _make_current(traffic: Traffic, version: str) -> None:
    if traffic["current"] is not None and traffic["current"] != version:
        traffic["former"] = [*traffic["former"], traffic["current"]][-KEPT:]
    traffic["current"] = version
    traffic["canary"].pop(version, None)


def _drop_old(traffic: Traffic) -> None:
    busy = {traffic["current"], traffic["shadow"], *traffic["canary"]}
    while len(traffic["versions"]) > KEPT:
        old = next((v for v in traffic["versions"] if v["version"] not in busy), None)
        if old is None:
            return
        traffic["versions"].remove(old)
        traffic["former"] = [name for name in traffic["former"] if name != old["version"]]
