"""Mutations of requests to a server: every answer is one of 2xx, 4xx or 503, a refusal has one shape, no traceback.

python -m automl.testing.stress.service.mutants 10000 [seed]   ends with exit code 1 at the first thing that is neither
"""

import asyncio
import io
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.testing.stress.fuzz_tables import PIECES, changed

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, -1e-308, 2**63, 2**64, 10**40, 0.1, "", " ", "1", "1,5", "nan", "x" * 300, "\x00", "é",
    "\U0001f600", "2021-01-01", "9999-99-99", "12:61", [], [1], {}, {"a": {}}, [[[]]], "=1+1", "<script>", "true",
)  # fmt: skip
KINDS = ("application/json", "text/csv", "application/vnd.apache.arrow.stream", "application/x-npy")
HEADERS = (
    (b"accept", b"text/csv"), (b"accept", b"application/vnd.apache.arrow.stream"), (b"accept", b"\xff"),
    (b"content-length", b"x"), (b"content-length", b"-1"), (b"content-length", b"99999999999"),
    (b"content-encoding", b"gzip"), (b"x-request-id", b"\x00"), (b"x-request-id", b"a" * 5000),
    (b"authorization", b"Basic \xff"), (b"origin", b"http://evil"), (b"expect", b"100-continue"),
)  # fmt: skip
PATHS = (
    "/v1/predict", "/v1/feedback", "/v1/models", "/v1/models/m", "/v1/models/m/traffic", "/v1/models/m/rollback",
    "/v1/models/../m", "/v1/status", "/metrics", "/docs", "/openapi.json", "/", "//", "/v1/models/%00", "/health/live",
    "/page.js", "/page.js/..", "/v1/models/" + "x" * 3000,
)  # fmt: skip
QUERIES = (b"", b"proba=true", b"proba=x", b"model=m", b"model=%ff", b"version=v1", b"version=v9", b"a=1", b"=", b"&&",
           b"proba=1&proba=0", b"x" * 5000)  # fmt: skip
IDS = tuple(f"request-{k}" for k in range(20))
"""Of requests, used again and again, so that answers find them."""
ALLOWED = {200, 503, *range(400, 500)}


@dataclass
class Asked:
    """One request."""

    method: str = "POST"
    path: str = "/v1/predict"
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


def table() -> pd.DataFrame:
    """The training table of the server that is asked."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(5, 2, 80), "age": rng.integers(0, 90, 80).astype(float)})
    frame.loc[::7, "age"] = None
    frame["colour"] = rng.choice(["red", "blue", "01"], 80)
    frame["day"] = [f"2021-{1 + k % 12:02d}-{1 + k % 28:02d}" for k in range(80)]
    frame["kind"] = np.where(frame["size"] > 5, "a", "b")
    return frame


def mutant(rng: random.Random, rows: list[dict[str, Any]]) -> Asked:
    """A request after some random changes of its rows, its bytes and what is around them."""
    if rng.random() < 0.1:
        return _feedback(rng)
    kind = rng.choices(KINDS, (8, 2, 2, 2))[0]
    chosen = [dict(rng.choice(rows)) for _ in range(rng.choice((0, 1, 1, 2, 30)))]
    body = _json(rng, chosen) if kind == KINDS[0] else _file(rng, kind, chosen)
    if rng.random() < 0.3:
        body = changed(body, rng)
    asked = Asked(body=body, headers=[(b"content-type", kind.encode()), (b"host", b"localhost")])
    if rng.random() < 0.15:
        asked.path, asked.method = rng.choice(PATHS), rng.choice(("GET", "POST", "PUT", "HEAD", "\x00", "OPTIONS"))
    if rng.random() < 0.2:
        asked.query = rng.choice(QUERIES)
    if rng.random() < 0.2:
        asked.headers.append(rng.choice(HEADERS))
    if rng.random() < 0.3:
        asked.headers.append((b"x-request-id", rng.choice(IDS).encode()))
    if rng.random() < 0.05:
        asked.headers[0] = (
            b"content-type",
            rng.choice((b"", b"\xff", b"text/plain", b"application/json;;;", KINDS[1].encode())),
        )
    return asked


def _feedback(rng: random.Random) -> Asked:
    """True answers, right or wrong, to a request that has perhaps been there."""
    told: Any = {
        "request_id": rng.choice(IDS),
        "answers": [rng.choice(("a", "b", None)) for _ in range(rng.choice((1, 2)))],
    }
    for _ in range(rng.choice((0, 0, 1, 2))):
        told = _changed_tree(rng, told)
    body = json.dumps(told).encode("utf-8", errors="surrogatepass")
    body = changed(body, rng) if rng.random() < 0.2 else body
    return Asked(
        path="/v1/feedback", headers=[(b"content-type", b"application/json"), (b"host", b"localhost")], body=body
    )


def _json(rng: random.Random, rows: list[Any]) -> bytes:
    content: Any = rng.choice((rows, {"rows": rows}, {"rows": [list(row.values()) for row in rows]}, {"columns": {
        name: [row[name] for row in rows] for name in (rows[0] if rows else ())}}))  # fmt: skip
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        content = _changed_tree(rng, content)
    text = json.dumps(content)
    if rng.random() < 0.1:
        text = text.replace("null", rng.choice(("NaN", "Infinity", "nul", "1e999", "-", '"\\ud800"')))
    return text.encode("utf-8", errors="surrogatepass")


def _changed_tree(rng: random.Random, tree: Any, depth: int = 0) -> Any:
    """The tree with one change somewhere."""
    if depth > 5 or not tree or not isinstance(tree, dict | list) or rng.random() < 0.15:
        return rng.choice(VALUES)
    copied = dict(tree) if isinstance(tree, dict) else list(tree)
    key = rng.choice(list(copied)) if isinstance(copied, dict) else rng.randrange(len(copied))
    match rng.randrange(4):
        case 0:
            del copied[key]
        case 1 if isinstance(copied, dict):
            copied[str(key) + rng.choice(PIECES)[:100]] = rng.choice(VALUES)
        case _:
            copied[key] = _changed_tree(rng, copied[key], depth + 1)
    return copied


def _file(rng: random.Random, kind: str, rows: list[dict[str, Any]]) -> bytes:
    frame = pd.DataFrame(rows)
    if kind == KINDS[1]:
        return frame.to_csv(index=False, sep=rng.choice((",", ";", "\t"))).encode()
    if kind == KINDS[3]:
        sink = io.BytesIO()
        shape = rng.choice(((2, 4), (2, 5), (0, 4), (), (3,), (2, 2, 2)))
        np.save(sink, np.zeros(shape, dtype=rng.choice(("f8", "i2", "?", "U3", "c16", "f2"))))
        return sink.getvalue()
    import pyarrow as pa

    packed = io.BytesIO()
    if rng.random() < 0.3 and len(frame):
        frame[rng.choice(list(frame.columns))] = [[1]] * len(frame)
    made = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(packed, made.schema) as writer:
        writer.write_table(made)
    return packed.getvalue()


async def ask(application: Any, asked: Asked) -> tuple[int, bytes, dict[bytes, bytes]]:
    """The answer (status, body, headers) of an ASGI application."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": asked.method, "scheme": "http",
        "path": asked.path, "raw_path": asked.path.encode("latin-1", "replace"), "query_string": asked.query,
        "headers": asked.headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "root_path": "",
    }  # fmt: skip
    sent: list[dict[str, Any]] = []
    pieces = [{"type": "http.request", "body": asked.body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], body, dict(sent[0]["headers"])


def wrong(asked: Asked, status: int, body: bytes) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if status not in ALLOWED:
        return f"status {status}: {body[:300]!r}"
    if b"Traceback" in body or b'File "/' in body:
        return f"a traceback: {body[:300]!r}"
    if status >= 400 and asked.method != "HEAD":
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            return f"status {status} without the shape of a refusal: {body[:300]!r}"
        if set(error) != {"code", "message", "where"} or not error["message"] or len(body) > 3000:
            return f"status {status} with another shape: {body[:300]!r}"
    return ""


def mutants(count: int, seed: int) -> Iterator[Asked]:
    """Yield `count` mutated requests; each depends only on `seed` and on its number."""
    rows = json.loads(table().drop(columns="kind").to_json(orient="records"))
    for number in range(count):
        yield mutant(random.Random(f"request/{seed}/{number}"), rows)


async def run(application: Any, count: int, seed: int) -> tuple[str, Counter[int], list[int]]:
    """Ask `count` mutated requests. Returns what is wrong, the statuses, and the memory (KiB) at each tenth."""
    statuses: Counter[int] = Counter()
    memory: list[int] = []
    for number, asked in enumerate(mutants(count, seed)):
        status, body, _ = await ask(application, asked)
        statuses[status] += 1
        if found := wrong(asked, status, body):
            return f"request {number} of seed {seed}: {found}\n{asked!r}", statuses, memory
        if number % max(count // 10, 1) == 0:
            memory.append(memory_kib())
    return "", statuses, memory


def memory_kib() -> int:
    """The memory of this process now."""
    import psutil

    return int(psutil.Process().memory_info().rss) // 1024


def grown_mib(memory: list[int]) -> float:
    """How much more the last value is than that after a fifth of all."""
    return (memory[-1] - memory[len(memory) // 5]) / 1024 if memory else 0.0


def service(folder: Path) -> Any:
    """A server of one model with random weights."""
    import torch

    from automl.bundle import io as bundles
    from automl.data import load
    from automl.models import build
    from automl.serving.app import Service
    from automl.serving.server import Source, adopt
    from automl.serving.settings import Settings

    config = {"depth": 1, "width": 8, "norm": "none", "lr": 0.01}
    prepared = load(table(), target="kind", seed=0)
    torch.manual_seed(0)
    module = build("mlp")(config, prepared.inputs, prepared.outputs)
    bundle = bundles.save(
        folder / "bundle", model="mlp", config=config, prepared=prepared, state_dict=module.state_dict(), metrics={}
    )
    settings = Settings(str(folder / "state"), max_bytes=2**20, max_rows=1000, drain_s=0, remember=1000, keep_rows=500)
    adopt(settings, [Source("m", None, bundle)])
    return Service(settings)


async def answers(folder: Path, count: int, seed: int) -> tuple[str, Counter[int], list[int]]:
    """What `run` gives for a server of its own in `folder`."""
    made = service(folder)
    async with made.life(made.app):
        return await run(made.gate, count, seed)


def main(count: int, seed: int) -> int:
    """Ask `count` mutated requests of a server in this process. Returns the exit code."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        found, statuses, memory = asyncio.run(answers(Path(temporary), count, seed))
    if found:
        print(found)
        return 1
    said = ", ".join(f"{status}: {often}" for status, often in sorted(statuses.items()))
    took = time.process_time() - started
    print(f"{count} requests of seed {seed}: {said}")
    print(f"memory grew by {grown_mib(memory):.0f} MiB over the last eight tenths; {took:.0f} s CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
