"""`automl mup-check`: does muP hold for this model? Before a search on a narrow one is trusted for a wide one."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options
from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.specfile import Spec
    from automl.training.mup_check import Alignment, Coordinates

FLAT = 0.1  # |d log size / d log width| up to which activations count as flat
OCTAVES = 1.0  # how far apart the best learning rates may lie: a factor of 2
RATES = range(-5, 3)  # powers of 2 around the config's learning rate


def mup_check(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A space.yaml, or the name of a ready-made space.")],
    widths: Annotated[
        str | None, options.option("--widths", metavar="N,N,...", help="Default: from `fidelity`, else 64,128,256,512.")
    ] = None,
    rates: Annotated[
        bool, options.option("--rates", help="Find the best learning rate of each width too; takes far longer.")
    ] = False,
    out: Annotated[Path | None, options.option("--out", "-o", help="Draw it to this file too (.png, .svg).")] = None,
    set_: options.Sets = None,
    json: options.Json = False,
) -> None:
    """Check what muP promises: activations alike at all widths.

    The space's default config is trained for four steps at each width, on the CPU. Layers whose activations grow or
    shrink with the width by more than a power of 0.1 are named, and the exit code is 1; so it is with --rates when the
    best learning rates of the widths lie more than a factor of 2 apart.
    """
    from automl import specfile as specs

    read = specs.read(spec, overrides=options.overrides(set_))
    sizes = _widths(widths, read)
    coordinates, alignment = _measured(read, sizes, rates=rates)
    steep = {name: slope for name, slope in coordinates.judged().items() if abs(slope) > FLAT}
    aligned = alignment is None or alignment.spread() <= OCTAVES
    if json:
        typer.echo(json_module.dumps(_document(read, coordinates, alignment, ok=not steep and aligned)))
    else:
        typer.echo(_text(read, coordinates, alignment, steep))
    if out is not None:
        from automl.view import figures
        from automl.view.figures.mup import sizes_over_widths

        figures.save(sizes_over_widths(coordinates), out)
        typer.echo(str(out), err=json)
    if steep or not aligned:
        raise typer.Exit(1)


def _widths(given: str | None, read: "Spec") -> list[int]:
    if given is None:
        low, high = read.fidelity.get("width", (64, 512))
        found = [int(low)]
        while found[-1] * 2 <= high:
            found.append(found[-1] * 2)
        return found
    words = given.split(",")
    if len(words) < 2 or not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"{given!r}: give at least two widths, e.g. 64,128,256", param_hint="--widths")
    return sorted({int(word) for word in words})


def _measured(read: "Spec", widths: list[int], *, rates: bool) -> "tuple[Coordinates, Alignment | None]":
    import numpy as np

    from automl.core import seeds
    from automl.tasks.described import DescribedTask
    from automl.tasks.from_spec import task_of
    from automl.training import mup_check

    task = task_of(read)
    if not isinstance(task, DescribedTask):
        raise SpecError("mup-check builds models itself: it needs a spec with `model` and `data`")
    session = task.open(("cpu",))
    config = read.space.default() or read.space.sample(np.random.default_rng(seeds.derive(read.seed, "mup")))
    coordinates = mup_check.coordinate_check(session.build, session.prepared, config, widths)
    if not rates:
        return coordinates, None
    lrs = [float(str(config.get("lr", 1e-3))) * 2.0**k for k in RATES]
    return coordinates, mup_check.alignment_check(session.build, session.prepared, config, widths, lrs)


def _text(read: "Spec", coordinates: "Coordinates", alignment: "Alignment | None", steep: dict[str, float]) -> str:
    from automl.leaderboard import words

    slopes, judged = coordinates.slopes(), coordinates.judged()
    last = {name: table[-1] for name, table in coordinates.sizes.items() if name in judged or name == "output"}
    wide = max(map(len, last))
    lines = [f"{read.name}: parametrization {read.parametrization}, mean |activation| after four steps", ""]
    lines.append(f"{'layer':{wide}}  " + "  ".join(f"{width:>8}" for width in coordinates.widths) + "     slope")
    for name, row in last.items():
        told = "" if name in judged else "  (begins small: not judged)"
        told = "  grows" if steep.get(name, 0) > 0 else "  shrinks" if name in steep else told
        lines.append(f"{name:{wide}}  " + "  ".join(f"{v:>8.4g}" for v in row) + f"  {slopes[name]:>+8.3f}{told}")
    verdict = f"{words.plural(len(steep), 'layer')} of {len(judged)} beyond {FLAT:g}" if steep else "all flat"
    lines += ["", f"sizes {verdict}"]
    if alignment is not None:
        found = zip(alignment.widths, alignment.best(), strict=True)
        best = ", ".join(f"{2.0**value:.3g} at {width}" for width, value in found)
        lines.append(f"rates best {best}: {alignment.spread():.2f} octaves apart (at most {OCTAVES:g})")
    return "\n".join(lines)


def _document(read: "Spec", coordinates: "Coordinates", alignment: "Alignment | None", *, ok: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "schema": 1,
        "ok": ok,
        "parametrization": read.parametrization,
        "widths": list(coordinates.widths),
        "sizes": {name: table[-1].tolist() for name, table in coordinates.sizes.items()},
        "slopes": coordinates.slopes(),
        "rates": None,
    }
    if alignment is not None:
        made["rates"] = {"best": [2.0**value for value in alignment.best()], "octaves": alignment.spread()}
    return made
