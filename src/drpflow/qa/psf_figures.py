"""Figures of the PSF over the focal plane: size, ellipticity, and how stars differ from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    turned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector
    from drpflow.data.psf_base import Psf

NODES = 5
"""Places along each side of a detector at which its PSF is drawn."""

# A whisker of this ellipticity is the key, and as long as a seventh of a detector.
_KEY_ELLIPTICITY = 0.05


@dataclass(frozen=True)
class PsfGrid:
    """The PSF of one detector on a grid of :data:`NODES` by :data:`NODES` places.

    Parameters
    ----------
    x, y
        Pixels, shape (NODES, NODES).
    size
        Full width of a Gaussian of the determinant radius, 2.355 σ, in `unit`.
    e1, e2
        Distortions along the axes of the detector.
    unit
        Of `size`: arcsec where the scale is known, else pix.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    size: NDArray[np.float64]
    e1: NDArray[np.float64]
    e2: NDArray[np.float64]
    unit: str

    @property
    def ellipticity(self) -> NDArray[np.float64]:
        """√(e1² + e2²)."""
        return np.hypot(self.e1, self.e2)


def sample_psf(psf: Psf, detector: Detector, pixel_scale_arcsec: float) -> PsfGrid:
    """Return a PSF on a grid (8 ms for a pixel grid of 41²).

    Parameters
    ----------
    psf
        The model.
    detector
        Its size tells where.
    pixel_scale_arcsec
        Side of a pixel; not finite if it is not known.
    """
    nx, ny = detector.size_pix
    middles = (np.arange(NODES) + 0.5) / NODES
    x, y = np.meshgrid(middles * nx - 0.5, middles * ny - 0.5)
    shape = psf.compute_shape(x, y)
    known = np.isfinite(pixel_scale_arcsec)
    size = 2.3548 * shape.determinant_radius * (pixel_scale_arcsec if known else 1.0)
    return PsfGrid(x, y, size, shape.e1, shape.e2, "arcsec" if known else "pix")


def psf_map(grids: Mapping[int, PsfGrid], detectors: Sequence[Detector]) -> str:
    """Draw the size of the PSF in colour and its ellipticity as whiskers.

    A whisker points along the major axis; a key says how long it is. Detectors without a PSF are
    empty frames.
    """
    from matplotlib.collections import LineCollection

    figure, axes = canvas(detectors)
    shown = None
    sizes = [g.size[np.isfinite(g.size)] for g in grids.values()]
    low, high = size_limits(np.concatenate(sizes) if sizes else np.empty(0))
    key_mm = detector_mm(detectors) / 7
    for detector in detectors:
        frame(axes, detector)
        grid = grids.get(detector.id)
        if grid is None:
            continue
        shown = axes.imshow(
            grid.size, vmin=low, vmax=high, cmap="viridis", origin="lower", alpha=0.85,
            extent=extent(detector), transform=placement(detector) + axes.transData,
            interpolation="nearest",
        )  # fmt: skip
        x, y = to_focal_plane(detector, grid.x, grid.y)
        angle = np.arctan2(grid.e2, grid.e1).ravel() / 2
        length = key_mm * grid.ellipticity.ravel() / _KEY_ELLIPTICITY
        u, v = turned(detector, length * np.cos(angle), length * np.sin(angle))
        segments = np.stack(
            [np.stack([x - u / 2, y - v / 2], 1), np.stack([x + u / 2, y + v / 2], 1)], 1
        )
        axes.add_collection(LineCollection(list(segments), colors="#c8102e", linewidths=1.2))
    if shown is not None:
        unit = next(iter(grids.values())).unit
        scale(figure, shown, f"PSF width, 2.355 σ [{unit}]")
    fit(axes, detectors)
    length_key(axes, key_mm, f"ellipticity {_KEY_ELLIPTICITY:g}")
    return data_uri(figure)


@dataclass(frozen=True)
class StarShapes:
    """Sizes of a detector's PSF stars against the model.

    Parameters
    ----------
    x, y
        Pixels, shape (N,).
    excess
        Trace of the star's moments over that of the PSF model there, minus 1.
    reserved
        Whether the star was kept out of the model.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    excess: NDArray[np.float64]
    reserved: NDArray[np.bool_]


def size_residuals(stars: Mapping[int, StarShapes], detectors: Sequence[Detector]) -> str:
    """Draw how much larger stars are than the model: discs for used ones, diamonds for reserved."""
    figure, axes = canvas(detectors)
    finite = [s.excess[np.isfinite(s.excess)] for s in stars.values()]
    values = np.concatenate(finite) if finite else np.empty(0)
    most = 100 * float(np.percentile(np.abs(values), 95)) if values.size else 1.0
    shown = None
    area = float(np.clip(22 * 600 / max(values.size, 1), 5, 22))
    for detector in detectors:
        frame(axes, detector)
        if detector.id not in stars:
            continue
        s = stars[detector.id]
        x, y = to_focal_plane(detector, s.x, s.y)
        for which, marker in ((~s.reserved, "o"), (s.reserved, "D")):
            shown = axes.scatter(
                x[which], y[which], c=100 * s.excess[which], s=area, marker=marker, cmap="RdBu_r",
                vmin=-most, vmax=most, edgecolors="0.4", linewidths=0.02 * area,
            )  # fmt: skip
    if shown is not None:
        scale(figure, shown, "area of star over that of PSF, −1 [%]")
    fit(axes, detectors)
    return data_uri(figure)


def size_limits(sizes: NDArray[np.float64]) -> tuple[float, float]:
    """Return limits of the colours: those of the sizes, but at least 4 % apart."""
    if not sizes.size:
        return 0.0, 1.0
    low, high = float(sizes.min()), float(sizes.max())
    middle, half = (low + high) / 2, max((high - low) / 2, 0.02 * (low + high) / 2)
    return middle - half, middle + half
