"""The map from the pixels of a patch to those of a detector, on a grid.

To evaluate it for every pixel would cost 8 µs each, a hundred times the resampling itself. Nodes
lie at multiples of their spacing in the pixels of the tract, and the spacing follows from the whole
detector: what is interpolated does not depend on the patch, and neighbouring patches agree in the
pixels that they share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]

_SMALLEST_STEP_PIX = 4
# Points along a side of the detector that tell where it lies; cells along an axis that are tried.
_PER_SIDE = 33
_TRIED = 12


@dataclass(frozen=True, eq=False)
class PixelMap:
    """Between the pixels of a tract and those of a detector.

    Parameters
    ----------
    tract
        WCS of the tract.
    detector
        WCS of the detector.
    step_pix
        Spacing of nodes.
    error_pix
        Largest error that was found between nodes, detector pixels.
    """

    tract: SkyWcs
    detector: SkyWcs
    step_pix: int
    error_pix: float

    def to_detector(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return where pixels of the tract lie on the detector, exactly; NaN where nowhere."""
        return self.detector.world_to_pixel_values(*self.tract.pixel_to_world_values(x, y))

    def nodes(self, box: Box) -> tuple[Box, Floats, Floats, Floats]:
        """Return the nodes about a box of the tract.

        Returns
        -------
        numbers : Box
            Node (i, j) of the arrays lies at ``step_pix · (numbers.x0 + j, numbers.y0 + i)``.
        x, y : ndarray
            Their places on the detector.
        area : ndarray
            Area of a pixel of the tract there, pixels of the detector.
        """
        step = self.step_pix
        first = box.x0 // step, box.y0 // step
        last = (
            max(-(-(box.x1 - 1) // step), first[0] + 1),
            max(-(-(box.y1 - 1) // step), first[1] + 1),
        )
        numbers = Box(first[0], last[0] + 1, first[1], last[1] + 1)
        at = np.meshgrid(numbers.x * step, numbers.y * step)
        x, y = self.to_detector(*at)
        area = self.tract.pixel_area_arcsec2(*at) / self.detector.pixel_area_arcsec2(x, y)
        return numbers, x, y, area


def footprint(tract: SkyWcs, detector: SkyWcs, box: Box) -> Box | None:
    """Return the pixels of the tract about a box of a detector; None if they have none in common.

    Parameters
    ----------
    tract, detector
        The two WCSs.
    box
        Pixels of the detector.
    """
    x_min, x_max, y_min, y_max = box.extent
    u, v = np.linspace(x_min, x_max, _PER_SIDE), np.linspace(y_min, y_max, _PER_SIDE)
    low, high = np.full(_PER_SIDE, y_min), np.full(_PER_SIDE, y_max)
    left, right = np.full(_PER_SIDE, x_min), np.full(_PER_SIDE, x_max)
    sides = np.concatenate([u, u, left, right]), np.concatenate([low, high, v, v])
    x, y = tract.world_to_pixel_values(*detector.pixel_to_world_values(*sides))
    if not np.isfinite(x).all():
        return None
    return Box(
        int(np.floor(x.min())), int(np.ceil(x.max())) + 1,
        int(np.floor(y.min())), int(np.ceil(y.max())) + 1,
    )  # fmt: skip


def make_map(
    tract: SkyWcs, detector: SkyWcs, area: Box, step_pix: int, tolerance_pix: float
) -> PixelMap:
    """Return the map with a spacing at which it is as exact as wanted.

    Parameters
    ----------
    tract, detector
        The two WCSs.
    area
        Footprint of the whole detector on the tract.
    step_pix
        Largest spacing, halved until the error is small enough.
    tolerance_pix
        Largest error, detector pixels.

    Raises
    ------
    AlgorithmError
        If the map is too rough even at 4 pixels.
    """
    while True:
        found = PixelMap(tract, detector, step_pix, np.nan)
        error = _error(found, area)
        if error <= tolerance_pix:
            return PixelMap(tract, detector, step_pix, error)
        if step_pix <= _SMALLEST_STEP_PIX:
            raise AlgorithmError(
                f"the WCS is too rough to be interpolated: {error:.3g} pixels between points "
                f"{step_pix} pixels apart",
                {"error_pix": error, "step_pix": step_pix},
                "The astrometric solution of this detector is not usable",
            )
        step_pix = max(step_pix // 2, _SMALLEST_STEP_PIX)


def _error(pixel_map: PixelMap, area: Box) -> float:
    """Return the largest error of bilinear interpolation in some cells of a box.

    Bilinear interpolation of a smooth map errs most in the middle of a cell or of its sides.
    """
    step = pixel_map.step_pix

    def some(low: int, high: int) -> Floats:
        cells = np.linspace(low // step, max(high // step, low // step), _TRIED)
        return np.unique(np.floor(cells)) * step

    x0, y0 = (v.ravel() for v in np.meshgrid(some(area.x0, area.x1), some(area.y0, area.y1)))
    places = np.array([(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5), (0.5, 0), (0, 0.5)]) * step
    exact = np.array(pixel_map.to_detector(x0 + places[:, :1], y0 + places[:, 1:]))
    corners = exact[:, :4]
    between = np.stack(
        [corners.mean(axis=1), corners[:, :2].mean(axis=1), corners[:, ::2].mean(axis=1)], axis=1
    )
    errors = np.hypot(*(between - exact[:, 4:]))
    known = errors[np.isfinite(errors)]
    return float(known.max()) if known.size else np.inf
