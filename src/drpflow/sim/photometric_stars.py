"""The stars of a photometric survey, and the reference catalogue of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.atmosphere import STANDARD_AIR, STANDARD_AIRMASS, transmission
from drpflow.sim.catalog import draw_temperatures
from drpflow.sim.photometric_light import Spectra, StellarLight, flat_photons, spectra_of
from drpflow.sim.random_field import scalar_field
from drpflow.sim.sed import WAVELENGTH_NM
from drpflow.sim.star_field import draw_magnitudes
from drpflow.sim.streams import SkyStage, generator
from drpflow.sim.throughput import filter_curve, mirror_curve

if TYPE_CHECKING:
    from drpflow.sim.photometric_camera import PhotometricCamera
    from drpflow.sim.photometric_config import PhotometricConfig

FIRST_STAR_ID = 1_000_000


@dataclass(frozen=True)
class PhotometricStars:
    """The stars (S) of the field.

    Parameters
    ----------
    id, ra, dec
        Number and position, deg.
    mag
        Brightness (r of :mod:`drpflow.sim.sed`, before dust).
    spectra
        Their spectra.
    standard_mag
        True magnitudes through the standard passbands, shape (S, B).
    color
        True colour between the first and the last band.
    reserved
        Kept for validation.
    amplitude_mag, period_day, phase
        Of variable stars; amplitude 0 for all others.
    reference_mag, reference_err
        The reference catalogue in its own passbands, shape (S, B); NaN for stars not in it.
    """

    id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    mag: np.ndarray
    spectra: Spectra
    standard_mag: np.ndarray
    color: np.ndarray
    reserved: np.ndarray
    amplitude_mag: np.ndarray
    period_day: np.ndarray
    phase: np.ndarray
    reference_mag: np.ndarray
    reference_err: np.ndarray

    def __len__(self) -> int:
        return self.id.size

    def variation_mag(self, rows: np.ndarray, mjd: float) -> np.ndarray:
        """Return how much fainter than on average stars are at a time."""
        amplitude = self.amplitude_mag[rows]
        turn = 2 * np.pi * (mjd / self.period_day[rows] + self.phase[rows])
        return np.where(amplitude > 0, amplitude * (np.sin(turn) + 0.25 * np.sin(2 * turn)), 0.0)


def draw_stars(
    config: PhotometricConfig,
    camera: PhotometricCamera,
    light: StellarLight,
    standard_air: np.ndarray,
) -> PhotometricStars:
    """Draw the field about all boresights.

    Parameters
    ----------
    config, camera, light
        Survey, camera and templates.
    standard_air
        Transmission of the air of the standard passbands, on the wavelength grid.
    """
    f = config.field
    rng = generator(config.seed, SkyStage.STARS)
    half_deg = f.dither_deg / 2 + camera.radius_deg
    density = f.stars_per_detector / camera.config.detector_deg**2
    number = rng.poisson(density * (2 * half_deg) ** 2)
    x, y = rng.uniform(-half_deg, half_deg, (2, number))
    dec = f.dec_deg + y
    mag = draw_magnitudes(rng, f, number)
    dust = f.reddening_mag * rng.gamma(2.0, 0.5, number)
    spectra = spectra_of(draw_temperatures(rng, mag), np.minimum(dust, 0.3))
    standard = ab_magnitudes(mag, spectra, camera.curves.mean(axis=1) * standard_air, light)
    reference, error = _reference(config, mag, (x, y), spectra, light)
    return PhotometricStars(
        id=FIRST_STAR_ID + np.arange(number),
        ra=(f.ra_deg + x / np.cos(np.deg2rad(dec))) % 360.0,
        dec=dec,
        mag=mag,
        spectra=spectra,
        standard_mag=standard,
        color=standard[:, 0] - standard[:, -1],
        reserved=rng.uniform(size=number) < f.reserved_fraction,
        reference_mag=reference,
        reference_err=error,
        **_variability(config, number),
    )


def ab_magnitudes(
    mag: np.ndarray, spectra: Spectra, curves: np.ndarray, light: StellarLight
) -> np.ndarray:
    """Return AB magnitudes through passbands (B, wavelengths), shape (S, B)."""
    flat = flat_photons(curves)
    photons = [spectra.photons(table) for table in light.per_njy(curves)]
    return mag[:, None] - 2.5 * np.log10(np.stack(photons, axis=1) / flat)


def _variability(config: PhotometricConfig, number: int) -> dict[str, np.ndarray]:
    f = config.field
    rng = generator(config.seed, SkyStage.VARIABILITY)
    variable = rng.uniform(size=number) < f.variable_fraction
    amplitude = f.variable_amplitude_mag * np.exp(rng.normal(scale=0.8, size=number))
    return {
        "amplitude_mag": np.where(variable, np.minimum(amplitude, 0.8), 0.0),
        "period_day": 10.0 ** rng.uniform(-0.7, 2.0, number),
        "phase": rng.uniform(size=number),
    }


def _reference(
    config: PhotometricConfig,
    mag: np.ndarray,
    place_deg: tuple[np.ndarray, np.ndarray],
    spectra: Spectra,
    light: StellarLight,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what another survey has measured: its passbands, its errors, its patches."""
    r = config.reference
    rng = generator(config.seed, SkyStage.REFERENCE)
    listed = (mag < r.faint_mag) & (rng.uniform(size=mag.size) < r.fraction)
    wrong = rng.uniform(size=mag.size) < r.outlier_fraction
    error = np.hypot(r.floor_mag, 0.012 * 10.0 ** (0.32 * (mag - 19.0)))
    extent_deg = 2 * max(float(np.abs(w).max(initial=0.1)) for w in place_deg)
    true = ab_magnitudes(mag, spectra, _reference_curves(config), light)
    measured, errors = np.full_like(true, np.nan), np.full_like(true, np.nan)
    for band in range(true.shape[1]):
        pattern = scalar_field(rng, r.pattern_deg, extent_deg)(*place_deg)[0]
        noise = error * rng.normal(size=mag.size) + r.pattern_mag * pattern
        noise += wrong * rng.normal(0.0, 0.1, mag.size)
        measured[listed, band] = (true[:, band] + noise)[listed]
        errors[listed, band] = error[listed]
    return measured, errors


def _reference_curves(config: PhotometricConfig) -> np.ndarray:
    """Return the passbands of the reference catalogue, shape (B, wavelengths)."""
    air = transmission(STANDARD_AIR, STANDARD_AIRMASS)
    rng = generator(config.seed, SkyStage.REFERENCE, 1)
    shifts = rng.normal(0.0, config.reference.passband_shift_nm, len(config.camera.filters))
    curves = [filter_curve(f, s) for f, s in zip(config.camera.filters, shifts, strict=True)]
    return np.array(curves) * mirror_curve(WAVELENGTH_NM) * air
