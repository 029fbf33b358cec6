"""The page's own rules (order, filters, axes, numbers), run in node."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S


def test_the_pages_rules(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not there")
    copy = tmp_path / "model.mjs"
    shutil.copy(ROOT / "automl" / "view" / "web" / "page" / "model.js", copy)
    command = ["node", str(Path(__file__).with_name("model_in_node.mjs")), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("tests\n")
