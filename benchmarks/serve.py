"""Requests a second and latency of `automl serve`, beside a plain FastAPI + torch endpoint and model.predict.

python benchmarks/serve.py [--seconds 5] [--connections 64] [--table adult.tsv.gz] [--litserve] [--json FILE]

The servers are one process each (LitServe: two, and so is the second of ours) with one thread of torch; the load
generator is another process on this machine, with as many connections as asked for, each of which asks again as soon
as it is answered. The plain endpoint is what the tutorials show: the rows as a DataFrame, the preparation, the network,
one request at a time. As a busy machine slows all of them, the CPU time that a server's processes need for a request is
printed too: it depends less on the load.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WARM_S = 1.0

PLAIN = """
import sys
import pandas as pd
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
import automl
from automl.data.preparing import transform

torch.set_num_threads(1)
model = automl.load(sys.argv[1])
app = FastAPI()

class Body(BaseModel):
    rows: list[dict[str, str | float | int | bool | None]]

@app.post("/v1/predict")
async def predict(body: Body):
    with torch.no_grad():
        x = transform.transform(model.preparation, pd.DataFrame(body.rows))
        return {"predictions": model.decoded(model.module(x)).tolist()}

@app.get("/health/ready")
async def ready():
    return {}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
"""


LITSERVE = """
import sys
import litserve
import pandas as pd
import torch
import automl
from automl.data.preparing import transform

class Api(litserve.LitAPI):
    def setup(self, device):
        torch.set_num_threads(1)
        self.model = automl.load(sys.argv[1])

    def decode_request(self, request):
        return request["rows"]

    def batch(self, inputs):
        self.lengths = [len(rows) for rows in inputs]
        return [row for rows in inputs for row in rows]

    def predict(self, rows):
        with torch.no_grad():
            x = transform.transform(self.model.preparation, pd.DataFrame(rows))
            return self.model.decoded(self.model.module(x)).tolist()

    def unbatch(self, output):
        ends = [sum(self.lengths[: k + 1]) for k in range(len(self.lengths))]
        return [output[end - length : end] for end, length in zip(ends, self.lengths)]

    def encode_response(self, output):
        return {"predictions": output}

if __name__ == "__main__":
    api = Api(max_batch_size=64, batch_timeout=0.005, api_path="/v1/predict")
    server = litserve.LitServer(api, accelerator="cpu", healthcheck_path="/health/ready")
    server.run(port=int(sys.argv[2]), log_level="error", generate_client_file=False)
"""


def request(rows: list[dict[str, Any]]) -> bytes:
    """The bytes of one request."""
    body = json.dumps({"rows": rows}).encode()
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + b"\r\n\r\n" + body


class Client(asyncio.Protocol):
    """One connection, which asks again as soon as it is answered."""

    def __init__(self, content: bytes, until: float, taken: list[float], wrong: list[bytes]) -> None:
        self.content, self.until, self.taken, self.wrong = content, until, taken, wrong
        self.got, self.need, self.asked = b"", 0, 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.got, self.need, self.asked = b"", 0, time.perf_counter()
        self.transport.write(self.content)

    def data_received(self, data: bytes) -> None:
        self.got += data
        if not self.need and (end := self.got.find(b"\r\n\r\n")) >= 0:
            head = self.got[:end].lower()
            self.need = end + 4 + int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if self.need and len(self.got) >= self.need:
            now = time.perf_counter()
            self.taken.append(now - self.asked)
            if not self.got.startswith(b"HTTP/1.1 200"):
                self.wrong.append(self.got[:200])
            if now < self.until:
                self._ask()
            else:
                self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _load(port: int, content: bytes, connections: int, seconds: float) -> dict[str, Any]:
    taken: list[float] = []
    wrong: list[bytes] = []
    started = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(content, started + seconds, taken, wrong), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(one.done for one in clients))
    took = time.perf_counter() - started
    if wrong:
        raise SystemExit(f"{len(wrong)} answers are no success, such as {wrong[0]!r}")
    p50, p95, p99 = 1000 * np.percentile(taken, [50, 95, 99])
    best = 1000 * min(taken)
    return {"requests": len(taken), "per_s": len(taken) / took, "best_ms": best, "p50_ms": p50, "p95_ms": p95,
            "p99_ms": p99}  # fmt: skip


def load(port: int, content: bytes, connections: int, seconds: float, process: int) -> dict[str, Any]:
    """Ask for so many seconds. Adds the CPU time of `process` (and its children) for each request."""
    asyncio.run(_load(port, content, connections, WARM_S))
    before = cpu_s(process)
    made = asyncio.run(_load(port, content, connections, seconds))
    made["cpu_ms"] = 1000 * (cpu_s(process) - before) / made["requests"]
    return made


def cpu_s(pid: int) -> float:
    """The CPU time of a process and its children."""
    import psutil

    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def started(command: list[str], port: int) -> "subprocess.Popen[bytes]":
    """A server that answers."""
    path = os.pathsep.join(str(ROOT / part) for part in (".", "strategies", "search_spaces"))
    path = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    process = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True)
    import urllib.error
    import urllib.request

    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"the server has ended: {command[:4]}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5)
            return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


def bundle(folder: Path, file: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A saved model (random weights, two layers of 64) of a table, and rows for it."""
    import pandas as pd
    import torch

    from automl.bundle import io
    from automl.data import load as load_data
    from automl.models import build

    frame = pd.read_csv(file, sep="\t").head(8000)
    target = str(frame.columns[-1])
    config = {"depth": 2, "width": 64, "norm": "none", "lr": 0.01}
    prepared = load_data(frame, target=target, seed=0)
    torch.manual_seed(0)
    module = build("mlp")(config, prepared.inputs, prepared.outputs)
    io.save(folder / "model", model="mlp", config=config, prepared=prepared, state_dict=module.state_dict(), metrics={})
    rows = json.loads(frame.drop(columns=target).head(1000).to_json(orient="records"))
    return folder / "model", rows


def command(name: str, folder: Path, place: Path, port: int) -> list[str]:
    """What Python is started with for a server."""
    if name.startswith("automl serve"):
        code, more = "from automl.cli import main; main()", name.split()[2:]
        return ["-c", code, "serve", f"m={place}", "--port", str(port), "--state", str(folder / "state"), *more]
    script = folder / f"{name.split()[0].lower()}_server.py"
    script.write_text(LITSERVE if name == "LitServe" else PLAIN)
    return [str(script), str(place), str(port)]


def best_ms(call: Callable[[], Any], times: int) -> float:
    """The quickest of some calls, in milliseconds: what it takes where nobody disturbs it."""
    taken = []
    for _ in range(times):
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return 1000 * min(taken)


def in_process(place: Path, rows: list[dict[str, Any]]) -> dict[str, float]:
    """One row and 1,000 rows without a network, by the server's own way and by `model.predict`."""
    import pandas as pd
    import torch

    import automl
    from automl.serving.inputs import bodies
    from automl.serving.models.served import Served

    torch.set_num_threads(1)
    model = automl.load(place)
    served = Served("m", "v1", "0", model)

    def serve(content: bytes) -> Any:
        asked = bodies.read_json(content)
        ready = served.prepare(bodies.rows_of(asked.content, served.schema, 10_000))
        return served.answer(served.compute(ready.inputs), proba=False)

    one, many = (json.dumps({"rows": rows[:n]}).encode() for n in (1, 1000))
    frame = pd.DataFrame(rows)
    return {
        "one row, from JSON to answer": best_ms(lambda: serve(one), 300),
        "one row, model.predict of a frame": best_ms(lambda: model.predict(frame.head(1)), 50),
        "1,000 rows, from JSON to answer": best_ms(lambda: serve(many), 60),
        "1,000 rows, model.predict of dicts": best_ms(lambda: model.predict(rows), 60),
        "1,000 rows, model.predict of a frame": best_ms(lambda: model.predict(frame), 60),
    }


def line_of(made: dict[str, Any]) -> str:
    """A measurement in words."""
    times = ", ".join(f"{name} {made[f'{name}_ms']:.1f}" for name in ("best", "p50", "p99"))
    return f"{made['per_s']:.0f} requests/s, {times} ms, {made['cpu_ms']:.2f} ms CPU each"


def main(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    result: dict[str, Any] = {"in process, ms": {}, "servers": {}}
    with tempfile.TemporaryDirectory() as temporary:
        place, rows = bundle(Path(temporary), arguments.table)
        result["in process, ms"] = in_process(place, rows)
        for name, value in result["in process, ms"].items():
            print(f"{name}: {value:.2f} ms")
        further = ["LitServe"] if arguments.litserve else []
        for name in ("automl serve", "automl serve --workers 2", "plain FastAPI + torch", *further):
            port = free_port()
            process = started([sys.executable, *command(name, Path(temporary), place, port)], port)
            try:
                for count, connections in ((1, arguments.connections), (1, 1), (1000, 1)):
                    made = load(port, request(rows[:count]), connections, arguments.seconds, process.pid)
                    result["servers"][f"{name}, {count} rows, {connections} connections"] = made
                    print(f"{name}, {count} rows, {connections} connections: {line_of(made)}", flush=True)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "strategies"), str(ROOT / "search_spaces")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--table", type=Path, default=ROOT.parent / "shared" / "data" / "tables" / "adult.tsv.gz")
    parser.add_argument("--litserve", action="store_true", help="measure LitServe too; it has to be installed")
    parser.add_argument("--json", type=Path)
    main(parser.parse_args())
