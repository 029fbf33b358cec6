"""How a trial is run on its device: number format, memory layout, compilation, and what to do if memory runs out."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from automl.errors import EnvironmentProblem, SpecError

COMPILE_S = 60.0
"""Roughly what compiling a model costs; a model is compiled if a third of its remaining training time is more."""


@dataclass(frozen=True)
class Settings:
    """How a trial is run. None of this is searched, and it may differ from device to device.

    Args:
        precision: of the computation; the weights are float32 always. `auto` is fp32 on the CPU. On a GPU it is TF32
            for trials that train together, and bf16 for one that trains alone (fp16 with scaled gradients on GPUs
            without bf16).
        compile: whether to use `torch.compile`; `auto` on a GPU, if the training time left is long enough to repay it.
        oom: what to do if a CUDA device runs out of memory: `fail`, or `accumulate` the gradients of smaller
            micro-batches. `halve_batch` is accepted, and still does what `fail` does.
        augment: operation -> strength, see `automl.training.augment`.
        parallel: with several devices, `replicate` puts the whole model on each of them and `shard` a part of it;
            `auto` shards models that do not fit the memory of one GPU.
    """

    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "never", "always"] = "auto"
    oom: Literal["fail", "accumulate", "halve_batch"] = "fail"
    augment: Mapping[str, Any] = field(default_factory=dict)
    parallel: Literal["auto", "replicate", "shard"] = "auto"


@contextmanager
def products(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Matrix products and convolutions on a GPU inside the block use TF32, or do not. Elsewhere nothing is changed.

    TF32 rounds the factors to 10 bits and sums in float32. By default torch uses it for convolutions only.
    """
    if device.type != "cuda":
        yield
        return
    matrices, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matrices)
        torch.backends.cudnn.allow_tf32 = convolutions


@contextmanager
def autocast(device: torch.device, format: torch.dtype, *, keep: bool = True) -> Iterator[None]:
    """Forward passes inside the block compute in `format`, as in `torch.autocast`; `keep` is its `cache_enabled`.

    On a CPU without AVX-512, oneDNN has no bf16 kernel for LSTMs and raises an error; torch's own
    cell is used there, whose products are in bf16.
    """
    off = device.type == "cpu" and torch.backends.mkldnn.enabled and not _onednn_has_bf16()
    if off:
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        with torch.autocast(device.type, format, cache_enabled=keep):
            yield
    finally:
        if off:
            torch.backends.mkldnn.enabled = True  # type: ignore[assignment]


class Runner:
    """Calls a model on a device: in the number format of the settings, compiled where that pays.

    Args:
        model: already on `device`, unless it is to be sharded.
        device: where it runs.
        settings: how it runs.
        wrap: `wrap(model, device)` makes the module that is called while training on several devices (see `ddp.Rank`).
        sharded: `wrap` shards the model, which then keeps its memory layout and is not compiled.

    Attributes:
        format: what forward passes are cast to, or None for float32.
        scaler: scales the loss of fp16 training; does nothing in other formats.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device,
        settings: Settings,
        wrap: Callable[[nn.Module, torch.device], nn.Module] | None = None,
        sharded: bool = False,
    ) -> None:
        if sharded and settings.compile == "always":
            raise SpecError("a sharded model is not compiled; take compile: never or parallel: replicate")
        self.device, self.settings, self.sharded = device, settings, sharded
        self.format = _format(settings.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.format is torch.float16)
        self.tf32 = device.type == "cuda" and settings.precision != "fp32"
        if device.type == "cuda" and not sharded and any(isinstance(m, nn.Conv2d) for m in model.modules()):
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = wrap(model, device) if wrap else model
        self.call: Callable[[Tensor], Tensor] = self.model
        if settings.compile == "always":
            self._compile()

    def __call__(self, x: Tensor) -> Tensor:
        """The model's outputs for `x`, in float32 (in float64 where the model computes in it)."""
        with self.cast():
            out = self._outputs(x)
        return out if out.dtype == torch.float64 else out.float()

    def cast(self) -> AbstractContextManager[Any]:
        """Forward passes inside the block use the number format."""
        return autocast(self.device, self.format) if self.format else nullcontext()

    def matmul_precision(self) -> AbstractContextManager[None]:
        """Matrix products inside the block use TF32, if the device has it and the settings do not ask for fp32."""
        return products(self.device, tf32=self.tf32)

    def consider_compiling(self, seconds_left: float) -> None:
        """With `compile: auto`, compile if `seconds_left` of training are worth it; called after the first epoch."""
        compiled = self.call is not self.model
        auto = self.settings.compile == "auto" and self.device.type == "cuda"
        if auto and not self.sharded and not compiled and seconds_left / 3 > COMPILE_S:
            self._compile()

    def _compile(self) -> None:
        self.call = torch.compile(self.model)

    def _outputs(self, x: Tensor) -> Tensor:
        """The compiled model's outputs; those of the plain one from the first failure of the compiler on."""
        if self.call is self.model:
            return self.model(x)  # type: ignore[no-any-return]
        try:
            return self.call(x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler may fail in any way
            self.call = self.model
            warnings.warn(f"torch.compile failed, going on without it: {str(error).splitlines()[0]}", stacklevel=2)
            return self.model(x)  # type: ignore[no-any-return]


def _format(precision: str, device: torch.device) -> torch.dtype | None:
    """What forward passes are cast to; None for float32. Raises EnvironmentProblem if the device lacks it."""
    if precision in ("fp32", "tf32") or (precision == "auto" and device.type != "cuda"):
        return None
    if precision == "fp16" and device.type == "cpu":
        raise EnvironmentProblem("precision fp16 needs a GPU; on the CPU take fp32 or bf16")
    if precision == "fp16":
        return torch.float16
    if precision == "auto" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


@cache
def _onednn_has_bf16() -> bool:
    """Whether oneDNN computes in bf16 on this CPU (it needs AVX-512 on x86)."""
    able: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return able and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
