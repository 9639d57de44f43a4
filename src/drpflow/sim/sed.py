"""Spectra of the simulated sources: a sequence of stars, galaxies by type and redshift.

Stars are black bodies with the absorptions that give real stars their colours: metals in the
blue, the Balmer series and jump in hot ones, MgH and TiO in cool ones. Galaxies mix an old
population with a 400 nm break and a young one with emission lines. All are normalised to an
AB magnitude through one fixed passband, a top hat of 560 to 690 nm: the ``r`` of the catalogue.

Between two neighbours of the stellar sequence a star's spectrum is the straight line from one
to the other. Whatever is linear in the spectrum (fluxes, mean refraction) can therefore be
worked out on the templates and interpolated without error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WAVELENGTH_NM = np.arange(330.0, 1061.0, 1.0)
_NORM = (WAVELENGTH_NM >= 560.0) & (WAVELENGTH_NM <= 690.0)

STAR_TEMPERATURES_K = np.geomspace(2800.0, 14000.0, 49)
REFERENCE_TEMPERATURE_K = 5500.0
"""Temperature of the star whose light defines boresights, WCSs and zero points."""

GALAXY_REDSHIFTS = (0.05, 0.15, 0.3, 0.5, 0.8)
GALAXY_YOUTH = (0.0, 0.3, 0.65, 1.0)
"""Share of the young population at 550 nm (rest)."""

# Centre and width [nm] and strength of absorption bands (Jacoby, Hunter & Christian 1984).
_TITANIUM_OXIDE = (
    (478.0, 9.0, 0.35),
    (498.0, 10.0, 0.40),
    (523.0, 12.0, 0.45),
    (549.0, 10.0, 0.40),
    (592.0, 14.0, 0.55),
    (622.0, 12.0, 0.60),
    (668.0, 14.0, 0.70),
    (711.0, 16.0, 0.95),
    (768.0, 12.0, 0.60),
    (850.0, 14.0, 0.75),
)
_BALMER_NM = (656.3, 486.1, 434.0, 410.2, 397.0, 388.9)


@dataclass(frozen=True)
class SedLibrary:
    """All template spectra.

    Parameters
    ----------
    f_nu
        Flux density per frequency, shape (templates, wavelengths); the mean over the
        normalising passband is 1.
    """

    f_nu: np.ndarray

    @property
    def size(self) -> int:
        """Number of templates."""
        return len(self.f_nu)

    @staticmethod
    def star_index(temperature_k: np.ndarray) -> np.ndarray:
        """Return the (fractional) template index of stars of these temperatures."""
        nodes = np.log(STAR_TEMPERATURES_K)
        return np.interp(np.log(temperature_k), nodes, np.arange(len(nodes)))

    @staticmethod
    def galaxy_index(youth: np.ndarray, redshift: np.ndarray) -> np.ndarray:
        """Return the template index of galaxies, nearest in type and redshift."""
        kind = np.abs(np.subtract.outer(youth, GALAXY_YOUTH)).argmin(axis=-1)
        shift = np.abs(np.subtract.outer(redshift, GALAXY_REDSHIFTS)).argmin(axis=-1)
        first = len(STAR_TEMPERATURES_K)
        return (first + kind * len(GALAXY_REDSHIFTS) + shift).astype(float)

    def spectrum(self, index: float) -> np.ndarray:
        """Return the spectrum at a fractional index, shape (wavelengths,)."""
        return self.interpolate(self.f_nu, np.array([index]))[0]

    @staticmethod
    def interpolate(per_template: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Interpolate quantities known for each template, shape (templates, …)."""
        lower = np.clip(np.floor(index).astype(int), 0, len(per_template) - 2)
        weight = (index - lower).reshape((-1,) + (1,) * (per_template.ndim - 1))
        return (1 - weight) * per_template[lower] + weight * per_template[lower + 1]


def build_library() -> SedLibrary:
    """Return the templates: the stars by temperature, then the galaxies."""
    spectra = [_star(t) for t in STAR_TEMPERATURES_K]
    spectra += [_galaxy(youth, z) for youth in GALAXY_YOUTH for z in GALAXY_REDSHIFTS]
    f_nu = np.array(spectra) * WAVELENGTH_NM**2
    return SedLibrary(f_nu / f_nu[:, _NORM].mean(axis=1, keepdims=True))


def _band(center_nm: float, width_nm: float, wavelength_nm: np.ndarray) -> np.ndarray:
    return np.exp(-0.5 * ((wavelength_nm - center_nm) / width_nm) ** 2)


def planck(temperature_k: float, wavelength_nm: np.ndarray) -> np.ndarray:
    """Return a black body's light per wavelength, in arbitrary units."""
    return wavelength_nm**-5 / np.expm1(1.438777e7 / (wavelength_nm * temperature_k))


def _star(temperature_k: float, wavelength_nm: np.ndarray = WAVELENGTH_NM) -> np.ndarray:
    """Return f_λ of a dwarf, in arbitrary units."""
    w = wavelength_nm
    cool = np.clip((6800.0 - temperature_k) / 2500.0, 0.0, 1.2)
    metals = 0.55 * cool / (1 + np.exp((w - 415.0) / 22.0))
    metals += 0.25 * cool * (_band(393.4, 3.0, w) + _band(396.8, 3.0, w) + _band(430.5, 4.0, w))
    magnesium = 0.35 * np.exp(-0.5 * ((temperature_k - 4300.0) / 700.0) ** 2)
    metals += magnesium * _band(517.0, 6.0, w)
    molecules = np.clip((4100.0 - temperature_k) / 1000.0, 0.0, 1.3)
    metals += molecules * sum(depth * _band(c, s, w) for c, s, depth in _TITANIUM_OXIDE)
    hot = np.exp(-0.5 * (np.log(temperature_k / 9500.0) / 0.28) ** 2)
    hydrogen = 0.7 * hot / (1 + np.exp((w - 372.0) / 5.0))
    hydrogen += 0.45 * hot * sum(_band(line, 2.5, w) for line in _BALMER_NM)
    return planck(temperature_k, w) * np.exp(-metals - hydrogen)


def _galaxy(youth: float, redshift: float) -> np.ndarray:
    """Return f_λ of a galaxy, in arbitrary units."""
    rest = WAVELENGTH_NM / (1 + redshift)
    old = _star(4700.0, rest) / _star(4700.0, np.array([550.0]))
    old = old / (1 + 1.2 / (1 + np.exp((rest - 398.0) / 4.0)))
    young = (rest / 550.0) ** -1.6
    for line_nm, strength in ((372.7, 0.8), (500.7, 0.7), (486.1, 0.3), (656.3, 1.0)):
        young = young + strength * _band(line_nm, 2.0, rest)
    return (1 - youth) * old + youth * young
