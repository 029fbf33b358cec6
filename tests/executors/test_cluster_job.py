"""A whole Slurm job on this machine: the batch script with a real Ray head and workers, warned, queued again, ended."""

import os
import signal
import subprocess
import sys
import uuid
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from automl.errors import AutoMLError
from automl.executors.clusters import plan, slurm
from automl.study.reader import StudyView
from tests.executors.test_clusters import program

SPEC = """\
study: bowl
train: bowl:train
space: {x: {float: [0, 1]}}
metric: loss
strategy: random
stopper: none
budget: {trials: 6}
finalists: none
seed: 5
"""
TRAIN = """\
import signal
from pathlib import Path

def train(trial):
    for step in trial.steps(4):
        signal.sigtimedwait([], 0.1)
        while trial.number >= 4 and step > 1 and not Path(__file__).with_name("warned").exists():
            signal.sigtimedwait([], 0.1)  # the search is not over before it is warned
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)
        trial.save({})
"""
SRUN = """\
others=0; code=
while [ $# -gt 0 ]; do case "$1" in --ntasks=*) others=${1#*=};; -c) code=$2; shift;; esac; shift; done
trap 'kill $(jobs -p)' TERM
for _ in $(seq "$others"); do bash -c "$code" & done
wait; wait
"""
SCONTROL = """\
case "$1" in show) printf 'h1\\nh2\\n';; requeue) echo "$2" >> requeued;; esac
"""
MARK = "TEST_CLUSTER_JOB"  # in the environment of all that belongs to a job


def of_job(mark: str) -> list[psutil.Process]:
    """All processes of a job, also those whose parent has ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def job(home: Path, warn_after: int | None) -> int:
    """Run the batch script as Slurm would, on two nodes; USR1 comes after so many trials. Returns its exit code."""
    mark = uuid.uuid4().hex
    variables = {
        **os.environ, "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "h[1-2]", "SLURM_JOB_NUM_NODES": "2", MARK: mark,
        "PYTHONPATH": str(home), "PATH": f"{home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    variables.pop("RAY_ADDRESS", None)
    with (home / "log").open("a") as log:
        shell = subprocess.Popen(["bash", "bowl.sbatch"], env=variables, cwd=home, stdout=log, stderr=log)
    try:
        for _ in range(1500):
            if shell.poll() is not None:
                break
            if warn_after is not None and ended(home) >= warn_after:
                shell.send_signal(signal.SIGUSR1)
                signal.sigtimedwait([], 6)  # the script waits a second before it hands the signal on
                (home / "warned").touch()
                warn_after = None
            signal.sigtimedwait([], 0.2)
        return shell.wait(timeout=60)
    finally:
        while left := of_job(mark):
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            shell.wait()
            psutil.wait_procs(left, timeout=10)


def ended(home: Path) -> int:
    """Trials that have ended."""
    try:
        with closing(StudyView(home / "studies" / "bowl")) as study:
            return study.counts.ended
    except (AutoMLError, OSError):
        return 0


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is an optional extra: pip install 'automl-search[ray]'")
def test_a_job_that_is_warned_saves_goes_back_into_the_queue_and_ends_as_a_search_here_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "my home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / "bowl.yaml").write_text(SPEC)
    (home / "bowl.py").write_text(TRAIN)
    program(home / "bin", "srun", SRUN)
    program(home / "bin", "scontrol", SCONTROL)
    about = plan.Plan("bowl", 2, 1, 0, str(home / "bowl.yaml"), str(home))
    (home / "bowl.sbatch").write_text(slurm.script(about, slurm.Slurm(), plan.token_file()))
    assert job(home, 2) == slurm.ENDED_BY_SIGNAL, (home / "log").read_text()
    assert (home / "requeued").read_text() == "4711\n"
    assert job(home, None) == 0, (home / "log").read_text()
    with closing(StudyView(home / "studies" / "bowl")) as study:
        cluster = [(t.number, t.state, t.config, t.curve) for t in study.history.trials]
    words = [
        sys.executable,
        "-m",
        "automl",
        "search",
        "bowl.yaml",
        "--dir",
        "alone",
        "--set",
        "executor.name=inline",
        "--quiet",
    ]
    subprocess.run(words, cwd=home, check=True, env={**os.environ, "PYTHONPATH": str(home)}, capture_output=True)
    with closing(StudyView(home / "alone" / "bowl")) as study:
        assert cluster == [(t.number, t.state, t.config, t.curve) for t in study.history.trials]


RAY = """\
if [ "$1" = health-check ]; then
  if [ -n "$EARLY" ]; then kill -s "$EARLY" "$PPID"; fi
  exit 0
fi
exec sleep 600
"""
AUTOML = """\
trap 'exit 143' TERM USR1
touch searching
if [ -n "$SHORT" ]; then exit 0; fi
for _ in $(seq 6000); do sleep 0.1; done
"""


@pytest.mark.parametrize(
    ("when", "sent", "code", "back"),
    [
        ("searching", "USR1", {143}, True),
        ("searching", "TERM", {143}, False),
        ("early", "USR1", {143, 138}, True),
        ("early", "TERM", {143}, False),
        ("never", "", {0}, False),
    ],
)
def test_only_a_warning_puts_the_job_back_into_the_queue(
    tmp_path: Path, when: str, sent: str, code: set[int], back: bool
) -> None:
    for name, text in {"srun": "exec sleep 600", "scontrol": SCONTROL, "ray": RAY, "automl": AUTOML}.items():
        program(tmp_path / "bin", name, text)
    script = slurm.script(plan.Plan("bowl", 2, spec="bowl.yaml"), slurm.Slurm(), tmp_path / "token")
    variables = {
        "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "h[1-2]", "SLURM_JOB_NUM_NODES": "2",
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "EARLY": sent if when == "early" else "",
        "SHORT": "yes" if when == "never" else "",
    }  # fmt: skip
    (tmp_path / "job").write_text(script)
    shell = subprocess.Popen(["bash", "job"], env=variables, cwd=tmp_path, start_new_session=True)
    try:
        while when == "searching" and shell.poll() is None:
            if (tmp_path / "searching").exists():
                shell.send_signal(getattr(signal, f"SIG{sent}"))
                break
            signal.sigtimedwait([], 0.05)
        assert shell.wait(timeout=60) in code
        assert (tmp_path / "requeued").exists() == back
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
