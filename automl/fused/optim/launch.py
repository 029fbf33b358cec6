"""When Triton kernels (`kernels`) do the work of torch's operations: on CUDA devices, where they prove right.

Triton comes with CUDA builds of torch; it is not imported before there is work for it on such a device. A kernel that
cannot be compiled there (no C compiler, another Triton), or whose results differ from those of torch's operations, is
told once and left out.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from automl.fused.optim import kernel_checks

FORMATS = {torch.int32: 0.0, torch.float32: 64 * 2.0**-23, torch.float64: 64 * 2.0**-52}
"""What the kernels can work on, and how far from torch's operations their proof may end."""


def _kernels() -> Mapping[str, kernel_checks.Kernel]:
    from automl.fused.optim.kernels import KERNELS  # imports triton

    return KERNELS


@dataclass
class Launcher:
    """Kernels by name, and where they may run. `refused`: kernel -> why it is not used."""

    load: Callable[[], Mapping[str, kernel_checks.Kernel]] = _kernels
    devices: frozenset[str] = frozenset({"cuda"})
    refused: dict[str, str] = field(default_factory=dict)
    proved: set[tuple[str, torch.dtype]] = field(default_factory=set)

    def __call__(self, kernel: str, out: Tensor, *given: object) -> bool:
        """Whether `kernel` has done its work on (`out`, `given`); where it has not, torch's operations have to."""
        own = ":" in kernel  # a user's optimizer
        if out.device.type not in self.devices or out.dtype not in FORMATS or kernel in self.refused or own:
            return False
        try:
            with torch.cuda.device_of(out):  # type: ignore[no-untyped-call]
                run = self.load()[kernel]
                if (kernel, out.dtype) not in self.proved:
                    self._prove(kernel, run, out)
                run(out, *given)
        except torch.OutOfMemoryError:
            raise
        except ModuleNotFoundError as error:  # without Triton: nothing to complain about
            self.refused[kernel] = str(error)
        except Exception as error:  # a compiler may fail in any way: say so once, and go on without it
            self.refused[kernel] = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
            message = f"the Triton kernel {kernel!r} is not used here, torch's operations are: {self.refused[kernel]}"
            warnings.warn(message, stacklevel=2)
        return kernel not in self.refused

    def _prove(self, kernel: str, run: kernel_checks.Kernel, out: Tensor) -> None:
        found, allowed = kernel_checks.difference(kernel, run, out.device, out.dtype), FORMATS[out.dtype]
        if not found <= allowed:
            raise ArithmeticError(f"it differs from torch's operations by {found:.1g} (at most {allowed:.1g})")
        self.proved.add((kernel, out.dtype))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No kernels inside: torch's operations do everything."""
        before, self.devices = self.devices, frozenset()
        try:
            yield
        finally:
            self.devices = before


launched = Launcher()
