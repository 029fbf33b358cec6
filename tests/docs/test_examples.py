"""Every example runs as its first lines say, and stays short."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
MOST_LINES = 60
JUDGE = "automl judge --metric val_loss --command 'python old.py {seed}' --command 'python new.py {seed}' --seeds 4"
RUNS = {  # {folder: (command, what it prints, what must be installed)}
    "own_strategy": ("python run.py", "Mutate(", ""),
    "table": ("python run.py", "[", ""),
    "own_loop": ("python train.py", "val_loss", ""),
    "own_model": ("automl search space.yaml", "Finished", ""),
    "shell_command": ("automl search space.yaml", "Finished", ""),
    "lightning_trainer": ("python train.py", "val_loss", "lightning"),
    "hf_trainer": ("python train.py", "eval_loss", "transformers"),
    "ray_cluster": ("python train.py", "loss", "ray"),
    "images": ("python run.py", "val_accuracy", "PIL"),
    "language_model": ("python run.py", "val_loss", ""),
    "hydra_sweep": ("python train.py -m 2>&1", "best: job", "hydra"),
    "referee": (f"{JUDGE} || test $? -lt 7", "campaign", ""),
}
QUICK = {"own_strategy", "referee"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RUNS])
def test_the_example_runs(name: str, tmp_path: Path) -> None:
    command, printed, needed = RUNS[name]
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs {needed}, which is not installed")
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder)
    assert printed in run(command, folder)


def test_a_client_of_the_web_service_finds_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    client_of = pytest.importorskip("fastapi.testclient").TestClient
    monkeypatch.chdir(tmp_path)
    found = importlib.util.spec_from_file_location("service", EXAMPLES / "web_service" / "service.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    client = client_of(module.app)
    losses = {}
    while (answer := client.post("/ask")).status_code == 200:
        trial = answer.json()
        losses[trial["number"]] = abs(trial["config"]["price"] - 20)
        told = client.post(f"/tell/{trial['number']}", params={"loss": losses[trial["number"]]})
        assert told.json()["state"] == "done"
    assert answer.status_code == 410
    assert len(losses) == 20
    assert client.get("/best").json()["loss"] == min(losses.values())
    assert client.post("/tell/99", params={"loss": 1}).status_code == 422
    module.study.close()


def test_examples_are_listed_tested_and_short() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == {*RUNS, "web_service"}
    listed = (EXAMPLES / "README.md").read_text()
    for name in folders:
        assert f"[{name}]({name})" in listed
        files = [path for path in (EXAMPLES / name).iterdir() if path.is_file()]
        assert sum(len(path.read_text().splitlines()) for path in files) <= MOST_LINES, name
