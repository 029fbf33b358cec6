"""`automl update --follow`: every file once, in the same way whatever is killed when."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from automl.errors import SpecError
from automl.updating.follow import follow
from automl.updating.journal import Journal, locked
from automl.updating.options import Options
from automl.updating.place import Place
from tests.support.paths import ROOT
from tests.support.updating_kills import files_in, state


def test_files_are_used_in_order_and_once(model: Path, tmp_path: Path) -> None:
    folder = files_in(tmp_path / "in", 2)
    (folder / "0.csv.part").write_text("being written")
    (folder / "2.csv").write_text("kind\niris\n")
    options = Options(how="head", old=tmp_path / "old.csv", lose=0.02)
    done = list(follow(model, folder, options, once=True))
    assert [one.entry["file"] for one in done] == ["000.csv", "001.csv", "2.csv"]
    assert "no column" in done[2].entry["refused"]
    assert list(follow(model, folder, options, once=True)) == []
    (folder / "3.csv").write_bytes((folder / "000.csv").read_bytes())
    assert list(follow(model, folder, options, once=True)) == []
    with pytest.raises(SpecError, match="is no folder"):
        next(follow(model, tmp_path / "nothing", options))


def test_it_goes_on_looking_and_leaves_what_is_being_written(model: Path, tmp_path: Path) -> None:
    folder = files_in(tmp_path / "in", 1)
    looks = []

    def sleep(_: float) -> None:
        looks.append(len(Journal(Place.of(model)).updates))
        if len(looks) == 2:
            with (folder / "000.csv").open("a") as file:
                file.write("5.0,red,0.1,rose\n")
        if len(looks) == 5:
            raise KeyboardInterrupt

    options = Options(how="head", old=tmp_path / "old.csv", lose=0.02)
    with pytest.raises(KeyboardInterrupt):
        for _ in follow(model, folder, options, sleep=sleep):
            pass
    assert looks == [0, 1, 1, 2, 2]


def test_while_another_process_updates_a_file_waits(model: Path, tmp_path: Path) -> None:
    folder = files_in(tmp_path / "in", 1)
    said: list[str] = []
    options = Options(how="head", old=tmp_path / "old.csv", lose=0.02)
    with locked(Place.of(model)):
        assert list(follow(model, folder, options, said.append, once=True)) == []
    assert "000.csv waits" in said[0]
    assert len(list(follow(model, folder, options, once=True))) == 1


@pytest.mark.parametrize("moment", ["batches.write", "versions.describe", "Journal.commit", "versions.swap"])
def test_an_interruption_at_each_step_changes_nothing(
    model: Path, tmp_path: Path, moment: str, broken_off: Callable[..., None]
) -> None:
    """The step is broken off before it, and after it, once for each time that it is reached."""
    folder, calm = files_in(tmp_path / "in", 2), tmp_path / "calm"
    shutil.copytree(model, calm)
    options = Options(how="head", old=tmp_path / "old.csv", lose=0.02)
    list(follow(calm, folder, options, once=True))
    broken_off(moment, 5, lambda: list(follow(model, folder, options, once=True)))
    assert state(model) == state(calm)


@pytest.mark.slow
def test_random_kills_give_the_same_versions() -> None:
    script = [sys.executable, str(ROOT / "tests" / "support" / "updating_kills.py"), "--kills", "15", "--files", "4"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("15 kills")
    assert "1 versions" not in done.stdout
