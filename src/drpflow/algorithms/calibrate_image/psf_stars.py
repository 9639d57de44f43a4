"""From an image of which nothing is known to stars and a model of the PSF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.calibrate_image.frame import EMPTY, UNUSABLE
from drpflow.algorithms.cosmic_rays import find_cosmic_rays
from drpflow.algorithms.detection import detect, detect_adaptive
from drpflow.algorithms.isr.interpolate import interpolate
from drpflow.algorithms.measurement.shapes import measure_shapes
from drpflow.algorithms.psf_fit.fit import fit_psf
from drpflow.algorithms.psf_fit.neighbors import fit_neighbors, moffat_psf
from drpflow.algorithms.psf_guess import guess_psf_sigma
from drpflow.algorithms.star_selection import select_stars
from drpflow.data.psf import GaussianPsf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.calibrate_image.frame import Frame
    from drpflow.algorithms.psf_fit.fit import PsfFit
    from drpflow.algorithms.psf_fit.neighbors import Neighbors
    from drpflow.algorithms.star_selection import StarSelection
    from drpflow.config.calibrate_image import CalibrateImageConfig
    from drpflow.data.psf import Psf

    Float64 = NDArray[np.float64]

# A guess of the size that is this near, in the logarithm, finds the same stars as the true one.
_GOOD_GUESS = 0.15
_MAX_GUESSES = 4
_RESERVE = 1
_FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))


@dataclass(frozen=True, eq=False)
class PsfStars:
    """Bright sources, the stars among them, and the model that these made.

    Parameters
    ----------
    x, y
        Places of the candidates, pixels, shape (N,).
    fit
        Of these candidates.
    selection
        How they were found.
    threshold
        Significance down to which sources were looked at.
    n_sources
        Number of these.
    """

    x: Float64
    y: Float64
    fit: PsfFit
    selection: StarSelection
    threshold: float
    n_sources: int


def find_psf(frame: Frame, config: CalibrateImageConfig) -> PsfStars:
    """Find stars and the PSF, cosmic rays masked and filled on the way.

    Cosmic rays are looked for twice: with a Gaussian narrower than any star that is expected
    (what is sharper than that is no star), so that they do not crowd the star locus; and with the
    model that the stars made, after which their pixels are filled and the model is made again.

    Parameters
    ----------
    frame
        Without its sky. Mask planes CR and INTRP and filled pixels are changed.
    config
        The sections of the algorithms.

    Raises
    ------
    AlgorithmError
        If there are too many cosmic rays or too few stars.
    """
    unusable = frame.mask.any((*UNUSABLE, "INTRP"))
    sigma_pix = guess_psf_sigma(frame.image, frame.variance, unusable, config.psf_guess)
    if sigma_pix is None:
        sigma_pix = config.fallback_fwhm_pix / _FWHM_PER_SIGMA
    mark_cosmic_rays(frame, GaussianPsf(sigma_pix * config.sharpest_fraction), config)
    first = _psf_stars(frame, sigma_pix, None, config)
    frame.mask.clear("CR")
    mark_cosmic_rays(frame, first.fit.psf, config)
    interpolate(frame.image, frame.variance, frame.mask, ("CR",))
    return _psf_stars(frame, first.selection.size_pix, first.fit.psf, config)


def mark_cosmic_rays(frame: Frame, psf: Psf, config: CalibrateImageConfig) -> None:
    """Set CR where an image is sharper than the PSF."""
    if not config.mask_cosmic_rays:
        return
    bad = frame.mask.any((*EMPTY, "BAD", "SAT", "INTRP"))
    hit = find_cosmic_rays(frame.image, frame.variance, bad, psf, config.cosmic_rays)
    frame.mask.set("CR", hit)


def _psf_stars(
    frame: Frame, sigma_pix: float, psf: Psf | None, config: CalibrateImageConfig
) -> PsfStars:
    """Detect, measure, select and fit, from a guess of the stars' size or of the model."""
    unusable = frame.mask.any((*UNUSABLE, "INTRP"))
    for _ in range(_MAX_GUESSES):
        columns, threshold = _shapes(frame, unusable, sigma_pix, config)
        selection = select_stars(columns, columns["flag"], config.star_selection)
        off = abs(np.log(selection.size_pix / sigma_pix))
        sigma_pix = selection.size_pix
        if off < _GOOD_GUESS:
            break
    rows = np.flatnonzero(selection.selected)
    x, y = columns["x"][rows], columns["y"][rows]
    neighbors = _neighbors(frame, unusable, (x, y), sigma_pix, psf, config)
    fit = fit_psf(
        frame.image,
        frame.variance,
        unusable,
        x,
        y,
        columns["flux"][rows],
        frame.box,
        config.psf,
        frame.rng(_RESERVE),
        neighbors,
    )
    return PsfStars(x, y, fit, selection, threshold, len(columns["x"]))


def _neighbors(
    frame: Frame,
    unusable: NDArray[np.bool_],
    stars: tuple[Float64, Float64],
    sigma_pix: float,
    psf: Psf | None,
    config: CalibrateImageConfig,
) -> Neighbors:
    """Return all sources about the stars, fainter ones than can be PSF stars as well."""
    rules = config.psf.neighbors
    found = detect(
        frame.image,
        frame.variance,
        frame.mask.any((*EMPTY, "CR")),
        sigma_pix,
        rules.threshold,
        min_prominence=config.detection.min_prominence,
        relative_prominence=config.detection.relative_prominence,
    ).footprints
    error = rules.error if psf else rules.first_error
    model = psf or moffat_psf(sigma_pix, frame.box, rules.reach_sigma)
    peaks = found.peak_x, found.peak_y
    return fit_neighbors(frame.image, frame.variance, unusable, peaks, stars, model, error, rules)


def _shapes(
    frame: Frame, unusable: NDArray[np.bool_], sigma_pix: float, config: CalibrateImageConfig
) -> tuple[dict[str, NDArray[Any]], float]:
    """Return moments of the bright sources, and the threshold with which they were found."""
    # Saturated stars are detected with their filled pixels, so that they count as neighbours.
    ignored = frame.mask.any((*EMPTY, "CR"))
    detection = detect_adaptive(
        frame.image, frame.variance, ignored, sigma_pix, config.bright_detection
    )
    peaks = detection.footprints
    columns = measure_shapes(
        frame.image,
        frame.variance,
        unusable,
        peaks.peak_x,
        peaks.peak_y,
        sigma_pix,
        config.measurement.shape,
    )
    return columns, detection.threshold
