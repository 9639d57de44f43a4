"""Figures of the final products: before and after, number counts, overlays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import WIDE_IN, label, legend_above, logarithmic, row, tidy
from drpflow.qa.figures import sky_limits
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from drpflow.qa.final_claims import Deviations
    from drpflow.qa.final_counts import VisitCounts
    from drpflow.qa.final_overlays import Overlay

    Floats: TypeAlias = NDArray[np.float64]

FIRST_COLOR, FINAL_COLOR, NOISE_COLOR = "#d9822b", "#1f4e79", "0.78"
KINDS = {"point source": "#2b6cb0", "extended": "#ef8a17", "artifact": "#c8102e"}
"""Colours of sources on overlays."""
_PER_BIN, _MOST_BINS = 60, 12
_OVERLAY_IN, _ACROSS = 3.7, 3
_MAG_LABEL = "PSF magnitude (AB)"


def before_after(curves: Mapping[str, Deviations]) -> str:
    """Draw widths of deviations against signal to noise, before and after, a panel a kind.

    Parameters
    ----------
    curves
        Deviations by the label of the ordinate.
    """
    from drpflow.algorithms import repeatability

    figure, panels = row(len(curves), 3.1, min(WIDE_IN, 4.2 * len(curves)), share=False)
    for (name, of), axes in zip(curves.items(), panels, strict=True):
        parts = [p for p in _bins(of.snr) if p.size]
        snr = [float(np.median(of.snr[p])) for p in parts]
        noise = [repeatability.noise_width(of.noise[1][p].ravel()) for p in parts]
        axes.plot(snr, noise, color=NOISE_COLOR, linewidth=5, label="noise, final")
        for look, (text, color) in enumerate((("first", FIRST_COLOR), ("final", FINAL_COLOR))):
            values = [of.width(p, look) for p in parts]
            axes.plot(snr, values, "o-", markersize=4, linewidth=1.2, color=color, label=text)
        for axis in (axes.xaxis, axes.yaxis):
            logarithmic(axis)
        label(axes, "signal to noise of the PSF flux", name)
    legend_above(panels[0], 3)
    return data_uri(figure)


def _bins(snr: Floats) -> list[NDArray[np.intp]]:
    """Return rows in bins of equally many."""
    order = np.argsort(snr)
    return np.array_split(order, int(np.clip(snr.size // _PER_BIN, 1, _MOST_BINS)))


def number_counts(visits: Sequence[VisitCounts]) -> str:
    """Draw sources per magnitude and square arcminute, a line a visit, a panel a band."""
    from drpflow.qa.final_counts import STEP_MAG

    colors = band_colors(v.band for v in visits)
    figure, panels = row(len(colors), 3.0, min(WIDE_IN, 3.9 * len(colors)))
    for (band, color), axes in zip(colors.items(), panels, strict=True):
        for v in (v for v in visits if v.band == band and v.counts.size):
            area = v.area_arcmin2 if np.isfinite(v.area_arcmin2) and v.area_arcmin2 > 0 else 1.0
            density = np.where(v.counts > 0, v.counts / STEP_MAG / area, np.nan)
            middles = (v.edges_mag[1:] + v.edges_mag[:-1]) / 2
            axes.plot(middles, density, color=color, linewidth=1.0, alpha=0.8)
            if np.isfinite(v.depth_mag):
                axes.axvline(v.depth_mag, color="0.75", linewidth=0.7, linestyle=":", zorder=0)
        logarithmic(axes.yaxis)
        axes.set_title(band, fontsize=9, loc="left")
        label(
            axes, _MAG_LABEL, "sources a magnitude\nand square arcmin" if axes is panels[0] else ""
        )
    return data_uri(figure)


def overlays(found: Sequence[Overlay]) -> str:
    """Draw parts of images with their sources; what is flagged as an artifact is crossed."""
    from matplotlib.colors import AsinhNorm
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    across = min(_ACROSS, len(found))
    down = -(-len(found) // across)
    figure = Figure(
        figsize=(_OVERLAY_IN * across, (_OVERLAY_IN + 0.2) * down + 0.3), layout="constrained"
    )
    panels: list[Axes] = list(figure.subplots(down, across, squeeze=False).ravel())
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    for axes, one in zip(panels, found, strict=False):
        low, high = sky_limits([one.image])
        norm = AsinhNorm(linear_width=(high - low) / 6, vmin=low, vmax=high)
        axes.imshow(
            one.image, norm=norm, cmap="gray_r", origin="lower", extent=one.extent,
            interpolation="nearest",
        )  # fmt: skip
        _draw_sources(axes, one)
        axes.set(xticks=[], yticks=[], title="")
        axes.set_xlim(one.extent[0], one.extent[1])
        axes.set_ylim(one.extent[2], one.extent[3])
        axes.set_title(one.title, fontsize=8)
    handles = [
        Line2D([], [], linestyle="", marker="x" if name == "artifact" else "o", color=color,
               markerfacecolor="none", markersize=6, label=name)
        for name, color in KINDS.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8)
    return data_uri(figure, photo=True)


def _draw_sources(axes: Axes, one: Overlay) -> None:
    kinds: dict[str, Any] = {
        "point source": ~one.extended & ~one.artifact,
        "extended": one.extended & ~one.artifact,
        "artifact": one.artifact,
    }
    size = 4.5 if one.x.size < 600 else 2.5
    for name, rows in kinds.items():
        axes.plot(
            one.x[rows], one.y[rows], "x" if name == "artifact" else "o", markersize=size,
            markerfacecolor="none", markeredgecolor=KINDS[name], markeredgewidth=0.7, alpha=0.9,
        )  # fmt: skip


def histograms(pulls: Mapping[str, Floats], x_label: str) -> str:
    """Draw distributions that should be normal, each beside the normal one."""
    figure, panels = row(len(pulls), 2.6, min(WIDE_IN, 3.9 * len(pulls)), share=False)
    edges = np.linspace(-5, 5, 51)
    middles = (edges[1:] + edges[:-1]) / 2
    for (name, values), axes in zip(pulls.items(), panels, strict=True):
        tidy(axes)
        axes.hist(np.clip(values, -4.99, 4.99), edges, color="#8fb3d3", density=True)
        normal = np.exp(-0.5 * middles**2) / np.sqrt(2 * np.pi)
        axes.plot(middles, normal, color="#1f4e79", linewidth=1.2)
        axes.set_title(name, fontsize=9, loc="left")
        label(axes, x_label)
    return data_uri(figure)
