"""The look-up table on light that came through the simulator's air, which has other formulae.

What has to come back is the light, and how hazy and how wet each night was.
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
from drpflow.sim import atmosphere
from drpflow.sim.config import FilterConfig
from drpflow.sim.sed import WAVELENGTH_NM
from drpflow.sim.throughput import filter_curve, mirror_curve

SEC_Z = np.linspace(1.0, 2.0, 5)
# Edges [nm]: g, r, i, z and y.
FILTERS = {"g": (402, 548), "r": (553, 688), "i": (692, 818), "z": (822, 918), "y": (928, 1040)}
BANDS = tuple(FILTERS)
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
    curves = {
        band: mirror_curve(WAVELENGTH_NM)
        * filter_curve(
            FilterConfig(physical_filter=band, band=band, lower_nm=low, upper_nm=high, sky_mag=20.0)
        )
        for band, (low, high) in FILTERS.items()
    }
    throughputs = [
        FilterThroughput(band, band, ((WAVELENGTH_NM, curve),), np.zeros(1, np.int32))
        for band, curve in curves.items()
    ]
    table = build_look_up_table(throughputs, [0], read_absorption(), AirState(pressure_hpa=743.0))
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
        constants, nightly = p[: len(BANDS)], p[len(BANDS) :].reshape(-1, 4)
        off = [
            2500 * np.log10(setup.model(q)[:, 0] / t[..., 0]) - constants[:, None]
            for q, t in zip(nightly, truth, strict=True)
        ]
        priors = (nightly - [2.5, 265.0, -3.0, 1.1]) / [2.0, 30.0, 1.0, 0.4]
        return np.concatenate([np.ravel(off), np.ravel(priors)])

    start = np.concatenate([np.zeros(len(BANDS)), np.tile([2.5, 265.0, -3.0, 1.1], len(airs))])
    scale = np.concatenate([np.full(len(BANDS), 10.0), np.tile([0.3, 10.0, 0.3, 0.3], len(airs))])
    fitted = least_squares(residuals, start, x_scale=scale).x[len(BANDS) :].reshape(-1, 4)
    return list(zip(airs, truth, fitted, strict=True))


def test_light_comes_back(
    setup: Setup, nights: list[tuple[atmosphere.AirState, np.ndarray, np.ndarray]]
) -> None:
    """Extinction to 0.4 mmag, with one constant for each band; passbands to 0.15 nm."""
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
    assert np.abs(off_nm).max() < 0.15


def test_aerosols_come_back(
    nights: list[tuple[atmosphere.AirState, np.ndarray, np.ndarray]],
) -> None:
    true = [air.aerosol_depth * (AEROSOL_NM / 550) ** -air.aerosol_exponent for air, _, _ in nights]
    found = np.exp([q[2] for _, _, q in nights])
    assert found == pytest.approx(np.array(true), abs=0.004)


def test_water_and_ozone_come_back(
    nights: list[tuple[atmosphere.AirState, np.ndarray, np.ndarray]],
) -> None:
    """Water to 15 per cent, by as much on all nights; ozone to 5 Dobson units."""
    water = np.array([np.exp(q[0]) / air.water_mm for air, _, q in nights])
    assert water == pytest.approx(np.ones(len(nights)), abs=0.15)
    assert np.std(water) < 0.03
    ozone = [q[1] - air.ozone_dobson for air, _, q in nights]
    assert ozone == pytest.approx(np.zeros(len(nights)), abs=5.0)
