"""Figures of isolated stars: where they are, and how often they were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import NARROW_IN, label, legend_above, logarithmic, tidy
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Columns: TypeAlias = dict[str, NDArray[Any]]

_TALL_IN = 4.4
# More stars than this are drawn as counts in small boxes.
_MOST_POINTS = 20_000
_SIDE = 256


def _sheet() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(NARROW_IN, _TALL_IN), layout="constrained")
    axes = figure.add_subplot()
    tidy(axes)
    return figure, axes


def star_map(stars: Columns) -> str:
    """Draw stars on the sky, north up and east left; colours count visits, rings are reserved.

    Positions are drawn about the mean right ascension, scaled by the cosine of the mean
    declination, so that a degree is as long in both directions. Many stars become a density.
    """
    figure, axes = _sheet()
    axes.grid(visible=False)
    ra0 = middle_ra_deg(stars["ra"])
    x = (stars["ra"] - ra0 + 180) % 360 - 180
    y, dec0 = stars["dec"], float(np.mean(stars["dec"]))
    if x.size > _MOST_POINTS:
        shown: ScalarMappable = axes.hexbin(
            x, y, gridsize=_SIDE // 2, mincnt=1, cmap="viridis", linewidths=0
        )
        text = "stars in a box"
    else:
        size = float(np.clip(9000 / max(x.size, 1), 2, 14))
        order = np.argsort(stars["n_source"], kind="stable")
        shown = axes.scatter(
            x[order], y[order], c=stars["n_source"][order], s=size, cmap="viridis", linewidths=0
        )
        kept = stars["reserved"]
        axes.scatter(
            x[kept], y[kept], s=3 * size, facecolors="none", edgecolors="#c8102e", linewidths=0.6
        )
        text = "detections of the star"
    figure.colorbar(shown, ax=axes, shrink=0.8, pad=0.02).set_label(text, fontsize=8)
    axes.invert_xaxis()
    axes.set_aspect(1 / max(np.cos(np.radians(dec0)), 0.02), adjustable="datalim")
    label(axes, f"right ascension − {ra0:.3f} [deg]", "declination [deg]")
    return data_uri(figure)


def middle_ra_deg(ra_deg: NDArray[np.float64]) -> float:
    """Return the mean direction, so that the meridian is a place like any other."""
    angle = np.radians(ra_deg)
    middle = np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean()))
    return round(float(middle), 3) % 360


def visits_histogram(number: Mapping[str, NDArray[np.int64]]) -> str:
    """Draw how many stars were seen on how many visits of each band."""
    figure, axes = _sheet()
    colors = band_colors(number)
    most = max((int(n.max(initial=1)) for n in number.values()), default=1)
    step = max(1, -(-most // 40))
    edges = np.arange(1, most + step + 1, step) - 0.5
    for band, color in colors.items():
        axes.hist(
            number[band], bins=list(edges), histtype="step", color=color, linewidth=1.6, label=band
        )
    axes.locator_params(axis="x", integer=True)
    label(axes, "visits in the band", "stars")
    legend_above(axes, len(colors))
    return data_uri(figure)


def position_scatter(stars: Columns) -> str:
    """Draw χ² of the positions a degree of freedom against significance."""
    figure, axes = _sheet()
    freedom = 2.0 * stars["n_source"] - 2
    good = (freedom > 0) & (stars["snr"] > 0) & np.isfinite(stars["position_chi2"])
    ratio = stars["position_chi2"][good] / freedom[good]
    snr = stars["snr"][good]
    axes.plot(snr, np.maximum(ratio, 1e-3), ".", color="#1f4e79", markersize=2.5, alpha=0.6)
    logarithmic(axes.xaxis)
    logarithmic(axes.yaxis)
    axes.axhline(1, color="0.6", linewidth=0.8)
    label(axes, "median S/N of the star", "χ² of its positions, a degree of freedom")
    return data_uri(figure)


def seen_share(stars: Columns, edges: Sequence[float]) -> list[tuple[int, int, int]]:
    """Return, in bins of S/N, stars and how often they were expected and seen."""
    place = np.digitize(stars["snr"], edges) - 1
    found = []
    for k in range(len(edges) - 1):
        mine = place == k
        seen, due = (int(stars[n][mine].sum()) for n in ("n_seen", "n_expected"))
        found.append((int(mine.sum()), due, seen))
    return found
