"""The parametric atmosphere against MODTRAN, through the passbands of the LSST.

The absorption was fitted to the tables of FGCM; Rayleigh scattering and aerosols were not, nor was
anything fitted to the LSST's and DES's atmospheres but what their files do not tell.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from drpflow.algorithms.fgcm.look_up_table import FilterThroughput, build_look_up_table
from drpflow.data.air import AirState
from drpflow.io.absorption import read_absorption

if TYPE_CHECKING:
    from modtran import Spectrum

    from drpflow.data.look_up_table import LookUpTable

pytestmark = pytest.mark.real_data
ABSORPTION = read_absorption()
# Largest rms difference, u to y: extinction in mmag per airmass, I10 in nm.
EXTINCTION_MMAG = np.array([0.7, 0.4, 0.2, 0.3, 0.3, 1.0])
I10_NM = np.array([0.01, 0.02, 0.01, 0.01, 0.01, 0.04])


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "throughput_atmosphere"


@pytest.fixture(scope="module")
def passbands(folder: Path) -> dict[str, Spectrum]:
    from modtran import read_passbands

    return read_passbands(folder)


@pytest.fixture(scope="module")
def table(passbands: dict[str, Spectrum]) -> LookUpTable:
    one = np.zeros(1, np.int32)
    throughputs = [FilterThroughput(band, band, (tuple(p),), one) for band, p in passbands.items()]
    return build_look_up_table(throughputs, [0], ABSORPTION, AirState(pressure_hpa=731.66))


def rms_differences(passbands: dict[str, Spectrum], cases: list) -> np.ndarray:
    from accuracy_atmosphere import differences

    off = np.array([differences(ABSORPTION, passbands, case) for case in cases])
    return np.sqrt(np.mean(off**2, axis=0))


@pytest.mark.parametrize("name", ["subaru2", "lsst2"])
def test_sites(folder: Path, passbands: dict[str, Spectrum], name: str) -> None:
    from modtran import read_site, whole_air

    site = read_site(folder, name)
    for cases in (whole_air(site, name), [(site.standard_air, site.standard)]):
        extinction, i10 = rms_differences(passbands, cases)
        assert (extinction < EXTINCTION_MMAG).all()
        assert (i10 < I10_NM).all()


def test_lsst_from_airmass_1_to_2_5(folder: Path, passbands: dict[str, Spectrum]) -> None:
    from accuracy_atmosphere import fitted_lsst_air
    from modtran import read_lsst_air

    spectra = read_lsst_air(folder)
    air = fitted_lsst_air(ABSORPTION, passbands, spectra)
    assert air.pressure_hpa == pytest.approx(731.66, abs=6.0)
    cases = [(replace(air, sec_z=x), spectrum) for x, spectrum in spectra.items()]
    extinction, i10 = rms_differences(passbands, cases)
    assert (extinction < EXTINCTION_MMAG).all()
    assert (i10 < I10_NM).all()


def test_des_standard_atmosphere(folder: Path, passbands: dict[str, Spectrum]) -> None:
    from modtran import DES_AIR, read_des_air

    extinction, i10 = rms_differences(passbands, [(DES_AIR, read_des_air(folder))])
    assert (extinction < EXTINCTION_MMAG).all()
    assert (i10 < I10_NM).all()


def recovered(table: LookUpTable, measured_i0: np.ndarray, sec_z: float, hpa: float) -> np.ndarray:
    """Return ln PWV, ozone and ln τ from six I0, by Gauss-Newton with the table's derivatives."""
    q = np.array([np.log(2.0), 300.0, np.log(0.05)])
    for _ in range(15):
        state = (np.exp(q[0]), q[1], np.exp(q[2]), 1.0, sec_z, hpa)
        found = [table.evaluate(band, 0, *state) for band in table.bands]
        residual = np.log(measured_i0) - np.log([p.i0 for p in found])
        jacobian = np.array([p.d_i0[:3] / p.i0 for p in found])
        q = q + np.clip(np.linalg.lstsq(jacobian, residual)[0], [-1, -80, -1], [1, 80, 1])
    return np.array([np.exp(q[0]), q[1], np.exp(q[2])])


@pytest.mark.parametrize("name", ["subaru2", "lsst2"])
def test_water_ozone_and_aerosols_come_back(
    folder: Path, passbands: dict[str, Spectrum], table: LookUpTable, name: str
) -> None:
    """From the brightness of one white star in six bands, and nothing else."""
    from modtran import integrals, read_site

    site = read_site(folder, name)
    air = site.standard_air
    i0 = np.array([integrals(p, site.standard)[0] for p in passbands.values()])
    pwv, ozone, tau = recovered(table, i0, air.sec_z, site.pressure_hpa)
    assert pwv == pytest.approx(air.pwv_mm, rel=0.02)
    assert ozone == pytest.approx(air.ozone_dobson, abs=4.0)
    assert tau == pytest.approx(air.aerosol_tau, abs=5e-4)


def test_transmission_curve_of_a_visit(folder: Path, table: LookUpTable) -> None:
    """Means over 20 nm, from 310 nm: none ends in the steep edge of the oxygen band at 760 nm."""
    from modtran import read_site

    site = read_site(folder, "lsst2")
    curve = table.atmosphere(site.standard_air)
    off = curve.throughput(site.wavelength_nm) - site.standard.transmission
    means = off[20 : 20 + 39 * 40].reshape(-1, 40).mean(axis=1)
    assert np.sqrt(np.mean(means**2)) < 1e-3
