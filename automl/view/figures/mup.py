"""Chart of the muP coordinate check: a line per layer, flat where activations have the same size at every width."""

from typing import TYPE_CHECKING

from matplotlib import colormaps
from matplotlib.figure import Figure

from automl.view.figures.style import figure, log_axis, styled

if TYPE_CHECKING:
    from automl.training.mup_check import Coordinates


def sizes_over_widths(coordinates: "Coordinates") -> Figure:
    """Mean |activation| of every layer against the width: left before the first step, right after the last one."""
    with styled():
        chart = figure(9.0, 4.2)
        both = chart.subplots(1, 2, sharey=True)
        steps = len(next(iter(coordinates.sizes.values()))) - 1
        colours = colormaps["viridis"]
        for axes, step in zip(both, (0, steps), strict=True):
            for k, (layer, sizes) in enumerate(coordinates.sizes.items()):
                colour = colours(k / max(len(coordinates.sizes) - 1, 1))
                axes.plot(coordinates.widths, sizes[step], marker="o", markersize=3, color=colour, label=layer)
            axes.set_xlabel("width")
            axes.set_title("before training" if step == 0 else f"after {step} steps")
            log_axis(axes, "x")
            axes.set_xticks(coordinates.widths, [str(width) for width in coordinates.widths])
            log_axis(axes, "y")
        low, high = both[0].get_ylim()
        room = max(
            (10 * low / high) ** 0.5, 1.0
        )  # the axis spans at least a factor of ten, so that a flat line looks flat
        both[0].set_ylim(low / room, high * room)
        both[0].set_ylabel("mean |activation|")
        both[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        return chart
