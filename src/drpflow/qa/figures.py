"""Figures of the report that any image or number can have: arrays in, data URI out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.qa.canvas import (
    canvas,
    data_uri,
    extent,
    fit,
    frame,
    is_large,
    placement,
    scale,
    to_focal_plane,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector

# Colours of mask planes, in the order in which they are painted, the last on top.
PLANE_COLORS = {
    "DETECTED": "#dbe7f2",
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
_LINES = ("-", "--", ":", "-.")


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


def value_limits(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the range of all finite pixels, and at least a thousandth of their level."""
    pixels = [image[np.isfinite(image)] for image in images]
    flat = np.concatenate(pixels) if pixels else np.empty(0, np.float32)
    if not flat.size:
        return 0.0, 1.0
    low, high = float(flat.min()), float(flat.max())
    least = 1e-3 * max(abs(low), abs(high), 1e-6)
    return low, max(high, low + least)


def focal_plane(
    images: Mapping[int, NDArray[np.float32]],
    detectors: Sequence[Detector],
    unit: str,
    *,
    full_range: bool = False,
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
    full_range
        Show the range of the values on a straight scale, as suits what is smooth, and not the
        surroundings of the sky.

    Returns
    -------
    str
        Data URI.
    """
    from matplotlib.colors import AsinhNorm, Normalize

    figure, axes = canvas(detectors)
    norm: Normalize
    if full_range:
        low, high = value_limits(list(images.values()))
        norm = Normalize(low, high)
    else:
        low, high = sky_limits(list(images.values()))
        norm = AsinhNorm(linear_width=(high - low) / 6, vmin=low, vmax=high)
    shown = None
    for detector in detectors:
        frame(axes, detector)
        if detector.id in images:
            shown = axes.imshow(
                images[detector.id],
                norm=norm,
                cmap="cividis" if full_range else "gray",
                origin="lower",
                extent=extent(detector),
                transform=placement(detector) + axes.transData,
                interpolation="nearest",
            )
    if shown is not None:
        ticks = [float(f"{tick:.2g}") for tick in norm.inverse(np.linspace(0.03, 0.97, 6))]
        options = {} if full_range else {"ticks": ticks, "format": "%g"}
        scale(figure, shown, unit, **options)
    fit(axes, detectors)
    return data_uri(figure, photo=not full_range)


def focal_plane_masks(
    masks: Mapping[int, NDArray[np.int32]], planes: Mapping[str, int], detectors: Sequence[Detector]
) -> str:
    """Draw which mask planes are set where, detectors placed as in :func:`focal_plane`.

    Parameters
    ----------
    masks
        Binned bits by detector id.
    planes
        Bit number of each plane.
    detectors
        Positions and turns of the detectors.
    """
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Patch

    figure, axes = canvas(detectors)
    present: dict[str, str] = {}
    for detector in detectors:
        frame(axes, detector)
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
            extent=extent(detector),
            transform=placement(detector) + axes.transData,
            interpolation="nearest",
        )
    shown = [name for name in PLANE_COLORS if name in present]
    handles = [Patch(color=present[name], label=name) for name in shown]
    if handles:
        axes.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8
        )
    fit(axes, detectors)
    return data_uri(figure)


def series(
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    x_label: str,
    y_label: str,
) -> str:
    """Draw several named series of points, each with its abscissae and ordinates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    axes = figure.add_subplot()
    for k, (name, (x, y)) in enumerate(curves.items()):
        # Ten colours, and as many lines.
        line = _LINES[k // 10 % len(_LINES)]
        axes.plot(x, y, line, color=f"C{k % 10}", marker=".", markersize=4, linewidth=0.8,
                  label=name)  # fmt: skip
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) <= _MOST_LABELS:
        axes.legend(fontsize=7, ncols=8, frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2))
    return data_uri(figure)


def detector_values(
    values: Mapping[int, float],
    labels: Mapping[int, str],
    detectors: Sequence[Detector],
    unit: str,
    least: float,
) -> str:
    """Draw one number a detector, as colour about zero and in words.

    Parameters
    ----------
    values
        By detector id; what is not finite stays white.
    labels
        Text in each detector.
    detectors
        Positions and turns of the detectors.
    unit
        Of the values, for the scale.
    least
        The scale goes at least so far, so that small differences do not look large.
    """
    from matplotlib.colors import Normalize

    most = max([least, *(abs(v) for v in values.values() if np.isfinite(v))])
    figure, axes = canvas(detectors)
    shown = None
    for detector in detectors:
        frame(axes, detector)
        value = values.get(detector.id, np.nan)
        if np.isfinite(value):
            shown = axes.imshow(
                np.full((1, 1), value),
                norm=Normalize(-most, most),
                cmap="RdBu",
                alpha=0.7,
                extent=extent(detector),
                transform=placement(detector) + axes.transData,
            )
        x, y = to_focal_plane(detector, *((n - 1) / 2 for n in detector.size_pix))
        size = 7 if is_large(detectors) else 9
        axes.text(x[0], y[0], labels.get(detector.id, ""), ha="center", va="center", fontsize=size)
    if shown is not None:
        scale(figure, shown, unit)
    fit(axes, detectors)
    return data_uri(figure)
