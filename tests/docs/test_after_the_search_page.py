"""The walk of docs/after_the_search.md does what it says, from an empty folder."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import TYPED, run
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S, free_port

BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / "after_the_search.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.mark.slow
def test_the_walk(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the page uses curl")
    pytest.importorskip("onnxruntime")
    port = free_port()
    said: list[str] = []
    server = None
    try:
        for kind, code in BLOCKS:
            code = code.replace("localhost:8000", f"localhost:{port}").strip()
            if kind == "python":
                run([sys.executable, "-c", code], tmp_path)
            elif kind == "serve":
                server = subprocess.Popen([*code.split(), "--port", str(port)], cwd=tmp_path, env=TYPED)
                wait_for(port, "v1")
            else:
                for line in code.splitlines():
                    said.append(done := run(line, tmp_path))
                    if line.startswith("automl versions"):
                        wait_for(port, "v1" if "rollback" in line else "v2")
                    assert done is not None
    finally:
        if server is not None:
            server.terminate()
            server.wait(PATIENCE_S)
    first, second = (json.loads(answer) for answer in said if answer.startswith("{"))
    assert (first["version"], second["version"]) == ("v1", "v2")
    assert first["predictions"] == ["yes"]
    assert second["predictions"] == ["no"]
    assert (tmp_path / "studies" / "customers" / "compressed" / "best" / "manifest.json").is_file()


def wait_for(port: int, version: str) -> None:
    """Wait until the server answers with this version."""
    for _ in range(1500):
        try:
            with urllib.request.urlopen(f"http://localhost:{port}/v1/models", timeout=PATIENCE_S) as answer:
                if f'"{version}"' in current(json.load(answer)):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"the server does not answer with {version}")


def current(answer: Any) -> str:
    """The version that answers, as text."""
    return json.dumps([model["current"] for model in answer["models"]])
