"""Importing the user's code by name: what is found, what is reported, and that nothing else is shadowed."""

import subprocess
import sys
from pathlib import Path

import pytest

from automl.core.user_code import import_object
from automl.errors import TaskError
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "user_code_wrong.py").write_text("def load(): ...\n")
    (folder / "user_code_raises.py").write_text("raise ValueError('broken')\n")
    (folder / "user_code_needs.py").write_text("import surely_not_installed\n")
    return folder


def test_a_module_beside_the_specification_is_found(tmp_path: Path) -> None:
    (tmp_path / "user_code_found.py").write_text("answer = 42\n")
    assert import_object("user_code_found:answer", tmp_path) == 42


def test_files_of_the_user_shadow_neither_the_standard_library_nor_installed_packages(tmp_path: Path) -> None:
    for name in ("colorsys", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the file of the user was imported')\n")
    (tmp_path / "mine.py").write_text("import colorsys, yaml\nboth = colorsys.rgb_to_hsv, yaml.safe_load\n")
    code = (
        "import pathlib, sys\n"
        "from automl.core.user_code import import_object\n"
        "assert len(import_object('mine:both', pathlib.Path(sys.argv[1]))) == 2\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_file_named_like_another_module_is_reported(tmp_path: Path) -> None:
    (tmp_path / "colorsys.py").write_text("def load(): ...\n")
    with pytest.raises(TaskError, match=r"colorsys has no 'load'; it was imported from .*give your file another name"):
        import_object("colorsys:load", tmp_path)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("user_code_wrong", "write it as package.module:function"),
        ("user_code_wrong:", "write it as package.module:function"),
        ("user_code_none:load", "no module 'user_code_none'"),
        ("user_code_wrong:laod", "has no 'laod'; did you mean 'load'"),
        ("user_code_raises:load", r"cannot import user_code_raises \(ValueError: broken\)"),
        ("user_code_needs:load", "needs a module that is not installed: surely_not_installed"),
    ],
)
def test_what_cannot_be_imported_is_reported(modules: Path, reference: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        import_object(reference, modules)
