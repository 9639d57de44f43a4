"""Figures of the report: arrays in, PNG out.

Matplotlib is used through its object interface, so that no global state is shared and two
runs give equal bytes (no date is written into the files).
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Affine2D
    from numpy.typing import NDArray

    from drpflow.data.camera import Detector

# Colours of mask planes, in the order in which they are painted, the last on top.
PLANE_COLORS = {
    "SUSPECT": "#f3d27a",
    "INTRP": "#9aa7b4",
    "CROSSTALK": "#b07cc6",
    "CR": "#3fa34d",
    "SAT": "#ef8a17",
    "BAD": "#c8102e",
    "NO_DATA": "#1f4e79",
    "UNMASKEDNAN": "#000000",
}

# A legend with more names than this says nothing.
_MOST_LABELS = 36


def sky_limits(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """Return display limits from 2 sigma below to 12 sigma above the sky common to `images`.

    Sigma is that of the binned pixels (1.4826 times the median absolute deviation), so that
    sky structure fills the grey scale and stars saturate it.
    """
    pixels = [image[np.isfinite(image)] for image in images]
    flat = np.concatenate(pixels) if pixels else np.empty(0, np.float32)
    if not flat.size:
        return 0.0, 1.0
    level = float(np.median(flat))
    sigma = 1.4826 * float(np.median(np.abs(flat - level))) or max(abs(level), 1.0) * 1e-3
    return level - 2 * sigma, level + 12 * sigma


def focal_plane(
    images: Mapping[int, NDArray[np.float32]], detectors: Sequence[Detector], unit: str
) -> str:
    """Draw binned images where their detectors stand in the focal plane.

    Parameters
    ----------
    images
        Binned pixels by detector id. A detector without an image is drawn as an empty frame.
    detectors
        Positions and turns of the detectors.
    unit
        Unit of the pixels, for the scale.

    Returns
    -------
    str
        PNG as a data URI.
    """
    from matplotlib.colors import AsinhNorm

    low, high = sky_limits(list(images.values()))
    figure, axes = _canvas(detectors)
    norm = AsinhNorm(linear_width=(high - low) / 6, vmin=low, vmax=high)
    shown = None
    for detector in detectors:
        _frame(axes, detector)
        if detector.id in images:
            shown = axes.imshow(
                images[detector.id],
                norm=norm,
                cmap="gray",
                origin="lower",
                extent=_extent(detector),
                transform=_placement(detector) + axes.transData,
                interpolation="nearest",
            )
    if shown is not None:
        ticks = norm.inverse(np.linspace(0, 1, 6))
        figure.colorbar(shown, ax=axes, shrink=0.8, label=unit, ticks=ticks, format="%.5g")
    _fit(axes, detectors)
    return _png(figure)


def focal_plane_masks(
    masks: Mapping[int, NDArray[np.int32]], planes: Mapping[str, int], detectors: Sequence[Detector]
) -> str:
    """Draw which mask planes are set where, detectors placed as in :func:`focal_plane`.

    Parameters
    ----------
    masks
        Binned bits by detector id .
    planes
        Bit number of each plane.
    detectors
        Positions and turns of the detectors.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    figure, axes = _canvas(detectors)
    present: dict[str, str] = {}
    for detector in detectors:
        _frame(axes, detector)
        if detector.id not in masks:
            continue
        bits = masks[detector.id]
        picture = np.zeros((*bits.shape, 4))
        for name, color in PLANE_COLORS.items():
            where = (bits >> planes.get(name, 31)) & 1 == 1
            if name in planes and where.any():
                picture[where] = to_rgba(color)
                present[name] = color
        axes.imshow(
            picture,
            origin="lower",
            extent=_extent(detector),
            transform=_placement(detector) + axes.transData,
            interpolation="nearest",
        )
    handles = [Patch(color=color, label=name) for name, color in present.items()]
    if handles:
        figure.legend(handles=handles, loc="outside right upper", frameon=False)
    _fit(axes, detectors)
    return _png(figure)


def series(
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    x_label: str,
    y_label: str,
) -> str:
    """Draw several named series of points, each with its abscissae and ordinates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for name, (x, y) in curves.items():
        axes.plot(x, y, marker=".", markersize=4, linewidth=0.6, label=name)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) <= _MOST_LABELS:
        axes.legend(fontsize=7, ncols=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2))
    return _png(figure)


def _canvas(detectors: Sequence[Detector]) -> tuple[Figure, Axes]:
    """Return a figure shaped like the focal plane."""
    from matplotlib.figure import Figure

    x0, x1, y0, y1 = _bounds(detectors)
    height = float(np.clip(4.2 * (y1 - y0) / (x1 - x0), 2.2, 6.0))
    figure = Figure(figsize=(5.6, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel("focal plane x [mm]")
    axes.set_ylabel("focal plane y [mm]")
    axes.tick_params(labelsize=8)
    return figure, axes


def _extent(detector: Detector) -> tuple[float, float, float, float]:
    """Return the edges of a detector about its own middle, mm."""
    half_x, half_y = (n * detector.pixel_size_mm / 2 for n in detector.size_pix)
    return -half_x, half_x, -half_y, half_y


def _placement(detector: Detector) -> Affine2D:
    from matplotlib.transforms import Affine2D

    return Affine2D().rotate_deg(detector.rotation_deg).translate(*detector.center_mm)


def _corners(detector: Detector) -> NDArray[np.float64]:
    left, right, bottom, top = _extent(detector)
    corners = np.array([(left, bottom), (right, bottom), (right, top), (left, top)])
    return np.asarray(_placement(detector).transform(corners))


def _frame(axes: Axes, detector: Detector) -> None:
    from matplotlib.patches import Polygon

    corners = _corners(detector)
    axes.add_patch(Polygon(corners, fill=False, edgecolor="0.6", linewidth=0.6))
    axes.annotate(
        detector.name, corners[0], xytext=(3, 3), textcoords="offset points",
        fontsize=7, color="#d9822b", zorder=5,
    )  # fmt: skip


def _bounds(detectors: Sequence[Detector]) -> tuple[float, float, float, float]:
    corners = np.concatenate([_corners(d) for d in detectors])
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return float(x0), float(x1), float(y0), float(y1)


def _fit(axes: Axes, detectors: Sequence[Detector]) -> None:
    """Show all detectors with a small margin, at equal scales."""
    x0, x1, y0, y1 = _bounds(detectors)
    margin = 0.03 * max(x1 - x0, y1 - y0)
    axes.set_xlim(x0 - margin, x1 + margin)
    axes.set_ylim(y0 - margin, y1 + margin)
    axes.set_aspect("equal")


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
