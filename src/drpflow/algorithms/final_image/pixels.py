"""The final pixels of a detector: one function of what isr left, of the final models and the mask.

finalizeImage has the pixels of ``initial_pvi``, rebuildImage those of ``post_isr_image``; both make
the same image of them. The one has a first calibration and background to undo, the other has not;
arithmetic in between is float64 and rounds once. What stood in pixels that cosmic rays hit (the
hit, or what calibrateImage put there) does not matter: they are filled from the final pixels about
them, and which they are is in the mask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.isr.interpolate import interpolate
from drpflow.data.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.mask import Mask
    from drpflow.data.recalibration import PixelCalibration

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

# Float64 images of that many rows and their temporaries stay near the cache.
_ROWS = 128


def final_pixels(
    image: Float32,
    variance: Float32,
    applied: PixelCalibration,
    wanted: PixelCalibration,
    xy0: tuple[int, int] = (0, 0),
) -> tuple[Float32, Float32]:
    """Return image and variance with one calibration taken off and another put on.

    Parameters
    ----------
    image, variance
        Shape (ny, nx), with `applied` applied.
    applied
        Calibration and background that the pixels have; ``PixelCalibration(None, None)`` for
        detrended pixels, in electrons.
    wanted
        Those that they are to have.
    xy0
        Detector coordinates (x, y) of the first pixel.

    Returns
    -------
    image, variance : ndarray, float32, shape (ny, nx)
        New arrays, rounded once.

    Raises
    ------
    AlgorithmError
        If a background is in nJy and there is no calibration from electrons to nJy.

    Notes
    -----
    (v/c₁ + b₁ - b₂) c₂, and variance (c₂/c₁)². Pixels are in nJy in the sense of
    :class:`drpflow.data.photo_calib.PhotoCalib`. 40 ns a pixel.
    """
    applied.check()
    wanted.check()
    out, out_variance = np.empty(image.shape, np.float32), np.empty(image.shape, np.float32)
    x0, y0 = xy0
    ny, nx = image.shape
    for first in range(0, ny, _ROWS):
        rows = slice(first, min(first + _ROWS, ny))
        box = Box(x0, x0 + nx, y0 + rows.start, y0 + rows.stop)
        old, new = _factor(applied, box), _factor(wanted, box)
        electrons = (image[rows] + _level(applied, box, "nJy")) / old
        electrons += _level(applied, box, "electron") - _level(wanted, box, "electron")
        out[rows] = electrons * new - _level(wanted, box, "nJy")
        out_variance[rows] = variance[rows] * np.square(new / old)
    return out, out_variance


def fill_cosmic_rays(image: Float32, variance: Float32, mask: Mask) -> int:
    """Fill the pixels of plane CR from their neighbours, in place; return how many there are.

    Their values then follow from pixels outside the plane and from the planes CR, NO_DATA and
    UNMASKEDNAN alone. A gap that is too long to be bridged becomes NaN, and UNMASKEDNAN.

    Parameters
    ----------
    image, variance, mask
        The image. INTRP is set where a pixel was filled.
    """
    hit = mask.any("CR")
    mask.array[hit] &= ~mask.bit("INTRP")
    interpolate(image, variance, mask, ("CR",))
    lost = hit & ~mask.any("INTRP")
    image[lost], variance[lost] = np.nan, np.nan
    mask.set("UNMASKEDNAN", lost)
    return int(np.count_nonzero(hit))


def _factor(calibration: PixelCalibration, box: Box) -> Float64:
    """Return nJy per electron at pixels, 1 where there is no calibration."""
    if calibration.photo_calib is None:
        return np.ones((1, 1))
    return calibration.photo_calib.factor_on(box)


def _level(calibration: PixelCalibration, box: Box, unit: str) -> Float64:
    """Return the background at pixels if it is in this unit, else 0."""
    background = calibration.background
    if background is None or background.unit != unit:
        return np.zeros((1, 1))
    return background.image(box)
