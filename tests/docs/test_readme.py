"""Every code block of the README does what it says: YAML is searched, Python is run, commands are typed."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.paths import ROOT

BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newcomer's folder: nothing in it but the README's space.yaml, and a table of customers with new ones."""
    path = tmp_path_factory.mktemp("newcomer")
    (spec,) = [code for kind, code in BLOCKS if kind == "yaml"]
    (path / "space.yaml").write_text(spec)
    rows = [f"{k % 7},{'abc'[k % 3]},{'yes' if k % 7 + (k % 3 == 1) > 3 else 'no'}" for k in range(300)]
    (path / "customers.csv").write_text("\n".join(["visits,plan,churned", *rows]))
    (path / "new.csv").write_text("visits,plan\n2,a\n6,c\n")
    return path


def shortened(code: str) -> str:
    """Two minutes of search in the text are two trials in the test."""
    return code.replace("--time 2m", "--trials 2").replace("time_s=120", "time_s=None, trials=2")


@pytest.mark.slow
def test_commands(folder: Path) -> None:
    lines = [line.split("#")[0].strip() for kind, code in BLOCKS if kind == "bash" for line in code.splitlines()]
    assert "make demo" in lines
    for line in filter(None, lines):
        words = shlex.split(shortened(line))
        if words[0] == "make":
            run(["make", "-n", *words[1:]], ROOT)
        else:
            run(words, folder)


@pytest.mark.slow
@pytest.mark.parametrize("code", [pytest.param(c, id=f"{k}") for k, (kind, c) in enumerate(BLOCKS) if kind == "python"])
def test_python(folder: Path, code: str) -> None:
    script = folder / "example.py"
    script.write_text(shortened(code))
    assert run([sys.executable, str(script)], folder).strip()


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link


def test_no_block_is_of_an_unknown_kind() -> None:
    assert {kind for kind, _ in BLOCKS} <= {"yaml", "bash", "python"}
