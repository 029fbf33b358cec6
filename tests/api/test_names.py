"""The folder of a new study: numbers behind equal names, also for searches that begin at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import automl
from automl.api.options import SearchOptions, reserved
from automl.errors import AutoMLError, EnvironmentProblem, SpecError


def test_searches_that_begin_at_once_get_a_folder_each(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        folders = list(threads.map(lambda _: reserved(tmp_path / "studies", "mine"), range(8)))
    assert sorted(folder.name for folder in folders) == ["mine", *(f"mine-{k}" for k in range(2, 9))]


def test_a_search_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> float:
        return 0.5

    with pytest.raises(AutoMLError):
        automl.search(train, space={"x": [1, 2]}, metric="loss", trials=2, strategy="nonsense", dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    study = automl.search(train, space={"x": [1, 2]}, metric="loss", trials=2, dir=tmp_path, executor="inline")
    assert study.path == tmp_path / "train"


def test_a_folder_with_something_in_it_stays(tmp_path: Path) -> None:
    def begin() -> None:
        with SearchOptions(dir=tmp_path).folder("mine") as folder:
            (folder / "notes.txt").write_text("mine")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin()
    assert (tmp_path / "mine" / "notes.txt").is_file()


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("")
    with pytest.raises(EnvironmentProblem, match="is no folder"):
        reserved(tmp_path / "studies", "mine")


@pytest.mark.parametrize("option", [
    {"trials": 0}, {"trials": "3"}, {"time_s": "1m"}, {"workers": -1}, {"horizon": "5"}, {"seed": "a"},
    {"finalists": 3}, {"isolation": "thread"}, {"overrides": {"budget.trials": 2}},
])  # fmt: skip
def test_a_wrong_option_of_a_search_is_told_with_its_name(tmp_path, option):
    with pytest.raises(SpecError, match=f"^{next(iter(option))} "):
        automl.search(print, space={"x": [1, 2]}, metric="loss", dir=tmp_path, **{"trials": 3, **option})
    assert not list(tmp_path.iterdir())
