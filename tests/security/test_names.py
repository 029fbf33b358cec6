"""Names of studies are names, never paths."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import automl
from automl import specfile
from automl.cli.app import app
from automl.core.files import as_name, why_no_name
from automl.core.space import Float
from automl.errors import SpecError

PATHS = ["../escaped", "/tmp/absolute", "a/b", "..", ".", "nl\nbreak", "x" * 300, "a\\b", "c:x", "", "  ", "\x1b[31m",
         "a\0b", "\u202egpj", "名" * 90, ".hidden", "-rf", "trailing.", " x", "x ", "CON", "nul.txt", "com7", "a\tb",
         "\u2028"]  # fmt: skip
NAMES = ["digits", "my study", "v1.2", "größe", "名", "a-b_c", "x" * 100, "console", "(1)", "é"]
SPEC = "metric: loss\nspace: {x: {float: [0, 1]}}\ncommand: [sh]\nbudget: {trials: 1}\n"


@pytest.mark.parametrize("name", PATHS, ids=repr)
@pytest.mark.catalogue(
    61, "a study's name is a path, a control character, 300 letters", "refused with line and column", 2
)
def test_a_path_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match=r"^spec\.yaml:1:8: study: .+") as caught:
        specfile.parse(f"study: {json.dumps(name)}\n" + SPEC, "spec.yaml")
    assert len(str(caught.value)) < 600
    assert not set(str(caught.value)) & {"\x1b", "\u202e", "\0"}
    if name:
        with pytest.raises(SpecError, match=r"^name: .* it is the folder's name"):
            automl.search(
                lambda trial: 0.0, space={"x": Float(0, 1)}, metric="loss", trials=1, dir=tmp_path / "d", name=name
            )
    assert not list(tmp_path.rglob("*"))
    assert not why_no_name(as_name(name)), "what is made of it is a name"


def test_a_number_is_no_name(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^name: 5 is no text"):
        automl.search(lambda trial: 0.0, space={"x": Float(0, 1)}, metric="loss", trials=1, dir=tmp_path, name=5)


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    assert specfile.parse(f"study: {name}\n" + SPEC).name == name
    assert as_name(name) == name


@pytest.mark.parametrize("name", ["../x", "/tmp/abs", "a/b"])
def test_the_option_of_the_command_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "space.yaml").write_text(SPEC)
    done = CliRunner().invoke(
        app, ["search", str(tmp_path / "space.yaml"), "--dir", str(tmp_path / "s"), "--name", name]
    )
    assert isinstance(done.exception, SpecError)
    assert f"{name!r} is a path, not a name" in str(done.exception)
    assert {file.name for file in tmp_path.iterdir()} == {"space.yaml"}


def test_an_override_is_no_path_either(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(SPEC)
    with pytest.raises(SpecError, match=r"study: '\.\./x' is a path, not a name"):
        specfile.read(tmp_path / "space.yaml", overrides={"study": "../x"})
