"""A space with a smaller range for one of its parameters."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from automl.core.notation import describe
from automl.core.parameters import NO_DEFAULT, Choice, Int, Parameter, identity, plain
from automl.core.space import Space
from automl.errors import SpecError, did_you_mean


def narrowed(space: Space, name: str, to: Sequence[Any]) -> Space:
    """The space in which the parameter `name` is limited.

    A condition on a value that is not possible any more is left out; a parameter whose condition can never hold any
    more is not searched any more.

    Args:
        space: the space as it is now.
        name: of a parameter.
        to: [low, high] of a range, both included; the values of a choice that are kept.

    Raises:
        SpecError: there is no such parameter, or nothing of its range is left.

    Example:
        narrowed(Space.of({"lr": Float(1e-4, 1, log=True)}), "lr", [1e-3, 1e-2])
    """
    if name not in space.params:
        why = "is a constant" if name in space.constants else "is not a parameter"
        raise SpecError(f"narrow: {name!r} {why}{did_you_mean(name, space.params)}")
    try:
        params = {**space.params, name: _limited(space.params[name], list(to))}
    except SpecError as error:
        raise SpecError(f"narrow: {name}: {error}") from None
    return replace(space, params=_possible(space, params))


def _limited(p: Parameter, to: list[Any]) -> Parameter:
    if isinstance(p, Choice):
        return _fewer(p, to)
    if len(to) != 2 or any(isinstance(end, bool) or not isinstance(end, int | float) for end in to):
        raise SpecError(f"needs two numbers, low and high, got {to!r}")
    low, high = max(to[0], p.low), min(to[1], p.high)
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise SpecError(f"[{to[0]:g}, {to[1]:g}] has nothing in common with {describe(p)}")
    if p.step is not None:
        first, last = math.ceil((low - p.low) / p.step - 1e-9), math.floor((high - p.low) / p.step + 1e-9)
        if first > last:
            raise SpecError(f"no value of {describe(p)} lies in [{to[0]:g}, {to[1]:g}]")
        low, high = p.low + first * p.step, p.low + last * p.step
    if isinstance(p, Int):
        low, high = math.ceil(low - 1e-9), math.floor(high + 1e-9)
        if low > high:
            raise SpecError(f"no whole number lies in [{to[0]:g}, {to[1]:g}]")
        step = 1 if low == high else p.step
        default = p.default if p.default is not None and low <= p.default <= high else None
        return replace(p, low=low, high=high, step=step, default=default)
    step_of = None if low == high else p.step
    kept = p.default if p.default is not None and low <= p.default <= high else None
    return replace(p, low=low, high=high, step=step_of, default=kept)


def _fewer(p: Choice, to: list[Any]) -> Choice:
    known = {identity(value): value for value in p.choices}
    wanted = {identity(plain(value)): value for value in to}
    if unknown := [value for key, value in wanted.items() if key not in known]:
        names = [str(value) for value in p.choices]
        raise SpecError(f"{unknown[0]!r} is not among its values{did_you_mean(str(unknown[0]), names)}")
    if not wanted:
        raise SpecError("at least one value must be left")
    kept = tuple(value for key, value in known.items() if key in wanted)
    default = p.default if p.has_default and identity(p.default) in wanted else NO_DEFAULT
    return replace(p, choices=kept, default=default)


def _possible(space: Space, params: dict[str, Parameter]) -> dict[str, Parameter]:
    """The parameters whose conditions can hold, each with the values of its conditions that are possible."""
    kept: dict[str, Parameter] = {}
    for _, name in space.parents_first:
        p = params[name]
        when = {}
        for parent, allowed in p.when.items():
            if parent in space.constants:
                when[parent] = allowed
            else:
                when[parent] = tuple(v for v in allowed if parent in kept and kept[parent].contains(v))
        if all(when.values()):
            kept[name] = replace(p, when=when) if p.when else p
    return {name: kept[name] for name in params if name in kept}
