"""The state of a server for people and programs: the counts in words and rates."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from automl.serving.models.registry import Registry
from automl.serving.models.served import Served
from automl.serving.watching.counts import LATENCIES_MS, Counts, Watched

Tree = Mapping[str, Any]


def status(registry: Registry, counts: Counts, tree: Tree, scores: Mapping[str, Any], **server: Any) -> dict[str, Any]:
    """Everything that the page and `automl serve --status` show.

    Args:
        registry: the loaded models.
        counts: of this worker, for what is known of each model.
        tree: the counts of all workers.
        scores: on feedback, by model@version.
        server: further entries.
    """
    return {
        "schema": 1, **server, "time": time.time(), "latency_ms": quantiles(tree["latency"]),
        "statuses": tree["statuses"], "refused": tree["codes"], "queue": tree["queue"],
        "seconds": seconds(tree["seconds"], time.time()), "failures": dict(registry.failures),
        "models": [
            {"name": name, "current": route.current.version,
             "canary": {served.version: share for served, share in route.canary},
             "shadow": route.shadow and route.shadow.version,
             "versions": [_version(served, counts, tree, scores) for served in route.versions.values()]}
            for name, route in registry.routes.items()
        ],
    }  # fmt: skip


def _version(served: Served, counts: Counts, tree: Tree, scores: Mapping[str, Any]) -> dict[str, Any]:
    key = f"{served.name}@{served.version}"
    watched = counts.of(served)
    mine = tree["models"].get(key) or watched.tree()
    window = mine["last"] if mine["windows"] else mine["now"]
    findings = [finding.to_json() for finding in watched.drift.findings(window)]
    return {
        "version": served.version, "digest": served.digest, "task": served.kind, "requests": mine["requests"],
        "rows": mine["rows"], "windows": mine["windows"], "alarms": mine["alarms"],
        "window_complete": bool(mine["windows"]), "predictions": _predictions(watched, mine["predicted"]),
        "inputs": _inputs(watched, mine), "drift": findings, "feedback": scores.get(key),
        "compared": mine["compared"], "disagreed": mine["disagreed"],
    }  # fmt: skip


def _predictions(watched: Watched, predicted: Sequence[int]) -> list[dict[str, Any]]:
    if watched.edges is None:
        return [{"as": c, "count": n} for c, n in zip(watched.served.classes or (), predicted, strict=False)]
    ends = [f"{edge:.4g}" for edge in watched.edges]
    names = [f"below {ends[0]}", *(f"{a} to {b}" for a, b in pairwise(ends)), f"above {ends[-1]}"]
    return [{"as": name, "count": n} for name, n in zip(names, predicted, strict=True)]


def _inputs(watched: Watched, mine: Tree) -> list[dict[str, Any]]:
    rows = max(mine["rows"], 1)
    entries = []
    for k, one in enumerate(watched.drift.references):
        if one is not None:
            numbers = {what: mine[what][k] for what in ("missing", "unseen", "outside")}
            shares = {"missing_share": mine["missing"][k] / rows, "missing_in_training": float(one.shares[-1])}
            entries.append({"name": one.name, **numbers, **shares})
    return entries


def quantiles(latency: Sequence[int]) -> dict[str, float | None]:
    """p50, p95 and p99 in milliseconds, between the ends of their classes; None without a request."""
    total = sum(latency)
    return {f"p{share}": _quantile(latency, total * share / 100) if total else None for share in (50, 95, 99)}


def _quantile(latency: Sequence[int], wanted: float) -> float:
    below, low = 0.0, 0.0
    for count, high in zip(latency, [*LATENCIES_MS, LATENCIES_MS[-1]], strict=True):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below, low = below + count, high
    return float(LATENCIES_MS[-1])


def seconds(counted: Mapping[str, Sequence[float]], now: float, last: int = 60) -> list[list[float]]:
    """For each of the last seconds: requests, errors, rows, and their mean latency in milliseconds."""
    rows = []
    for second in range(int(now) - last, int(now)):
        requests, errors, predicted, latency = counted.get(str(second), (0, 0, 0, 0.0))
        rows.append([requests, errors, predicted, 1000 * latency / requests if requests else 0.0])
    return rows
