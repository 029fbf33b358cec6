"""`automl update --follow`: every file once, in the same way whatever is killed when."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl.errors import SpecError
from automl.updating import batches, versions
from automl.updating.follow import follow
from automl.updating.journal import Journal, locked
from automl.updating.options import Options
from automl.updating.place import Place
from tests.support.updating import flowers

Make = Callable[..., Path]
WAYS = ["--how", "head", "--lose", "0.02"]


def files_in(folder: Path, count: int) -> Path:
    """A folder with files of rows that change more and more."""
    folder.mkdir()
    for k in range(count):
        flowers(120, 20 + k, bent=0.3 * (k + 1)).to_csv(folder / f"{k}.csv", index=False)
    return folder


def state(model: Path) -> dict[str, Any]:
    """All that counts: versions with their weights, updates with their numbers, kept rows; no times."""
    place = Place.of(model)
    content = Journal(place).content
    untimed = {"seconds", "cpu_s", "made"}
    return {
        "versions": [{k: v for k, v in one.items() if k not in untimed} for one in content["versions"]],
        "weights": [(place.version(one["version"]) / "model.safetensors").read_bytes() for one in content["versions"]],
        "updates": [
            {**one, "tries": [{k: v for k, v in tried.items() if k not in untimed} for tried in one["tries"]]}
            for one in content["updates"]
        ],
        "rows": {d: batches.read(place.rows(d)).key.sum() for d in content["batches"]},
        "answers": (model / "manifest.json").read_bytes(),
    }


def test_files_are_used_in_order_and_once(model: Path, tmp_path: Path) -> None:
    folder = files_in(tmp_path / "in", 2)
    (folder / "1.csv.part").write_text("being written")
    (folder / "2.csv").write_text("kind\niris\n")
    options = Options(how="head", old=tmp_path / "old.csv", lose=0.02)
    done = list(follow(model, folder, options, once=True))
    assert [one.entry["file"] for one in done] == ["0.csv", "1.csv", "2.csv"]
    assert "no column" in done[2].entry["refused"]
    assert list(follow(model, folder, options, once=True)) == []
    (folder / "3.csv").write_bytes((folder / "0.csv").read_bytes())
    assert list(follow(model, folder, options, once=True)) == []
    with pytest.raises(SpecError, match="is no folder"):
        next(follow(model, tmp_path / "nothing", options))


def test_it_goes_on_looking_and_leaves_what_is_being_written(model: Path, tmp_path: Path) -> None:
    folder = files_in(tmp_path / "in", 1)
    looks = []

    def sleep(_: float) -> None:
        looks.append(len(Journal(Place.of(model)).updates))
        if len(looks) == 2:
            with (folder / "0.csv").open("a") as file:
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
    assert "0.csv waits" in said[0]
    assert len(list(follow(model, folder, options, once=True))) == 1


@pytest.mark.parametrize("moment", ["batches.write", "versions.describe", "Journal.commit", "versions.swap"])
def test_an_interruption_at_each_step_changes_nothing(
    model: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is broken off before it, and after it, once for each time that it is reached."""
    folder, calm = files_in(tmp_path / "in", 2), tmp_path / "calm"
    shutil.copytree(model, calm)
    options = Options(how="head", old=tmp_path / "old.csv", lose=0.02)
    list(follow(calm, folder, options, once=True))
    owner = {"batches": batches, "versions": versions, "Journal": Journal}[moment.split(".")[0]]
    name = moment.split(".")[1]
    real, left = getattr(owner, name), [0]

    class Killed(BaseException):
        pass

    def breaking(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        found = real(*args, **kwargs)
        if left[0] == -1000:
            raise Killed
        return found

    monkeypatch.setattr(owner, name, breaking)
    for at in range(1, 6):
        for first in (at, at - 1000):
            left[0] = first
            try:
                list(follow(model, folder, options, once=True))
            except Killed:
                continue
    left[0] = 10**6
    list(follow(model, folder, options, once=True))
    assert state(model) == state(calm)


def run(model: Path, folder: Path, old: Path) -> "subprocess.Popen[bytes]":
    """`automl update --follow` as a process."""
    command = [
        sys.executable,
        "-c",
        "from automl.cli import main; main()",
        "update",
        str(model),
        "--follow",
        str(folder),
        "--once",
        *WAYS,
    ]
    return subprocess.Popen([*command, "--old", str(old)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_often(model: Path, folder: Path, old: Path, kills: int, seed: int) -> int:
    """Run it until it ends by itself, and before that kill it so often, at random moments; how often it was killed."""
    rng, done = random.Random(seed), 0
    longest = 8.0
    while True:
        process, begun = run(model, folder, old), time.monotonic()
        if done < kills:
            try:
                process.wait(rng.uniform(0.3, longest))
                longest = time.monotonic() - begun
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                done += 1
                process.wait()
                continue
        assert process.wait(300) == 0
        return done


@pytest.mark.slow
def test_random_kills_give_the_same_versions(model: Path, tmp_path: Path) -> None:
    folder, calm = files_in(tmp_path / "in", 3), tmp_path / "calm"
    shutil.copytree(model, calm)
    options = Options(how="head", lose=0.02, old=tmp_path / "old.csv")
    list(follow(calm, folder, options, once=True))
    kills = killed_often(model, folder, tmp_path / "old.csv", 3, seed=int(np.random.default_rng(0).integers(1000)))
    assert kills > 0
    assert state(model) == state(calm)
    assert json.loads(Place.of(model).journal.read_bytes())["current"] == Journal(Place.of(calm)).current
