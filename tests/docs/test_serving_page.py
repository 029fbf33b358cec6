"""The walk of docs/serving.md does what it says, from an empty folder."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.commands import TYPED, run
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S, free_port

PAGE = (ROOT / "docs" / "serving.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_walk(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the page uses curl")
    port = free_port()
    said: list[str] = []
    server = None
    try:
        for kind, code in ((k, c) for k, c in BLOCKS if k != "text"):  # `text` is for clusters that are not here
            code = code.replace("localhost:8000", f"localhost:{port}").strip()
            if kind == "python":
                run([sys.executable, "-c", code], tmp_path)
            elif kind == "serve":
                server = subprocess.Popen([*code.split(), "--port", str(port)], cwd=tmp_path, env=TYPED)
                ready(port)
            elif kind == "bash":
                said.append(run(code, tmp_path))
            else:
                assert shape(json.loads(code)) == shape(json.loads(said[-1]))
    finally:
        if server is not None:
            server.terminate()
            server.wait(PATIENCE_S)
    assert said[2].startswith("prediction\n")
    assert "did you mean 'colour'?" in said[3]
    assert "flowers v1 (current): 401 rows" in said[4]
    assert said[5].startswith("automl_")


def ready(port: int) -> None:
    for _ in range(1500):
        try:
            urllib.request.urlopen(f"http://localhost:{port}/health/ready", timeout=PATIENCE_S)
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server does not answer")


def shape(tree: object) -> object:
    """The keys of a tree, and the types of its leaves."""
    if isinstance(tree, dict):
        return {key: shape(value) for key, value in tree.items()}
    return [shape(value) for value in tree[:1]] if isinstance(tree, list) else type(tree)


def test_every_path_that_is_answered_is_on_the_page(tmp_path: Path) -> None:
    from automl.serving.app import ASSETS, Service
    from automl.serving.settings import Settings

    made = Service(Settings(str(tmp_path)))
    paths = {route.path for route in made.app.routes} | made.gate.paths  # type: ignore[attr-defined]
    for path in paths - ASSETS.keys():
        assert path.replace("{name}", "NAME").replace("/v1/models/NAME/rollback", "/rollback") in PAGE, path
    made.feedback.close()
    assert made.gate.audit is not None
    made.gate.audit.close()
