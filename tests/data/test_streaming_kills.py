"""A preparation that is broken off at any moment goes on to the same files; nothing half-written is taken for whole."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data.streaming import cache as caching
from automl.data.streaming import planning, streaming
from automl.data.streaming.request import Request, Sizes
from automl.errors import EnvironmentProblem
from automl.training.batches import batches_of

SIZES = Sizes(shard=2**12, chunk=2**14, known=500, fit=2**15)
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def request(folder: Path, sizes: Sizes = SIZES) -> Request:
    return Request.of("t", "y", {}, {"weight": "w"}, 3, folder, sizes)


def write_table(folder: Path, files: int = 3, rows: int = 800) -> None:
    rng = np.random.default_rng(0)
    (folder / "t").mkdir()
    for k in range(files):
        frame = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.choice(["x", "y"], rows), "w": 1.0})
        frame.assign(y=rng.integers(0, 2, rows)).to_parquet(folder / "t" / f"{k}.parquet", row_group_size=200)


def content(cache: Path) -> dict[str, bytes]:
    """The files of the only prepared table."""
    (home,) = [path.parent for path in cache.glob("*/meta.json")]
    return {path.name: path.read_bytes() for path in sorted(home.iterdir())}


def killed(asked: Request, cache: Path, number: int) -> bool:
    """Whether a process that prepares was killed at its `number`-th change of a file, or had ended before."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        left = number

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in EVENTS and str(cache) in str(arguments[0]):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            streaming.load(asked, cache=cache)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_kill_at_any_change_of_a_file_leaves_the_same_table(tmp_path):
    write_table(tmp_path)
    asked = request(tmp_path)
    streaming.load(asked, cache=tmp_path / "undisturbed")
    wanted, number, kills = content(tmp_path / "undisturbed"), 1, 0
    while killed(asked, tmp_path / "one", number):  # the same folder goes on after each kill
        number, kills = number + 4, kills + 1
    assert kills > 3
    assert content(tmp_path / "one") == wanted
    for number in range(3, 90, 15):
        cache = tmp_path / f"cache{number}"
        assert killed(asked, cache, number)
        assert not list(cache.glob("[!.]*/meta.json"))
        streaming.load(asked, cache=cache)
        assert content(cache) == wanted
        assert not list(cache.glob(".*.partial"))


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    write_table(tmp_path)
    asked, cache = request(tmp_path), tmp_path / "cache"
    found, done = streaming.estimate(asked, cache=cache)
    assert not done
    assert (found.files, found.rows, found.counted, found.width) == (3, 2400, True, 3)
    assert found.prepared == 2400 * (3 * 4 + 8 + 4)
    assert found.seconds > 0
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda folder: SimpleNamespace(free=found.prepared // 2))
    with pytest.raises(EnvironmentProblem, match=r"streaming needs about .* GiB in .*free"):
        streaming.load(asked, cache=cache)
    monkeypatch.undo()
    streaming.load(asked, cache=cache)
    assert streaming.estimate(asked, cache=cache)[1]


def test_a_damaged_shard_is_named_when_it_is_read(tmp_path):
    write_table(tmp_path)
    streaming.load(request(tmp_path), cache=tmp_path)
    (file,) = tmp_path.glob("*/x.bin")
    with file.open("r+b") as opened:
        opened.seek(40)
        opened.write(b"\1\2\3\4")
    part = streaming.load(request(tmp_path), cache=tmp_path).train
    with pytest.raises(EnvironmentProblem, match=r"x\.bin: shard 0 is damaged"):
        list(batches_of(part, torch.device("cpu"), 0).epoch(0, 64))


SHARED = """
import sys
from pathlib import Path
from tests.data.test_streaming_kills import SIZES, request
from automl.data.streaming import streaming
from dataclasses import replace
streaming.load(request(Path(sys.argv[1]), replace(SIZES, alone=1)), cache=Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_several_processes_prepare_the_same_table_also_after_kills(tmp_path):
    write_table(tmp_path, files=6)
    streaming.load(request(tmp_path), cache=tmp_path / "alone")
    wanted = content(tmp_path / "alone")
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SHARED, str(tmp_path), str(tmp_path / "shared")]
    for seconds in (4.0, 5.0):
        process = subprocess.Popen(command, env=variables)
        time.sleep(seconds)
        process.kill()
        process.wait()
    shared = request(tmp_path, replace(SIZES, alone=1))
    assert planning.plan_scan(shared)[2].processes > 1
    streaming.load(shared, cache=tmp_path / "shared")  # waits for helpers whose process was killed
    found = content(tmp_path / "shared")
    assert {name: rows for name, rows in found.items() if name.endswith(".bin")} == {
        name: rows for name, rows in wanted.items() if name.endswith(".bin")
    }


def test_only_one_process_prepares_a_table(tmp_path):
    file = tmp_path / "t.lock"
    with caching.lock(file), pytest.raises(BlockingIOError), caching.lock(file, wait=False):
        pass
