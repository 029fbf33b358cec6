"""The state of a server as text for a terminal. It loads no torch, so that looking takes no time."""

from collections.abc import Mapping
from typing import Any


def as_text(state: Mapping[str, Any]) -> str:
    """The state on a terminal."""
    recent = state["seconds"][-10:]
    rate = sum(row[0] for row in recent) / max(len(recent), 1)
    latency = state["latency_ms"]
    times = "  ".join(f"{name} {value:.1f} ms" for name, value in latency.items() if value is not None)
    lines = [
        f"{rate:.1f} requests/s over 10 s  {times or 'no prediction yet'}",
        "statuses  " + ("  ".join(f"{k}: {v}" for k, v in sorted(state["statuses"].items())) or "none"),
        *(f"refused  {code}: {count}" for code, count in sorted(state["refused"].items())),
        *(f"cannot be loaded  {name}: {why}" for name, why in state["failures"].items()),
    ]
    for model in state["models"]:
        for version in model["versions"]:
            lines += _version_lines(model, version)
    return "\n".join(lines)


def _version_lines(model: Mapping[str, Any], version: Mapping[str, Any]) -> list[str]:
    roles = ["current"] if version["version"] == model["current"] else []
    roles += [f"canary {model['canary'][version['version']]:.0%}"] if version["version"] in model["canary"] else []
    roles += ["shadow"] if version["version"] == model["shadow"] else []
    said = f" ({', '.join(roles)})" if roles else ""
    drift = f"{version['alarms']} of {version['windows']} windows with drift"
    lines = [f"{model['name']} {version['version']}{said}: {version['rows']} rows, {drift}"]
    changed = [f"{f['name']} (PSI {f['psi']:.2f}, limit {f['psi_limit']:.2f})" for f in version["drift"] if f["alarm"]]
    if changed and version["window_complete"]:
        lines.append(f"  changed inputs: {', '.join(changed)}")
    score = version["feedback"]
    if score and score["value"] is not None:
        low, high = score["interval"] or (score["value"], score["value"])
        lines.append(f"  {score['metric']} {score['value']:.4g} ({low:.4g} to {high:.4g}) on {score['rows']} answers")
    return lines
