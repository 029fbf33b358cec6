"""A driver in a process of its own, which can be killed: it, one of its workers, or its fork server."""

import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil

from automl.errors import AutoMLError
from automl.executors import forkserver
from automl.study import paths
from automl.testing.stress.chaos_cases import Case


class Victim:
    """A driver in a forked process, and the ways to kill it or one of its workers."""

    def __init__(self, case: Case, path: Path, errors: Path) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.path = path
        self.pid = os.fork()
        if self.pid == 0:
            code = 70  # any error that is not an AutoMLError
            try:
                output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                os.dup2(output, 1)
                os.dup2(output, 2)
                forkserver.forget()
                case.search(path)
                code = 0
            except AutoMLError as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                code = error.exit_code
            except BaseException:
                import traceback

                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(code)

    def wait(self, seconds: float) -> int | None:
        """Wait for the process to end; returns its exit code, or None if it still runs after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                return None
            time.sleep(0.002)

    def wait_for_reports(self, count: int, limit_s: float = 60.0) -> None:
        """Wait until trials have reported `count` times more than now, or nothing is left to wait for."""
        wanted, deadline = self._reports() + count, time.monotonic() + limit_s
        while self._reports() < wanted and self._runs() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _reports(self) -> int:
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"file:{self.path / paths.LEDGER}?mode=ro", uri=True)) as db,
        ):
            return int(db.execute("SELECT count(*) FROM reports").fetchone()[0])
        return 0  # there is no ledger yet

    def _runs(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def kill(self) -> None:
        """Kill the driver."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def kill_a_worker(self, rng: random.Random) -> bool:
        """Kill one of the workers at random. Returns whether there was one."""
        return self._kill_one_of(self._spawned() + self._forked(), rng)

    def kill_the_fork_server(self, rng: random.Random) -> bool:
        """Kill the process that workers are forked from. Returns whether there was one."""
        return self._kill_one_of(self._fork_servers(), rng)

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            return psutil.Process(self.pid).children()
        return []

    def _spawned(self) -> list[psutil.Process]:
        return [p for p in self._children() if "spawn_main" in _command(p)]

    def _fork_servers(self) -> list[psutil.Process]:
        return [p for p in self._children() if "multiprocessing.forkserver" in _command(p)]

    def _forked(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for server in self._fork_servers():
            with suppress(psutil.Error):
                found += server.children()
        return found

    @staticmethod
    def _kill_one_of(processes: list[psutil.Process], rng: random.Random) -> bool:
        with suppress(psutil.Error):
            if processes:
                rng.choice(processes).kill()
                return True
        return False


def _command(process: psutil.Process) -> str:
    """Its command line; empty where it has ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
