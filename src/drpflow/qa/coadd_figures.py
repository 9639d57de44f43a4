"""Pictures of coadds: in colour, maps of a figure, and what was masked in each visit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.warp_masks import KINDS
from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import WIDE_IN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

KIND_COLORS = {
    "streak": "#c8102e",
    "transient": "#2b6cb0",
    "cosmic_ray": "#3fa34d",
    "ghost": "#ef8a17",
    "other": "#a23b72",
}
"""Colours of the classes of artifacts."""
_PICTURE_IN, _MAP_IN, _PANEL_IN, _ACROSS = 8.6, 5.4, 2.2, 5
# The sky's noise is shown at this brightness, and light so many times brighter is white.
_NOISE_AT, _SOFTENING = 0.07, 9.0
_GREY = 3


def color_composite(images: Sequence[Floats]) -> NDArray[np.uint8]:
    """Return a colour picture of images in the order blue, green, red, shape (ny, nx, 3).

    Lupton et al. (2004, PASP 116, 133): the brightness is stretched by an arcsinh, and the
    colours are kept, also of what is bright. Pixels of nJy are shown as they are, so that a
    source of the same AB magnitude in all bands is white.

    Parameters
    ----------
    images
        One to three, or more, of which the first, the middle and the last count; NaN is black.
    """
    chosen: list[NDArray[Any]] = [images[k] for k in (0, (len(images) - 1) // 2, len(images) - 1)]
    if len(images) == 2:
        chosen[1] = (chosen[0] + chosen[2]) / 2
    planes = np.stack([_above_sky(image) for image in chosen[::-1]], axis=-1)
    mean = planes.mean(axis=-1)
    noise = _spread(mean)
    slope = _SOFTENING * _NOISE_AT / max(noise, 1e-30)
    brightness = np.arcsinh(np.maximum(mean, 0) * slope) / _SOFTENING
    factor = np.where(mean > 0, brightness / np.where(mean > 0, mean, 1), 0)
    colored = np.maximum(planes, 0) * factor[..., None]
    # What is too bright in one colour keeps its hue.
    peak = colored.max(axis=-1, keepdims=True)
    colored /= np.maximum(peak, 1)
    return np.asarray(np.round(255 * colored), np.uint8)


def picture(image: NDArray[np.uint8], block_pix: int) -> str:
    """Draw a colour picture of a tract, axes in its pixels; return a data URI."""
    figure, axes = _canvas(image.shape[:2], _PICTURE_IN)
    axes.imshow(image, origin="lower", extent=_extent(image.shape[:2], block_pix))
    return data_uri(figure, photo=True)


def value_map(values: Floats, block_pix: int, name: str, least: float) -> str:
    """Draw a map of a figure of a tract with its scale; return a data URI.

    Parameters
    ----------
    values
        In blocks; NaN is grey.
    block_pix
        Pixels of the tract along the side of a block.
    name
        What it is, with its unit.
    least
        The scale spans at least so much, so that small differences do not look large.
    """
    from matplotlib.ticker import ScalarFormatter

    figure, axes = _canvas(values.shape, _MAP_IN)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    wider = max(0.0, least - (high - low)) / 2
    axes.set_facecolor("0.85")
    shown = axes.imshow(
        values, origin="lower", extent=_extent(values.shape, block_pix), cmap="cividis",
        vmin=low - wider, vmax=high + wider, interpolation="nearest",
    )  # fmt: skip
    bar = figure.colorbar(shown, ax=axes, shrink=0.85, format=ScalarFormatter(useOffset=False))
    bar.set_label(name, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return data_uri(figure)


def artifact_panels(image: Floats, artifacts: Mapping[int, NDArray[np.int8]]) -> str:
    """Draw what was masked in each visit, on the coadd in grey; return a data URI.

    Parameters
    ----------
    image
        The coadd in blocks.
    artifacts
        By visit, the class that covers each block, -1 for none.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colors = np.array([to_rgb(KIND_COLORS[kind]) for kind in KINDS])
    down = -(-len(artifacts) // _ACROSS)
    ny, nx = image.shape
    figure = Figure(
        figsize=(WIDE_IN, down * (_PANEL_IN * ny / nx + 0.2) + 0.4), layout="constrained"
    )
    panels = figure.subplots(down, _ACROSS, squeeze=False).ravel()
    grey = color_composite([image]).astype(float)[..., :1].repeat(3, axis=-1) / 255
    for axes in panels:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("0.8")
    for axes in panels[len(artifacts) :]:
        axes.set_visible(False)
    for axes, (visit, kinds) in zip(panels, artifacts.items(), strict=False):
        thick = _thicker(kinds)
        shown = 1 - 0.7 * grey
        shown[thick >= 0] = colors[thick[thick >= 0]]
        axes.imshow(shown, origin="lower", interpolation="nearest")
        axes.set_title(f"visit {visit}", fontsize=8)
    keys = [Patch(color=c, label=kind.replace("_", " ")) for kind, c in KIND_COLORS.items()]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), fontsize=8)
    return data_uri(figure)


def _thicker(kinds: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return marks of which none is too small to be seen."""
    thick = kinds.copy()
    padded = np.pad(kinds, _GREY // 2, constant_values=-1)
    ny, nx = kinds.shape
    for dy in range(_GREY):
        for dx in range(_GREY):
            np.maximum(thick, padded[dy : dy + ny, dx : dx + nx], out=thick)
    return thick


def _above_sky(image: Floats) -> NDArray[np.float64]:
    """Return an image less its median, 0 where there is nothing."""
    known = np.isfinite(image)
    level = float(np.median(image[known])) if known.any() else 0.0
    return np.where(known, image.astype(np.float64) - level, 0.0)


def _spread(values: NDArray[np.float64]) -> float:
    known = values[values != 0]
    return 1.4826 * float(np.median(np.abs(known))) if known.size else 1.0


def _canvas(shape: tuple[int, ...], across_in: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    ratio = float(np.clip(shape[0] / shape[1], 0.4, 1.6))
    figure = Figure(figsize=(across_in, across_in * ratio * 0.88), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel("tract x [pix]", fontsize=8)
    axes.set_ylabel("tract y [pix]", fontsize=8)
    axes.tick_params(labelsize=8)
    return figure, axes


def _extent(shape: tuple[int, ...], block_pix: int) -> tuple[float, float, float, float]:
    return -0.5, shape[1] * block_pix - 0.5, -0.5, shape[0] * block_pix - 0.5
