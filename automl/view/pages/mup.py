"""The result of `automl mup-check`: for people (`text`) and for programs (`document`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.leaderboard import words

if TYPE_CHECKING:
    from automl.training.mup_check import Alignment, Coordinates

FLAT = 0.1
"""|d log size / d log width| up to which the activations of a layer count as independent of the width."""
OCTAVES = 1.0
"""How far apart the best learning rates of the widths may lie, in octaves: one is a factor of 2."""


def steep(coordinates: "Coordinates") -> dict[str, float]:
    """{layer: slope} of the layers whose activations grow or shrink with the width."""
    return {name: slope for name, slope in coordinates.hidden_slopes().items() if abs(slope) > FLAT}


def holds(coordinates: "Coordinates", alignment: "Alignment | None") -> bool:
    """Whether activations, and best learning rates where they were measured, are independent of the width."""
    return not steep(coordinates) and (alignment is None or alignment.spread() <= OCTAVES)


def text(name: str, parametrization: str, coordinates: "Coordinates", alignment: "Alignment | None") -> str:
    """A table of mean activations over widths, with the slope of each layer, and the best learning rates.

    Args:
        name: of the study.
        parametrization: "standard" or "mup".
        coordinates: mean |activation| per layer and width.
        alignment: losses per width and learning rate; None: not measured.
    """
    slopes, judged, failed = coordinates.slopes(), coordinates.hidden_slopes(), steep(coordinates)
    last = {layer: table[-1] for layer, table in coordinates.sizes.items() if layer in judged or layer == "output"}
    wide = max(map(len, last))
    lines = [f"{name}: parametrization {parametrization}, mean |activation| after four steps", ""]
    lines.append(f"{'layer':{wide}}  " + "  ".join(f"{width:>8}" for width in coordinates.widths) + "     slope")
    for layer, row in last.items():
        sizes = "  ".join(f"{size:>8.4g}" for size in row)
        lines.append(f"{layer:{wide}}  {sizes}  {slopes[layer]:>+8.3f}{_remark(layer, judged, failed)}")
    lines += ["", _summary(judged, failed)]
    if alignment is not None:
        pairs = zip(alignment.widths, alignment.best(), strict=True)
        best = ", ".join(f"{2.0**value:.3g} at width {width}" for width, value in pairs)
        lines.append(f"best learning rates: {best}; {alignment.spread():.2f} octaves apart (limit {OCTAVES:g})")
    return "\n".join(lines)


def _remark(layer: str, judged: Mapping[str, float], failed: Mapping[str, float]) -> str:
    if layer not in judged:
        return "  (small at the start: not checked)"
    return "" if layer not in failed else "  grows" if failed[layer] > 0 else "  shrinks"


def _summary(judged: Mapping[str, float], failed: Mapping[str, float]) -> str:
    if not failed:
        return "activations: the same size at all widths"
    return f"activations: {len(failed)} of {words.plural(len(judged), 'layer')} with a slope beyond {FLAT:g}"


def document(parametrization: str, coordinates: "Coordinates", alignment: "Alignment | None") -> dict[str, Any]:
    """The same as plain data (schema 1)."""
    rates = alignment and {"best": [2.0**value for value in alignment.best()], "octaves": alignment.spread()}
    return {
        "schema": 1,
        "ok": holds(coordinates, alignment),
        "parametrization": parametrization,
        "widths": list(coordinates.widths),
        "sizes": {name: table[-1].tolist() for name, table in coordinates.sizes.items()},
        "slopes": coordinates.slopes(),
        "rates": rates,
    }
