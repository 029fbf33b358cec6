"""Commands of the command line as functions: each runs `automl COMMAND ... --json` in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

LONGEST_S = 24 * 3600.0
GRACE_S = 30.0


class CommandFailed(Exception):
    """A command ended with an error; the message is its document, as JSON, with a stable code."""


def run(
    command: str, *words: str, options: Mapping[str, object] | None = None, cwd: Path, ok: Sequence[int] = (0,),
    limit_s: float = LONGEST_S,
) -> dict[str, Any]:  # fmt: skip
    """Run a command and return its document.

    Args:
        command: its name.
        words: its arguments; what looks like an option is none here.
        options: `{"rows": 5, "where": ["lr<1e-3"]}`; None, False and empty ones are left out.
        cwd: the folder that it runs in.
        ok: exit codes that are no error.
        limit_s: seconds after which the command is stopped.

    Raises:
        CommandFailed: it ended with an error.
    """
    argv = [sys.executable, "-c", "from automl.cli import main; main()", command, *_flags(options or {}), "--json"]
    out, errors, code = _ended([*argv, "--", *words], cwd, limit_s)
    try:
        document = json.loads(out)
    except ValueError:
        document = {"text": out.strip()}
    if not isinstance(document, dict):
        document = {"schema": 1, command: document}
    if code not in ok:
        if "error" not in document and "errors" not in document:
            message = errors.strip()[-2000:] or f"exit code {code}"
            document = {"schema": 1, "ok": False, "error": {"code": "unexpected", "message": message}}
        raise CommandFailed(json.dumps(document, ensure_ascii=False))
    return document


def _ended(argv: Sequence[str], cwd: Path, limit_s: float) -> tuple[str, str, int]:
    """Run a program; returns what it printed to stdout and to stderr, and its exit code."""
    process = subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace",
    )  # fmt: skip
    try:
        out, errors = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            out, errors = process.communicate(timeout=GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
    return out, errors, process.returncode


def _flags(options: Mapping[str, object]) -> list[str]:
    flags: list[str] = []
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif isinstance(value, list | tuple):
            flags += [f"{flag}={one}" for one in value]
        elif value is not None and value is not False:
            flags.append(f"{flag}={value}")
    return flags
