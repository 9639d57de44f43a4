"""Figures of the global photometric calibration: zero points, scatter, air, residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.qa.canvas import canvas, data_uri, extent, fit, frame, placement, scale
from drpflow.qa.charts import (
    WIDE_IN,
    Order,
    label,
    legend_above,
    logarithmic,
    night_label,
    row,
    stack,
)
from drpflow.qa.photometry_data import FEW_STARS, PHOTOMETRIC
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector
    from drpflow.qa.air_data import Night
    from drpflow.qa.photometry_data import Photometry
    from drpflow.qa.photometry_scores import Scatter

    Floats: TypeAlias = NDArray[np.float64]

# Up to this gray the scale is straight, mmag.
_STRAIGHT_MMAG = 20.0
_STYLES = (
    ("first", "calibrateImage alone", "0.6", "o"),
    ("raw", "fgcm, all stars alike", "#d9822b", "s"),
    ("corrected", "fgcm, with their colours", "#1f4e79", "o"),
    ("intrinsic", "without measurement noise", "#2b7a4b", "D"),
)


def zero_point_trends(of: Photometry, order: Order) -> str:
    """Draw zero points, gray and errors of every detector, visit by visit.

    Filled discs are photometric visits, rings others, triangles detectors with few stars. If clouds
    were followed by another flux, its offsets are drawn too.
    """
    z, bands = of.zero_points, of.bands
    colors = band_colors(bands)
    lower = [(1e3 * z["gray"], "gray [mmag]"), (1e3 * z["zero_point_err"], "error [mmag]")]
    if of.has_cloud_flux:
        lower.append((1e3 * z["cloud_flux_offset"], "flux for clouds:\noffset [mmag]"))
    figure, panels = stack(len(bands) + len(lower), 1.25)
    place = order.place(z["visit"]) + _spread(z["detector"])
    for band, axes in zip(bands, panels, strict=False):
        _by_flag(axes, place, z["zero_point"], z["flag"], z["band"] == band, colors[band])
        label(axes, y=f"{band}: zero point\n[mag]")
    gray, error = panels[len(bands) : len(bands) + 2]
    for axes, (values, name) in zip(panels[len(bands) :], lower, strict=True):
        for band in bands:
            _by_flag(axes, place, values, z["flag"], z["band"] == band, colors[band], band)
        label(axes, y=name)
    logarithmic(gray.yaxis, straight=_STRAIGHT_MMAG)
    gray.axhline(0, color="0.7", linewidth=0.8)
    logarithmic(error.yaxis)
    _flag_legend(panels[0])
    order.draw(panels)
    return data_uri(figure)


def _spread(detectors: NDArray[np.int32]) -> Floats:
    """Return small shifts by which detectors of a visit stand side by side."""
    rank = np.unique(detectors, return_inverse=True)[1].ravel()
    return np.asarray(0.5 * ((rank + 0.5) / max(rank.max(initial=0) + 1, 1) - 0.5))


def _by_flag(
    axes: object, x: Floats, y: Floats, flag: NDArray[np.int32], mine: NDArray[np.bool_],
    color: str, name: str = "",
) -> None:  # fmt: skip
    few = (flag & FEW_STARS) > 0
    clear = (flag & PHOTOMETRIC) > 0
    size = 4.0 if x.size < 2000 else 2.0
    for which, marker, face in (
        (mine & clear & ~few, "o", color),
        (mine & ~clear & ~few, "o", "none"),
        (mine & few, "^", color),
    ):
        axes.plot(  # type: ignore[attr-defined]
            x[which], y[which], marker, markersize=size, color=color, markerfacecolor=face,
            markeredgewidth=0.8 if face == "none" else 0, alpha=0.85,
            label=name if marker == "o" and face != "none" else "",
        )  # fmt: skip


def _flag_legend(axes: object) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=marker, color="0.3", markerfacecolor=face,
               markersize=5, label=name)
        for marker, face, name in (
            ("o", "0.3", "photometric"), ("o", "none", "not photometric"),
            ("^", "0.3", "few stars on the detector"),
        )
    ]  # fmt: skip
    axes.legend(  # type: ignore[attr-defined]
        handles=handles, ncols=3, fontsize=8, frameon=False, loc="lower left",
        bbox_to_anchor=(0, 1.0), handletextpad=0.2, borderpad=0.1,
    )  # fmt: skip


def repeatability_figure(curves: Mapping[str, Sequence[tuple[float, Scatter]]]) -> str:
    """Draw the scatter of stars from visit to visit against their magnitude, a panel a band."""
    figure, panels = row(len(curves), 3.0, min(WIDE_IN, 3.9 * len(curves)))
    for (band, bins), axes in zip(curves.items(), panels, strict=True):
        mag = [m for m, _ in bins]
        axes.plot(mag, [s.noise for _, s in bins], color="0.75", linewidth=5, label="noise",
                  solid_capstyle="butt")  # fmt: skip
        for name, text, color, marker in _STYLES:
            values = np.array([getattr(s, name) for _, s in bins])
            axes.plot(
                mag, np.where(values > 0, values, np.nan), marker, linestyle="-", linewidth=1,
                markersize=4, color=color, label=text,
            )  # fmt: skip
        logarithmic(axes.yaxis)
        axes.set_title(band, fontsize=9, loc="left")
        label(axes, "standard magnitude (AB)", "scatter [mmag]" if axes is panels[0] else "")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=5, fontsize=8, frameon=False, loc="outside upper left")
    return data_uri(figure)


def cell_maps(
    maps: Mapping[int, Floats],
    detectors: Sequence[Detector],
    unit: str,
    least: float = 2.0,
    most: float | None = None,
) -> str:
    """Draw cells of each detector about zero, red above and blue below.

    Parameters
    ----------
    maps
        Cells [y, x] by detector; NaN stays white.
    detectors
        Positions and turns of the detectors.
    unit
        Of the values, for the scale.
    least
        The scale goes at least so far.
    most
        It ends there; as far as nearly all cells go, if not given.
    """
    figure, axes = canvas(detectors)
    if most is None:
        most = max(least, nearly_all(maps.values()))
    shown = None
    for detector in detectors:
        frame(axes, detector)
        if detector.id in maps:
            shown = axes.imshow(
                maps[detector.id], vmin=-most, vmax=most, cmap="RdBu_r", origin="lower",
                extent=extent(detector), transform=placement(detector) + axes.transData,
                interpolation="nearest",
            )  # fmt: skip
    if shown is not None:
        scale(figure, shown, unit)
    fit(axes, detectors)
    return data_uri(figure)


def nearly_all(maps: Iterable[Floats]) -> float:
    """Return the absolute value that 98 % of all cells do not exceed, 0 without any."""
    values = [np.abs(m[np.isfinite(m)]) for m in maps]
    pooled = np.concatenate(values) if values else np.empty(0)
    return float(np.percentile(pooled, 98)) if pooled.size else 0.0


def air_figure(nights: Sequence[Night]) -> str:
    """Draw the parameters of the air of each night; rings are nights whose air was not fitted."""
    names = [("pwv_mm", "water [mm]"), ("ozone", "ozone [DU]"), ("aerosol_tau", "aerosol depth τ"),
             ("aerosol_alpha", "aerosol slope α")]  # fmt: skip
    figure, panels = stack(len(names), 1.3)
    x = np.arange(len(nights))
    fitted = np.array([n.fitted for n in nights], bool)
    for (name, text), axes in zip(names, panels, strict=True):
        value = np.array([n.values.get(name, (np.nan, np.nan)) for n in nights], float)
        for which, face in ((fitted, "#1f4e79"), (~fitted, "none")):
            axes.errorbar(
                x[which], value[which, 0], value[which, 1], fmt="o", markersize=5, capsize=2,
                color="#1f4e79", markerfacecolor=face, linewidth=1,
            )  # fmt: skip
        label(axes, y=text)
    _night_axis(panels[-1], nights)
    return data_uri(figure)


def extinction_figure(nights: Sequence[Night], bands: Sequence[str]) -> str:
    """Draw the extinction coefficient of each night and band."""
    figure, (axes,) = stack(1, 3.0)
    colors = band_colors(bands)
    for k, band in enumerate(colors):
        value = np.array([n.extinction.get(band, (np.nan, np.nan)) for n in nights], float)
        shift = 0.3 * ((k + 0.5) / len(colors) - 0.5)
        axes.errorbar(
            np.arange(len(nights)) + shift, 1e3 * value[:, 0], 1e3 * value[:, 1], fmt="o",
            markersize=5, capsize=2, color=colors[band], linewidth=1, label=band,
        )  # fmt: skip
    label(axes, y="extinction [mmag per airmass]")
    legend_above(axes, len(colors))
    _night_axis(axes, nights)
    return data_uri(figure)


def _night_axis(axes: object, nights: Sequence[Night]) -> None:
    step = max(1, len(nights) // 24)
    names = [night_label(n.night) for n in nights][::step]
    axes.set_xticks(  # type: ignore[attr-defined]
        np.arange(len(nights))[::step], names, rotation=30 if len(names) > 8 else 0,
        ha="right" if len(names) > 8 else "center",
    )  # fmt: skip
    axes.set_xlim(-0.6, len(nights) - 0.4)  # type: ignore[attr-defined]
