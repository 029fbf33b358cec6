"""A follower of a server's feedback that is killed at random moments, and a server that is: no row is lost or doubled.

python tests/support/feedback_kills.py --kills 100 --server-kills 20

Follower: after each of several batches of answered rows one follower runs undisturbed and another is killed (SIGKILL)
again and again before it may end. Both must have made the same versions of the same rows, and each answered row must
have been used once. Server: clients ask and answer while it is killed and started again. Each answer that was
acknowledged must be kept, with the very row that was asked, and once.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from automl.serving.app import Service
from automl.serving.watching.kept_rows import FILE, Reader
from automl.updating import feedback
from automl.updating.options import Options
from tests.support.serving import client, service
from tests.support.updating import flowers
from tests.support.updating_kills import killed, state, two_alike


async def answered(made: Service, frame: pd.DataFrame) -> None:
    """Ask a server for predictions of a few rows at a time, and send their true answers."""
    async with client(made) as talking:
        for begin in range(0, len(frame), 25):
            some = frame.iloc[begin : begin + 25]
            asked = some.drop(columns="kind").to_dict(orient="records")
            answer = (await talking.post("/v1/predict", json=asked)).json()
            truth = {"request_id": answer["request_id"], "answers": some.kind.tolist()}
            (await talking.post("/v1/feedback", json=truth)).raise_for_status()


def followers(home: Path, batches: int, kills: int, seed: int) -> list[str]:
    """Compare a follower that is killed with an undisturbed one; returns what is wrong."""
    options, rows, done = Options(how="head", lose=0.3, old=home / "old.csv", keep_rows=2000), 0, 0

    def follow(name: str) -> None:
        list(feedback.follow(home / name, home / "serving", options, model="flowers", once=True))

    for k in range(batches):
        frame = flowers(200, 40 + k, bent=min(0.3 * (k + 1), 1.0))
        asyncio.run(answered(service(home / "serving", ("flowers", home / "calm"), keep_rows=50_000), frame))
        rows += len(frame)
        follow("calm")
        done += killed(lambda: follow("disturbed"), kills // batches, seed + k)
    one, other = state(home / "calm"), state(home / "disturbed")
    wrong = [f"different: {part}" for part in one if one[part] != other[part]]
    used = [sum(sum(update["rows"].values()) for update in each["updates"]) for each in (one, other)]
    wrong += [f"{n} rows used of {rows}" for n in used if n != rows]
    print(f"follower: {done} kills, {len(one['versions'])} versions of {rows} rows: {wrong or 'as undisturbed'}")
    return wrong


class Client(threading.Thread):
    """Asks and answers; `acknowledged` has {request id: the number in the row that was asked}."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__(daemon=True)
        self.url, self.number, self.ended = url, number, threading.Event()
        self.acknowledged: dict[str, float] = {}

    def run(self) -> None:
        """Until `ended`; a broken connection or a request that is not known any more is given up."""
        count = 0
        while not self.ended.is_set():
            count += 1
            value = self.number + count / 1000
            row = {"size": value, "colour": "red", "height": 1.0}
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.post(f"{self.url}/v1/predict", json=[row], timeout=5)
                if answer.status_code != 200:
                    continue
                asked = answer.json()["request_id"]
                truth = {"request_id": asked, "answers": ["iris"]}
                if httpx.post(f"{self.url}/v1/feedback", json=truth, timeout=5).status_code == 200:
                    self.acknowledged[asked] = value


@contextlib.contextmanager
def serving(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the model in `home/calm` that keeps rows, killed at the end."""
    command = [sys.executable, "-m", "automl", "serve", f"flowers={home / 'calm'}", "--port", str(port)]
    command += ["--state", str(home / "killed"), "--keep-rows", "50000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def servers(home: Path, kills: int, seed: int) -> list[str]:
    """Kill a server again and again under clients; returns what is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    clients, rng = [Client(f"http://127.0.0.1:{port}", 10 * k) for k in range(3)], random.Random(seed)
    for one in clients:
        one.start()
    for _ in range(kills):
        before = sum(len(one.acknowledged) for one in clients)
        with serving(home, port):
            limit = time.monotonic() + 120
            while sum(len(one.acknowledged) for one in clients) <= before and time.monotonic() < limit:
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 1.0))
    for one in clients:
        one.ended.set()
        one.join()
    acknowledged = {request: value for one in clients for request, value in one.acknowledged.items()}
    kept = list(Reader(home / "killed" / FILE).answered("flowers", 0))
    values = [cell for one in kept for cell in one.rows["size"]]
    lost = sum(value not in set(values) for value in acknowledged.values())
    wrong = [f"{lost} acknowledged answers lost"] if lost else []
    wrong += [f"{len(values) - len(set(values))} rows twice"] if len(values) != len(set(values)) else []
    print(f"server: {kills} kills, {len(acknowledged)} answers acknowledged, {len(values)} kept: {wrong or 'all once'}")
    return wrong


def main() -> None:
    """Both, and exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--server-kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        two_alike(home)
        wrong = servers(home, given.server_kills, given.seed) if given.server_kills else []
        wrong += followers(home, given.batches, given.kills, given.seed)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
