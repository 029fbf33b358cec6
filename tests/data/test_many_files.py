"""Tables in many files and in stores: found, read as one, and named where one of them is not like the others."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.reading.many import files, stores
from automl.data.streaming import streaming
from automl.data.streaming.request import Request, Sizes
from automl.data.streaming.shards import Streamed
from automl.errors import DataError, EnvironmentProblem

SMALL = Sizes(shard=2**12, chunk=2**14)


pytestmark = pytest.mark.usefixtures("cache")


def table(rows: int = 1200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=rows), "b": rng.choice(["x", "y", "z"], rows), "c": rng.normal(size=rows)}
    )
    frame["y"] = np.where(frame.c + (frame.b == "x") > 0.3, "yes", "no")
    return frame


def write(frame: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=100)
    else:
        frame.to_csv(path, index=False)


def cut(folder: Path, names: list[str]) -> pd.DataFrame:
    """The table, cut into files of these names."""
    whole = table()
    step = len(whole) // len(names)
    for k, name in enumerate(names):
        write(whole[k * step : (k + 1) * step], folder / name)
    return whole


def names(found: list[files.File] | None) -> list[str]:
    assert found is not None
    return [file.name for file in found]


def test_patterns_and_folders_name_tables(tmp_path):
    cut(tmp_path / "t", ["b.csv", "a.csv", "deep/c.csv", ".hidden.csv", "_log/d.csv"])
    (tmp_path / "t" / "readme.txt").write_text("no table")
    assert names(files.find("t/*.csv", tmp_path)) == ["a.csv", "b.csv"]
    assert names(files.find("t/**/*.csv", tmp_path)) == ["a.csv", "b.csv", "c.csv"]
    assert names(files.find("t", tmp_path)) == ["a.csv", "b.csv", "c.csv"]
    assert files.find("digits", tmp_path) is None
    assert files.find("t/readme.txt", tmp_path) is None


def test_a_folder_of_images_is_no_table(tmp_path):
    write(table(20), tmp_path / "pictures" / "labels.csv")
    (tmp_path / "pictures" / "cat").mkdir()
    (tmp_path / "pictures" / "cat" / "1.png").write_bytes(b"")
    assert files.find("pictures", tmp_path) is None


@pytest.mark.parametrize(("source", "message"), [("t/*.parquet", "no table fits"), ("t", "several kinds"),
                                                 ("nostore://x/y", "nostore:// is not known")])  # fmt: skip
def test_what_names_no_table_is_told(tmp_path, source, message):
    cut(tmp_path / "t", ["a.csv"])
    if source == "t":
        write(table(20), tmp_path / "t" / "b.parquet")
    with pytest.raises(DataError, match=message):
        load(source, target="y", base=tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_many_files_are_one_table_in_memory_and_streamed(tmp_path, suffix):
    one = cut(tmp_path, [f"p/part-{k}{suffix}" for k in range(4)])
    write(one, tmp_path / f"whole{suffix}")
    alone = load(f"whole{suffix}", target="y", base=tmp_path)
    several = load(f"p/*{suffix}", target="y", base=tmp_path)
    assert several.fingerprint == alone.fingerprint
    assert several.preparation == alone.preparation
    streamed = streaming.load(Request.of("p", "y", {}, {}, 0, tmp_path, SMALL))
    assert isinstance(streamed.train, Streamed)
    assert torch.equal(streamed.val.x, alone.val.x)
    assert torch.equal(streamed.test.y, alone.test.y)
    by_memory = load("p", target="y", base=tmp_path, prepare={"memory": "1KB"})
    assert isinstance(by_memory.train, Streamed)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_folders_named_key_value_are_columns(tmp_path, suffix):
    cut(tmp_path / "t", [f"year={y}/land=a%2Fb/p{suffix}" for y in (2021, 2022)] + [f"year=2023/land=c/p{suffix}"])
    data = load("t", target="y", base=tmp_path)
    kinds = {column["name"]: column["role"] for column in data.preparation["columns"]}
    assert kinds["year"] == "number"
    assert next(c for c in data.preparation["columns"] if c["name"] == "land")["values"] == ["a/b", "c"]
    streamed = streaming.load(Request.of("t", "y", {}, {}, 0, tmp_path, SMALL))
    assert torch.equal(streamed.val.x, data.val.x)
    only = streaming.load(Request.of("t", "y", {}, {"drop": ["a", "land"]}, 0, tmp_path, SMALL))
    assert only.columns == ["b=x", "b=y", "b=z", "c", "year"]


def test_files_that_are_not_alike(tmp_path):
    whole = cut(tmp_path / "t", ["a.parquet", "b.parquet"])
    part = whole[:300]
    write(part[["y", "c", "b", "a"]].assign(more=1), tmp_path / "t" / "c.parquet")
    data = load("t", target="y", base=tmp_path)
    assert any("c.parquet has its columns in another order than a.parquet" in note for note in data.notes)
    assert any("'more' of c.parquet left out" in note for note in data.notes)
    write(part.drop(columns="c").assign(cc=1.0), tmp_path / "t" / "d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet has no column 'c', which a\.parquet has.*cc"):
        load("t", target="y", base=tmp_path, prepare={"memory": "1KB"})
    write(part.assign(c="text"), tmp_path / "t" / "d.parquet")
    with pytest.raises(DataError, match=r"'c' holds text in d\.parquet and numbers in a\.parquet"):
        load("t", target="y", base=tmp_path)


def test_a_file_that_vanishes_changes_or_is_cut_is_named(tmp_path):
    cut(tmp_path / "t", ["a.parquet", "b.parquet"])
    file = tmp_path / "t" / "b.parquet"
    content = file.read_bytes()
    request = Request.of("t", "y", {}, {}, 0, tmp_path, SMALL)
    file.unlink()
    with pytest.raises(DataError, match=r"b\.parquet has vanished"):
        streaming.load(request)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"b\.parquet was changed while"):
        streaming.load(request)
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"b\.parquet"):
        streaming.load(Request.of("t", "y", {}, {}, 0, tmp_path, SMALL))
    file.write_bytes(content)
    assert len(streaming.load(Request.of("t", "y", {}, {}, 0, tmp_path, SMALL)).train) == 600


def test_a_table_that_was_moved_is_found_prepared(tmp_path, cache):
    cut(tmp_path / "t", ["a.parquet", "b.parquet"])
    first = streaming.load(Request.of("t", "y", {}, {}, 0, tmp_path, SMALL))
    (tmp_path / "t").rename(tmp_path / "elsewhere")
    again = streaming.load(Request.of("elsewhere", "y", {}, {"memory": "5MB"}, 0, tmp_path, SMALL))
    assert again.fingerprint == first.fingerprint
    assert len(list(cache.glob("*/meta.json"))) == 1


# -- stores -----------------------------------------------------------------------------------------------------------


def same_in_store(address: str, base: Path, whole: pd.DataFrame) -> None:
    """A table at an address is what it is in a file."""
    write(whole, base / "whole.parquet")
    here = load("whole.parquet", target="y", base=base)
    assert load(address, target="y", base=base).fingerprint == here.fingerprint
    streamed = streaming.load(Request.of(address, "y", {}, {}, 0, base, SMALL))
    assert torch.equal(streamed.val.x, here.val.x)


def test_a_table_in_a_store(tmp_path):
    import fsspec

    whole = cut(tmp_path / "t", ["day=1/a.parquet", "day=2/b.parquet"])
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "t"), "/bucket/t", recursive=True)
    whole["day"] = [1] * 600 + [2] * 600
    same_in_store("memory://bucket/t", tmp_path, whole)
    same_in_store("memory://bucket/t/*/*.parquet", tmp_path, whole)
    with pytest.raises(DataError, match="no table fits memory://bucket/none"):
        load("memory://bucket/none", target="y")
    memory.pipe("/bucket/t/day=1/a.parquet", b"nothing")
    with pytest.raises(DataError, match=r"a\.parquet"):
        streaming.load(Request.of("memory://bucket/t", "y", {}, {}, 0, tmp_path, SMALL))


class Failing(SimpleHTTPRequestHandler):
    """A server of files that fails every third time, and knows ranges of bytes."""

    count = 0
    always = False

    def do_GET(self) -> None:
        type(self).count += 1
        if type(self).count % 3 == 0 or self.always:
            self.send_error(503)
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        asked = self.headers.get("Range")
        first, end = (0, len(content)) if not asked else (int(n or len(content) - 1) for n in asked[6:].split("-"))
        part = content[first : end + 1] if asked else content
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", str(len(content)))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Failing, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_store_that_fails_now_and_then_is_asked_again(tmp_path, web, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(stores, "WAIT_S", 0.01)
    write(table(), tmp_path / "t.parquet")
    here = load("t.parquet", target="y", base=tmp_path)
    Failing.count = 0
    there = Request.of(f"{web}/t.parquet", "y", {}, {}, 0, tmp_path, SMALL)
    assert torch.equal(streaming.load(there).val.x, here.val.x)
    assert Failing.count > 3


def test_a_store_that_does_not_answer_is_told(tmp_path, web, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(stores, "WAIT_S", 0.01)
    with pytest.raises(DataError, match=r"no table .*127\.0\.0\.1:9"):
        load("http://127.0.0.1:9/t.parquet", target="y", base=tmp_path)
    write(table(), tmp_path / "t.parquet")
    request = Request.of(f"{web}/t.parquet", "y", {}, {}, 0, tmp_path, SMALL)
    monkeypatch.setattr(Failing, "always", True)
    with pytest.raises(EnvironmentProblem, match=r"t\.parquet cannot be read \(4 tries\)"):
        streaming.load(request)


@pytest.mark.slow
def test_a_table_in_an_s3_bucket(tmp_path, monkeypatch):
    server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    running = server.ThreadedMotoServer(port=0)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1",
                        "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    stores.file_system.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        store = s3fs.S3FileSystem()
        store.mkdir("bucket")
        whole = cut(tmp_path / "t", ["a.parquet", "b.parquet"])
        store.put(str(tmp_path / "t") + "/", "bucket/t/", recursive=True)
        same_in_store("s3://bucket/t", tmp_path, whole)
        store.pipe("bucket/t/b.parquet", (tmp_path / "t" / "a.parquet").read_bytes())
        changed = streaming.load(Request.of("s3://bucket/t", "y", {}, {}, 0, tmp_path, SMALL))
        assert changed.fingerprint != load("s3://bucket/t/a.parquet", target="y").fingerprint
    finally:
        stores.file_system.cache_clear()
        running.stop()
    assert os.environ["AWS_ENDPOINT_URL"]
