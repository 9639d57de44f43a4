"""The sheet on which figures of the focal plane are drawn: detectors where they stand, in mm.

Matplotlib is used through its object interface, so that no global state is shared and two
runs give equal bytes (no date is written into the files).
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.transforms import Affine2D
    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.camera import Detector

# The sheet, inches: what is left and right of the axes, below and above; and the axes.
_LEFT_IN, _RIGHT_IN, _BELOW_IN, _ABOVE_IN = 0.7, 1.1, 0.45, 0.25
_AXES_IN, _LARGE_AXES_IN = 4.1, 8.6
_MANY_DETECTORS = 16


def is_large(detectors: Sequence[Detector]) -> bool:
    """Return whether there are so many detectors that a figure needs the width of the page."""
    return len(detectors) > _MANY_DETECTORS


def canvas(detectors: Sequence[Detector]) -> tuple[Figure, Axes]:
    """Return a figure shaped like the focal plane, with room for a scale on the right.

    Everything has a fixed place: figures side by side are aligned, and are drawn in half the
    time that an automatic layout takes.
    """
    from matplotlib.figure import Figure

    x0, x1, y0, y1 = _bounds(detectors)
    across = _LARGE_AXES_IN if is_large(detectors) else _AXES_IN
    width = _LEFT_IN + across + _RIGHT_IN
    tall = float(np.clip(across * (y1 - y0) / (x1 - x0), 0.35 * across, 1.5 * across))
    height = tall + _BELOW_IN + _ABOVE_IN
    figure = Figure(figsize=(width, height))
    place = (_LEFT_IN / width, _BELOW_IN / height, across / width, tall / height)
    axes = figure.add_axes(place)
    axes.set_anchor("W")
    axes.set_xlabel("focal plane x [mm]", fontsize=8)
    axes.set_ylabel("focal plane y [mm]", fontsize=8)
    axes.tick_params(labelsize=8)
    return figure, axes


def plain_canvas() -> tuple[Figure, Axes]:
    """Return a figure of the same size for something else than the focal plane."""
    from matplotlib.figure import Figure

    width, height = _LEFT_IN + _AXES_IN + _RIGHT_IN, _AXES_IN + _BELOW_IN + _ABOVE_IN
    figure = Figure(figsize=(width, height))
    place = (_LEFT_IN / width, _BELOW_IN / height, _AXES_IN / width, _AXES_IN / height)
    axes = figure.add_axes(place)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def scale(figure: Figure, shown: ScalarMappable, label: str, **options: Any) -> None:
    """Draw the scale of the colours, right of the focal plane."""
    width, height = figure.get_size_inches()
    left = 1 - (_RIGHT_IN - 0.15) / width
    bottom, top = _BELOW_IN / height, 1 - _ABOVE_IN / height
    tenth = (top - bottom) / 10
    place = (left, bottom + tenth, 0.17 / width, top - bottom - 2 * tenth)
    bar = figure.colorbar(shown, cax=figure.add_axes(place), **options)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def extent(detector: Detector) -> tuple[float, float, float, float]:
    """Return the edges of a detector about its own middle, mm."""
    half_x, half_y = (n * detector.pixel_size_mm / 2 for n in detector.size_pix)
    return -half_x, half_x, -half_y, half_y


def placement(detector: Detector) -> Affine2D:
    """Return the way from mm about the detector's middle to the focal plane."""
    from matplotlib.transforms import Affine2D

    return Affine2D().rotate_deg(detector.rotation_deg).translate(*detector.center_mm)


def to_focal_plane(
    detector: Detector, x: ArrayLike, y: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places in the focal plane, mm, of pixels."""
    nx, ny = detector.size_pix
    u = (np.asarray(x, np.float64) - (nx - 1) / 2) * detector.pixel_size_mm
    v = (np.asarray(y, np.float64) - (ny - 1) / 2) * detector.pixel_size_mm
    points = placement(detector).transform(np.column_stack([np.ravel(u), np.ravel(v)]))
    return points[:, 0], points[:, 1]


def turned(
    detector: Detector, dx: ArrayLike, dy: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return vectors along the axes of the focal plane of vectors along those of a detector."""
    t = np.deg2rad(detector.rotation_deg)
    u, v = np.asarray(dx, np.float64), np.asarray(dy, np.float64)
    return u * np.cos(t) - v * np.sin(t), u * np.sin(t) + v * np.cos(t)


def span_mm(detectors: Sequence[Detector]) -> float:
    """Return the longer side of the focal plane."""
    x0, x1, y0, y1 = _bounds(detectors)
    return max(x1 - x0, y1 - y0)


def _corners(detector: Detector) -> NDArray[np.float64]:
    left, right, bottom, top = extent(detector)
    corners = np.array([(left, bottom), (right, bottom), (right, top), (left, top)])
    return np.asarray(placement(detector).transform(corners))


def frame(axes: Axes, detector: Detector) -> None:
    """Draw the outline and the name of a detector."""
    from matplotlib.patches import Polygon
    from matplotlib.patheffects import withStroke

    corners = _corners(detector)
    axes.add_patch(Polygon(corners, fill=False, edgecolor="0.6", linewidth=0.6))
    axes.annotate(
        detector.name, corners.min(axis=0), xytext=(2, 2), textcoords="offset points",
        fontsize=6, color="#b35900", zorder=5,
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip


def _bounds(detectors: Sequence[Detector]) -> tuple[float, float, float, float]:
    corners = np.concatenate([_corners(d) for d in detectors])
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return float(x0), float(x1), float(y0), float(y1)


def fit(axes: Axes, detectors: Sequence[Detector]) -> None:
    """Show all detectors with a small margin, at equal scales."""
    x0, x1, y0, y1 = _bounds(detectors)
    margin = 0.03 * span_mm(detectors)
    axes.set_xlim(x0 - margin, x1 + margin)
    axes.set_ylim(y0 - margin, y1 + margin)
    axes.set_aspect("equal")


def detector_mm(detectors: Sequence[Detector]) -> float:
    """Return the shorter side of the smallest detector."""
    return min(min(d.size_pix) * d.pixel_size_mm for d in detectors)


def length_key(axes: Axes, length_mm: float, text: str) -> None:
    """Draw a length and what it stands for, above the focal plane on the left."""
    from matplotlib.lines import Line2D

    x0, y1 = axes.get_xlim()[0], axes.get_ylim()[1]
    line = Line2D([x0, x0 + length_mm], [y1, y1], color="#c8102e", linewidth=2, clip_on=False)
    axes.add_line(line)
    axes.annotate(
        text, (x0 + length_mm, y1), xytext=(5, 2), textcoords="offset points",
        fontsize=8, color="#c8102e", annotation_clip=False,
    )  # fmt: skip


def data_uri(figure: Figure, *, photo: bool = False) -> str:
    """Return a figure as a data URI.

    Parameters
    ----------
    figure
        The figure.
    photo
        Whether it is full of noise, which no lossless format shortens: then details that nobody
        sees are given up. A simulated field of 16 visits of four detectors takes 5 MB so, where
        PNG takes 25.
    """
    buffer = io.BytesIO()
    how = {"quality": 75} if photo else {"lossless": True, "quality": 75}
    figure.savefig(buffer, format="webp", dpi=110, pil_kwargs=how | {"method": 4})
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
