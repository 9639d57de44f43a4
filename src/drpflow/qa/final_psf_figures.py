"""Figures of the final PSFs: residuals over the focal plane, ρ statistics, colours, visits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.canvas import (
    canvas,
    data_uri,
    detector_mm,
    extent,
    fit,
    frame,
    length_key,
    placement,
    scale,
    to_focal_plane,
)
from drpflow.qa.charts import (
    WIDE_IN,
    Order,
    label,
    legend_above,
    logarithmic,
    row,
    stack,
)
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from drpflow.algorithms.rho_statistics import RhoStatistics
    from drpflow.data.camera import Detector
    from drpflow.qa.final_psf_scores import ColorTrend, PsfMaps, Quality

_BEFORE, _AFTER, _RESERVED = "0.55", "#1f4e79", "#c8102e"
_STYLES = {
    "before, reserved stars": (_BEFORE, "s", 0.94),
    "after, reserved stars": (_RESERVED, "D", 1.0),
    "after, stars of the fit": (_AFTER, "o", 1.06),
}
_RHO_NAMES = (
    "ρ1  ⟨δe · δe⟩", "ρ2  ⟨e · δe⟩", "ρ3  ⟨(e δT/T) · (e δT/T)⟩", "ρ4  ⟨δe · (e δT/T)⟩",
    "ρ5  ⟨e · (e δT/T)⟩",
)  # fmt: skip
# A whisker of the key is as long as a sixth of a detector.
_KEYS = 0.01, 0.02, 0.05, 0.1, 0.2


def key_ellipticity(typical: float) -> float:
    """Return the ellipticity whose whisker is the key, where the long ones are `typical`."""
    return next((key for key in _KEYS if key >= typical), _KEYS[-1])


def residual_map(
    maps: PsfMaps, detectors: Sequence[Detector], most_percent: float, key: float = _KEYS[0]
) -> str:
    """Draw mean dT/T of cells in colour, and mean residuals of the distortion as whiskers.

    Parameters
    ----------
    maps
        Residuals.
    detectors
        Positions and turns of the detectors.
    most_percent
        End of the scale of colours, so that figures beside each other have one.
    key
        Ellipticity whose whisker is a sixth of a detector long.
    """
    from matplotlib.collections import LineCollection

    figure, axes = canvas(detectors)
    shown = None
    key_mm = detector_mm(detectors) / 6
    for detector in detectors:
        frame(axes, detector)
        size = maps.size.mean.get(detector.id)
        if size is None or not np.isfinite(size).any():
            continue
        shown = axes.imshow(
            100 * size, vmin=-most_percent, vmax=most_percent, cmap="RdBu_r", origin="lower",
            extent=extent(detector), transform=placement(detector) + axes.transData,
            interpolation="nearest",
        )  # fmt: skip
        e = (maps.e1.mean[detector.id] + 1j * maps.e2.mean[detector.id]).ravel()
        x, y = _middles(detector, size.shape)
        whisker = key_mm * np.abs(e) / key * np.exp(0.5j * np.angle(e))
        ends = np.column_stack([whisker.real, whisker.imag]) / 2
        middle = np.column_stack([x, y])
        segments = np.stack([middle - ends, middle + ends], axis=1)[np.isfinite(np.abs(e))]
        axes.add_collection(LineCollection(list(segments), colors="0.1", linewidths=1.2))
    if shown is not None:
        scale(figure, shown, "stars − PSF: mean dT/T [%]")
    fit(axes, detectors)
    length_key(axes, key_mm, f"mean de {key:g}")
    return data_uri(figure)


def _middles(detector: Detector, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the middles of cells in the focal plane, mm."""
    x, y = (
        (np.arange(n) + 0.5) / n * size - 0.5
        for n, size in zip(shape[::-1], detector.size_pix, strict=True)
    )
    return to_focal_plane(detector, *np.meshgrid(x, y))


def rho_figure(statistics: Mapping[str, RhoStatistics]) -> str:
    """Draw the five ρ statistics; scales are straight about zero, then logarithmic."""
    figure, panels = row(len(_RHO_NAMES), 2.6, WIDE_IN, share=False)
    for k, (axes, name) in enumerate(zip(panels, _RHO_NAMES, strict=True)):
        for which, found in statistics.items():
            color, marker, shift = _STYLES[which]
            axes.errorbar(
                found.separation_arcmin * shift, found.rho[k], np.nan_to_num(found.error[k]),
                fmt=marker, markersize=4, linewidth=1, capsize=2, color=color, label=which,
            )  # fmt: skip
        axes.axhline(0, color="0.6", linewidth=0.8)
        logarithmic(axes.xaxis)
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2), useMathText=True)
        axes.yaxis.get_offset_text().set_fontsize(8)
        axes.set_title(name, fontsize=9, loc="center")
        label(axes, "separation [arcmin]")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=3, fontsize=8, frameon=False, loc="outside upper left")
    return data_uri(figure)


def color_figure(
    trends: Mapping[str, tuple[ColorTrend | None, ColorTrend | None]], color_name: str
) -> str:
    """Draw dT/T against colour before and after, a panel a band."""
    figure, panels = row(len(trends), 3.0, min(WIDE_IN, 3.9 * len(trends)))
    for (band, pair), axes in zip(trends.items(), panels, strict=True):
        for trend, color, marker, name in zip(
            pair, (_BEFORE, _AFTER), "so", ("first PSF", "final PSF"), strict=True
        ):
            if trend is not None:
                axes.errorbar(
                    trend.color, 100 * trend.mean, 100 * trend.error, fmt=marker, color=color,
                    markersize=5, capsize=2, linewidth=1, label=name,
                )  # fmt: skip
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set_title(band, fontsize=9, loc="left")
        name = color_name or "colour"
        label(axes, f"{name} [mag]", "stars − PSF: dT/T [%]" if axes is panels[0] else "")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=2, fontsize=8, frameon=False, loc="outside upper left")
    return data_uri(figure)


def visit_figure(
    visits: NDArray[np.int64],
    bands: Sequence[str],
    pairs: Sequence[tuple[Quality, Quality]],
    order: Order,
) -> str:
    """Draw what stars of each visit have left beside noise: rings before, discs after."""
    colors = band_colors(bands)
    figure, panels = stack(3, 1.5)
    place, names = order.place(visits), np.array(bands, np.str_)
    quantities = (
        ("mean dT/T\n[%]", lambda q: (100 * q.size.mean, 100 * q.size.error)),
        ("scatter of dT/T\nbeyond noise [%]", lambda q: (100 * q.size.scatter, np.nan)),
        ("scatter of de\nbeyond noise [%]", lambda q: (100 * q.e_scatter, np.nan)),
    )
    for axes, (name, value) in zip(panels, quantities, strict=True):
        for k, (shift, filled) in enumerate(((-0.12, False), (0.12, True))):
            of = np.array([value(pair[k]) for pair in pairs], float).reshape(-1, 2)
            for band, color in colors.items():
                mine = names == band
                _points(axes, place[mine] + shift, of[mine], color, band, filled=filled)
        label(axes, y=name)
    panels[0].axhline(0, color="0.6", linewidth=0.8)
    for axes in panels[1:]:
        axes.set_ylim(bottom=0)
    legend_above(panels[0], len(colors))
    order.draw(panels)
    return data_uri(figure)


def _points(
    axes: Axes, x: Any, values: NDArray[np.float64], color: str, name: str, *, filled: bool
) -> None:
    axes.errorbar(
        x, values[:, 0], np.nan_to_num(values[:, 1]), fmt="o", markersize=4.5, color=color,
        markerfacecolor=color if filled else "none", linewidth=0.9, capsize=0,
        label=name if filled else None,
    )  # fmt: skip
