"""A state from the bytes that `pack` made, or that earlier versions of this program wrote.

Nothing that the bytes say is imported or called: they may come from somebody else.
"""

import ast
import io
import json
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import or_
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

from automl.errors import TaskError
from automl.study.packing import known
from automl.study.packing.known import NO_CLASSES, Classes
from automl.study.packing.pack import BIT_GENERATORS, FACTORIES, MAGIC

PURE: dict[str, type[PurePosixPath | PureWindowsPath]] = {
    kind.__name__: kind for kind in (PurePosixPath, PureWindowsPath)
}


class Unreadable(Exception):
    """The bytes are no state."""


def unpacked(content: bytes, classes: Classes = NO_CLASSES) -> Any:
    """The state that `packed` made `content` of.

    Raises:
        Unreadable: the bytes are damaged, or an earlier version wrote what nobody can read.
        TaskError: it holds a value of a class of the user's own that is not there.
    """
    try:
        if content.startswith(MAGIC):
            return _Unpacker(content, classes).state()
        if content.startswith(b"PK"):
            return _tensors(content)
        return json.loads(content)
    except TaskError:
        raise
    except Exception as error:  # what the bytes say is wrong in one of many ways
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _tensors(content: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


class _Unpacker:
    """Unpacks one state."""

    def __init__(self, content: bytes, classes: Classes) -> None:
        start = len(MAGIC) + 8
        length = int.from_bytes(content[len(MAGIC) : start], "big")
        self.header = json.loads(content[start : start + length])
        self.blocks = memoryview(content)[start + length :]
        self.classes = classes
        tensors = self.header.get("tensors")
        self.tensors: list[Any] = _tensors(self.block(tensors)) if tensors else []

    def state(self) -> Any:
        return self.value(self.header["state"])

    def block(self, where: list[int]) -> bytes:
        """The bytes of a block."""
        at, length = where
        if at < 0 or length < 0 or at + length > len(self.blocks):
            raise Unreadable("a block is missing")
        return bytes(self.blocks[at : at + length])

    def value(self, node: Any) -> Any:
        """The value that `node` stands for."""
        if isinstance(node, dict):
            return _READERS[next(iter(node))](self, node)
        return self.all(node) if isinstance(node, list) else node

    def all(self, nodes: list[Any]) -> list[Any]:
        """The values of all nodes."""
        return [self.value(node) for node in nodes]

    def pairs(self, nodes: list[Any]) -> dict[Any, Any]:
        """The mapping of which `nodes` are the pairs."""
        return {self.value(key): self.value(value) for key, value in nodes}

    def named(self, nodes: dict[str, Any]) -> dict[str, Any]:
        """The values of all attributes."""
        if any(name.startswith("__") for name in nodes):
            raise Unreadable("an attribute with a name of Python's own")
        return {name: self.value(node) for name, node in nodes.items()}

    def ordered(self, node: Any) -> Any:
        value = OrderedDict(self.pairs(node["ordered"]))
        vars(value).update(self.named(node.get("attributes", {})))
        return value

    def default(self, node: Any) -> Any:
        factory = None if node["factory"] is None else FACTORIES[node["factory"]]
        return defaultdict(factory, self.pairs(node["default"]))

    def record(self, node: Any) -> Any:
        """A value of a class of the user's own, made without calling it."""
        module, name = node["class"]
        kind: Any = known.find(module, name, self.classes)
        if kind is None:
            raise TaskError(f"the checkpoint holds a {module}.{name}; import or define that class before trial.load()")
        if "member" in node:
            return kind.__members__[node["member"]]
        if "flags" in node:
            members = kind.__members__
            first = next(iter(members.values()))
            return reduce(or_, (members[name] for name in node["flags"]), first ^ first)
        if "values" in node:
            return tuple.__new__(kind, self.all(node["values"]))
        value = object.__new__(kind)
        for name, one in self.named(node["fields"]).items():
            object.__setattr__(value, name, one)
        return value

    def array(self, node: Any) -> Any:
        import numpy as np

        dtype, content = np.lib.format.descr_to_dtype(ast.literal_eval(node["dtype"])), self.block(node["array"])
        if dtype.hasobject:
            raise Unreadable("an array of objects")
        array = np.frombuffer(content, dtype).copy() if content else np.empty(0, dtype)
        array = array.reshape(node["shape"])
        return array[()] if node.get("scalar") else array

    def objects(self, node: Any) -> Any:
        import numpy as np

        array = np.empty(len(node["objects"]), object)
        array[:] = self.all(node["objects"])
        return array.reshape(node["shape"])

    def bit_generator(self, node: Any) -> Any:
        import numpy as np

        name = node["bit_generator"]
        if name not in BIT_GENERATORS:
            raise Unreadable(f"no bit generator {name}")
        seeds = np.random.SeedSequence(**self.value(node["seeds"])) if "seeds" in node else None
        generator = getattr(np.random, name)(seeds)
        generator.state = self.value(node["state"])
        return generator

    def random_state(self, node: Any) -> Any:
        import numpy as np

        value = np.random.RandomState()
        value.set_state(self.value(node["random_state"]))
        return value

    def generator(self, node: Any) -> Any:
        import numpy as np

        return np.random.Generator(self.value(node["generator"]))

    def random(self, node: Any) -> Any:
        value = random.Random()
        value.setstate(self.value(node["random"]))
        return value

    def tensor(self, node: Any) -> Any:
        import torch

        tensor = self.tensors[node["tensor"]]
        if node.get("parameter"):
            return torch.nn.Parameter(tensor, requires_grad=bool(node.get("grad")))
        return tensor.requires_grad_() if node.get("grad") else tensor

    def torch_value(self, node: Any) -> Any:
        """A shape, a dtype, a device or a generator."""
        import torch

        if "size" in node:
            return torch.Size(node["size"])
        if "torch_dtype" in node:
            dtype = vars(torch)[node["torch_dtype"]]
            if not isinstance(dtype, torch.dtype):
                raise Unreadable("no dtype")
            return dtype
        if "torch_generator" not in node:
            return torch.device(node["device"])
        generator = torch.Generator(node["device"])
        generator.set_state(torch.frombuffer(bytearray(self.block(node["torch_generator"])), dtype=torch.uint8))
        return generator


def _numpy_dtype(unpacker: _Unpacker, node: Any) -> Any:
    import numpy as np

    return np.lib.format.descr_to_dtype(ast.literal_eval(node["numpy_dtype"]))


_READERS: dict[str, Callable[[_Unpacker, Any], Any]] = {
    "int": lambda unpacker, node: int(node["int"], 16),
    "float": lambda unpacker, node: float(node["float"]),
    "tuple": lambda unpacker, node: tuple(unpacker.all(node["tuple"])),
    "set": lambda unpacker, node: set(unpacker.all(node["set"])),
    "frozenset": lambda unpacker, node: frozenset(unpacker.all(node["frozenset"])),
    "deque": lambda unpacker, node: deque(unpacker.all(node["deque"]), node["most"]),
    "dict": lambda unpacker, node: unpacker.pairs(node["dict"]),
    "ordered": _Unpacker.ordered,
    "default": _Unpacker.default,
    "counter": lambda unpacker, node: Counter(unpacker.pairs(node["counter"])),
    "namespace": lambda unpacker, node: SimpleNamespace(**unpacker.named(node["namespace"])),
    "bytes": lambda unpacker, node: unpacker.block(node["bytes"]),
    "bytearray": lambda unpacker, node: bytearray(unpacker.block(node["bytearray"])),
    "range": lambda unpacker, node: range(*node["range"]),
    "slice": lambda unpacker, node: slice(*unpacker.all(node["slice"])),
    "timedelta": lambda unpacker, node: timedelta(*node["timedelta"]),
    "random": _Unpacker.random,
    "complex": lambda unpacker, node: complex(node["complex"]),
    "Decimal": lambda unpacker, node: Decimal(node["Decimal"]),
    "Fraction": lambda unpacker, node: Fraction(node["Fraction"]),
    "date": lambda unpacker, node: date.fromisoformat(node["date"]),
    "datetime": lambda unpacker, node: datetime.fromisoformat(node["datetime"]),
    "time": lambda unpacker, node: time.fromisoformat(node["time"]),
    "path": lambda unpacker, node: PURE[node["pure"]](node["path"]) if "pure" in node else Path(node["path"]),
    "class": _Unpacker.record,
    "array": _Unpacker.array,
    "objects": _Unpacker.objects,
    "numpy_dtype": _numpy_dtype,
    "bit_generator": _Unpacker.bit_generator,
    "random_state": _Unpacker.random_state,
    "generator": _Unpacker.generator,
    "tensor": _Unpacker.tensor,
    "size": _Unpacker.torch_value,
    "torch_dtype": _Unpacker.torch_value,
    "torch_generator": _Unpacker.torch_value,
    "device": _Unpacker.torch_value,
}
