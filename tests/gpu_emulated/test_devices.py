"""Which GPUs a search uses and what they are called, on machines that NVML makes up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import automl
from automl.core.machine import gpus
from automl.executors import devices, forkserver
from automl.executors.local import SPAWN, Local
from automl.view.screens.hardware import Hardware
from tests.gpu_emulated.fake_nvml import Card, FakeNvml, machine
from tests.support.patience import PATIENCE_S

SLICED = FakeNvml(
    [Card("GPU-0000aaaa-1", ["MIG-11111111-1", "MIG-22222222-1", "MIG-33333333-1"]), Card("GPU-0000bbbb-2", [])]
)


def names(nvml: FakeNvml, wanted: str | None = None) -> list[str]:
    return [gpu.name for gpu in gpus.visible(nvml, {} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted})]


@pytest.mark.parametrize(
    ("nvml", "wanted", "expected"),
    [
        (machine(0), None, []),
        (FakeNvml(driver=False), "0", []),
        (machine(1), None, ["0"]),
        (machine(8), None, list("01234567")),
        (machine(8), "", []),
        (machine(8), "5,2", ["5", "2"]),
        (machine(8), " 1, 3", ["1", "3"]),
        (machine(1), "5", []),
        (machine(4), "0,9,1", ["0"]),  # from the first one that does not exist on, CUDA ignores all
        (machine(4), "2,-1,3", ["2"]),
        (machine(4), "1,1", []),
        (machine(4), "NoDevFiles", []),
        (machine(4), "0,gpu", ["0"]),
        (machine(4), "GPU-00000002,GPU-00000000-0000", ["GPU-00000002-0000", "GPU-00000000-0000"]),
        (machine(4), "GPU-0000000", []),  # four begin like this
        (machine(4), "GPU-ffff,GPU-00000000", []),
        (SLICED, None, ["MIG-11111111-1", "MIG-22222222-1", "MIG-33333333-1", "1"]),
        (SLICED, "MIG-1,MIG-3", ["MIG-11111111-1", "MIG-33333333-1"]),
        (SLICED, "MIG-4", []),
    ],
)
def test_devices_are_read_as_cuda_reads_them(nvml: FakeNvml, wanted: str | None, expected: list[str]) -> None:
    assert names(nvml, wanted) == expected


def test_only_our_gpus_are_on_the_screen_with_the_names_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,2")
    shown = [line for line in Hardware(nvml=machine(8)).read() if line.startswith("gpu")]
    assert shown == ["gpu5 93% 8.0/80G 61C 512W", "gpu2 93% 8.0/80G 61C 512W"]


def test_a_part_of_a_gpu_and_a_broken_one_are_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml = FakeNvml([Card("GPU-0", ["MIG-1234567890"]), Card("GPU-1", broken=True)])
    shown = [line for line in Hardware(nvml=nvml).read() if line.startswith("gpu")]
    assert shown == ["gpu12345678 8.0/80G 61C 512W", "gpu1 GPU is lost"]


@pytest.mark.parametrize(
    ("forked", "each", "expected"), [(False, 1.0, [("0",), ("2",)]), (True, 0.5, [("0",), ("2",), ("0",), ("2",)])]
)
def test_each_worker_is_bound_to_its_gpus_in_the_order_of_nvml(
    forked: bool, each: float, expected: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through real processes: each trial writes down what its process began with."""
    monkeypatch.setitem(sys.modules, "pynvml", machine(3))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    folder = str(tmp_path)

    def train(trial: automl.Trial) -> None:
        import time

        found = [os.environ[name] for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")]
        Path(folder, f"{os.getpid()}.txt").write_text("\n".join([*found, trial.device]))
        time.sleep(0.3)
        trial.report(loss=1.0)

    how = Local(gpus=each, forked=forked)
    found = automl.search(train, space={"x": automl.Float(0, 1)}, metric="loss", trials=3 * len(expected),
                          path=tmp_path / "study", executor=how)  # fmt: skip
    assert found.counts.done == 3 * len(expected)
    seen = [file.read_text().splitlines() for file in tmp_path.glob("*.txt")]
    assert {(words[0],) for words in seen} == set(expected)
    assert all(words[1:] == ["PCI_BUS_ID", "cuda:0"] for words in seen)
    assert devices.shares(devices.gpus(), each) == expected


def test_what_the_fork_server_imports_does_not_touch_cuda() -> None:
    """Else no worker that is forked from it could use a GPU; that it is a CPU build here does not matter."""
    code = (
        "import sys, torch\n"
        "def touched(*_): raise SystemExit('CUDA is touched')\n"
        "for name in ('init', '_lazy_init', 'is_available', 'device_count', 'current_device', 'is_bf16_supported'):\n"
        "    setattr(torch.cuda, name, touched)\n"
        "import automl.executors.forkserver_imports as imports\n"
        "assert all(name in sys.modules for name in imports.MODULES)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)


def test_a_forked_worker_that_finds_cuda_touched_ends_and_the_next_ones_are_spawned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    forkserver.end_if_cuda_was_touched(("cpu",))
    assert codes == []
    forkserver.end_if_cuda_was_touched(("cuda:0",))
    assert codes == [forkserver.CUDA_TOUCHED]
    how = Local()
    how._context = forkserver.context()
    assert "spawned instead" in how._lost(0, forkserver.CUDA_TOUCHED).reason
    assert how._context is SPAWN
