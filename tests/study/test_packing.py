"""What `trial.save` takes comes back as it was, runs no code, and what cannot come back is refused with its place."""

import collections
import dataclasses
import datetime
import enum
import json
import random
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from automl.errors import TaskError
from automl.study import checkpoint
from automl.study.packing import known
from automl.study.packing.pack import MAGIC, packed
from automl.study.packing.unpack import Unreadable, unpacked


@dataclasses.dataclass
class Progress:
    best: float
    seen: list[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Fixed:
    a: int


class Pair(NamedTuple):
    x: int
    y: object


class Mode(enum.Enum):
    FAST = 1


class Level(enum.IntEnum):
    HIGH = 3


class Parts(enum.Flag):
    A = 1
    B = 2
    BOTH = 3


class Bits(enum.IntFlag):
    A = 1


VALUES: list[Any] = [
    None, True, -3, 10**5000, 0.5, float("nan"), -float("inf"), 1 + 2j, "é\ud800", b"abc", bytearray(b"x"), range(3),
    slice(1, None), (1, (2,)), {1, 2}, frozenset("ab"), {1: 2, (1, 2): 3, None: 4}, [{"x": 1}, 1j], {"tuple": [1j]},
    collections.deque([1.0], maxlen=5), collections.defaultdict(list, a=[1]), collections.defaultdict(None, a=1),
    collections.Counter("abca"), collections.OrderedDict(b=1, a=2), SimpleNamespace(a=1), Path("a/b"), Decimal("1.1"),
    Fraction(1, 3), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.date(2020, 1, 1),
    datetime.timedelta(1, 2, 3), Progress(1.0, [np.float64(2)]), Fixed(3), Pair(1, [2]), Mode.FAST, Level.HIGH,
    Parts.A, Parts.A | Parts.B, Parts(0), Bits(0), Bits.A, PureWindowsPath("a\\b"), PurePosixPath("a"),
    np.float64(0.5), np.float32(1), np.int64(3), np.bool_(True), np.str_("a"), np.datetime64("2020-01-01"),
    np.dtype("f4"), torch.Size([1, 2]), torch.float16, torch.device("cpu"), random.getstate(),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_come_back(value: Any) -> None:
    back = unpacked(packed({"a": [value]}))["a"][0]
    assert type(back) is type(value)
    assert back == value or (value != value and back != back)
    assert getattr(back, "maxlen", 0) == getattr(value, "maxlen", 0)
    assert getattr(back, "default_factory", 0) == getattr(value, "default_factory", 0)


ARRAYS = [
    np.arange(6).reshape(2, 3).T, np.array(3.0), np.zeros((0, 3)), np.array(["a", "bc"]), np.array([b"a"]),
    np.array([("a", 1)], dtype=[("n", "U3"), ("v", "<i4")]), np.array(["2020-01-01"], "M8[D]"),
    np.array([None, "a", 1.5], dtype=object), np.array([1, 2], ">i2"), np.array([True]),
]  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_arrays_come_back(array: Any) -> None:
    back = unpacked(packed((array,)))[0]
    assert (back.dtype, back.shape, back.tolist()) == (array.dtype, array.shape, array.tolist())
    assert back.flags.writeable


def test_generators_go_on_where_they_were() -> None:
    python, numpy, old, mine = random.Random(3), np.random.default_rng(3), np.random.RandomState(3), torch.Generator()
    python.random(), numpy.random(5), old.normal(), torch.rand(3, generator=mine)
    back = unpacked(packed([python, numpy, old, mine, np.random.get_state()]))  # noqa: NPY002
    assert back[0].random() == python.random()
    assert back[1].random() == numpy.random()
    assert back[1].spawn(1)[0].random() == numpy.spawn(1)[0].random()
    assert back[2].normal() == old.normal()
    assert torch.equal(torch.rand(2, generator=back[3]), torch.rand(2, generator=mine))
    np.random.set_state(back[4])  # noqa: NPY002


def test_tensors_come_back() -> None:
    model = torch.nn.BatchNorm1d(2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    leaf = torch.randn(3, requires_grad=True)
    leaf.note = object()  # type: ignore[attr-defined]
    odd = [torch.ones(2, dtype=torch.bfloat16), torch.eye(3).to_sparse(), torch.tensor([]), torch.tensor(1 + 1j)]
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "leaf": leaf, "same": leaf, "odd": odd}
    back = unpacked(packed({**state, "parameter": torch.nn.Parameter(torch.ones(1))}))
    assert back["model"]._metadata == state["model"]._metadata
    model.load_state_dict(back["model"])
    optimizer.load_state_dict(back["optimizer"])
    assert back["leaf"].requires_grad
    assert back["leaf"] is back["same"]
    assert isinstance(back["parameter"], torch.nn.Parameter)
    for a, b in zip(odd, back["odd"], strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a.to_dense(), b.to_dense())


class Mine(dict[str, int]):
    pass


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def _local() -> object:
    @dataclasses.dataclass
    class Local:
        x: int = 1

    return Local()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.nn.Linear(1, 1), r"state\['a'\]\[1\] is a torch.nn.modules.linear.Linear.*save .*state_dict\(\)"),
        (torch.optim.SGD([torch.zeros(1)]), r"state_dict\(\)"),
        (lambda: 1, "built by the training function"),
        (Mine(a=1), r"save dict\(state\['a'\]\[1\]\)"),
        (_loop(), "contains itself"),
        (object(), "save what it consists of"),
        (collections.defaultdict(lambda: 0), r"save dict\("),
        (np.ma.array([1]), "cannot be saved"),
        (np.array([object()], object), r"state\['a'\]\[1\]\[0\] is a"),
        (_local(), "define it at the top of a module"),
        ({"deep": {(1, 2): object()}}, r"state\['a'\]\[1\]\['deep'\]\[\(1, 2\)\]"),
        (Progress(1.0, [object()]), r"state\['a'\]\[1\]\.seen\[0\]"),
    ],
    ids=map(str, range(100)),
)
def test_what_cannot_come_back_is_refused_with_its_place(value: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=said):
        checkpoint.save(tmp_path / "t", 1, {"a": [0, value]}, [])
    assert not (tmp_path / "t").exists()


def test_bits_of_no_member_are_refused() -> None:
    with pytest.raises(TaskError, match=r"^trial\.save: state\['a'\] has bits that no member of Bits has"):
        packed({"a": Bits(5)})


def test_classes_of_a_script_are_found_by_the_function_that_uses_them() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    def make() -> Local:
        return Local(3)

    def train(trial: object) -> None:
        make()

    classes = known.referred_to_by(train)
    content = packed([Local(3)], classes)
    assert unpacked(content, classes) == [Local(3)]
    with pytest.raises(TaskError, match=r"import or define that class before trial\.load"):
        unpacked(content)


def test_plain_states_need_no_torch() -> None:
    code = (
        "import sys, numpy; from automl.study.packing.pack import packed; from automl.study.packing.unpack import "
        "unpacked; unpacked(packed({'a': numpy.arange(3), 'b': (1, 2)})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def _of(header: dict[str, Any], blocks: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(8, "big") + text + blocks


@pytest.mark.parametrize(
    "content",
    [
        b"", b"PK nothing", b"{", MAGIC, MAGIC + b"\xff" * 40, _of({}), _of({"state": {"what": 1}}), _of({"state": {}}),
        _of({"state": {"array": [0, 10**12], "dtype": "'<f4'", "shape": [10**12]}}),
        _of({"state": {"array": [0, 8], "dtype": "'O'", "shape": [1]}}, b"12345678"),
        _of({"state": {"array": [0, 8], "dtype": "__import__('os')", "shape": [1]}}, b"12345678"),
        _of({"state": {"bytes": [-4, 2]}}, b"1234"),
        _of({"state": {"default": [], "factory": "eval"}}),
        _of({"state": {"bit_generator": "bytes", "state": 1}}),
        _of({"state": {"namespace": {"__class__": 1}}}),
        _of({"state": {"torch_dtype": "load"}}),
        _of({"state": {"class": ["tests.study.test_packing", "Progress"], "fields": {"__dict__": {"dict": []}}}}),
        _of({"state": {"tensor": 0}, "tensors": [0, 4]}, b"PK12"),
    ],
    ids=map(str, range(100)),
)  # fmt: skip
def test_what_a_stranger_wrote_is_unreadable(content: bytes) -> None:
    with pytest.raises(Unreadable):
        unpacked(content)


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "tests.study.test_packing:Mine", "nowhere:C"])
def test_only_records_are_made(name: str) -> None:
    with pytest.raises(TaskError, match="holds a"):
        unpacked(_of({"state": {"class": name.split(":"), "fields": {}}}))


def test_the_place_in_the_state_is_named_as_the_caller_knows_it(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"trial\.save: state\['parts'\]\[1\] is a "):
        checkpoint.save(tmp_path, 1, {"parts": [1, object()]}, [], random={"python": [1]})
    checkpoint.save(tmp_path, 1, {"parts": (1, 2)}, [], random={"python": [1]})
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert (found.state, found.random) == ({"parts": (1, 2)}, {"python": [1]})


def test_saving_at_each_step_writes_a_curve_only_once(tmp_path: Path) -> None:
    curve, sizes = checkpoint.Curve(), []
    for step in range(1, 3 * checkpoint.PIECE + 7):
        curve.add(step, {"loss": 1.0 / step, "odd": float("nan")})
        if step % 500 in (0, 6):
            checkpoint.save(tmp_path, step, {"step": step}, curve)
            sizes.append((tmp_path / checkpoint.MANIFEST).stat().st_size)
    assert max(sizes) < 100 * checkpoint.PIECE
    assert len(list(tmp_path.iterdir())) == 2 + 1 + 3
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert [step for step, _ in found.curve] == list(range(1, 3 * checkpoint.PIECE + 7))
    assert found.curve[9] == (10, {"loss": 0.1, "odd": None})
    (tmp_path / curve.pieces[0]).write_text("[]")
    assert checkpoint.load(tmp_path) is None, "a damaged piece"
    checkpoint.clear(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_names_in_a_manifest_stay_in_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    checkpoint.save(folder, 1, {"a": 1}, [])
    (folder / "00000001.ckpt").rename(tmp_path / "elsewhere")
    text = (folder / checkpoint.MANIFEST).read_text()
    (folder / checkpoint.MANIFEST).write_text(text.replace("00000001.ckpt", "../elsewhere"))
    assert checkpoint.load(folder) is None
