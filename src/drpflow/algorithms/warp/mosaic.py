"""The detectors of a visit side by side on one canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.data.coadd_inputs import CoaddInput, CoaddInputs
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.photo_calib import PhotoCalib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.psf import Psf
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]

OF = "recalibrated_pvi"
"""What the inputs of a warp are."""
MADE_OF_PIXELS = ("psf", "valid_polygon", "coadd_inputs", "noise_covariance")
"""Components that an empty warp does not have."""


@dataclass(frozen=True, eq=False)
class _Canvas:
    """Sums on the canvas."""

    box: Box
    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.int32]
    count: NDArray[np.uint8]

    @classmethod
    def empty(cls, box: Box) -> _Canvas:
        """Return a canvas without light."""
        return cls(
            box,
            np.zeros(box.shape, np.float32),
            np.zeros(box.shape, np.float32),
            np.zeros(box.shape, np.int32),
            np.zeros(box.shape, np.uint8),
        )

    def add(self, exposure: Exposure) -> float:
        """Add the pixels that have a value; return the sum of their variances."""
        common = exposure.box.intersect(self.box)
        if common.is_empty:
            return 0.0
        there, here = common.slices(exposure.xy0), common.slices(self.box.xy0)
        image, variance = exposure.image[there], exposure.variance[there]
        good = np.isfinite(image)
        for total, plane in ((self.image, image), (self.variance, variance)):
            np.add(total[here], plane, out=total[here], where=good)
        bits = self.mask[here]
        np.bitwise_or(bits, exposure.mask.array[there], out=bits, where=good)
        self.count[here] += good
        return float(variance[good].sum(dtype=np.float64))

    def finish(self) -> tuple[NDArray[np.float32], Mask, NDArray[np.float32]]:
        """Return the planes: means where detectors overlap, nothing where there are none."""
        several = self.count > 1
        if several.any():
            number = self.count[several].astype(np.float32)
            self.image[several] /= number
            self.variance[several] /= number * number
        bare = self.count == 0
        mask = Mask(self.mask)
        self.image[bare] = self.variance[bare] = np.nan
        mask.array |= bare * mask.bit("NO_DATA")  # a fifth of the time of indices
        return self.image, mask, self.variance


def mosaic(
    detectors: Mapping[int, Exposure],
    tract_wcs: SkyWcs,
    box: Box,
    visit: int,
    psf: Psf | None,
    **components: Any,
) -> Exposure:
    """Put resampled detectors of a visit onto one canvas.

    Where detectors overlap, which those of one exposure do only if a WCS is wrong by the gap
    between them, the mean is taken, as the PSF of a :class:`~drpflow.data.coadd_psf.CoaddPsf` says.

    Parameters
    ----------
    detectors
        By detector; pixels of the tract, NaN where there is no value.
    tract_wcs
        WCS of the tract.
    box
        The canvas, pixels of the tract.
    visit
        The visit.
    psf
        PSF of the canvas.
    **components
        Components that are given to it as they are, such as ``visit_info``.

    Returns
    -------
    Exposure
        In nJy; NaN and NO_DATA where there is nothing.
    """
    canvas, shares = _Canvas.empty(box), {}
    for detector, exposure in detectors.items():
        share = canvas.add(exposure)
        if share > 0:
            shares[detector] = share
    used = {k: detectors[k] for k in shares}
    image, mask, variance = canvas.finish()
    made = {"wcs": tract_wcs, "photo_calib": PhotoCalib.identity(), **components}
    if used:
        ids = ({"visit": visit, "detector": k} for k in used)
        made |= {
            "psf": psf,
            "valid_polygon": hull([e.valid_polygon for e in used.values()], box),
            "coadd_inputs": CoaddInputs(tuple(CoaddInput(OF, i) for i in ids)),
            "noise_covariance": NoiseCovariance.combine(
                [(e.components["noise_covariance"], shares[k]) for k, e in used.items()]
            ),
        }
    return Exposure(image, mask, variance, unit="nJy", xy0=box.xy0, components=made)


def empty_warp(tract_wcs: SkyWcs, box: Box, why: str, **components: Any) -> Exposure:
    """Return a canvas without any pixel, complete but for what pixels would have given it."""
    warp = mosaic({}, tract_wcs, box, 0, None, **components)
    return warp.replace(missing=dict.fromkeys(MADE_OF_PIXELS, why))


def hull(polygons: list[ValidPolygon | None], box: Box) -> ValidPolygon | None:
    """Return the convex hull of the parts of polygons within a box; None if nothing is there.

    Andrew's monotone chain (1979, Inf. Process. Lett. 9, 216).
    """
    parts = [polygon.clipped(box) for polygon in polygons if polygon is not None]
    corners = [part.vertices for part in parts if part is not None]
    if not corners:
        return None
    points = np.unique(np.concatenate(corners), axis=0)
    lower, upper = _chain(points), _chain(points[::-1])
    return ValidPolygon(np.array([*lower[:-1], *upper[:-1]]))


def _chain(points: Floats) -> list[Floats]:
    """Return one side of the hull of points that are sorted."""
    side: list[Floats] = []
    for point in points:
        while len(side) > 1 and not _turns_left(side[-2], side[-1], point):
            side.pop()
        side.append(point)
    return side


def _turns_left(a: Floats, b: Floats, c: Floats) -> bool:
    return bool((b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0]))
