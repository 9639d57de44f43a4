"""From the pixels of a detector to means of small cells.

The background that calibrateImage took off is put back, sources are masked, and all that follows
works on the cells: 256 times less to read than pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.background import fill_bins, source_mask
from drpflow.data.recalibration import PixelCalibration
from drpflow.data.sky_samples import SkySamples
from drpflow.errors import AlgorithmError
from drpflow.kernels.detection import bin_means, local_medians, spread_bins
from drpflow.kernels.visit_background import cell_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.measure_sky import MeasureSkyConfig
    from drpflow.data.exposure import Exposure

    Float32: TypeAlias = NDArray[np.float32]
    Bool: TypeAlias = NDArray[np.bool_]

_DETECTED = ("DETECTED", "DETECTED_NEGATIVE")
_NOISE_STEP = 16
"""The noise is the median over every so many rows and columns."""


def detrended_pixels(exposure: Exposure) -> tuple[Float32, Float32]:
    """Return image and variance in electrons with calibration and background undone.

    Parameters
    ----------
    exposure
        ``initial_pvi``, in nJy or, where it has no zero point, in electrons.

    Raises
    ------
    AlgorithmError
        If the pixels are in nJy and what made them so is not recorded.
    """
    calibration = exposure.photo_calib if exposure.unit == "nJy" else None
    if exposure.unit == "adu" or (exposure.unit == "nJy" and calibration is None):
        raise AlgorithmError(
            f"pixels in {exposure.unit} without a calibration cannot be brought to electrons",
            hint="run calibrateImage again",
        )
    applied = PixelCalibration(calibration, exposure.background)
    image = applied.undo(exposure.image, exposure.xy0)
    return image, applied.undo_on_variance(exposure.variance, exposure.xy0)


@dataclass(frozen=True, eq=False)
class SkyPixels:
    """The pixels of a detector that show the sky.

    Parameters
    ----------
    image
        Electrons, no background taken off, shape (ny, nx).
    flat
        The same less the medians of the cells about each place.
    excluded
        Pixels that do not count: unusable ones, sources.
    noise
        Standard deviation of a pixel, electrons.
    limit
        Pixels whose `flat` is beyond ± this do not count either.
    """

    image: Float32
    flat: Float32
    excluded: Bool
    noise: float
    limit: float

    @property
    def used(self) -> Bool:
        """Pixels that count."""
        return ~self.excluded & (np.abs(self.flat) <= self.limit)


def sky_pixels(
    exposure: Exposure,
    sigma_pix: float,
    config: MeasureSkyConfig,
    footprints: Bool | None = None,
) -> SkyPixels:
    """Return the pixels of a detector that show the sky.

    Sources are looked for in the image less the medians about each cell: compact ones are masked
    alike on the blank sky, on the wings of a star or on a galaxy, and what is wide stays. Limits
    are the same on both sides of zero, so that noise is cut evenly.

    Parameters
    ----------
    exposure
        ``initial_pvi``.
    sigma_pix
        Width of the PSF's core.
    config
        Cells and masks.
    footprints
        Pixels of sources that are known from elsewhere, such as a coadd, shape (ny, nx).

    Raises
    ------
    AlgorithmError
        If there is no sky at all.
    """
    image, variance = detrended_pixels(exposure)
    mask = exposure.mask
    planes = [name for name in config.mask.ignore if name in mask.planes]
    unusable = mask.any(planes) | ~np.isfinite(image) | ~(variance > 0)
    if footprints is not None:
        unusable |= footprints
    first = unusable | mask.any([name for name in _DETECTED if name in mask.planes])
    flat = _flattened(image, first if not first.all() else unusable, config)
    excluded = unusable | source_mask(flat, variance, unusable, sigma_pix, config.mask)
    part = (slice(None, None, _NOISE_STEP),) * 2
    usable = variance[part][~unusable[part]]
    noise = float(np.sqrt(np.median(usable))) if usable.size else 0.0
    return SkyPixels(image, flat, excluded, noise, config.clip_sigma * noise)


def measure_sky(
    exposure: Exposure,
    sigma_pix: float,
    config: MeasureSkyConfig,
    footprints: Bool | None = None,
) -> SkySamples:
    """Return the sky of a detector in cells; parameters as of :func:`sky_pixels`.

    Raises
    ------
    AlgorithmError
        If no pixel is left.
    """
    sky = sky_pixels(exposure, sigma_pix, config, footprints)
    level, count, x, y = cell_means(sky.image, sky.flat, sky.excluded, sky.limit, config.cell_pix)
    if not count.any():
        raise AlgorithmError("no pixel shows the sky", hint="look at the mask of initial_pvi")
    shape = exposure.shape
    return SkySamples(level, count, x, y, config.cell_pix, sky.noise, shape)


def _flattened(image: Float32, excluded: Bool, config: MeasureSkyConfig) -> Float32:
    """Return the image less the medians of the cells about each place."""
    bins = bin_means(image, excluded, config.cell_pix)
    medians = local_medians(bins, config.flatten_cells).astype(np.float64)
    known = np.isfinite(medians)
    if not known.any():
        raise AlgorithmError("no pixel shows the sky", hint="look at the mask of initial_pvi")
    smooth = np.empty(image.shape, np.float32)
    spread_bins(fill_bins(medians, known).astype(np.float32), config.cell_pix, smooth)
    return np.subtract(image, smooth, out=smooth)
