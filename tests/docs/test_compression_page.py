"""The walk of docs/compression.md does what it says, from an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "compression.md").read_text()
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.slow
def test_the_walk(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    said = ""
    for kind, code in BLOCKS:
        command = [sys.executable, "-c", code] if kind == "python" else ["bash", "-ec", code]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert said.count("int8-static") >= 2  # in both tables
    assert "test_accuracy" in said
    assert "prediction\n" in said
    assert (tmp_path / "digits.onnx").stat().st_size < 100_000
