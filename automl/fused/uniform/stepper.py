"""One pass of all lanes: forward under `vmap` with autograd outside of it, gradients in a flat `[K, P]` matrix.

`FusedStepper` serves two rows and more, `StackStepper` the same for plain stacks without autograd, `SoloStepper` the
bucket of one without `vmap`, all on the same rows and the same random numbers. They give `outputs(x)` and
`backward(out, gradient)`. On the CPU a bucket is cut into pieces, rows that stay in cache for an epoch.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from automl.fused.modules.context import Draw, running
from automl.fused.modules.vmap import batched
from automl.fused.tensors import layout as lay
from automl.fused.uniform.cohort import Cohort
from automl.fused.uniform.cuda_graph import StepGraph
from automl.fused.uniform.stack import Stack, stack

CACHE = 1 << 23  # bytes of parameters, gradients and moments that one piece may have


class FusedStepper:
    """Rows `first : first + size` of a cohort. Valid until `cohort.version` changes."""

    fused = True

    def __init__(self, cohort: Cohort, first: int, size: int) -> None:
        self.cohort, self.first, self.size = cohort, first, size
        self.span = slice(first, first + size)
        self.spaces: dict[tuple[object, torch.Size, torch.dtype], Tensor] = {}
        self.graphs: dict[tuple[object, ...], StepGraph] = {}
        plan, rows = cohort.plan, cohort.rows
        self.leaves = {n: v.detach().requires_grad_() for n, v in plan.views(rows["param"][self.span]).items()}
        self.gradients = plan.views(rows["grad"][self.span])
        self.targets = {leaf.data_ptr(): self.gradients[n] for n, leaf in self.leaves.items()}
        self.buffers = {n: value[self.span] for n, value in cohort.buffers.items()}
        self.averaged = plan.views(rows["ema"][self.span]) if cohort.ema else None
        alias = dict(plan.aliases)
        names = [*self.leaves, *(further for further in alias if alias[further] in self.leaves)]
        self._parameters = [(lay.place(cohort.template, n), alias.get(n, n)) for n in names]
        self._constants = [(lay.place(cohort.template, n), n) for n in self.buffers]
        self._places = [place for place, _ in (*self._parameters, *self._constants)]
        self._trained = [self.leaves[n] for _, n in self._parameters]
        self._carried = [self.buffers[n] for _, n in self._constants]
        self._axes = [0] * len(self._places)

    def _call(self, given: Sequence[Tensor]) -> Tensor:
        for (store, key), value in zip(self._places, given, strict=False):
            store[key] = value
        return self.cohort.template(given[-1])  # type: ignore[no-any-return]

    @contextmanager
    def _swapped(self) -> Iterator[None]:
        """Put the template's own tensors back after a call, whatever happens in it."""
        saved = [(store, key, store[key]) for store, key in self._places]
        try:
            yield
        finally:
            for store, key, value in saved:
                store[key] = value

    def outputs(self, draw: Draw, x: Tensor) -> Tensor:
        """Training outputs `[K, B, ...]` of `x` `[K, B, ...]`; buffers are updated in place."""
        draw.targets = self.targets
        draw.written.clear()
        draw.calls.clear()
        with self._swapped():
            return batched(self._call, [*self._trained, *self._carried, x], [*self._axes, 0])

    def backward(self, draw: Draw, out: Tensor, gradient: Tensor) -> None:
        """Fill the flat gradient; what autograd collected beside the direct writes is added or copied."""
        out.backward(gradient)  # type: ignore[no-untyped-call]
        for name, leaf in self.leaves.items():
            target, direct = self.gradients[name], leaf.data_ptr() in draw.written
            if leaf.grad is not None:
                target.add_(leaf.grad) if direct else target.copy_(leaf.grad)
                leaf.grad = None
            elif not direct:
                target.zero_()

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Evaluation outputs `[K, B, ...]` of `x` `[B, ...]`, shared by all lanes; averaged weights where kept."""
        rows = self.leaves if self.averaged is None else self.averaged
        parameters = [rows[n] for _, n in self._parameters]
        with self._swapped(), running(_silent(self.size)):
            return batched(self._call, [*parameters, *self._carried, x], [*self._axes, None])


class StackStepper(FusedStepper):
    """A plain stack: forward and backward by hand, where `program` is one."""

    def __init__(self, cohort: Cohort, first: int, size: int) -> None:
        super().__init__(cohort, first, size)
        self.program = self._program(self.leaves)
        self.judged = self.program if self.averaged is None else self._program(self.averaged)  # what is evaluated

    def _program(self, weights: Mapping[str, Tensor]) -> Stack | None:
        if self.cohort.plan.aliases:
            return None
        parameters = {n: weight.detach() for n, weight in weights.items()}
        return stack(self.cohort.template, parameters, self.gradients, self.buffers)

    def outputs(self, draw: Draw, x: Tensor) -> Tensor:
        """Training outputs `[K, B, O]` of `x` `[K, B, ...]`."""
        if self.program is None or not self.program.reads(x):
            return super().outputs(draw, x)
        draw.calls.clear()
        with torch.no_grad():
            return self.program.forward(draw, x)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Evaluation outputs `[K, B, O]` of `x` `[B, ...]`, shared by all lanes; good until the next pass."""
        shared = x.expand(self.size, *x.shape)
        if self.judged is None or not self.judged.reads(shared):
            return super().predict(x)
        return self.judged.predict(shared)

    def backward(self, draw: Draw, out: Tensor, gradient: Tensor) -> None:
        """Fill the flat gradient."""
        if self.program is None or out.requires_grad:
            super().backward(draw, out, gradient)
            return
        with torch.no_grad():
            self.program.backward(draw, gradient, False)


class SoloStepper:
    """One lane without `vmap`: the template's parameters are views of row 0."""

    fused, first, size, span = False, 0, 1, slice(0, 1)

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        self.spaces: dict[tuple[object, torch.Size, torch.dtype], Tensor] = {}
        self.graphs: dict[tuple[object, ...], StepGraph] = {}
        views = cohort.plan.row_views(cohort.rows["param"][0])
        for name, view in views.items():
            owner, key = _owner(cohort.template, name)
            setattr(owner, key, nn.Parameter(view.detach()))
        for further, first in cohort.plan.aliases:
            if first in views:
                owner, key = _owner(cohort.template, further)
                setattr(owner, key, cohort.template.get_parameter(first))
        for name, value in cohort.buffers.items():
            owner, key = _owner(cohort.template, name)
            if key in owner._parameters:
                owner._parameters[key] = nn.Parameter(value[0], requires_grad=False)
            else:
                owner._buffers[key] = value[0]
        self.leaves = {name: cohort.template.get_parameter(name) for name in views}
        self.gradients = cohort.plan.row_views(cohort.rows["grad"][0])

    def outputs(self, draw: Draw, x: Tensor) -> Tensor:
        """Training outputs `[1, B, ...]` of `x` `[1, B, ...]`."""
        draw.calls.clear()
        return self.cohort.template(x[0]).unsqueeze(0)  # type: ignore[no-any-return]

    def backward(self, draw: Draw, out: Tensor, gradient: Tensor) -> None:
        """Gradients stay in the leaves (`leaf.grad`), where the optimizer reads them without a copy."""
        for leaf in self.leaves.values():
            leaf.grad = None
        out.backward(gradient)  # type: ignore[no-untyped-call]

    def collect(self) -> None:
        """Copy the leaves' gradients into the flat row, for optimizers that work on rows."""
        for name, leaf in self.leaves.items():
            if leaf.grad is None:
                self.gradients[name].zero_()
            else:
                self.gradients[name].copy_(leaf.grad)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        """Evaluation outputs `[1, B, ...]` of `x` `[B, ...]`; averaged weights where kept."""
        if not self.cohort.ema:
            return self.cohort.template(x).unsqueeze(0)  # type: ignore[no-any-return]
        averaged = self.cohort.plan.row_views(self.cohort.rows["ema"][0])
        return functional_call(self.cohort.template, averaged, (x,)).unsqueeze(0)  # type: ignore[no-any-return]


Piece = FusedStepper | SoloStepper


class Stepper:
    """The pieces of a cohort's present bucket. Valid until `cohort.version` changes."""

    def __init__(self, cohort: Cohort, pieces: Sequence[Piece]) -> None:
        self.cohort, self.version, self.pieces = cohort, cohort.version, tuple(pieces)
        self.fused = self.pieces[0].fused

    def predict(self, x: Tensor) -> Tensor:
        """Evaluation outputs `[K, B, ...]` of all rows for `x` `[B, ...]`."""
        parts = [piece.predict(x) for piece in self.pieces]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def stepper(cohort: Cohort) -> Stepper:
    """The stepper of the cohort's present bucket."""
    if cohort.bucket == 1:  # a plain stack is faster without autograd alone, too, and has the very bits of its lane
        alone = StackStepper(cohort, 0, 1)
        return Stepper(cohort, [alone if alone.program is not None else SoloStepper(cohort)])
    first = StackStepper(cohort, 0, cohort.bucket)
    size = piece_size(cohort, first.program is not None)
    if size == cohort.bucket:
        return Stepper(cohort, [first])
    return Stepper(cohort, [StackStepper(cohort, at, size) for at in range(0, cohort.bucket, size)])


def piece_size(cohort: Cohort, plain: bool) -> int:
    """Rows that train together for an epoch: on the CPU as many as stay in cache, but enough to hide the calls.
    Fewer where memory has ended before (`most_rows`).

    Depends on the model alone, so that a lane's last bit is the same in every bucket of at least this size.
    """
    most_rows = min(cohort.bucket, cohort.most_rows)
    if cohort.blueprint.device.type != "cpu":
        return most_rows
    least, most, budget = (8, 64, CACHE) if plain else (32, 128, 8 * CACHE)
    row = cohort.plan.width * cohort.plan.dtype.itemsize * 4
    fits = 1 << max(0, (budget // row).bit_length() - 1)
    return min(most_rows, max(least, min(most, fits)))


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, key = name.rpartition(".")
    return module.get_submodule(path), key


def _silent(size: int) -> Draw:
    """A draw for evaluation: lanes are batched, nothing is dropped."""
    empty = torch.empty(0, dtype=torch.int32)
    return Draw(True, size, {}, empty, empty, empty, [])


@contextmanager
def mode(stepper: Stepper | Piece, training: bool) -> Iterator[None]:
    """Around many passes: the module's mode, and implementations that `vmap` can batch.

    The fused encoder is switched off, and attention takes the plain way on the CPU (its fused kernel has no batching
    rule there and would run lane by lane).
    """
    cohort = stepper.cohort
    cohort.template.train(training)
    with ExitStack() as stack:
        if stepper.fused:
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
            fast = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
            stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
            if cohort.blueprint.device.type == "cpu":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
