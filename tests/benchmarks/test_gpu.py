"""The GPU benchmark runs to its end on a CPU with tiny sizes; nothing in it fails there."""

import json
import os
import subprocess
import sys

import pytest

from automl.training.rules import RULES
from tests.support.paths import ROOT


@pytest.mark.slow
def test_every_part_runs_on_a_cpu(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--tiny", "--json", str(tmp_path / "told.json")]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, capture_output=True, timeout=600, env=one_thread, cwd=ROOT)
    told = json.loads((tmp_path / "told.json").read_text())
    parts = {name: rows for name, rows in told.items() if isinstance(rows, list)}
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
