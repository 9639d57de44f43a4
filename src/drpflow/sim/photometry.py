"""Synthetic photometry: from spectra to electrons, and to what refraction needs.

A source's brightness is its flux [nJy] through the normalising passband of
:mod:`drpflow.sim.sed`. For one bandpass, :class:`BandResponse` holds what one such nJy of each
template gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.atmosphere import STANDARD_AIR, STANDARD_AIRMASS, transmission
from drpflow.sim.sed import WAVELENGTH_NM, SedLibrary
from drpflow.sim.throughput import filter_curve

if TYPE_CHECKING:
    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.refraction import Air
    from drpflow.sim.throughput import Throughputs

PHOTONS_PER_S_M2_NJY = 1e-35 / 6.62607015e-34
"""Photons per second, square metre and unit of ln(wavelength) in 1 nJy."""

AB_ZERO_NJY = 3631e9


def mag_to_njy(mag: np.ndarray | float) -> np.ndarray:
    """Return the flux of an AB magnitude."""
    return AB_ZERO_NJY * 10.0 ** (-0.4 * np.asarray(mag, dtype=float))


@dataclass(frozen=True)
class BandResponse:
    """What each template gives through one bandpass.

    Parameters
    ----------
    electron_per_s_njy
        Electrons per second for 1 nJy of brightness, shape (templates,).
    wavelength_nm
        Photon-weighted mean wavelength, shape (templates,).
    refraction_arcsec
        Photon-weighted mean refraction, shape (templates,); zeros without refraction.
    refraction_variance_arcsec2
        Variance of refraction over the bandpass, shape (templates,).
    """

    electron_per_s_njy: np.ndarray
    wavelength_nm: np.ndarray
    refraction_arcsec: np.ndarray
    refraction_variance_arcsec2: np.ndarray

    def at(self, sed_index: np.ndarray) -> BandResponse:
        """Return the same for sources with these (fractional) template indices.

        Means are photon-weighted, so photons and not means are interpolated: exact.
        """
        n = self.electron_per_s_njy
        second = self.refraction_variance_arcsec2 + self.refraction_arcsec**2
        sums = np.stack([n, n * self.wavelength_nm, n * self.refraction_arcsec, n * second], axis=1)
        total, wavelength, shift, square = SedLibrary.interpolate(sums, sed_index).T
        shift = shift / total
        variance = np.maximum(square / total - shift**2, 0.0)
        return BandResponse(total, wavelength / total, shift, variance)


def band_response(
    library: SedLibrary,
    curve: np.ndarray,
    area_m2: float,
    air: Air | None = None,
    zenith_deg: float = 0.0,
) -> BandResponse:
    """Integrate all templates over a bandpass.

    Parameters
    ----------
    library
        The templates.
    curve
        Electrons per photon on the wavelength grid.
    area_m2
        Collecting area.
    air, zenith_deg
        Air and zenith distance for refraction; no air, no refraction.
    """
    # dλ/λ at 1 nm steps.
    photons = library.f_nu * (curve / WAVELENGTH_NM)
    total = photons.sum(axis=1)
    weights = photons / total[:, None]
    if air is None:
        angle = np.zeros_like(WAVELENGTH_NM)
    else:
        angle = air.refraction_arcsec(WAVELENGTH_NM, zenith_deg)
    mean = weights @ angle
    variance = np.maximum(weights @ angle**2 - mean**2, 0.0)
    rate = PHOTONS_PER_S_M2_NJY * area_m2 * total
    return BandResponse(rate, weights @ WAVELENGTH_NM, mean, variance)


def band_flux(library: SedLibrary, curve: np.ndarray) -> np.ndarray:
    """Return the AB flux through a bandpass for 1 nJy of brightness, shape (templates,)."""
    weight = curve / WAVELENGTH_NM
    return library.f_nu @ weight / weight.sum()


def standard_curve(throughputs: Throughputs, physical_filter: str) -> np.ndarray:
    """Return the bandpass in which standard magnitudes of a filter are defined."""
    air = transmission(STANDARD_AIR, STANDARD_AIRMASS)
    return throughputs.mean_system(physical_filter) * air


def reference_curve(config: SurveyConfig, throughputs: Throughputs, band: str) -> np.ndarray:
    """Return the bandpass of the reference catalogue for a band: like, but not, the camera's."""
    item = next(f for f in config.instrument.filters if f.band == band)
    shift = config.reference.passband_shift_nm.get(band, 0.0)
    mean_efficiency = np.mean(list(throughputs.efficiency.values()), axis=0)
    air = transmission(STANDARD_AIR, STANDARD_AIRMASS)
    return filter_curve(item, shift) * throughputs.mirrors * mean_efficiency * air
