"""`automl cluster`: the files are what sbatch, `ray up` and KubeRay take; the token is in none of them."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from automl.cli.app import app
from automl.errors import EnvironmentProblem, SpecError
from automl.executors.clusters import nodes, plan
from automl.study.paths import LEDGER
from automl.version import __version__

SPEC = "study: bowl\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with a space in its name, as home and working directory."""
    folder = tmp_path / "my home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    (folder / "bowl.yaml").write_text(SPEC)
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["cluster", *words])


def written(*words: str) -> str:
    """The text of the file that the command writes."""
    done = run(*words, "--json")
    assert done.exit_code == 0, done.exception
    return Path(json.loads(done.stdout)["file"]).read_text()


def program(folder: Path, name: str, text: str) -> None:
    """A shell script in the folder of programs."""
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/bash\n{text}")
    file.chmod(0o755)


class TestToken:
    def test_it_is_made_for_its_owner_alone_and_kept(self, home: Path) -> None:
        file = plan.token_file()
        assert file == home / ".ray" / "auth_token"
        assert file.stat().st_mode & 0o777 == 0o600
        first = file.read_text()
        assert len(first) == 64
        assert plan.token_file().read_text() == first

    def test_one_that_others_can_read_or_that_is_empty_is_refused(self, home: Path) -> None:
        file = home / "token"
        file.write_text("secret")
        file.chmod(0o644)
        with pytest.raises(EnvironmentProblem, match="others can read"):
            plan.token_file(str(file))
        file.write_text("")
        file.chmod(0o600)
        with pytest.raises(EnvironmentProblem, match="is empty"):
            plan.token_file(str(file))

    @pytest.mark.usefixtures("home")
    def test_no_file_holds_it(self) -> None:
        texts = [
            written("slurm", "bowl.yaml"),
            written("ssh", "--host", "a", "--user", "me"),
            written("k8s", "/spec.yaml", "--image", "i"),
        ]
        secret = plan.token_file().read_text()
        assert not any(secret in text for text in texts)
        assert all("RAY_AUTH_MODE" in text for text in texts)


class TestSlurm:
    def test_bash_and_sbatch_read_it(self, home: Path) -> None:
        words = ("--time", "1-02:00:00", "--partition", "gpu", "--gpus", "2", "--sbatch=--constraint=a100")
        text = written("slurm", "bowl.yaml", *words)
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        head = [line for line in text.splitlines() if line.startswith("#SBATCH ")]
        assert text.splitlines()[1 : len(head) + 1] == head, "sbatch reads no further than the first command"
        options = dict(line[len("#SBATCH --") :].partition("=")[::2] for line in head)
        wanted = {"time": "26:00:00", "signal": "B:USR1@120", "partition": "gpu", "gpus-per-node": "2", "requeue": ""}
        assert options.items() >= (wanted | {"constraint": "a100"}).items()
        assert f"automl search {shlex.quote(str(home / 'bowl.yaml'))} --name bowl" in text
        ledger = shlex.quote(str(home / "studies" / "bowl" / LEDGER))
        assert f"if [ -e {ledger} ]; then\n  automl resume bowl " in text

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["nowhere.yaml"], "no such file"),
            (["bowl.yaml", "--time", "soon"], "--time takes"),
            (["bowl.yaml", "--time", "1m"], "more than 120 s"),
            (["bowl.yaml", "--partition", 'a"\nrm'], "--partition must be without quotes"),
            (["bowl.yaml", "--sbatch", "rm -rf"], "--sbatch takes one option"),
            (["bowl.yaml", "--setup", "a\nb"], "one line"),
            (["bowl.yaml", "--name", "../x"], "--name takes"),
            (["bowl.yaml", "--nodes", "0"], "--nodes must be 1 or more"),
            (["bowl.yaml", "--shared", "here"], "absolute path"),
        ],
    )
    @pytest.mark.usefixtures("home")
    def test_what_does_not_fit_is_told(self, words: list[str], message: str) -> None:
        error = run("slurm", *words).exception
        assert isinstance(error, SpecError)
        assert message in str(error)
        assert not list(Path.cwd().glob("*.sbatch"))

    def test_what_sbatch_says_is_passed_on(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
        error = run("slurm", "bowl.yaml", "--start").exception
        assert isinstance(error, EnvironmentProblem)
        assert str(error) == "sbatch is not on this machine; run --start where it is"
        program(home / "bin", "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
        error = run("slurm", "bowl.yaml", "--start", "--force").exception
        assert str(error) == "sbatch failed: sbatch: error: invalid partition specified: gpu"
        assert isinstance(run("slurm", "bowl.yaml").exception, SpecError), "a file that is there is not replaced"


@pytest.mark.usefixtures("home")
class TestSsh:
    def test_ray_takes_it(self) -> None:
        pytest.importorskip("ray")
        from ray.autoscaler._private.util import prepare_config, validate_config

        words = (
            "ssh",
            "--host",
            "10.0.0.1",
            "--host",
            "node-2",
            "--user",
            "me",
            "--setup",
            "source '/a b/bin/activate'",
        )
        content = yaml.safe_load(written(*words))
        validate_config(prepare_config(content))
        assert content["provider"] == {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["node-2"]}
        assert list(content["file_mounts"].values()) == [str(plan.token_file())]

    @pytest.mark.parametrize(
        "words", [[], ["--host", "-oProxyCommand=x"], ["--host", "a", "--host", "a"], ["--host", "a"]]
    )
    def test_hosts_and_user_are_checked(self, words: list[str]) -> None:
        assert isinstance(run("ssh", *words).exception, SpecError)


@pytest.mark.usefixtures("home")
class TestKubernetes:
    def test_the_specification_is_neither_overwritten_nor_named_by_a_relative_path(self, home: Path) -> None:
        pytest.importorskip("ray")
        (home / "job.yaml").write_text("study: job\n")
        done = run("k8s", "job.yaml", "--image", "i", "--force")
        assert done.exit_code == 0, done.output
        assert (home / "job.yaml").read_text() == "study: job\n"
        job = yaml.safe_load((home / "job.k8s.yaml").read_text())
        assert str(home / "job.yaml") in job["spec"]["entrypoint"]

    def test_kuberay_takes_it(self) -> None:
        pytest.importorskip("ray")
        words = (
            "k8s",
            "/shared/my spec.yaml",
            "--image",
            "r/i:1",
            "--shared",
            "/shared",
            "--claim",
            "c",
            "--gpus",
            "1",
        )
        job = yaml.safe_load(written(*words, "--nodes", "3"))
        assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
        assert job["metadata"]["name"] == "my-spec"
        cluster = job["spec"]["rayClusterSpec"]
        (workers,) = cluster["workerGroupSpecs"]
        assert workers["replicas"] == workers["maxReplicas"] == 2
        pods = [cluster["headGroupSpec"]["template"], workers["template"], job["spec"]["submitterPodTemplate"]]
        for (container,) in (pod["spec"]["containers"] for pod in pods):
            given: dict[str, Any] = {entry["name"]: entry for entry in container["env"]}
            assert given["RAY_AUTH_MODE"]["value"] == "token"
            assert given["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {
                "name": "my-spec-token",
                "key": "auth_token",
            }
        for text in (
            value for group in (cluster["headGroupSpec"], workers) for value in group["rayStartParams"].values()
        ):
            assert isinstance(text, str), "KubeRay takes text alone"
        bash, option, command = shlex.split(job["spec"]["entrypoint"])
        assert (bash, option) == ("bash", "-c")
        subprocess.run(["bash", "-n"], input=command, text=True, check=True)
        assert f"if [ -e /shared/studies/my-spec/{LEDGER} ]; then automl resume my-spec " in command

    def test_the_token_goes_to_kubectl_as_a_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("ray")
        programs = Path("bin").absolute()
        program(programs, "kubectl", 'echo "$@" >> calls\n')
        monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
        assert run("k8s", "--image", "i", "--start").exit_code == 0
        get, create, apply = Path("calls").read_text().splitlines()
        assert get.startswith("get secret automl-token")
        assert create == f"create secret generic automl-token --from-file=auth_token={plan.token_file()}"
        assert apply == "apply --filename automl.k8s.yaml"

    @pytest.mark.parametrize("words", [[], ["--image", "i", "--claim", "c"], ["--image", "i", "--shared", "/s"]])
    def test_image_and_volume_are_checked(self, words: list[str]) -> None:
        assert isinstance(run("k8s", *words).exception, SpecError)


def test_a_node_that_differs_is_told() -> None:
    here = {"python": "3.11.2", "torch": "2.9.0", "automl": __version__}
    good = nodes.Node("10.0.0.1", "a", 4, 1, 7.5, **here, shared=True, clock_s=0.01)
    bad = nodes.Node("10.0.0.2", "b", 4, 0, 7.5, "3.11.2", "", "0.0.9", shared=False, clock_s=-9.0)
    assert nodes.differences(good, here, Path("/s")) == []
    bad.problems = nodes.differences(bad, here, Path("/s"))
    told = nodes.text([good, bad])
    for part in (
        "torch is missing",
        "automl is 0.0.9",
        "does not see the driver's folder /s",
        "clock differs by -9.0 s",
    ):
        assert part in told
    assert told.splitlines()[2].startswith("X 10.0.0.2 b")


def test_a_cluster_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    error = CliRunner().invoke(app, ["doctor", "--cluster"]).exception
    assert isinstance(error, EnvironmentProblem)
    assert "which cluster?" in str(error)


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("30m", 1800), ("2d", 172800), ("1-12:00:00", 129600)])
def test_time_limits(text: str, length: int) -> None:
    assert plan.seconds(text) == length


def test_a_time_limit_without_a_unit_is_refused() -> None:
    """Elsewhere in automl it would be seconds, for sbatch it is minutes."""
    with pytest.raises(SpecError, match="--time needs a unit: 720m are minutes, as sbatch reads 720"):
        plan.seconds("720")
