"""A small model with the rows it was trained on, and files of new rows."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from automl.updating import batches, versions
from automl.updating.journal import Journal
from tests.support.updating import SPEC, flowers, trained


@pytest.fixture(scope="session")
def _once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    flowers(3000, 1).to_csv(folder / "old.csv", index=False)
    trained(folder / "flowers", folder / "old.csv", SPEC)
    return folder


@pytest.fixture
def model(_once: Path, tmp_path: Path) -> Path:
    """The bundle of a model, in a folder of the test's own; `old.csv` beside it has its rows."""
    shutil.copytree(_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "flowers"


@pytest.fixture
def new(tmp_path: Path) -> Callable[..., Path]:
    """Makes a file of new rows."""

    def make(name: str = "new.csv", rows: int = 400, seed: int = 2, **how: Any) -> Path:
        file = tmp_path / name
        flowers(rows, seed, **{"bent": 0.5, **how}).to_csv(file, index=False)
        return file

    return make


class Killed(BaseException):
    """Breaks a step off."""


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, Callable[[], object]], None]:
    """`broken_off(moment, times, run)`: runs that break off before and after a step, at each call; then a whole one."""

    def at_each(moment: str, times: int, run: Callable[[], object]) -> None:
        place, name = moment.split(".")
        owner = {"batches": batches, "versions": versions, "Journal": Journal}[place]
        real, left = getattr(owner, name), [0]

        def breaking(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            found = real(*args, **kwargs)
            if left[0] == -1000:
                raise Killed
            return found

        monkeypatch.setattr(owner, name, breaking)
        for at in range(1, times + 1):
            for first in (at, at - 1000):
                left[0] = first
                try:
                    run()
                except Killed:
                    continue
        left[0] = 10**6
        run()

    return at_each
