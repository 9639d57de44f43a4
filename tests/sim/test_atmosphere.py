from dataclasses import replace

import numpy as np
import pytest

from drpflow.sim.atmosphere import STANDARD_AIR, air_state, transmission
from drpflow.sim.sed import WAVELENGTH_NM

from .surveys import survey_config


def at(nm: float) -> int:
    return int(np.argmin(np.abs(WAVELENGTH_NM - nm)))


def extinction_mag(nm: float, **changes: float) -> float:
    return float(-2.5 * np.log10(transmission(replace(STANDARD_AIR, **changes), 1.0)[at(nm)]))


def test_rayleigh_at_sea_level() -> None:
    # Bodhaine et al. (1999): optical depth 0.1453 at 500 nm, 1013.25 hPa.
    clear = {"pressure_hpa": 1013.25, "aerosol_depth": 0.0, "ozone_dobson": 0.0, "water_mm": 0.0}
    assert extinction_mag(500.0, **clear) == pytest.approx(1.086 * 0.1453, rel=0.02)


def test_extinction_is_that_of_a_good_site() -> None:
    assert extinction_mag(480.0) == pytest.approx(0.22, abs=0.06)
    assert extinction_mag(750.0) < extinction_mag(620.0) < extinction_mag(480.0)


def test_each_constituent_takes_light_where_it_should() -> None:
    assert extinction_mag(603.0, ozone_dobson=350.0) - extinction_mag(603.0) > 0.005
    assert extinction_mag(820.0, water_mm=10.0) - extinction_mag(820.0) > 0.05
    assert extinction_mag(500.0, water_mm=10.0) == pytest.approx(extinction_mag(500.0), abs=1e-6)
    aerosol = extinction_mag(550.0, aerosol_depth=0.16) - extinction_mag(550.0)
    assert aerosol == pytest.approx(1.0857 * 0.1, rel=1e-3)


def test_gray_extinction_grows_with_airmass() -> None:
    once, twice = transmission(STANDARD_AIR, 1.0), transmission(STANDARD_AIR, 2.0)
    assert twice[at(480.0)] == pytest.approx(once[at(480.0)] ** 2, rel=1e-3)


def test_nights_differ_and_drift() -> None:
    config = survey_config("demo")
    first, later = air_state(config, 0, 1, -3.0), air_state(config, 0, 2, 3.0)
    other = air_state(config, 1, 3, 0.0)
    assert first.ozone_dobson == later.ozone_dobson != other.ozone_dobson
    assert first.water_mm != later.water_mm
    low, high = config.atmosphere.water_mm
    assert 0.5 * low < first.water_mm < 2 * high
    assert first.temperature_c > later.temperature_c
