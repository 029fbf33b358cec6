"""A state as bytes.

A state of plain values alone is JSON. Any other is `MAGIC`, the length of a JSON header (8 bytes), the header, and
blocks of bytes. In the header a JSON object stands for one value: its first key says what it is (`{"tuple": [...]}`).
Arrays and texts of bytes are blocks; all tensors are one block, as `torch.save` writes a list of tensors, so that
every version of torch can read it with `weights_only`.
"""

import ast
import dataclasses
import enum
import io
import json
import math
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import or_
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any

from automl.errors import TaskError
from automl.study.packing import known
from automl.study.packing.known import NO_CLASSES, Classes

MAGIC = b"automl-state-1\n"
FACTORIES: dict[str, type] = {
    kind.__name__: kind
    for kind in (list, dict, set, int, float, str, bool, tuple, deque, Counter, OrderedDict, defaultdict)
}
"""What a defaultdict may make its missing values of."""
BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
TEXTS: dict[type, Callable[[Any], str]] = {
    complex: repr,
    Decimal: str,
    Fraction: str,
    date: date.isoformat,
    datetime: datetime.isoformat,
    time: time.isoformat,
}
"""Types whose values are written as text."""


def packed(state: Any, classes: Classes = NO_CLASSES, random: Any = None) -> bytes:
    """`state`, or `[state, random]`, as bytes.

    Args:
        state: tensors, arrays, numbers and texts in collections; random states and generators; dataclasses, named
            tuples and enumerations.
        classes: the user's own classes that are in no module, see `known`.
        random: states of random numbers that are kept with it.

    Raises:
        TaskError: something in it cannot be saved; the message names its place in the state and what to save instead.
    """
    try:
        whole = state if random is None else [state, random]
        return json.dumps(whole).encode() if is_plain(whole) else _Packer(classes).pack(state, random)
    except RecursionError:
        raise TaskError("trial.save: the state is nested too deeply, or contains itself") from None


def is_plain(state: Any) -> bool:
    """Whether `state` comes back from JSON exactly as it was: only text keys, no tuples, no subclasses."""
    if type(state) is dict:
        return all(type(key) is str and is_plain(value) for key, value in state.items())
    if type(state) is list:
        return all(is_plain(value) for value in state)
    if type(state) is int:
        return abs(state) < 2**63
    if type(state) is float:
        return math.isfinite(state)
    return state is None or type(state) in (str, bool)


class _Packer:
    """Packs one state."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.blocks: list[bytes] = []
        self.length = 0
        self.tensors: list[Any] = []
        self.places: dict[int, int] = {}  # by id of a tensor: its place in `tensors`

    def pack(self, state: Any, random: Any) -> bytes:
        node = self.node(state, "state")
        header = {"state": node if random is None else [node, self.node(random, "random")]}
        if self.tensors:
            import torch

            buffer = io.BytesIO()
            torch.save(self.tensors, buffer)
            header["tensors"] = self.block(buffer.getvalue())
        text = json.dumps(header).encode()
        return b"".join([MAGIC, len(text).to_bytes(8, "big"), text, *self.blocks])

    def block(self, content: bytes) -> list[int]:
        """Add a block; returns where it is."""
        self.blocks.append(content)
        self.length += len(content)
        return [self.length - len(content), len(content)]

    def node(self, value: Any, at: str) -> Any:
        """What stands for `value` in the header; `at`: its place in the state, for messages."""
        kind = type(value)
        if kind is not dict and kind is not list and is_plain(value):
            return value
        if kind in _WRITERS:
            return _WRITERS[kind](self, value, at)
        module = kind.__module__.partition(".")[0]
        if module == "numpy" and (node := self._numpy(value, at)) is not None:
            return node
        if "torch" in sys.modules and (node := self._torch(value, at)) is not None:
            return node
        if known.is_record(kind):
            return self._record(value, at)
        if isinstance(value, PurePath):
            return {"path": str(value), **({} if isinstance(value, Path) else {"pure": type(value).__name__})}
        raise _refusal(value, at)

    def all(self, values: Iterable[Any], at: str) -> list[Any]:
        """The nodes of all values of a sequence."""
        return [self.node(value, f"{at}[{k}]") for k, value in enumerate(values)]

    def pairs(self, value: dict[Any, Any], at: str) -> list[Any]:
        """The nodes of all keys and values of a mapping."""
        return [[self.node(k, f"a key of {at}"), self.node(v, f"{at}[{_short(k)}]")] for k, v in value.items()]

    def named(self, value: dict[str, Any], at: str) -> dict[str, Any]:
        """The nodes of all attributes."""
        return {name: self.node(one, f"{at}.{name}") for name, one in value.items()}

    def ordered(self, value: "OrderedDict[Any, Any]", at: str) -> Any:
        """With its attributes: the `_metadata` of a module's state says which version wrote it."""
        more = {"attributes": self.named(vars(value), at)} if vars(value) else {}
        return {"ordered": self.pairs(value, at), **more}

    def default(self, value: "defaultdict[Any, Any]", at: str) -> Any:
        factory = value.default_factory
        name = next((name for name, kind in FACTORIES.items() if kind is factory), None)
        if factory is not None and name is None:
            raise TaskError(f"trial.save: {at} is a defaultdict of a function, which cannot be saved; save dict({at})")
        return {"default": self.pairs(value, at), "factory": name}

    def _record(self, value: Any, at: str) -> Any:
        kind = type(value)
        if known.find(kind.__module__, kind.__qualname__, self.classes) is not kind:
            raise TaskError(
                f"trial.save: {at} is a {kind.__qualname__.rpartition('.')[2]}, a class that no other process could "
                "find; define it at the top of a module or of the script, or save its fields as a dict"
            )
        node: dict[str, Any] = {"class": [kind.__module__, kind.__qualname__]}
        if isinstance(value, enum.Flag) and value.name not in kind.__members__:
            return {**node, "flags": self._flags(value, at)}
        if isinstance(value, enum.Enum):
            return {**node, "member": value.name}
        if isinstance(value, tuple):
            return {**node, "values": self.all(value, at)}
        names = [field.name for field in dataclasses.fields(value)]
        fields = {name: object.__getattribute__(value, name) for name in names if hasattr(value, name)}
        more = vars(value) if hasattr(value, "__dict__") else {}
        return {**node, "fields": self.named({**fields, **more}, at)}

    def _flags(self, value: enum.Flag, at: str) -> list[str]:
        """The names of the members that `value` is a combination of.

        Raises:
            TaskError: it has bits that no member has.
        """
        kind = type(value)
        names = [name for name, member in kind.__members__.items() if member.value and member in value]
        if value.value != reduce(or_, (kind[name].value for name in names), 0):
            raise TaskError(f"trial.save: {at} has bits that no member of {kind.__qualname__} has; save {at}.value")
        return names

    def _numpy(self, value: Any, at: str) -> Any:
        import numpy as np

        if type(value) is np.ndarray or isinstance(value, np.generic):
            return self._array(value, at)
        if isinstance(value, np.dtype):
            return {"numpy_dtype": _descr(value, at)}
        if type(value) is np.random.RandomState:
            return {"random_state": self.node(value.get_state(legacy=False), at)}
        if type(value) is np.random.Generator:
            return {"generator": self._bit_generator(value.bit_generator, at)}
        return self._bit_generator(value, at) if isinstance(value, np.random.BitGenerator) else None

    def _array(self, value: Any, at: str) -> Any:
        import numpy as np

        if isinstance(value, np.ndarray) and value.dtype.kind == "O":
            return {"objects": self.all(value.ravel().tolist(), at), "shape": list(value.shape)}
        array = np.asarray(value)
        node = {"array": self.block(array.tobytes()), "dtype": _descr(array.dtype, at), "shape": list(array.shape)}
        return node if isinstance(value, np.ndarray) else {**node, "scalar": True}

    def _bit_generator(self, value: Any, at: str) -> Any:
        from numpy.random import SeedSequence

        name = type(value).__name__
        if name not in BIT_GENERATORS:
            raise _refusal(value, at)
        seeds = getattr(value, "seed_seq", None)  # numpy before 1.25 calls it _seed_seq
        more = {"seeds": self.node(dict(seeds.state), at)} if type(seeds) is SeedSequence else {}
        return {"bit_generator": name, "state": self.node(value.state, at), **more}

    def _torch(self, value: Any, at: str) -> Any:
        import torch

        if isinstance(value, torch.Tensor):
            return self._tensor(value, at)
        if isinstance(value, torch.Size):
            return {"size": list(value)}
        if isinstance(value, torch.dtype):
            return {"torch_dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": str(value)}
        if isinstance(value, torch.Generator):
            state = value.get_state()
            return {"torch_generator": self.block(state.numpy().tobytes()), "device": str(value.device)}
        return None

    def _tensor(self, value: Any, at: str) -> Any:
        import torch

        place = self.places.get(id(value))
        if place is None:
            place = self.places[id(value)] = len(self.tensors)
            bare = value.detach()  # without the graph, hooks and attributes, which may be anything
            if type(bare) is not torch.Tensor:
                _check_loads(bare, at)
            self.tensors.append(bare)
        node: dict[str, Any] = {"tensor": place}
        if value.requires_grad:
            node["grad"] = True
        return {**node, "parameter": True} if isinstance(value, torch.nn.Parameter) else node


_WRITERS: dict[type, Callable[[_Packer, Any, str], Any]] = {
    int: lambda packer, value, at: {"int": hex(value)},
    float: lambda packer, value, at: {"float": repr(value)},
    list: _Packer.all,
    tuple: lambda packer, value, at: {"tuple": packer.all(value, at)},
    set: lambda packer, value, at: {"set": packer.all(value, at)},
    frozenset: lambda packer, value, at: {"frozenset": packer.all(value, at)},
    deque: lambda packer, value, at: {"deque": packer.all(value, at), "most": value.maxlen},
    dict: lambda packer, value, at: {"dict": packer.pairs(value, at)},
    OrderedDict: _Packer.ordered,
    defaultdict: _Packer.default,
    Counter: lambda packer, value, at: {"counter": packer.pairs(value, at)},
    SimpleNamespace: lambda packer, value, at: {"namespace": packer.named(vars(value), at)},
    bytes: lambda packer, value, at: {"bytes": packer.block(value)},
    bytearray: lambda packer, value, at: {"bytearray": packer.block(bytes(value))},
    range: lambda packer, value, at: {"range": [value.start, value.stop, value.step]},
    slice: lambda packer, value, at: {"slice": packer.all((value.start, value.stop, value.step), at)},
    random.Random: lambda packer, value, at: {"random": packer.node(value.getstate(), at)},
    timedelta: lambda packer, value, at: {"timedelta": [value.days, value.seconds, value.microseconds]},
    **{kind: lambda packer, value, at: {type(value).__name__: TEXTS[type(value)](value)} for kind in TEXTS},
}


def _descr(dtype: Any, at: str) -> str:
    """A dtype as text, of which the same dtype can be made."""
    import numpy as np

    text = "'O'" if dtype.kind not in "biufcSUVMm" else repr(np.lib.format.dtype_to_descr(dtype))
    if dtype.hasobject or np.lib.format.descr_to_dtype(ast.literal_eval(text)) != dtype:
        raise TaskError(f"trial.save: {at} has the dtype {dtype}, which cannot be saved; save plain numbers or texts")
    return text


def _check_loads(tensor: Any, at: str) -> None:
    """Check that a tensor of a class of its own can be read without running code.

    Raises:
        TaskError: it cannot.
    """
    import torch

    buffer = io.BytesIO()
    try:
        torch.save(tensor, buffer)
        torch.load(io.BytesIO(buffer.getvalue()), weights_only=True, map_location="cpu")
    except Exception as error:
        kind = type(tensor).__name__
        raise TaskError(f"trial.save: {at} is a {kind}, which cannot be saved; save a plain tensor of it") from error


def _refusal(value: Any, at: str) -> TaskError:
    """The error for a value that cannot be saved."""
    kind = type(value)
    if hasattr(value, "state_dict"):
        remedy = f"save {at}.state_dict()"
    elif callable(value):
        remedy = "functions and classes are built by the training function"
    elif isinstance(value, dict):
        remedy = f"save dict({at})"
    else:
        remedy = "save what it consists of: numbers, texts, tensors, arrays and collections of them"
    return TaskError(f"trial.save: {at} is a {kind.__module__}.{kind.__qualname__}, which cannot be saved; {remedy}")


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= 40 else f"{text[:37]}..."
