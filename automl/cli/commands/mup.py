"""`automl mup-check`: whether muP holds for a model, before a search on a narrow one is trusted for a wide one."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli import options, values
from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.specfile import Spec
    from automl.training.mup_check import Alignment, Coordinates

RATES = range(-5, 3)  # powers of 2 around the config's learning rate

Widths = Annotated[
    str | None, options.option("--widths", metavar="N,N,...", help="Default: from `fidelity`, else 64,128,256,512.")
]
Rates = Annotated[
    bool, options.option("--rates", help="Find the best learning rate of each width too; takes far longer.")
]
Chart = Annotated[Path | None, options.option("--out", "-o", help="Draw a chart into this file too (.png, .svg).")]


def mup_check(
    spec: options.SpecFile,
    widths: Widths = None,
    rates: Rates = False,
    out: Chart = None,
    set_: options.Sets = None,
    json: options.Json = False,
) -> None:
    """Check that muP keeps activations the same at all widths.

    The space's default config is trained for four steps at each width, on the CPU. Layers whose activations grow or
    shrink with the width by more than a power of 0.1 are named, and the exit code is 1. With --rates it is also 1 when
    the best learning rates of the widths are more than a factor of 2 apart.
    """
    from automl import specfile
    from automl.view.pages import mup

    read = specfile.read(spec, overrides=values.overrides(set_))
    coordinates, alignment = _measured(read, values.widths(widths) if widths else _default_widths(read), rates=rates)
    if json:
        typer.echo(json_module.dumps(mup.document(read.parametrization, coordinates, alignment)))
    else:
        typer.echo(mup.text(read.name, read.parametrization, coordinates, alignment))
    if out is not None:
        from automl.view import figures
        from automl.view.figures.mup import sizes_over_widths

        figures.save(sizes_over_widths(coordinates), out)
        typer.echo(str(out), err=json)
    if not mup.holds(coordinates, alignment):
        raise typer.Exit(1)


def _default_widths(read: "Spec") -> list[int]:
    """Powers of two times the low end of `fidelity`, up to its high end."""
    low, high = read.fidelity.get("width", (64, 512))
    widths = [int(low)]
    while widths[-1] * 2 <= high:
        widths.append(widths[-1] * 2)
    return widths


def _measured(read: "Spec", widths: list[int], *, rates: bool) -> "tuple[Coordinates, Alignment | None]":
    """Activations at these widths, and (`rates`) losses for several learning rates."""
    import numpy as np

    from automl.core import seeds
    from automl.tasks.builtin import BuiltinTask
    from automl.tasks.from_spec import task_of
    from automl.training import mup_check

    task = task_of(read)
    if not isinstance(task, BuiltinTask):
        raise SpecError("mup-check needs a spec with `model` and `data`: it builds the model at several widths")
    session = task.open(("cpu",))
    config = read.space.default() or read.space.sample(np.random.default_rng(seeds.derive(read.seed, "mup")))
    coordinates = mup_check.coordinate_check(session.build, session.prepared, config, widths)
    if not rates:
        return coordinates, None
    lrs = [float(str(config.get("lr", 1e-3))) * 2.0**k for k in RATES]
    return coordinates, mup_check.alignment_check(session.build, session.prepared, config, widths, lrs)
