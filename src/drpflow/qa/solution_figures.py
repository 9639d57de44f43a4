"""Figures of the global astrometric solution: residuals over the field, two-point functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import (
    NARROW_IN,
    WIDE_IN,
    Order,
    label,
    legend_above,
    logarithmic,
    row,
    stack,
    tidy,
)
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_statistics import TwoPointFunction
    from drpflow.qa.solution_data import Columns
    from drpflow.qa.solution_scores import ErrorBin, MeanVectors

    Floats: TypeAlias = NDArray[np.float64]

_TALL_IN = 4.4
_KEYS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_COLORS = ("0.6", "#1f4e79", "#c8102e")
_RESERVED = "#c8102e"


def _sheet(width_in: float = NARROW_IN, tall_in: float = _TALL_IN) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, tall_in), layout="constrained")
    axes = figure.add_subplot()
    tidy(axes)
    return figure, axes


def residual_field(means: MeanVectors, outlines: Mapping[int, Floats]) -> str:
    """Draw mean residuals as arrows where they are in the field of the camera.

    The median arrow is a fortieth of the field long; a key says how much that is.
    """
    from matplotlib.patches import Polygon

    figure, axes = _sheet()
    axes.grid(visible=False)
    for corners in outlines.values():
        axes.add_patch(Polygon(corners, fill=False, edgecolor="0.7", linewidth=0.6))
    places = [np.column_stack([means.x_deg, means.y_deg]), *outlines.values()]
    everything = np.concatenate([p for p in places if p.size]) if means.number.size else None
    if everything is not None:
        span = float(np.ptp(everything, axis=0).max())
        typical = max(float(np.median(means.length_mas)), 1e-3)
        deg_per_mas = span / 40 / typical
        axes.quiver(
            means.x_deg, means.y_deg, means.dx_mas * deg_per_mas, means.dy_mas * deg_per_mas,
            angles="xy", scale_units="xy", scale=1, width=0.004, color="#1f4e79",
        )  # fmt: skip
        low, high = everything.min(axis=0), everything.max(axis=0)
        margin = 0.05 * span
        axes.set_xlim(low[0] - margin, high[0] + margin)
        axes.set_ylim(low[1] - margin, high[1] + margin)
        key = min(_KEYS, key=lambda k: abs(np.log(k / (2 * typical))))
        start = low[0] - margin, high[1] + 1.6 * margin
        end = start[0] + key * deg_per_mas
        axes.plot([start[0], end], [start[1]] * 2, color=_RESERVED, linewidth=2, clip_on=False)
        axes.annotate(
            f"{key:g} mas", (end, start[1]), xytext=(5, -3), textcoords="offset points",
            fontsize=8, color=_RESERVED, annotation_clip=False,
        )  # fmt: skip
    axes.set_aspect("equal")
    label(axes, "field x [deg]", "field y [deg]")
    return data_uri(figure)


def two_point_figure(functions: Mapping[str, TwoPointFunction]) -> str:
    """Draw ⟨r₁ · r₂⟩ against separation; the scale is straight about zero, then logarithmic."""
    figure, axes = _sheet()
    for (name, f), color in zip(functions.items(), _COLORS, strict=False):
        axes.errorbar(
            f.separation_arcmin, f.total_mas2, np.nan_to_num(f.error_mas2), fmt="o-",
            markersize=4, linewidth=1, capsize=2, color=color, label=name,
        )  # fmt: skip
    logarithmic(axes.xaxis)
    noise = [float(np.median(f.error_mas2[np.isfinite(f.error_mas2)])) for f in functions.values()
             if np.isfinite(f.error_mas2).any()]  # fmt: skip
    logarithmic(axes.yaxis, straight=max(1.0, 2 * min(noise, default=1.0)))
    axes.axhline(0, color="0.6", linewidth=0.8)
    label(axes, "separation [arcmin]", "⟨r₁ · r₂⟩ of one visit [mas²]")
    legend_above(axes, 2)
    return data_uri(figure)


def error_figure(bins: Sequence[ErrorBin]) -> str:
    """Draw residuals against the errors of centroids, and what is expected."""
    figure, axes = _sheet()
    x = [b.centroid_mas for b in bins]
    axes.plot(x, x, color="0.8", linewidth=5, label="error of the centroid", zorder=0)
    axes.plot(x, [b.expected_mas for b in bins], "--", color="0.4", label="with turbulence")
    axes.plot(x, [b.fitted_mas for b in bins], "o", color="#1f4e79", label="stars of the fit")
    axes.plot(x, [b.reserved_mas for b in bins], "D", color=_RESERVED, label="reserved stars")
    logarithmic(axes.xaxis)
    logarithmic(axes.yaxis)
    label(axes, "error of the centroid [mas]", "residual in each coordinate, rms [mas]")
    legend_above(axes, 2)
    return data_uri(figure)


def visit_trends(visits: Columns, order: Order, images: Columns) -> str:
    """Draw what the solution found of each visit, in the order of time."""
    colors = band_colors(visits["band"].tolist())
    changed = "change" in images
    figure, panels = stack(6 if changed else 5, 1.25)
    place = order.place(visits["visit"])
    total = np.maximum(visits["n_good"] + visits["n_rejected"], 1)
    quantities = (
        ("turbulence\n[mas]", visits["floor"], True),
        ("outliers\n[%]", 100 * visits["n_rejected"] / total, False),
        ("refraction by colour\n[mas/mag]", np.hypot(visits["dcr_east"], visits["dcr_north"]),
         False),
        ("WCS before off by\n[mas]", 1e3 * visits["offset"], True),
    )  # fmt: skip
    for axes, (name, values, log) in zip(panels, quantities, strict=False):
        for band, color in colors.items():
            mine = (visits["band"] == band) & np.isfinite(values)
            axes.plot(place[mine], values[mine], "o", color=color, markersize=4, label=band)
        if log and (values[np.isfinite(values)] > 0).any():
            logarithmic(axes.yaxis)
        label(axes, y=name)
    band_of = dict(zip(visits["visit"].tolist(), visits["band"].tolist(), strict=True))
    bands = np.array([band_of.get(v, "") for v in images["visit"].tolist()], np.str_)
    of_images = [("error of WCS\n[mas]", 1e3 * images["wcs_error"])]
    if changed:
        of_images.append(("change of WCS\n[mas]", images["change"]))
    for (name, values), axes in zip(of_images, panels[4:], strict=True):
        for band, color in colors.items():
            mine = (bands == band) & np.isfinite(values)
            where = order.place(images["visit"][mine])
            axes.plot(where, values[mine], ".", color=color, markersize=4)
        axes.set_ylim(bottom=0)
        label(axes, y=name)
    legend_above(panels[0], len(colors))
    order.draw(panels)
    return data_uri(figure)


def pull_figure(pulls: Mapping[str, Mapping[str, Floats]], motions: Sequence[str]) -> str:
    """Draw pulls of motions against the catalogue, with the Gaussian that they should follow."""
    figure, panels = row(len(motions), 2.8, min(WIDE_IN, 3.9 * len(motions)))
    edges = np.linspace(-5, 5, 31)
    x = np.linspace(-5, 5, 201)
    for motion, axes in zip(motions, panels, strict=True):
        axes.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="0.6", label="expected")
        for (name, each), color in zip(pulls.items(), _COLORS[1:], strict=False):
            values = np.clip(each[motion], -5, 5)
            if values.size:
                axes.hist(
                    values, bins=list(edges), density=True, histtype="step", color=color,
                    linewidth=1.4, label=name,
                )  # fmt: skip
        axes.set_title(motion, fontsize=9, loc="left")
        label(axes, "(fit − catalogue) / error", "density" if axes is panels[0] else "")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=4, fontsize=8, frameon=False, loc="outside upper left")
    return data_uri(figure)
