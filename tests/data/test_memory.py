"""When a table is streamed: its estimated size in memory against the limit."""

from pathlib import Path

import pytest

from automl.data.reading.many import files
from automl.data.streaming import memory


@pytest.mark.parametrize(("given", "size"), [("500MB", 500 * 2**20), ("1.5 GiB", 1.5 * 2**30), ("2kb", 2048)])
def test_sizes_are_read_with_their_units(given: str, size: float) -> None:
    assert memory.memory_limit({"memory": given}) == size


def test_the_limit_follows_what_is_available() -> None:
    assert memory.memory_limit({}) > 0


@pytest.mark.parametrize(
    ("name", "options", "streamed"),
    [
        ("t.csv", {"memory": "4KB"}, True),
        ("t.csv", {"memory": "6KB"}, False),
        ("t.csv.gz", {"memory": "6KB"}, True),
        ("t.parquet", {"memory": "6KB"}, True),
        ("t.csv", {"memory": "1KB", "window": 8}, False),
        ("t.csv", {"memory": "1KB", "text": "says"}, False),
    ],
)
def test_which_files_are_streamed(tmp_path: Path, name: str, options: dict[str, object], streamed: bool) -> None:
    file = tmp_path / name
    file.write_bytes(bytes(1024))
    reason = memory.reason_to_stream(files.find(file, tmp_path), options)
    assert bool(reason) == streamed
    assert not streamed or "prepare.memory" in reason
