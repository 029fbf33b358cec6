"""A GPU without values: torch's meta device, and what would be launched, copied and waited for on a real one.

Operations on the meta device compute shapes only. One that needs a value (`.item()`, a mask as an index), or that gets
tensors of two devices, raises an error: as on a GPU, where the first would wait for the device and the second fails.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs

DEVICE = torch.device("meta")
NO_LAUNCH = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "lift_fresh", "_unsafe_view",
             "_reshape_alias", "detach", "alias", "sym_size", "unbind", "is_same_size"}  # fmt: skip


class FakeGpu(TorchDispatchMode):
    """Counts inside its `with` block.

    Attributes:
        launches: kernels by name of the operation.
        to_host, to_device: copies; the first kind waits for the device.
        waited: values that the host asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.to_host = self.to_device = self.waited = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense" and args[0].device == DEVICE:
            self.waited += 1
            return 0
        if name == "_to_copy" and "device" in kwargs:
            here, there = args[0].device.type, torch.device(kwargs["device"]).type
            if (here, there) == ("meta", "cpu"):
                self.to_host += 1
                return torch.full(args[0].shape, -1, dtype=kwargs.get("dtype") or args[0].dtype)  # no step was bad
            self.to_device += (here, there) == ("cpu", "meta")
        out = func(*args, **kwargs)
        on_device = any(isinstance(t, Tensor) and t.device == DEVICE for t in (*_flat(args), *_flat((out,))))
        if on_device and not func.is_view and name not in NO_LAUNCH:
            self.launches[name] += 1
        return out


def _flat(values: Any) -> list[Any]:
    return [x for v in values for x in (_flat(v) if isinstance(v, list | tuple) else [v])]


class OneLaunch:
    """Stands in for `launched`: every Triton kernel is one launch, and does its work."""

    def __init__(self) -> None:
        self.kernels: Counter[str] = Counter()

    def __call__(self, kernel: str, out: Tensor, *given: object) -> bool:
        self.kernels[kernel] += 1
        return True


Case = tuple[str, dict[str, Any], Inputs, Outputs, str]
CASES: dict[str, Case] = {
    "mlp": ("mlp", {"width": 32, "depth": 2, "dropout": 0.1}, Inputs((64,)), Outputs(10), "classification"),
    "mlp batch norm": ("mlp", {"width": 32, "depth": 2, "dropout": 0.1, "norm": "batch"}, Inputs((64,)),
                       Outputs(3, "values"), "regression"),
    "convnet": ("convnet", {"width": 8, "drop_path": 0.1}, Inputs((3, 16, 16)), Outputs(10), "classification"),
    "transformer": ("transformer", {"width": 32, "depth": 2, "heads": 4, "dropout": 0.1}, Inputs((16,), "tokens", 20),
                    Outputs(20, "tokens"), "next_token"),
    "transformer of sentences": ("transformer", {"width": 32, "depth": 2, "heads": 4}, Inputs((16,), "tokens", 20),
                                 Outputs(4), "classification"),
    "transformer of tables": ("transformer", {"width": 32, "depth": 1, "heads": 2}, Inputs((6,), "table", None, (3, 4)),
                              Outputs(4), "classification"),
    "lstm": ("lstm", {"width": 16, "dropout": 0.1}, Inputs((12, 5)), Outputs(4), "classification"),
}  # fmt: skip


def part(case: Case, rows: int = 100) -> Part:
    """Samples for a case, on the CPU."""
    _, _, inputs, outputs, kind = case
    shape = (rows, *inputs.shape)
    x = torch.randint(0, 3, shape) if inputs.kind == "tokens" else torch.rand(shape)
    if inputs.kind == "table":
        x = x.round()
    if kind == "regression":
        return Part(x, torch.rand(rows, int(outputs)))
    return Part(x, torch.randint(0, int(outputs), (rows, inputs.shape[0]) if kind == "next_token" else (rows,)))
