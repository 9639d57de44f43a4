"""Transmission of clear air and the nights' weather.

Rayleigh scattering after Hansen & Travis (1974), aerosols as a power law, the rest as Gaussian
bands: ozone (Chappuis and the red end of Huggins), molecular oxygen (A, B, γ), water. Oxygen
and water are lines that saturate: oxygen grows with a power of the column below one, water as
bands of random lines do (Malkmus 1967, J. Opt. Soc. Am. 57, 323).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.sed import WAVELENGTH_NM
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.config import SurveyConfig

# Centre [nm], width [nm], optical depth at 300 DU.
_OZONE = (
    (532.0, 36.0, 0.0056),
    (571.0, 7.0, 0.0051),
    (595.0, 48.0, 0.031),
    (604.0, 7.0, 0.0069),
    (664.0, 100.0, 0.0039),
)
# Centre [nm], width [nm], strength at airmass 1.
_OXYGEN = ((628.5, 2.5, 0.017), (687.5, 2.8, 0.125), (761.5, 4.0, 0.405))
# Centre [nm], width [nm], depth for 1 mm of water where its lines are weak, and the column [mm] at
# which they are no longer: such that each band takes, of 0.5 to 24 mm, as much light as MODTRAN's.
_WATER = (
    (592.0, 4.0, 0.0021, 45.0),
    (651.0, 4.0, 0.0017, 40.0),
    (698.0, 6.0, 0.0023, 49.0),
    (724.0, 7.1, 0.015, 5.2),
    (795.0, 7.1, 0.0013, 59.0),
    (821.0, 7.4, 0.018, 2.7),
    (904.0, 10.9, 0.020, 3.2),
    (935.0, 6.8, 0.23, 0.12),
    (951.0, 9.9, 0.15, 0.36),
    (975.0, 9.0, 0.0089, 24.0),
)


@dataclass(frozen=True)
class AirState:
    """What the air holds during one exposure.

    Parameters
    ----------
    water_mm
        Precipitable water.
    aerosol_depth, aerosol_exponent
        Optical depth at 550 nm and its Ångström exponent.
    ozone_dobson
        Ozone column.
    pressure_hpa, temperature_c, humidity_percent
        At the ground.
    """

    water_mm: float
    aerosol_depth: float
    aerosol_exponent: float
    ozone_dobson: float
    pressure_hpa: float
    temperature_c: float
    humidity_percent: float


STANDARD_AIR = AirState(4.0, 0.06, 1.2, 275.0, 743.0, 10.0, 35.0)
STANDARD_AIRMASS = 1.2
"""The air through which the standard magnitudes are defined."""


def _bands(table: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    w = WAVELENGTH_NM
    total = np.zeros_like(w)
    for center, width, depth in table:
        total += depth * np.exp(-0.5 * ((w - center) / width) ** 2)
    return total


def _water_depth(column_mm: float) -> np.ndarray:
    """Return the depth of bands of random lines: ``2 a c (√(1 + x/c) - 1)`` (Malkmus 1967)."""
    total = np.zeros_like(WAVELENGTH_NM)
    for center, width, strength, knee_mm in _WATER:
        growth = 2 * knee_mm * (np.sqrt(1 + column_mm / knee_mm) - 1)
        total += _bands(((center, width, strength * growth),))
    return total


def transmission(air: AirState, airmass: float) -> np.ndarray:
    """Return the transmission on :data:`drpflow.sim.sed.WAVELENGTH_NM`."""
    um = WAVELENGTH_NM / 1e3
    rayleigh = 0.008569 * um**-4 * (1 + 0.0113 * um**-2 + 0.00013 * um**-4)
    depth = rayleigh * air.pressure_hpa / 1013.25
    depth = depth + air.aerosol_depth * (WAVELENGTH_NM / 550.0) ** -air.aerosol_exponent
    huggins = 0.02 * np.exp(-(WAVELENGTH_NM - 330.0) / 7.0)
    depth = depth + (_bands(_OZONE) + huggins) * air.ozone_dobson / 300.0
    lines = _bands(_OXYGEN) * airmass**0.47 * (air.pressure_hpa / 1013.25) ** 0.5
    lines = lines + _water_depth(air.water_mm * airmass)
    return np.exp(-depth * airmass - lines)


def air_state(config: SurveyConfig, night: int, visit: int, hours: float) -> AirState:
    """Draw the air of one exposure: a nightly state that drifts, and the hour's scatter.

    Parameters
    ----------
    config
        The survey.
    night
        Index of the night.
    visit
        Visit number.
    hours
        Time since the middle of the night.
    """
    a = config.atmosphere
    nightly = generator(config.seed, SkyStage.NIGHT_WEATHER, night)
    water, aerosol = nightly.uniform(*a.water_mm), nightly.uniform(*a.aerosol_depth)
    exponent, ozone = nightly.uniform(0.7, 1.6), nightly.uniform(*a.ozone_dobson)
    water_drift, aerosol_drift = nightly.normal(0.0, (0.03, 0.02))
    pressure, temperature, humidity = nightly.normal((743.0, 11.0, 35.0), (2.0, 3.5, 10.0))
    cooling = nightly.uniform(0.1, 0.5)
    hourly = generator(config.seed, SkyStage.VISIT_WEATHER, visit)
    scatter = hourly.normal(0.0, (0.1, 0.15, 1.0))
    return AirState(
        water_mm=float(water * np.exp(water_drift * hours)),
        aerosol_depth=float(aerosol * np.exp(aerosol_drift * hours)),
        aerosol_exponent=float(exponent),
        ozone_dobson=float(ozone),
        pressure_hpa=round(float(pressure + scatter[0]), 2),
        temperature_c=round(float(temperature - cooling * hours + scatter[1]), 2),
        humidity_percent=round(float(np.clip(humidity + scatter[2], 5.0, 90.0)), 1),
    )
