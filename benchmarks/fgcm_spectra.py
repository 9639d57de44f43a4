"""How much more, or less, stellar spectra slope inside a band than between bands, by the truth.

The fit says of a star's light in a band that it changes with the first moment i10 of the passband
as 2.5 log10(1 + κ F' i10), with F' from the star's colours (docs/algorithms/fgcm.md). The κ that
describes the simulated spectra best, through all the air that a survey saw, is what a fitted one is
compared with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.fgcm.slopes import spectral_slopes
from drpflow.sim.atmosphere import STANDARD_AIR, STANDARD_AIRMASS, transmission
from drpflow.sim.photometric_light import build_light, flat_photons
from drpflow.sim.photometric_survey import detector_directions
from drpflow.sim.sed import WAVELENGTH_NM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.sim.photometric_survey import PhotometricSurvey

    Floats = NDArray[np.float64]

_STARS = 400
_MAG_PER_LN = 2.5 / np.log(10.0)


def true_sensitivity(survey: PhotometricSurvey) -> Floats:
    """Return the best κ of each band and its spread, shape (B, 2); NaN for a band without a visit.

    A mean over the stars is free in each visit, as it is in a fit with gray terms. The spread is
    the rms of the κ that would be best in single visits, each weighted as in the mean: if it is not
    small, no one number describes the spectra.
    """
    light, camera = build_light(), survey.camera
    standard = transmission(STANDARD_AIR, STANDARD_AIRMASS)
    rows = np.random.default_rng(1).permutation(len(survey.stars))[:_STARS]
    spectra = survey.stars.spectra.take(rows)

    def magnitudes(curve: Floats) -> Floats:
        photons = spectra.photons(light.per_njy(curve))
        return np.asarray(-2.5 * np.log10(photons / flat_photons(curve)))

    curves = camera.curves.mean(axis=1)
    middle = np.array([_wavelength(curve * standard) for curve in curves])
    usual = np.array([magnitudes(curve * standard) for curve in curves])
    slope, _ = spectral_slopes(usual.T, middle, np.ones(len(middle)), 0.5)
    above, below, squares = np.zeros((3, len(middle)))
    for exposure in survey.exposures:
        b = exposure.band
        airmass = float(exposure.airmass(detector_directions(camera, exposure)).mean())
        curve = curves[b] * exposure.light_path(airmass)
        i10 = flat_photons(curve * (WAVELENGTH_NM - middle[b])) / flat_photons(curve)
        model = _MAG_PER_LN * slope[:, b] * i10
        model -= model.mean()
        weight, product = model @ model, model @ (usual[b] - magnitudes(curve))
        above[b] += product
        below[b] += weight
        squares[b] += product**2 / weight
    with np.errstate(invalid="ignore"):
        best = above / below
        return np.stack([best, np.sqrt(np.maximum(squares / below - best**2, 0.0))], axis=1)


def _wavelength(curve: Floats) -> float:
    return float(curve.sum() / (curve / WAVELENGTH_NM).sum())


__all__ = ["true_sensitivity"]
