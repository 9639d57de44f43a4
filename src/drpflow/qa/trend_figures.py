"""Figures of a run's visits in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import label, legend_above, stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.qa.charts import Order

# Told apart by their lightness too, as colour-blind readers need it (Rubin Observatory, RTN-045).
_BAND_COLORS = {
    "u": "#0c71ff", "g": "#49be61", "r": "#c61c00", "i": "#ffc200", "z": "#f341a2", "y": "#5d0000",
}  # fmt: skip
_OTHER_COLORS = ("#1f4e79", "#7a8b1f", "#a23b72", "#2b7a8a", "#6b4e1f", "#555577")


@dataclass(frozen=True)
class Trend:
    """One quantity of every detector of every visit.

    Parameters
    ----------
    label
        What it is, with its unit.
    values
        Shape (N,).
    """

    label: str
    values: NDArray[np.float64]


def band_colors(bands: Iterable[str]) -> dict[str, str]:
    """Return the colour of each band, in the order of their wavelengths."""
    names = sorted(set(bands), key=lambda b: ([*_BAND_COLORS, b].index(b), b))
    others = iter(_OTHER_COLORS * (1 + len(names)))
    return {name: _BAND_COLORS.get(name) or next(others) for name in names}


def trends(
    visits: NDArray[np.int64],
    bands: NDArray[np.str_],
    quantities: Sequence[Trend],
    order: Order,
) -> str:
    """Draw quantities against the visits, panel by panel, a point a detector.

    Parameters
    ----------
    visits, bands
        Of each point, shape (N,).
    quantities
        One a panel, from the top.
    order
        Visits in the order of time, evenly spaced.
    """
    figure, panels = stack(len(quantities), 1.35)
    colors, place = band_colors(bands.tolist()), order.place(visits)
    for axes, quantity in zip(panels, quantities, strict=True):
        for name, color in colors.items():
            mine = bands == name
            axes.plot(
                place[mine], quantity.values[mine], "o", markersize=3.5, alpha=0.75,
                color=color, markeredgewidth=0, label=name,
            )  # fmt: skip
        label(axes, y=quantity.label)
    legend_above(panels[0], len(colors))
    order.draw(panels)
    return data_uri(figure)
