"""Real servers on this machine's own address: they start, end gracefully, and lose nothing when workers are killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import automl
from automl.core import files
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S, free_port, wait_until

ROW = {"size": 5.0, "age": 30, "colour": "red", "day": "2021-03-04"}
Bundles = dict[str, Path]
AUTOML = (sys.executable, "-c", "from automl.cli import main; main()", "serve")
Server = tuple[subprocess.Popen[str], str]


@contextlib.contextmanager
def running(
    state: Path, *arguments: str, scheme: str = "http", **options: Any
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, ready to answer; killed at the end where it has not ended."""
    port = free_port()
    command = [*AUTOML, *arguments, "--port", str(port), "--state", str(state)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(
        str(ROOT / part) for part in (".", "strategies", "search_spaces"))}  # fmt: skip
    state.mkdir(parents=True, exist_ok=True)
    with open(state / "stderr.txt", "w") as errors:
        process = subprocess.Popen(command, env=environment, stderr=errors, text=True, cwd=ROOT, **options)
    url = f"{scheme}://127.0.0.1:{port}"
    try:
        wait_until(lambda: _ready(url, process, state), "the server does not answer")
        yield process, url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
        process.wait(10)


def _ready(url: str, process: subprocess.Popen[str], state: Path) -> bool:
    assert process.poll() is None, (state / "stderr.txt").read_text()
    try:
        return httpx.get(f"{url}/health/ready", timeout=5, verify=False).status_code == 200
    except httpx.TransportError:
        return False


class Load(threading.Thread):
    """Asks without a pause, and once more where a connection broke, as clients do."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.answers, self.lost, self.ended = url, [], [], threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=PATIENCE_S) as client:
            while not self.ended.is_set():
                self._ask(client)

    def _ask(self, client: httpx.Client) -> None:
        for attempt in range(40):
            try:
                answer = client.post("/v1/predict?proba=true", json=[ROW])
            except httpx.ConnectError as error:
                if self.ended.is_set() or attempt == 39:
                    return None if self.ended.is_set() else self.lost.append(repr(error))
                time.sleep(0.05)
            except httpx.TransportError as error:
                if self.ended.is_set():
                    return self.lost.append(repr(error))
            else:
                return self.answers.append((answer.status_code, answer.json()))
        return None


@contextlib.contextmanager
def load(url: str, clients: int = 4) -> Iterator[list[Load]]:
    threads = [Load(url) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.ended.set()
        for thread in threads:
            thread.join(PATIENCE_S)


def shares_of(bundle: Path) -> list[float]:
    made: list[float] = automl.load(bundle).predict_proba([{**ROW, "constant": "x"}])[0].tolist()
    return made


@pytest.mark.catalogue(
    60,
    "`automl serve` gets SIGTERM under requests",
    "what has begun is answered, connections are closed in good order, then it ends",
    143,
)
@pytest.mark.slow
def test_sigterm_ends_it_with_every_request_answered(bundles: Bundles, tmp_path: Path) -> None:
    with running(tmp_path, f"flowers={bundles['flowers']}") as (process, url):
        with load(url) as threads:
            wait_until(lambda: all(len(one.answers) > 20 for one in threads), "too few answers")
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: _draining(url), "the server does not end")
            for thread in threads:
                thread.ended.set()
            process.wait(PATIENCE_S)
        assert process.returncode in (-signal.SIGTERM, 143)
        for thread in threads:
            assert thread.lost == []
            assert {code for code, _ in thread.answers} == {200}
    (audit,) = (tmp_path / "audit").glob("*.jsonl")
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert sum(line["path"] == "/v1/predict" for line in lines) >= sum(len(one.answers) for one in threads)


def _draining(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/health/ready", timeout=5).status_code == 503
    return True


@pytest.mark.catalogue(
    60, "a worker of `automl serve` is killed", "it is replaced; clients that ask once more lose nothing", None
)
@pytest.mark.slow
def test_new_winners_canaries_rollbacks_and_killed_workers_lose_no_answer(bundles: Bundles, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    files.copy(bundles["flowers"], study / "best")
    files.copy(bundles["flowers2"], tmp_path / "new")
    expected = {"v1": shares_of(bundles["flowers"]), "v2": shares_of(bundles["flowers2"])}
    state = tmp_path / "state"
    with running(state, f"m={study}", "--workers", "2") as (process, url), load(url) as threads:

        def seen(version: str, since: list[int]) -> bool:
            return all(
                any(body.get("version") == version for _, body in one.answers[k:])
                for one, k in zip(threads, since, strict=True)
            )

        def now() -> list[int]:
            return [len(one.answers) for one in threads]

        wait_until(lambda: seen("v1", [0] * 4), "v1 does not answer")
        (study / "best").rename(study / "old")
        (tmp_path / "new").rename(study / "best")
        wait_until(lambda: seen("v2", [0] * 4), "v2 does not answer")
        workers = _workers(process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        since = now()
        wait_until(lambda: all(b > a + 20 for a, b in zip(since, now(), strict=True)), "clients get no further answers")
        subprocess.run([*AUTOML, "--canary", "m@v1=40%", "--state", str(state)], check=True, cwd=ROOT)
        wait_until(lambda: seen("v1", since), "v1 does not answer again")
        since = now()
        wait_until(lambda: all(b > a + 50 for a, b in zip(since, now(), strict=True)), "clients get no further answers")
        versions = [body["version"] for one, k in zip(threads, since, strict=True) for _, body in one.answers[k:]]
        assert 0.2 < versions.count("v1") / len(versions) < 0.6
        subprocess.run([*AUTOML, "--rollback", "m", "--state", str(state)], check=True, cwd=ROOT)
        since = now()
        wait_until(lambda: seen("v1", since), "v1 does not answer again")
        wait_until(lambda: len(_workers(process.pid)) == 2, "the killed worker is not replaced")
    for thread in threads:
        assert thread.lost == []
        for code, body in thread.answers:
            assert code == 200, body
            assert body["probabilities"][0] == pytest.approx(expected[body["version"]], abs=1e-5)


def _workers(parent: int) -> list[int]:
    """The processes of a server that answer: children that have loaded torch, by their command line."""
    import psutil

    children = psutil.Process(parent).children()
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_the_terminal_shows_the_state_and_needs_the_key(bundles: Bundles, tmp_path: Path) -> None:
    def automl_serve(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*AUTOML, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)

    key = automl_serve("--new-key", "--state", str(tmp_path)).stdout.strip()
    with running(tmp_path, f"flowers={bundles['flowers']}", "--keys") as (_, url):
        head = {"authorization": f"Bearer {key}"}
        assert httpx.post(f"{url}/v1/predict", json=[ROW], headers=head).status_code == 200
        assert httpx.post(f"{url}/v1/predict", json=[ROW]).status_code == 401
        shown = automl_serve("--status", url, "--key", key)
        assert shown.returncode == 0, shown.stderr
        assert "flowers v1 (current): 1 rows" in shown.stdout
        refused = automl_serve("--status", url)
        assert (refused.returncode, "give its key" in refused.stderr) == (5, True)
        assert automl_serve("--revoke", key.split("_")[1], "--state", str(tmp_path)).returncode == 0
        assert httpx.post(f"{url}/v1/predict", json=[ROW], headers=head).status_code == 401


@pytest.mark.slow
def test_https_is_served_with_a_certificate(bundles: Bundles, tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", str(key), "-out", str(certificate)], capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl cannot make a certificate here")
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with running(tmp_path / "s", f"flowers={bundles['flowers']}", *tls, scheme="https") as (_, url):
        answer = httpx.post(f"{url}/v1/predict", json=[ROW], verify=False)
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.catalogue(60, "`automl serve` itself is killed (SIGKILL)", "its workers end by themselves", None)
@pytest.mark.slow
def test_workers_whose_server_was_killed_end_by_themselves(bundles: Bundles, tmp_path: Path) -> None:
    import psutil

    with running(tmp_path, f"flowers={bundles['flowers']}", "--workers", "2") as (process, _):
        workers = [psutil.Process(pid) for pid in _workers(process.pid)]
        process.kill()
        wait_until(
            lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in workers),
            "a worker outlived its server",
        )


def test_looking_at_a_server_and_keys_load_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, json; from automl.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(json.dumps([m for m in ('torch', 'pandas', 'fastapi') if m in sys.modules]))"
    )
    for arguments in (["--new-key"], ["--status", "http://127.0.0.1:1"]):
        words = ["serve", *arguments, "--state", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert json.loads(done.stdout.splitlines()[-1]) == []
