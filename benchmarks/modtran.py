"""The transmissions that MODTRAN gave for several sites, and the LSST's passbands.

From ``../shared/data/throughput_atmosphere``: tables of FGCM (E. Rykoff), atmospheres for the LSST
(D. Burke) and the standard atmosphere of DES.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drpflow.data.air import AirState

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BANDS = "ugrizy"
SEC_Z = (1.0, 2.9238043, 4.8476086)
# The labels of the second table say 0.1 and 12 mm. Weak lines, whose depth is as the column, tell
# what it holds: 1.0 mm, and the 7.95 mm at which the air of that site is saturated.
PWV_MM = {"subaru2": (0.1, 3.6), "lsst2": (1.0, 7.95)}
OZONE_DOBSON = (220.0, 310.0)
NO_AEROSOL = 1e-9
# FGCM brings the air from the pressure of the site's height to the one that the file states by a
# grey factor. The height is not told: 773.5 hPa is fitted, with which our air has that factor.
_DES_STATED_HPA = 778.0
DES_AIR = AirState(3.0, 263.0, 0.03, 1.0, 1.2, 773.5)


class Spectrum(NamedTuple):
    """A transmission."""

    wavelength_nm: Floats
    transmission: Floats


@dataclass(frozen=True)
class Site:
    """The tables of FGCM for a site: components of the air, and its standard atmosphere."""

    pressure_hpa: float
    wavelength_nm: Floats
    water: Floats
    ozone: Floats
    gases: Floats
    rayleigh: Floats
    standard: Spectrum
    standard_air: AirState


def read_site(folder: Path, name: str) -> Site:
    """Read a table of FGCM: axes are PWV (or ozone), airmass and wavelength."""
    from astropy.io import fits

    with fits.open(folder / f"fgcm_atm_{name}_test.fits") as hdus:
        row = hdus[1].data[0]
        wavelength = np.asarray(row["ATMLAMBDA"], float) / 10
        pressure = float(row["PMBELEVATION"])
        keys = ("PWVSTD", "O3STD", "TAUSTD", "ALPHASTD", "AIRMASSSTD")
        return Site(
            pressure,
            wavelength,
            *(hdus[k].data.astype(float) for k in ("PWVATM", "O3ATM", "O2ATM", "RAYATM")),
            Spectrum(
                wavelength,
                row["ATMSTDTRANS"] / _grey_factor(float(row["PMBSTD"]), pressure),
            ),
            AirState(*(float(row[key]) for key in keys), pressure),
        )


def whole_air(site: Site, name: str) -> list[tuple[AirState, Spectrum]]:
    """Return the air of a site without aerosols: 2 PWVs, 2 ozone columns, airmasses 1 and 2.9."""
    found = []
    for i, pwv in enumerate(PWV_MM[name]):
        for j, ozone in enumerate(OZONE_DOBSON):
            for k, sec_z in enumerate(SEC_Z[:2]):
                product = site.water[i, k] * site.ozone[j, k] * site.gases[k] * site.rayleigh[k]
                air = AirState(pwv, ozone, NO_AEROSOL, 1.0, sec_z, site.pressure_hpa)
                found.append((air, Spectrum(site.wavelength_nm, product)))
    return found


def read_text(path: Path) -> Spectrum:
    """Read a gzipped text table of wavelengths and transmissions."""
    with gzip.open(path, "rt") as stream:
        return Spectrum(*np.loadtxt(stream, comments="#").T)


def read_lsst_air(folder: Path) -> dict[float, Spectrum]:
    """Read the LSST's atmospheres without aerosols, by airmass."""
    return {
        tenths / 10: read_text(folder / f"lsst/atmos/atmos_{tenths}.dat.gz")
        for tenths in range(10, 26)
    }


def read_des_air(folder: Path) -> Spectrum:
    """Read the standard atmosphere of DES, which is `DES_AIR`."""
    from astropy.io import fits

    table = fits.getdata(folder / "decam/des_atm_std.fits")
    grey = _grey_factor(_DES_STATED_HPA, DES_AIR.pressure_hpa)
    return Spectrum(table["lambda"].astype(float) / 10, table["throughput_atm"] / grey)


def _grey_factor(stated_hpa: float, pressure_hpa: float) -> float:
    return float(np.exp(-1.6 * (stated_hpa - pressure_hpa) / pressure_hpa))


def read_passbands(folder: Path) -> dict[str, Spectrum]:
    """Read the LSST's throughputs without air, by band."""
    return {band: read_text(folder / f"lsst/baseline/hardware_{band}.dat.gz") for band in BANDS}


def integrals(passband: Spectrum, air: Spectrum) -> tuple[float, float]:
    """Return ∫ S T dλ/λ and the mean wavelength of the photons, by trapezoids on S's grid."""
    inside = (passband.wavelength_nm >= 300) & (passband.wavelength_nm <= 1100)
    w, throughput = passband.wavelength_nm[inside], passband.transmission[inside]
    product = throughput * np.interp(w, *air)
    photons = np.trapezoid(product / w, w)
    return float(photons), float(np.trapezoid(product, w) / photons)
