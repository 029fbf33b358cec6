"""What goes wrong on a GPU, told by torch's own messages: found, named, and its process replaced where it must be."""

import threading
import time
from dataclasses import replace
from multiprocessing import Pipe
from typing import Any

import pytest
import torch

from automl.core.trial import Failure
from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed
from automl.errors import EnvironmentProblem, NoRoom
from automl.fused.engine import Engine
from automl.fused.problem import Options
from automl.tasks.ranks import watched
from automl.training import gpu
from automl.training.distributed import ddp
from automl.view.pages import doctor
from automl.worker import failures
from tests.gpu_emulated.fake_nvml import machine
from tests.gpu_emulated.kit import FakeDriver, searched, small_digits
from tests.gpu_emulated.test_memory import CONFIGS
from tests.support.patience import PATIENCE_S

ASSERT = "CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."


class OutOfMemoryError(RuntimeError):
    """As torch's."""


@pytest.mark.parametrize(
    ("error", "lost", "kind", "spoils"),
    [
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), False, "oom", True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate()`"), False, "oom", True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), False, "oom", True),
        (RuntimeError("CUDA error: out of memory"), False, "oom", True),
        (NoRoom("no more lanes"), False, "oom", True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), False, "oom",
         True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), True, "device", True),
        (RuntimeError("CUDA error: unspecified launch failure"), True, "device", True),
        (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), True, "device", True),
        (RuntimeError("Triton Error [CUDA]: invalid argument"), False, "exception", True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True, "device", True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"), False, "exception", True),
        (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp: remote process exited"), True, "device", True),
        (RuntimeError(ASSERT), True, "exception", True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (32x64 and 10x4)"), True, "exception", False),
    ],
)  # fmt: skip
def test_errors_have_a_kind(
    error: Exception, lost: bool, kind: str, spoils: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "gpu_is_lost", lambda: lost)
    assert failures.kind_of(error) == kind
    assert failures.spoils_process(Failure(kind, failures.in_words(error))) is spoils


def test_a_process_whose_gpu_is_lost_is_found_by_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def synchronize() -> None:
        raise RuntimeError(ASSERT)

    assert not failures.gpu_is_lost()  # CUDA is not in use here
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    assert failures.gpu_is_lost()
    assert failures.spoiled_by(RuntimeError(ASSERT))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert not failures.gpu_is_lost()


@pytest.mark.parametrize(
    ("message", "leaves"),
    [
        (ASSERT, True),
        ("CUDA error: an illegal memory access was encountered", True),
        ("index 7 is out of bounds", False),
    ],
)
def test_lanes_of_a_lost_gpu_do_not_begin_again_in_its_process(
    message: str, leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends instead, and the driver hands them out again, each alone: the guilty one fails by itself."""
    failed: list[int] = []
    run = Engine.run_epoch

    def broken(self: Engine) -> Any:
        if len(self.trials) > 1:
            failed.append(len(self.trials))
            raise RuntimeError(message)
        return run(self)

    monkeypatch.setattr(Engine, "run_epoch", broken)
    if leaves:
        with pytest.raises(RuntimeError, match=message.split("\n")[0][:20]):
            searched(CONFIGS, fuse="require")
    else:
        assert searched(CONFIGS, fuse="require").ended == dict.fromkeys(range(5), ("finished", ""))
    assert failed == [5]


# -- a GPU that torch cannot use


def test_a_cpu_build_beside_a_driver_ends_the_search_with_the_sentence_of_doctor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr("automl.core.machine.gpus.visible", lambda: machine(1).cards)
    told = opened("cuda:0")
    assert "is a CPU build" in told
    assert "CUDA_VISIBLE_DEVICES=''" in told
    (finding,) = [one for one in doctor.examine(tmp_path) if one.what == "cuda"]
    assert finding.level == "problem"
    assert told == f"{finding.found}; or {finding.advice}"


def opened(device: str) -> str:
    """What a worker with this device tells the driver when it opens its task."""
    from automl.core.trial import Metric
    from automl.tasks.builtin import BuiltinTask
    from automl.worker.link import Place
    from automl.worker.worker import Worker

    driver = FakeDriver(CONFIGS)
    task = BuiltinTask("mlp", "digits", 2, Metric("val_loss"), sent=small_digits())
    Worker(Place(0, (device,), None), driver).work(task)
    assert driver.given == 0
    (told,) = driver.broken
    return told


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("The NVIDIA driver on your system is too old (found version 11040).", "its driver is too old"),
        ("CUDA error: CUDA driver version is insufficient for CUDA runtime version", "its driver is too old"),
        ("CUDA error: all CUDA-capable devices are busy or unavailable", "another program holds it"),
        ("CUDA error: out of memory", "its memory is full"),
        ("CUDA error: no kernel image is available for execution on the device", "not built for its architecture"),
        ("CUDA error: invalid device ordinal", "CUDA finds no such GPU"),
        ("CUDA unknown error", "CUDA unknown error"),
    ],
)
def test_each_cause_has_a_sentence(message: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(*_: Any, **__: Any) -> Any:
        raise RuntimeError(message)

    small_digits()  # loaded while `torch.ones` is as it was
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "ones", ones)
    assert told in opened("cuda:0")


# -- data that do not fit


def test_data_larger_than_the_gpu_are_told_before_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 20, 1 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    part = Part(torch.zeros(1 << 10, 1 << 10), torch.zeros(1 << 10))
    with pytest.raises(EnvironmentProblem, match=r"need 0\.0 GiB, but cuda has 0\.0 GiB free"):
        gpu.require_room(torch.device("cuda"), part)
    gpu.require_room(torch.device("cuda"), part.head(100))
    gpu.require_room(torch.device("cpu"), part)


def test_a_streamed_table_is_not_copied_to_a_device() -> None:
    rows = small_digits().train
    streamed = Streamed(rows.x, rows.y, rows.weight)
    assert streamed.to("meta") is streamed
    from tests.fused.test_engine import engine

    made = engine()
    problem = replace(made.problem, train=streamed, val=streamed)
    assert Engine(problem, Options(device="meta")).problem.train.x is rows.x


# -- several GPUs for one trial


def test_buffers_are_kept_apart_whatever_this_torch_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older:
        def __init__(self, module: Any, device_ids: Any = None, broadcast_buffers: bool = True) -> None:
            self.broadcast_buffers = broadcast_buffers

    ddp.own_buffers.cache_clear()
    monkeypatch.setattr(torch.nn.parallel, "DistributedDataParallel", Older)
    made: Any = ddp.Rank(0, 2).replicate(torch.nn.Linear(1, 1), torch.device("cpu"))
    assert made.broadcast_buffers is False
    ddp.own_buffers.cache_clear()


@pytest.mark.parametrize("dies", [True, False])
def test_one_ranks_error_ends_the_others_at_once(dies: bool) -> None:
    """A collective that waits as NCCL's do, until somebody aborts it."""
    aborted = threading.Event()
    ours, theirs = Pipe()
    begun = time.monotonic()
    with watched([ours], aborted.set):
        if dies:
            theirs.close()
        else:
            theirs.send(RuntimeError("its memory ran out"))
        assert aborted.wait(PATIENCE_S)
    assert time.monotonic() - begun < PATIENCE_S / 4


def test_nothing_is_aborted_where_all_goes_well() -> None:
    aborted = threading.Event()
    ours, theirs = Pipe()
    for _ in range(3):
        with watched([ours], aborted.set):
            pass
    theirs.send("too late")
    assert not aborted.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "automl-ranks"]
