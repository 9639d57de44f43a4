"""The parametric atmosphere beside MODTRAN, through the passbands of the LSST.

    python benchmarks/accuracy_atmosphere.py [--absorption FILE]

Prints rms differences of the extinction (mmag per airmass) and of I10 (nm). With a table that
``absorption_coefficients.py --sites subaru2`` made, the rows of Cerro Pachón are predictions too.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import modtran
import numpy as np
from modtran import NO_AEROSOL, Spectrum

from drpflow.data.air import AirState
from drpflow.io.absorption import read_absorption

if TYPE_CHECKING:
    from drpflow.data.air import AirAbsorption

FOLDER = Path(__file__).parents[1] / "../shared/data/throughput_atmosphere"
Case = tuple[AirState, Spectrum]


def differences(
    absorption: AirAbsorption, passbands: dict[str, Spectrum], case: Case
) -> np.ndarray:
    """Return ours less MODTRAN's, shape (2, bands): extinction [mmag per airmass] and I10 [nm]."""
    air, theirs = case
    ours = Spectrum(absorption.wavelength_nm, absorption.transmission(*air.values()))
    found = []
    for passband in passbands.values():
        i0, mean = modtran.integrals(passband, ours)
        i0_theirs, mean_theirs = modtran.integrals(passband, theirs)
        found.append((-2500 * np.log10(i0 / i0_theirs) / air.sec_z, mean - mean_theirs))
    return np.transpose(found)


def fitted_lsst_air(
    absorption: AirAbsorption, passbands: dict[str, Spectrum], spectra: dict[float, Spectrum]
) -> AirState:
    """Return PWV, ozone and pressure, of which the LSST's files do not tell, one for all airmasses.

    From 18 numbers: the six I0 at airmasses 1.0, 1.2 and 2.0.
    """
    from scipy.optimize import least_squares

    def state(q: np.ndarray, sec_z: float) -> AirState:
        return AirState(float(np.exp(q[0])), q[1], NO_AEROSOL, 1.0, sec_z, q[2])

    def residuals(q: np.ndarray) -> np.ndarray:
        cases = [(state(q, x), spectra[x]) for x in (1.0, 1.2, 2.0)]
        return np.concatenate([differences(absorption, passbands, case)[0] for case in cases])

    return state(least_squares(residuals, [1.0, 280.0, 735.0], x_scale=[0.1, 10, 10]).x, 1.0)


def all_cases(absorption: AirAbsorption, passbands: dict[str, Spectrum]) -> dict[str, list[Case]]:
    """Return what is compared, by title."""
    cases: dict[str, list[Case]] = {}
    for name, title in (("subaru2", "Maunakea, 605 hPa"), ("lsst2", "Cerro Pachón, 732 hPa")):
        site = modtran.read_site(FOLDER, name)
        cases[f"{title}: 8 airs without aerosols"] = modtran.whole_air(site, name)
        cases[f"{title}: standard, with aerosols"] = [(site.standard_air, site.standard)]
    spectra = modtran.read_lsst_air(FOLDER)
    air = fitted_lsst_air(absorption, passbands, spectra)
    title = (
        f"LSST 2010, airmass 1.0 to 2.5 (fitted: {air.pwv_mm:.2f} mm, "
        f"{air.ozone_dobson:.0f} DU, {air.pressure_hpa:.0f} hPa)"
    )
    cases[title] = [(replace(air, sec_z=x), spectrum) for x, spectrum in spectra.items()]
    cases["DES standard"] = [(modtran.DES_AIR, modtran.read_des_air(FOLDER))]
    return cases


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--absorption", type=Path, help="another table of absorption")
    absorption = read_absorption(parser.parse_args().absorption)
    passbands = modtran.read_passbands(FOLDER)
    print("rms of ours less MODTRAN's: mmag per airmass | nm of I10, in u g r i z y")
    for title, cases in all_cases(absorption, passbands).items():
        off = np.array([differences(absorption, passbands, case) for case in cases])
        extinction, i10 = np.sqrt(np.mean(off**2, axis=0))
        print(f"{title}\n   ", *(f"{v:6.2f}" for v in extinction), end=" |")
        print(*(f"{v:6.3f}" for v in i10))


if __name__ == "__main__":
    main()
