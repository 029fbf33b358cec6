"""The GPU benchmark runs to its end on a CPU with tiny sizes; nothing in it fails there."""

import importlib
import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from automl.training.rules import RULES
from tests.support.paths import ROOT

COMMAND = ROOT / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(COMMAND.parent))
    return importlib.import_module(COMMAND.stem)


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(gpu: ModuleType) -> None:
    parts = {name: json.loads(json.dumps(part(gpu.setting(tiny=True)))) for name, part in gpu.PARTS.items()}
    assert set(parts) == {
        "graphs", "rounds", "oom", "start", "throughput", "kernels", "bits", "matrix", "families", "processes",
    }  # fmt: skip
    assert all(row["fused"] and row["us a step"] > 0 for row in parts["graphs"])
    assert all(row["whole rounds"] > 0 for row in parts["rounds"])
    assert [(row["exit code"], row["s to the first trial"] > 0) for row in parts["start"]] == [(0, True)]
    assert all(rows and not any("failed" in row for row in rows) for rows in parts.values())
    assert all(row["bitwise"] for row in parts["bits"])
    by_row = {name for name, rule in RULES.items() if not rule.shaped}  # whole-tensor rules have no kernel to compare
    assert {row["optimizer"] for row in parts["kernels"]} == by_row
    assert all("need a GPU" in row["remarks"] for row in parts["kernels"])
    assert {row["family"] for row in parts["families"]} == {"mlp", "sparse_mlp", "convnet", "transformer", "lstm"}
    assert all(row["TFLOP/s"] > 0 for row in parts["families"])
    assert all(row["samples/s"] > 0 and row["peak MiB"] > 50 for row in parts["families"])
    assert all(0 < row["share of peak"] < 1.5 for row in parts["families"])
    assert parts["processes"][-1]["processes"] == 2
    assert all(row["trial-steps/s in all"] > 0 for row in parts["processes"])


@pytest.mark.slow
def test_each_part_has_a_process_and_what_goes_wrong_there_is_told(gpu: ModuleType, tmp_path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, str(COMMAND), "--tiny", "--parts", "matrix", "--json", str(told)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, env=one_thread)
    formats = [row["format"] for row in json.loads(told.read_text())["matrix"]]
    assert formats == [row["format"] for row in gpu.matrix(gpu.setting(tiny=True))]
    assert "## matrix (CPU" in done.stdout
    assert gpu.told_by_a_process("graphs", True, 0.1) == [{"failed": "it took longer than 0 s"}]
    assert "invalid choice" in gpu.told_by_a_process("unknown", True, 600)[0]["failed"]
