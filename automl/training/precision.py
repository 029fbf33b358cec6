"""Using the device well: number formats, memory layout, compilation, and what to do when memory runs out."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from automl.errors import EnvironmentProblem, SpecError

COMPILE_S = 60.0
"""About what compiling a model costs; it is done when a third of the training time left is more than that."""


@dataclass(frozen=True)
class Settings:
    """How a trial is run, as against what it is: nothing here may be searched, but it may vary from device to device.

    `parallel`: replicate puts the whole model on each of a trial's devices, shard a share of it; auto shards what does
    not fit a GPU. `precision`: auto is bf16 on GPUs that have it, else fp16 with scaled gradients; fp32 on the CPU.
    `oom`: accumulate answers CUDA's lack of memory with smaller micro-batches. `augment`: strengths, see
    `automl.training.augment`.
    """

    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "never", "always"] = "auto"
    oom: Literal["fail", "accumulate", "halve_batch"] = "fail"
    augment: Mapping[str, Any] = field(default_factory=dict)
    parallel: Literal["auto", "replicate", "shard"] = "auto"


class Runner:
    """Calls a model on a device: in the number format of the settings, compiled where that pays.

    `wrap`: what stands around the model while it trains (other devices train it too, see `ddp`).
    `sharded`: it shares out the parameters, which then keep torch's own layout and are not compiled.
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
        if device.type == "cuda":
            self.tf32 = settings.precision != "fp32"
            if not sharded and any(isinstance(module, nn.Conv2d) for module in model.modules()):
                model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            self.tf32 = False
        self.model = wrap(model, device) if wrap else model
        self.call: Callable[[Tensor], Tensor] = self.model
        if settings.compile == "always":
            self._compile()

    def cast(self) -> AbstractContextManager[Any]:
        """The number format, around forward passes."""
        return torch.autocast(self.device.type, self.format) if self.format else nullcontext()

    @contextmanager
    def matrices(self) -> Iterator[None]:
        """TF32 for matrix products inside, where the device has it and fp32 was not insisted on."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if self.tf32 else before)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    def __call__(self, x: Tensor) -> Tensor:
        """The model's outputs for `x`, in float32 (in float64 where the model computes in it)."""
        with self.cast():
            out = self._guarded(x)
        return out if out.dtype == torch.float64 else out.float()

    def consider(self, seconds_left: float) -> None:
        """Called after the first epoch: compile when what is left repays it (auto, on a GPU)."""
        compiled = self.call is not self.model
        if (
            self.settings.compile == "auto"
            and self.device.type == "cuda"
            and not self.sharded
            and not compiled
            and seconds_left / 3 > COMPILE_S
        ):
            self._compile()

    def _compile(self) -> None:
        self.call = torch.compile(self.model)

    def _guarded(self, x: Tensor) -> Tensor:
        if self.call is self.model:
            return self.model(x)  # type: ignore[no-any-return]
        try:
            return self.call(x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler may fail in any way: say so once, and go on without it
            self.call = self.model
            warnings.warn(f"torch.compile failed, going on without it: {str(error).splitlines()[0]}", stacklevel=2)
            return self.model(x)  # type: ignore[no-any-return]


def _format(precision: str, device: torch.device) -> torch.dtype | None:
    if precision in ("fp32", "tf32") or (precision == "auto" and device.type != "cuda"):
        return None
    if precision == "fp16" and device.type == "cpu":
        raise EnvironmentProblem("precision fp16 needs a GPU; on the CPU take fp32 or bf16")
    if precision == "fp16":
        return torch.float16
    if precision == "auto" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16
