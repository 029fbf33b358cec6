"""The walk of docs/compression.md does what it says, from an empty folder."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "compression.md").read_text()
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_walk(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    said = ""
    for kind, code in BLOCKS:
        said += run([sys.executable, "-c", code] if kind == "python" else code, tmp_path)
    assert said.count("int8-static") >= 2  # in both tables
    assert "test_accuracy" in said
    assert "prediction\n" in said
    assert (tmp_path / "digits.onnx").stat().st_size < 100_000
