"""Writes a cluster's file, and starts the cluster by the program that does it there: sbatch, ray up or kubectl."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.errors import EnvironmentProblem, SpecError
from automl.executors.clusters.kubernetes import SECRET_KEY
from automl.executors.clusters.plan import Plan
from automl.executors.ray_connect import last_line


def write(file: Path, text: str, *, force: bool, executable: bool = False) -> None:
    """Write the file.

    Raises:
        SpecError: it is there already, and not `force`; or it cannot be written.
    """
    if file.exists() and not force:
        raise SpecError(f"{file} already exists; --force replaces it")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        if executable:
            file.chmod(0o755)
    except OSError as error:
        raise SpecError(f"{file} cannot be written: {error.strerror}") from error


def as_yaml(content: Mapping[str, Any]) -> str:
    """The content as YAML, in its own order."""
    import yaml

    return yaml.safe_dump(dict(content), sort_keys=False, width=1000, allow_unicode=True)


def slurm(file: Path) -> str:
    """Submit a batch script; returns what sbatch says."""
    return _run(["sbatch", str(file)])


def ssh(file: Path, token: Path) -> str:
    """Start the hosts of a cluster file; returns Ray's last line."""
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    return _run([sys.executable, "-m", "ray.scripts.scripts", "up", "--yes", "--no-config-cache", str(file)], variables)


def kubernetes(file: Path, token: Path, secret: str, namespace: str) -> str:
    """Make the Secret if it is not there, and apply the manifest; returns what kubectl says."""
    where = ["--namespace", namespace] if namespace else []
    found = _run(["kubectl", "get", "secret", secret, *where, "--ignore-not-found", "--output", "json"])
    if not found or SECRET_KEY not in json.loads(found).get("data", {}):
        _run(["kubectl", "create", "secret", "generic", secret, *where, f"--from-file={SECRET_KEY}={token}"])
    return _run(["kubectl", "apply", *where, "--filename", str(file)])


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
    """What a program prints.

    Raises:
        EnvironmentProblem: it is not here, or fails; with the last line that it says.
    """
    name = "ray up" if "ray.scripts.scripts" in command else command[0]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, **(variables or {})},
        )  # fmt: skip
    except FileNotFoundError as error:
        raise EnvironmentProblem(f"{name} is not on this machine; run --start where it is") from error
    if done.returncode:
        raise EnvironmentProblem(f"{name} failed: {last_line(done, f'exit code {done.returncode}')}")
    return done.stdout.strip()


def default_file(plan: Plan, suffix: str) -> Path:
    """Where the file goes if nothing else is said."""
    return Path(f"{plan.name}.{suffix}")
