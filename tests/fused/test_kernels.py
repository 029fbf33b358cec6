"""Triton kernels against torch's operations: interpreted on the CPU, compiled for a GPU without one, run on one."""

import os
import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.fused.optim import kernel_checks
from automl.fused.optim.launch import FORMATS, Launcher, launched
from automl.fused.tensors import rng
from automl.training.rules import RULES
from tests.fused.test_graphs import attention_free_but_general, mlp, trained
from tests.support.patience import PATIENCE_S

CPU = torch.device("cpu")
ELEMENTWISE = sorted(name for name, rule in RULES.items() if not rule.shaped)
FLOATS = [torch.float32, torch.float64]
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton (Linux on x86-64)")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def begin(variables):
    """In a process of its own: Triton decides when it is imported whether it interprets its kernels."""
    assert "triton" not in sys.modules, "nothing on a CPU imports it"
    os.environ.update(variables)
    warnings.simplefilter("error")


def process(**variables):
    """`process()(function, *arguments)` runs it there."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=begin, initargs=(variables,)) as pool:
        yield lambda function, *given: pool.submit(function, *given).result(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def interpreter():
    yield from process(TRITON_INTERPRET="1")


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    yield from process(TRITON_CACHE_DIR=str(tmp_path_factory.mktemp("triton")))


# What runs in the interpreter. The kernels get storage full of numbers that are no result.


def interpreted(name):
    from triton.runtime.interpreter import InterpretedFunction

    from automl.fused.optim import kernels

    assert isinstance(kernels._update, InterpretedFunction)
    return kernels.KERNELS[name]


def masks(elements, seeds, drops):
    limits, scales = (v.view(-1, 1) for v in rng.thresholds(np.array(drops)))
    flip, times = rng.step_keys(seeds, seeds, 1, ["a"])[0, 0].unsqueeze(2)
    words = rng.table(torch.Size((elements,)), CPU).unsqueeze(0)
    ours, theirs = (torch.full((len(seeds), elements), 12345, dtype=torch.int32) for _ in range(2))
    interpreted("keep_mask")(ours, words, flip, times, limits, scales)
    return ours.numpy(), rng.keep_mask(words, flip, times, limits, scales, theirs).view(torch.int32).numpy()


def gap(name, dtype, steps):
    return kernel_checks.difference(name, interpreted(name), CPU, dtype, steps, width=200)


def one_step(name, lanes, width, before, after):
    """Gap of parameters and states after one step on `width` columns of wider rows; the others must stay."""
    rule, columns = RULES[name], slice(before, before + width)
    generator = torch.Generator().manual_seed(width)
    start = torch.rand(2 + len(rule.states), lanes, before + width + after, generator=generator) + 0.5
    tables = rule.tables(
        [kernel_checks.LANES[j % 3] for j in range(lanes)], np.full((1, lanes), 0.1), np.ones((1, lanes))
    )
    own = {n: torch.from_numpy(np.array(t)).float().view(lanes, 1) for n, t in tables.items()}
    found = []
    for run in (interpreted(name), rule.update):
        param, grad, *states = rows = start.clone()
        state = {n: matrix[:, columns] for n, matrix in zip(rule.states, states, strict=True)}
        scratch = [] if run is not rule.update else [torch.empty(lanes, width)]
        run(param[:, columns], grad[:, columns], state, own, *scratch)
        found.append(torch.stack([param, *states]))
        rows[:, :, columns] = start[:, :, columns]
        assert torch.equal(rows, start), "the columns beside"
    assert not torch.equal(found[0][0], start[0])
    return (found[0] - found[1]).abs().max().item()


def losses(build, graphed, with_kernels):
    """Losses and weights of three short epochs (nadam, dropout, averages, a refill), and how often kernels ran."""
    ran = Counter()

    def counted(name):
        def run(*given):
            ran[name] += 1
            interpreted(name)(*given)

        return run

    launched.load = lambda: {name: counted(name) for name in ("keep_mask", "nadam")}
    launched.devices = frozenset({"cpu"} if with_kernels else ())
    return [part.numpy() for part in trained(build, graphed)], ran, launched.refused


@needs_triton
@settings(deadline=None, max_examples=30)
@given(
    elements=st.one_of(st.integers(1, 40), st.integers(1, 3000)),
    lanes=st.lists(
        st.tuples(st.integers(0, 2**32), st.sampled_from([0.0, 1e-9, 0.1, 0.5, 0.9, 1 - 1e-6, 1 - 1e-9, 1.0])),
        min_size=1,
        max_size=4,
    ),
)
def test_masks_are_those_of_torchs_operations_bit_for_bit(interpreter, elements, lanes):
    ours, theirs = interpreter(masks, elements, [seed for seed, _ in lanes], [drop for _, drop in lanes])
    assert np.array_equal(ours, theirs)


@needs_triton
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_twenty_steps_are_those_of_torchs_operations(interpreter, name, dtype):
    assert interpreter(gap, name, dtype, 20) < {torch.float32: 1e-6, torch.float64: 1e-14}[dtype]


@needs_triton
@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(ELEMENTWISE),
    lanes=st.integers(1, 4),
    width=st.one_of(st.integers(1, 130), st.sampled_from([1023, 1024, 1025, 2049])),
    before=st.integers(0, 20),
    after=st.integers(0, 20),
)
def test_any_columns_of_wider_rows(interpreter, name, lanes, width, before, after):
    assert interpreter(one_step, name, lanes, width, before, after) < 1e-6


@needs_triton
@pytest.mark.parametrize("graphed", [False, True])
@pytest.mark.parametrize("build", [mlp, attention_free_but_general])
def test_lanes_train_the_same_with_kernels_and_without(interpreter, build, graphed):
    ours, ran, refused = interpreter(losses, build, graphed, True)
    theirs, none, _ = interpreter(losses, build, graphed, False)
    assert not refused
    assert not none
    assert ran["nadam"] >= 15  # three epochs of five steps; the proof
    assert ran["keep_mask"] >= 3  # masks are made for several steps at once
    for a, b, most in zip(ours, theirs, (1e-13, 1e-8, 1e-8), strict=True):  # losses; weights: batch norm spreads them
        assert np.abs(a - b).max() < most


# The proof that comes before the first use, and what happens when there is no such use.


def nothing(*given):
    pass


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_proof_fails_for_a_kernel_that_does_nothing_or_another_step(name, dtype):
    def twice(*given):
        for _ in range(2):
            RULES[name].update(*given, torch.empty_like(given[0]))

    def once(*given):
        RULES[name].update(*given, torch.empty_like(given[0]))

    assert kernel_checks.difference(name, once, CPU, dtype) == 0.0
    assert kernel_checks.difference(name, nothing, CPU, dtype) > 1e-2
    assert kernel_checks.difference(name, twice, CPU, dtype) > 1e-3


def test_a_proof_fails_for_masks_with_one_wrong_lane():
    def wrong(out, words, flip, times, limits, scales):
        rng.keep_mask(words, flip, times, limits.roll(1), scales, out)

    assert kernel_checks.difference("keep_mask", wrong, CPU, torch.int32) > 0.1


def asked(load, times=2):
    """What a launcher answers to a request for masks on the CPU, and why it refuses."""
    launcher = Launcher(load, frozenset({"cpu"}))
    given = [torch.zeros(2, 8, dtype=torch.int32), torch.zeros(1, 8, dtype=torch.int32)]
    given += [torch.ones(2, 1, dtype=torch.int32)] * 4
    return [launcher("keep_mask", *given) for _ in range(times)], launcher.refused.get("keep_mask", "")


def test_a_kernel_that_agrees_is_used():
    answers, refused = asked(lambda: {"keep_mask": lambda out, *given: rng.keep_mask(*given, out)})
    assert answers == [True, True]
    assert not refused


def test_a_kernel_that_cannot_be_compiled_is_told_once_and_left_out():
    def failing(*given):
        raise RuntimeError("at 1:2:\nFailed to find C compiler")

    with pytest.warns(UserWarning, match="'keep_mask' is not used here.*C compiler") as told:
        answers, refused = asked(lambda: {"keep_mask": failing})
    assert answers == [False, False]
    assert refused == "Failed to find C compiler"
    assert len(told) == 1


def test_a_kernel_that_is_wrong_is_left_out():
    with pytest.warns(UserWarning, match="differs from torch's operations"):
        answers, _ = asked(lambda: {"keep_mask": nothing})
    assert answers == [False, False]


def test_without_triton_nothing_is_said():
    def missing():
        raise ModuleNotFoundError("No module named 'triton'")

    assert asked(missing) == ([False, False], "No module named 'triton'")


def test_a_lack_of_memory_is_passed_on():
    def full(*given):
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        asked(lambda: {"keep_mask": full})


def test_kernels_are_not_even_loaded_for_a_cpu_or_a_format_they_do_not_know():
    bits = torch.zeros(2, 8, dtype=torch.int32)
    assert not Launcher(load=nothing)("keep_mask", bits)
    assert not Launcher(nothing, frozenset({"cpu"}))("adam", bits.bfloat16())
    with (pausing := Launcher(nothing, frozenset({"cpu"}))).paused():
        assert not pausing("keep_mask", bits)
    assert pausing.devices == {"cpu"}


# Compiled by Triton's own compiler, which needs no GPU.


class NoGpu:
    """As much of a driver as compiling for a GPU takes that is not there."""

    def __init__(self, capability):
        self.capability = capability

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self):
        return self.capability

    def get_current_stream(self, device):
        return 0


class Compiling:
    """In a kernel's place: compiles for what it is given, and does not run. `made` collects the results."""

    def __init__(self, kernel, made):
        self.kernel, self.made = kernel, made

    def __getitem__(self, grid):
        return lambda *given, **named: self.made.append(self.kernel.warmup(*given, grid=grid, **named))


def compiled(name, dtype, capability, width):
    """Loads and stores of a program, how many there must be, whether offsets have 64 bits, size of the machine code."""
    from triton.runtime import driver

    from automl.fused.optim import kernels

    driver.set_active(NoGpu(capability))
    kept, made = (kernels._update, kernels._keep_mask), []
    kernels._update, kernels._keep_mask = (Compiling(kernel, made) for kernel in kept)
    try:
        kernel_checks.difference(name, kernels.KERNELS[name], CPU, dtype, 1, width)
    finally:
        kernels._update, kernels._keep_mask = kept
    wanted = (5, 1)
    if name in RULES:
        wanted = (len(kernels.FORMULAS[name].arg_names), 1 + len(RULES[name].states))
    text = made[0].asm["ttir"]
    wide = any("arith.muli" in line and ": i64" in line for line in text.splitlines())
    return (text.count("tt.load"), text.count("tt.store")), wanted, wide, len(made[0].asm["cubin"])


@needs_triton
@pytest.mark.parametrize("name", ["keep_mask", *ELEMENTWISE])
def test_kernels_compile_for_gpus_and_touch_each_element_once(compiler, name):
    for dtype, capability, width in ((torch.float32, 75, 1), (torch.float32, 90, 160), (torch.float64, 90, 1500)):
        found, wanted, wide, size = compiler(compiled, name, dtype, capability, width)
        assert found == wanted
        assert wide or width == 1
        assert size > 1000


@needs_gpu
@needs_triton
@pytest.mark.parametrize("name", ["keep_mask", *ELEMENTWISE])
def test_kernels_prove_right_on_a_gpu(name):
    from automl.fused.optim.kernels import KERNELS

    for dtype in FLOATS if name in RULES else [torch.int32]:
        assert kernel_checks.difference(name, KERNELS[name], torch.device("cuda"), dtype, 50) <= FORMATS[dtype]


@needs_gpu
@needs_triton
@pytest.mark.parametrize("build", [mlp, attention_free_but_general])
def test_a_recorded_step_with_kernels_equals_the_eager_one_without(build):
    with launched.paused():
        theirs = trained(build, False, "cuda")
    for a, b in zip(trained(build, True, "cuda"), theirs, strict=True):
        assert (a - b).abs().max() < 1e-6
    assert not launched.refused
    assert {("nadam", torch.float64), ("keep_mask", torch.int32)} <= launched.proved
