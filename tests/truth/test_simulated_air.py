"""The look-up table on light that came through the simulator's air, which has other formulae.

What has to come back is the light, and which night is hazier or wetter; a millimetre of water is
another thing in the simulator than in MODTRAN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from drpflow.algorithms.fgcm.look_up_table import FilterThroughput, build_look_up_table
from drpflow.data.air import AEROSOL_NM, AirState
from drpflow.data.look_up_table import LookUpTable
from drpflow.io.absorption import read_absorption
from drpflow.io.camera_yaml import load_camera, read_throughput
from drpflow.sim import atmosphere
from drpflow.sim.sed import WAVELENGTH_NM

SEC_Z = np.linspace(1.0, 2.0, 5)
BANDS = "gri"
# Water, aerosol depth and exponent, ozone of four nights.
NIGHTS = (
    (2.0, 0.04, 1.4, 270.0),
    (4.0, 0.08, 1.2, 275.0),
    (6.0, 0.05, 1.0, 260.0),
    (3.0, 0.11, 0.9, 290.0),
)


@dataclass(frozen=True)
class Setup:
    """A table, and what the simulator lets through, relative to its standard air."""

    table: LookUpTable
    curves: dict[str, np.ndarray]

    def simulated(self, air: atmosphere.AirState, band: str, sec_z: float) -> np.ndarray:
        """Return I0 and the mean wavelength."""
        product = self.curves[band] * atmosphere.transmission(air, sec_z)
        i0 = np.trapezoid(product / WAVELENGTH_NM, WAVELENGTH_NM)
        return np.array([i0, np.trapezoid(product, WAVELENGTH_NM) / i0])

    def model(self, q: np.ndarray) -> np.ndarray:
        """Return I0 and I10 of the bands and airmasses; q: ln PWV, ozone, ln τ, α."""
        state = (np.exp(q[0]), q[1], np.exp(q[2]), q[3], SEC_Z, 743.0)
        found = [self.table.evaluate(band, 0, *state) for band in BANDS]
        return np.array([[p.i0, p.i10] for p in found])


@pytest.fixture(scope="module")
def setup() -> Setup:
    one = np.zeros(1, np.int32)
    files = {f.band: str(f.throughput) for f in load_camera("simcam").filters}
    throughputs = [
        FilterThroughput(band, band, (read_throughput(files[band]),), one) for band in BANDS
    ]
    table = build_look_up_table(throughputs, [0], read_absorption(), AirState(pressure_hpa=743.0))
    curves = {
        band: np.interp(WAVELENGTH_NM, *read_throughput(files[band]), 0.0, 0.0) for band in BANDS
    }
    return Setup(table, curves)


@pytest.fixture(scope="module")
def nights(setup: Setup) -> list[tuple[atmosphere.AirState, np.ndarray, np.ndarray]]:
    """Air, truth (I0, mean wavelength; bands, airmasses) and fitted parameters of each night.

    As a survey does: one constant a band for all nights, four parameters for each.
    """
    standard = replace(atmosphere.STANDARD_AIR, pressure_hpa=743.0)
    airs = [
        replace(standard, water_mm=w, aerosol_depth=t, aerosol_exponent=a, ozone_dobson=o)
        for w, t, a, o in NIGHTS
    ]
    truth = np.array([[[setup.simulated(air, b, x) for x in SEC_Z] for b in BANDS] for air in airs])

    def residuals(p: np.ndarray) -> np.ndarray:
        constants, nightly = p[:3], p[3:].reshape(-1, 4)
        off = [
            2500 * np.log10(setup.model(q)[:, 0] / t[..., 0]) - constants[:, None]
            for q, t in zip(nightly, truth, strict=True)
        ]
        priors = (nightly - [2.5, 265.0, -3.0, 1.1]) / [2.0, 30.0, 1.0, 0.4]
        return np.concatenate([np.ravel(off), np.ravel(priors)])

    start = np.concatenate([np.zeros(3), np.tile([2.5, 265.0, -3.0, 1.1], len(airs))])
    scale = np.concatenate([np.full(3, 10.0), np.tile([0.3, 10.0, 0.3, 0.3], len(airs))])
    fitted = least_squares(residuals, start, x_scale=scale).x[3:].reshape(-1, 4)
    return list(zip(airs, truth, fitted, strict=True))


def test_light_comes_back(
    setup: Setup, nights: list[tuple[atmosphere.AirState, np.ndarray, np.ndarray]]
) -> None:
    """Extinction to 0.4 mmag, with one constant for each band; passbands to 0.3 nm."""
    extinction = []
    shifts = []
    for _, truth, q in nights:
        model = setup.model(q)
        extinction.append(2500 * np.log10(model[:, 0] / truth[..., 0]))
        shifts.append(model[:, 1] - truth[..., 1])
    off_mmag = np.array(extinction)
    off_mmag -= off_mmag.mean(axis=(0, 2), keepdims=True)
    assert np.sqrt(np.mean(off_mmag**2)) < 0.4
    off_nm = np.array(shifts)
    off_nm -= off_nm.mean(axis=(0, 2), keepdims=True)
    assert np.abs(off_nm).max() < 0.3


def test_aerosols_come_back(
    nights: list[tuple[atmosphere.AirState, np.ndarray, np.ndarray]],
) -> None:
    true = [air.aerosol_depth * (AEROSOL_NM / 550) ** -air.aerosol_exponent for air, _, _ in nights]
    found = np.exp([q[2] for _, _, q in nights])
    difference = found - np.array(true)
    assert np.std(difference) < 0.003
    assert np.abs(difference).max() < 0.01


def test_wetter_nights_are_wetter(
    nights: list[tuple[atmosphere.AirState, np.ndarray, np.ndarray]],
) -> None:
    true = np.log([air.water_mm for air, _, _ in nights])
    found = np.array([q[0] for _, _, q in nights])
    slope, _ = np.polyfit(true, found, 1)
    assert 0.7 < slope < 1.5
    assert np.std(found - slope * true) < 0.05
