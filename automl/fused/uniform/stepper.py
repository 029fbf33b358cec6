"""Forward and backward pass of a piece: consecutive rows of a cohort, whose gradients go to a flat matrix `[K, P]`.

There are three ways, which read the same rows and draw the same random numbers: `VmapStepper` for any model (`vmap`
inside, autograd outside), `StackStepper` for plain stacks without either, `SoloStepper` for a single lane without
`vmap`. `cohort_stepper.cohort_stepper` chooses.

Shape letters: K lanes (rows of the piece), B batch, P parameters.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from automl.fused.modules.context import Draw, running
from automl.fused.modules.vmap import batched
from automl.fused.optim.update import Leaves
from automl.fused.tensors import layout as lay
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.stack import Stack
from automl.fused.uniform.stack_builder import build_stack

Scratch = dict[tuple[object, torch.Size, torch.dtype], Tensor]


class PieceStepper(Protocol):
    """Rows `first : first + size` of a cohort, as a slice: `span`. Valid until `cohort.version` changes.

    `batched`: False for one lane without `vmap`, whose gradients stay in `leaves`.
    `scratch`: buffers that are kept from epoch to epoch.
    """

    cohort: UniformCohort
    batched: bool
    first: int
    size: int
    span: slice
    scratch: Scratch

    @property
    def leaves(self) -> dict[str, Tensor]:
        """Name -> trained parameter: of all lanes `[K, *shape]`, or `[*shape]` where not `batched`."""

    @property
    def gradients(self) -> dict[str, Tensor]:
        """Views of the flat gradient: name -> `[K, *shape]`, without the first axis where not `batched`."""

    def outputs(self, context: Draw, x: Tensor) -> Tensor:
        """Training outputs `[K, B, ...]` of `x` `[K, B, ...]`; the model's buffers are updated in place."""

    def backward(self, context: Draw, out: Tensor, gradient: Tensor) -> None:
        """Backward pass from `gradient` = d(loss)/d(out), shaped like `out`, the result of `outputs`."""

    def leaf_gradients(self) -> Leaves | None:
        """Where the gradients are if they are not in the flat matrix; None: they are there."""

    def predict(self, x: Tensor, *, shared: bool = True) -> Tensor:
        """Evaluation outputs `[K, B, ...]` of `x` `[B, ...]`, `[K, B, ...]` where it is not `shared` by all lanes.

        With the averaged weights where they are kept.
        """


class VmapStepper:
    """Any model: all lanes in one forward pass under `vmap`; autograd runs outside of it."""

    batched = True

    def __init__(self, cohort: UniformCohort, first: int, size: int) -> None:
        self.cohort, self.first, self.size = cohort, first, size
        self.span = slice(first, first + size)
        self.scratch: Scratch = {}
        layout, rows = cohort.layout, cohort.rows
        self.leaves = {n: v.detach().requires_grad_() for n, v in layout.views(rows["param"][self.span]).items()}
        self.gradients = layout.views(rows["grad"][self.span])
        self.targets = {leaf.data_ptr(): self.gradients[n] for n, leaf in self.leaves.items()}
        self.buffers = {n: value[self.span] for n, value in cohort.buffers.items()}
        self.averaged = layout.views(rows["ema"][self.span]) if cohort.ema else None
        alias = dict(layout.aliases)
        names = [*self.leaves, *(further for further in alias if alias[further] in self.leaves)]
        self._parameters = [(lay.place(cohort.template, n), alias.get(n, n)) for n in names]
        self._constants = [(lay.place(cohort.template, n), n) for n in self.buffers]
        self._places = [place for place, _ in (*self._parameters, *self._constants)]
        self._trained = [self.leaves[n] for _, n in self._parameters]
        self._carried = [self.buffers[n] for _, n in self._constants]
        self._axes = [0] * len(self._places)

    def _call(self, given: Sequence[Tensor]) -> Tensor:
        """One lane's output: its tensors, then its input, are given in the order of `_places`."""
        for (store, key), value in zip(self._places, given, strict=False):
            store[key] = value
        return self.cohort.template(given[-1])  # type: ignore[no-any-return]

    @contextmanager
    def _restored(self) -> Iterator[None]:
        """Put the template's own tensors back after a call, whatever happens in it."""
        saved = [(store, key, store[key]) for store, key in self._places]
        try:
            yield
        finally:
            for store, key, value in saved:
                store[key] = value

    def outputs(self, context: Draw, x: Tensor) -> Tensor:
        """See `PieceStepper.outputs`."""
        context.targets = self.targets
        context.written.clear()
        context.calls.clear()
        with self._restored(), self.cohort.blueprint.cast():
            out = batched(self._call, [*self._trained, *self._carried, x], [*self._axes, 0])
        return full_precision(out)

    def backward(self, context: Draw, out: Tensor, gradient: Tensor) -> None:
        """Layers may write their gradients directly; what autograd collected besides is added or copied."""
        out.backward(gradient)  # type: ignore[no-untyped-call]
        for name, leaf in self.leaves.items():
            target, direct = self.gradients[name], leaf.data_ptr() in context.written
            if leaf.grad is not None:
                target.add_(leaf.grad) if direct else target.copy_(leaf.grad)
                leaf.grad = None
            elif not direct:
                target.zero_()

    def leaf_gradients(self) -> None:
        """None: `backward` has filled the flat matrix."""

    @torch.no_grad()
    def predict(self, x: Tensor, *, shared: bool = True) -> Tensor:
        """See `PieceStepper.predict`."""
        rows = self.leaves if self.averaged is None else self.averaged
        given = [*(rows[n] for _, n in self._parameters), *self._carried, x]
        with self._restored(), running(_without_dropout(self.size)), self.cohort.blueprint.cast():
            return full_precision(batched(self._call, given, [*self._axes, None if shared else 0]))


class StackStepper:
    """A plain stack, forward and backward by hand; inputs that the stack does not take go the general way."""

    batched = True

    def __init__(self, general: VmapStepper, trained: Stack, evaluated: Stack) -> None:
        """`trained` on the parameters, `evaluated` on the averaged ones (the same stack where there are none)."""
        self.general, self.trained, self.evaluated = general, trained, evaluated
        self.cohort, self.first, self.size, self.span = general.cohort, general.first, general.size, general.span
        self.scratch, self.leaves, self.gradients = general.scratch, general.leaves, general.gradients

    @classmethod
    def of(cls, general: VmapStepper) -> "StackStepper | None":
        """The stepper for the same rows by hand; None where the model is no plain stack."""
        trained = _stack(general, general.leaves)
        if trained is None:
            return None
        evaluated = trained if general.averaged is None else _stack(general, general.averaged)
        assert evaluated is not None
        return cls(general, trained, evaluated)

    def outputs(self, context: Draw, x: Tensor) -> Tensor:
        """See `PieceStepper.outputs`; the buffer is overwritten by the next pass."""
        if not self.trained.accepts(x):
            return self.general.outputs(context, x)
        context.calls.clear()
        with torch.no_grad():
            return self.trained.forward(context, x)

    def backward(self, context: Draw, out: Tensor, gradient: Tensor) -> None:
        """See `PieceStepper.backward`."""
        if out.requires_grad:  # it came from the general way
            self.general.backward(context, out, gradient)
            return
        with torch.no_grad():
            self.trained.backward(gradient, False)

    def leaf_gradients(self) -> None:
        """None: `backward` has filled the flat matrix."""

    @torch.no_grad()
    def predict(self, x: Tensor, *, shared: bool = True) -> Tensor:
        """See `PieceStepper.predict`; the buffer is overwritten by the next pass."""
        each = x.expand(self.size, *x.shape) if shared else x
        if not self.evaluated.accepts(each):
            return self.general.predict(x, shared=shared)
        return self.evaluated.predict(each)


class SoloStepper:
    """One lane without `vmap`: the template's parameters are views of row 0, and autograd fills their `.grad`."""

    batched, first, size, span = False, 0, 1, slice(0, 1)

    def __init__(self, cohort: UniformCohort) -> None:
        self.cohort = cohort
        self.scratch: Scratch = {}
        views = cohort.layout.row_views(cohort.rows["param"][0])
        for name, view in views.items():
            owner, key = _owner(cohort.template, name)
            setattr(owner, key, nn.Parameter(view.detach()))
        for further, first in cohort.layout.aliases:
            if first in views:
                owner, key = _owner(cohort.template, further)
                setattr(owner, key, cohort.template.get_parameter(first))
        for name, value in cohort.buffers.items():
            owner, key = _owner(cohort.template, name)
            if key in owner._parameters:
                owner._parameters[key] = nn.Parameter(value[0], requires_grad=False)
            else:
                owner._buffers[key] = value[0]
        self.leaves: dict[str, Tensor] = {name: cohort.template.get_parameter(name) for name in views}
        self.gradients = cohort.layout.row_views(cohort.rows["grad"][0])

    def outputs(self, context: Draw, x: Tensor) -> Tensor:
        """See `PieceStepper.outputs`."""
        context.calls.clear()
        with self.cohort.blueprint.cast():
            return full_precision(self.cohort.template(x[0]).unsqueeze(0))

    def backward(self, context: Draw, out: Tensor, gradient: Tensor) -> None:
        """Gradients stay in the leaves (`leaf.grad`), where the optimizer reads them without a copy."""
        for leaf in self.leaves.values():
            leaf.grad = None
        out.backward(gradient)  # type: ignore[no-untyped-call]

    def leaf_gradients(self) -> Leaves:
        """See `PieceStepper.leaf_gradients`."""
        layout, rows = self.cohort.layout, self.cohort.rows
        states = {name: layout.row_views(rows[name][0]) for name in self.cohort.rule.states}
        return Leaves(self.leaves, states, self.collect)

    def collect(self) -> None:
        """Copy the leaves' gradients into the flat row."""
        for name, leaf in self.leaves.items():
            if leaf.grad is None:
                self.gradients[name].zero_()
            else:
                self.gradients[name].copy_(leaf.grad)

    @torch.no_grad()
    def predict(self, x: Tensor, *, shared: bool = True) -> Tensor:
        """See `PieceStepper.predict`."""
        x = x if shared else x[0]
        with self.cohort.blueprint.cast():
            if not self.cohort.ema:
                return full_precision(self.cohort.template(x).unsqueeze(0))
            averaged = self.cohort.layout.row_views(self.cohort.rows["ema"][0])
            return full_precision(functional_call(self.cohort.template, averaged, (x,)).unsqueeze(0))


def _stack(general: VmapStepper, weights: dict[str, Tensor]) -> Stack | None:
    cohort = general.cohort
    if cohort.layout.aliases or cohort.blueprint.autocast is not None:
        return None
    parameters = {n: weight.detach() for n, weight in weights.items()}
    return build_stack(cohort.template, parameters, general.gradients, general.buffers)


def full_precision(out: Tensor) -> Tensor:
    """Outputs in float32, where autocast has made something shorter of them."""
    return out if out.dtype in (torch.float32, torch.float64) else out.float()


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, key = name.rpartition(".")
    return module.get_submodule(path), key


def _without_dropout(size: int) -> Draw:
    """A context for evaluation: lanes are batched, nothing is dropped."""
    empty = torch.empty(0, dtype=torch.int32)
    return Draw(True, size, {}, empty, empty, empty, [])
