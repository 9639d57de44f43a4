"""A detector's pixels as stars are cut from and measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.calibrate_image.frame import UNUSABLE
from drpflow.algorithms.final_characterization.fit import DetectorStars
from drpflow.algorithms.psf_fit.neighbors import fit_neighbors, moffat_psf
from drpflow.algorithms.psf_fit.stamps import cut
from drpflow.algorithms.psf_fit.stars import PlacePrior, Places
from drpflow.data.recalibration import PixelCalibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.final_characterization.geometry import Place
    from drpflow.algorithms.final_characterization.predicted import Predicted
    from drpflow.algorithms.psf_fit.neighbors import Neighbors
    from drpflow.config.final_psf import FinalPsfConfig
    from drpflow.data.background import Background
    from drpflow.data.exposure import Exposure
    from drpflow.data.mask import Mask
    from drpflow.data.psf import Psf

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Bools: TypeAlias = NDArray[np.bool_]

_SPOILED = (*UNUSABLE, "INTRP")
_FWHM_PER_SIGMA = 2.3548


@dataclass(frozen=True, eq=False)
class DetectorPixels:
    """Pixels of a detector in electrons, without their background.

    Parameters
    ----------
    image, variance
        Shape (ny, nx) [electron, electron²].
    mask
        Flags.
    """

    image: Float32
    variance: Float32
    mask: Mask

    @classmethod
    def of_exposure(cls, exposure: Exposure, background: Background | None) -> DetectorPixels:
        """Return the pixels of an ``initial_pvi``.

        Parameters
        ----------
        exposure
            The image with what was done to it.
        background
            What is taken off instead of the image's own background; None leaves that.
        """
        calib = exposure.photo_calib
        image, variance = np.asarray(exposure.image), np.asarray(exposure.variance)
        if background is None:
            applied = PixelCalibration(calib, None)
            image = applied.undo(image, exposure.xy0)
        else:
            applied = PixelCalibration(calib, exposure.background)
            image = applied.undo(image, exposure.xy0)
            image = _without(image, background, exposure)
        variance = applied.undo_on_variance(variance, exposure.xy0)
        return cls(image, variance, exposure.mask)

    @property
    def spoiled(self) -> Bools:
        """Pixels that say nothing of the shape of a star."""
        return self.mask.any(_SPOILED)


def _without(image: Float32, background: Background, exposure: Exposure) -> Float32:
    """Take a background off detrended electrons, whatever its unit, and stay in electrons."""
    other = PixelCalibration(exposure.photo_calib, background)
    calibrated = other.apply(image, exposure.xy0)
    return PixelCalibration(exposure.photo_calib, None).undo(calibrated, exposure.xy0)


def half_size_pix(sigma_pix: float, config: FinalPsfConfig) -> int:
    """Return half the size of images of stars of a size, pixels."""
    wanted = int(np.ceil(config.half_size_fwhm * _FWHM_PER_SIGMA * sigma_pix))
    return int(np.clip(wanted, config.min_half_size_pix, config.max_half_size_pix))


def neighbors_of(
    pixels: DetectorPixels,
    stars: tuple[Floats, Floats],
    peaks: tuple[Floats, Floats],
    psf: Psf | None,
    place: Place,
    sigma_pix: float,
    config: FinalPsfConfig,
) -> Neighbors:
    """Return all sources about stars as point sources.

    Parameters
    ----------
    pixels
        The detector's.
    stars, peaks
        x and y of the stars, and of all that was detected.
    psf
        What is known of the PSF; None for a typical profile of the size `sigma_pix`.
    place
        The detector.
    sigma_pix
        Size of the PSF.
    config
        Parameters.
    """
    rules = config.neighbors
    error = rules.first_error if psf is None else rules.error
    model = moffat_psf(sigma_pix, place.box, rules.reach_sigma) if psf is None else psf
    return fit_neighbors(
        pixels.image, pixels.variance, pixels.spoiled, peaks, stars, model, error, rules
    )


def cut_stars(
    pixels: DetectorPixels,
    neighbors: Neighbors,
    place: Place,
    start: tuple[Floats, Floats, Floats],
    color: Floats,
    predicted: Predicted,
    half_size: int,
) -> DetectorStars:
    """Return the images of stars for the fit.

    Parameters
    ----------
    pixels, neighbors
        The detector's.
    place
        The detector.
    start
        x, y [pix] and flux [electron], good to a pixel and a factor of two, shape (N,).
    color
        Mag, NaN if unknown.
    predicted
        What else is known of their places.
    half_size
        Of the images, pixels.
    """
    x, y, flux = start
    stamps = cut(pixels.image, pixels.variance, pixels.spoiled, x, y, half_size, neighbors)
    places = Places(np.asarray(flux, float), x - stamps.column, y - stamps.row)
    known = np.isfinite(predicted.sigma) & (predicted.sigma > 0)
    weight = np.where(known, 1 / np.square(np.where(known, predicted.sigma, 1.0)), 0.0)
    prior = PlacePrior(
        np.where(known, predicted.x - stamps.column, 0.0),
        np.where(known, predicted.y - stamps.row, 0.0),
        weight,
    )
    return DetectorStars(place, stamps, places, color, prior if known.any() else None)
