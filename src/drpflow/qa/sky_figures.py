"""Figures of backgrounds of visits: levels and jumps in the order of time, light about stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import WIDE_IN, Order, label, legend_above, logarithmic, row, stack
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.qa.sky_scores import WingBin

_WINGS = (
    ("bare", "nothing taken off for wings", "0.55", "s", -0.06),
    ("first", "first background", "#d9822b", "o", 0.0),
    ("final", "final background", "#1f4e79", "D", 0.06),
)


def sky_trends(
    visits: NDArray[np.int64], bands: Sequence[str], numbers: NDArray[np.float64], order: Order
) -> str:
    """Draw levels and jumps of visits.

    Parameters
    ----------
    visits, bands
        Number and band of each, (V,).
    numbers
        Level, jump by the first background, by the final one, noise of these, and jump between
        both, shape (V, 5).
    order
        Visits in the order of time.
    """
    colors, names = band_colors(bands), np.array(bands, np.str_)
    figure, panels = stack(3, 1.5)
    place = order.place(visits)
    for band, color in colors.items():
        mine = names == band
        x, (level, first, final, noise, between) = place[mine], numbers[mine].T
        panels[0].plot(x, level, "o", color=color, markersize=5, label=band)
        panels[1].plot(x, noise, "_", color="0.6", markersize=14)
        panels[1].plot(x - 0.12, first, "o", color=color, markersize=5, markerfacecolor="none")
        panels[1].plot(x + 0.12, final, "o", color=color, markersize=5)
        panels[2].plot(x, between, "o", color=color, markersize=5)
    if (numbers[:, 0] > 0).any():
        logarithmic(panels[0].yaxis)
    texts = ("sky [electron/pix]", "jumps at edges, rms\n[% of the sky]",
             "jumps of first − final,\nrms [% of the sky]")  # fmt: skip
    for axes, text in zip(panels, texts, strict=True):
        label(axes, y=text)
    for axes in panels[1:]:
        axes.set_ylim(bottom=0)
    legend_above(panels[0], len(colors))
    order.draw(panels)
    return data_uri(figure)


def wing_figure(curves: Mapping[str, Sequence[WingBin]]) -> str:
    """Draw what is left of the light about stars against their magnitude, a panel a band."""
    figure, panels = row(len(curves), 3.0, min(WIDE_IN, 3.9 * len(curves)))
    for (band, bins), axes in zip(curves.items(), panels, strict=True):
        magnitude = np.array([b.magnitude for b in bins])
        for name, text, color, marker, shift in _WINGS:
            values = np.array([getattr(b, name) for b in bins])
            axes.errorbar(
                magnitude + shift, values[:, 0], values[:, 1], fmt=marker, markersize=5,
                capsize=2, linewidth=1, color=color, label=text,
            )  # fmt: skip
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set_title(band, fontsize=9, loc="left")
        label(axes, "magnitude (AB)", "light left [% of the sky]" if axes is panels[0] else "")
    handles, names = panels[0].get_legend_handles_labels()
    across = min(3, len(panels) + 1)
    figure.legend(handles, names, ncols=across, fontsize=8, frameon=False, loc="outside upper left")
    return data_uri(figure)
