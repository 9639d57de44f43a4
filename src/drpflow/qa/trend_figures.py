"""Figures of a run's visits in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.canvas import data_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_BAND_COLORS = {
    "u": "#56338f", "g": "#2b8a5a", "r": "#c8102e", "i": "#d9822b", "z": "#8a5a2b", "y": "#444444",
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


def trends(visits: NDArray[np.int64], bands: NDArray[np.str_], quantities: Sequence[Trend]) -> str:
    """Draw quantities against the visits, panel by panel, a point a detector.

    Parameters
    ----------
    visits, bands
        Of each point, shape (N,). Visits are drawn in order, evenly spaced.
    quantities
        One a panel, from the top.
    """
    from matplotlib.figure import Figure

    order, place = np.unique(visits, return_inverse=True)
    width = float(np.clip(0.35 * len(order) + 2, 7.2, 11.5))
    figure = Figure(figsize=(width, 1.35 * len(quantities) + 0.7), layout="constrained")
    panels = figure.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
    colors = band_colors(bands.tolist())
    for axes, quantity in zip(panels, quantities, strict=True):
        for name, color in colors.items():
            mine = bands == name
            axes.plot(
                place[mine], quantity.values[mine], "o", markersize=3.5, alpha=0.75,
                color=color, markeredgewidth=0, label=name,
            )  # fmt: skip
        axes.set_ylabel(quantity.label, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    step = max(1, len(order) // 30)
    panels[-1].set_xticks(np.arange(len(order))[::step], order[::step].astype(str))
    panels[-1].set_xlabel("visit")
    panels[0].legend(
        title="", ncols=len(colors), fontsize=8, frameon=False, loc="lower left",
        bbox_to_anchor=(0, 1.0), handletextpad=0.1,
    )  # fmt: skip
    return data_uri(figure)
