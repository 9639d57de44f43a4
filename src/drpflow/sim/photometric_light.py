"""Colours of stars through many passbands: tables of synthetic magnitudes, interpolated.

A star's spectrum is a template of :mod:`drpflow.sim.sed` (temperature) behind some dust. Per
passband the magnitudes of all templates at three amounts of dust are integrated; stars in between
come from the two neighbouring templates (exact, see there) and the parabola in the dust (better
than 0.01 mmag up to E(B-V) = 0.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drpflow.sim.photometry import AB_ZERO_NJY, PHOTONS_PER_S_M2_NJY
from drpflow.sim.sed import STAR_TEMPERATURES_K, WAVELENGTH_NM, SedLibrary, build_library

_REDDENING_MAG = (0.0, 0.1, 0.2)
_TOTAL_TO_SELECTIVE = 3.1
# Extinction falls roughly so from 400 nm to 1 µm (after Fitzpatrick 1999).
_EXTINCTION_EXPONENT = -1.5


@dataclass(frozen=True)
class StellarLight:
    """All stellar templates behind all amounts of dust.

    Parameters
    ----------
    f_nu
        Flux density per frequency, shape (templates, dust, wavelengths); the mean over the
        normalising passband of :mod:`drpflow.sim.sed`, without dust, is 1.
    """

    f_nu: np.ndarray

    def per_njy(self, curves: np.ndarray) -> np.ndarray:
        """Return log e of ∫ f S dλ/λ for passbands, shape (…, templates, dust).

        Parameters
        ----------
        curves
            Electrons per photon on the wavelength grid, shape (…, wavelengths).
        """
        templates, dust, wavelengths = self.f_nu.shape
        flat = self.f_nu.reshape(templates * dust, wavelengths)
        photons = (curves / WAVELENGTH_NM) @ flat.T
        return np.log(photons.reshape(*curves.shape[:-1], templates, dust))


def build_light() -> StellarLight:
    """Return the templates behind dust."""
    stars = build_library().f_nu[: len(STAR_TEMPERATURES_K)]
    law = _TOTAL_TO_SELECTIVE * (WAVELENGTH_NM / 550.0) ** _EXTINCTION_EXPONENT
    dust = 10.0 ** (-0.4 * np.outer(_REDDENING_MAG, law))
    return StellarLight(stars[:, None, :] * dust)


def flat_photons(curves: np.ndarray) -> np.ndarray:
    """Return ∫ S dλ/λ, shape of `curves` without the last axis: light of constant f_ν."""
    return (curves / WAVELENGTH_NM).sum(axis=-1)


def electron_mag(light: np.ndarray, area_m2: float) -> np.ndarray:
    """Return ``-2.5 log10(electron/s)`` of a star of AB magnitude 0, given ∫ f S dλ/λ."""
    return -2.5 * np.log10(light * (PHOTONS_PER_S_M2_NJY * area_m2 * AB_ZERO_NJY))


@dataclass(frozen=True)
class Spectra:
    """The spectra of stars, as places in the tables.

    Parameters
    ----------
    template
        Fractional index of the template, shape (stars,).
    reddening_mag
        E(B-V), shape (stars,).
    """

    template: np.ndarray
    reddening_mag: np.ndarray

    def take(self, rows: np.ndarray) -> Spectra:
        """Return the spectra of some stars."""
        return Spectra(self.template[rows], self.reddening_mag[rows])

    def photons(self, table: np.ndarray, passband: np.ndarray | None = None) -> np.ndarray:
        """Interpolate a table of :meth:`StellarLight.per_njy`.

        Parameters
        ----------
        table
            Shape (templates, dust), or (passbands, templates, dust) with `passband`.
        passband
            Row of each star.
        """
        lower = np.clip(self.template.astype(np.int64), 0, table.shape[-2] - 2)
        weight = (self.template - lower)[:, None]
        row: tuple[np.ndarray, ...] = () if passband is None else (passband,)
        below, above = table[(*row, lower)], table[(*row, lower + 1)]
        photons = np.log((1 - weight) * np.exp(below) + weight * np.exp(above))
        return np.exp((photons * self._dust_weights()).sum(axis=1))

    def _dust_weights(self) -> np.ndarray:
        """Return Lagrange's weights of the three amounts of dust, shape (stars, 3)."""
        a, b, c = _REDDENING_MAG
        e = self.reddening_mag
        return np.stack(
            [
                (e - b) * (e - c) / ((a - b) * (a - c)),
                (e - a) * (e - c) / ((b - a) * (b - c)),
                (e - a) * (e - b) / ((c - a) * (c - b)),
            ],
            axis=1,
        )


def spectra_of(temperature_k: np.ndarray, reddening_mag: np.ndarray) -> Spectra:
    """Return the spectra of stars of given temperatures behind given dust."""
    return Spectra(SedLibrary.star_index(temperature_k), reddening_mag)
