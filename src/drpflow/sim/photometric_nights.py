"""The visits of a photometric survey: pointings, air, cloud, dust on the mirror."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.atmosphere import AirState, transmission
from drpflow.sim.earth import unit_vector
from drpflow.sim.random_field import Field, scalar_field
from drpflow.sim.sed import WAVELENGTH_NM
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.photometric_camera import PhotometricCamera
    from drpflow.sim.photometric_config import GrayConfig, NightsConfig, PhotometricConfig

_DEG_PER_HOUR = 15.041
_DUST_EXPONENT = -0.7
"""Dust takes more of the blue light: loss ∝ wavelength to this power."""


@dataclass(frozen=True)
class Exposure:
    """One visit as it truly was.

    Parameters
    ----------
    number, night, band
        Place in the survey, night, and row of the camera's filters.
    mjd, hours
        Middle of the exposure; hours from the middle of the night.
    ra_deg, dec_deg, rotation_deg
        Boresight and position angle of the field's +y.
    zenith
        Unit vector to the zenith, equatorial.
    seeing_arcsec
        FWHM.
    air
        The air.
    epoch
        0 before the mirror was cleaned, 1 after.
    dust_mag
        Loss at 600 nm by dust and by what has changed that night.
    haze_mag, cloud_mag
        Even loss, and mean loss by cloud.
    gradient
        Change of the cloud, relative, per radius of the field along x and y.
    patches
        Structure of the cloud, unit variance.
    """

    number: int
    night: int
    band: int
    mjd: float
    hours: float
    ra_deg: float
    dec_deg: float
    rotation_deg: float
    zenith: np.ndarray
    seeing_arcsec: float
    air: AirState
    epoch: int
    dust_mag: float
    haze_mag: float
    cloud_mag: float
    gradient: tuple[float, float]
    patches: Field | None

    def airmass(self, direction: np.ndarray) -> np.ndarray:
        """Return sec z of unit vectors, shape (…, 3)."""
        return 1.0 / np.maximum(direction @ self.zenith, 0.1)

    def light_path(self, airmass: float) -> np.ndarray:
        """Return what air and dusty mirror let through, on the wavelength grid."""
        dust = self.dust_mag * (WAVELENGTH_NM / 600.0) ** _DUST_EXPONENT
        return transmission(self.air, airmass) * 10.0 ** (-0.4 * dust)

    def gray_mag(
        self, config: GrayConfig, camera: PhotometricCamera, x_deg: np.ndarray, y_deg: np.ndarray
    ) -> np.ndarray:
        """Return the loss without colour at field angles."""
        loss = config.aperture_mag_per_arcsec2 * self.seeing_arcsec**2 + self.haze_mag
        if self.patches is None:
            return np.full(np.shape(x_deg), loss)
        x, y = x_deg / camera.radius_deg, y_deg / camera.radius_deg
        uneven = self.gradient[0] * x + self.gradient[1] * y
        uneven = uneven + config.cloud_structure * self.patches(x_deg, y_deg)[0]
        return loss + self.cloud_mag * np.maximum(1 + uneven, 0.0)


def draw_exposures(config: PhotometricConfig, camera: PhotometricCamera) -> list[Exposure]:
    """Draw all visits in the order in which they were taken."""
    n = config.nights
    exposures = []
    for night, day in enumerate(n.days):
        rng = generator(config.seed, SkyStage.NIGHT_WEATHER, night)
        weather = _Weather.draw(n, rng)
        bands = rng.permutation(np.arange(n.visits_per_night) % len(camera.config.filters))
        hours = np.linspace(-0.5, 0.5, n.visits_per_night) * n.hours
        hours = hours if n.visits_per_night > 1 else np.zeros(1)
        throughput = rng.normal(0.0, n.throughput_scatter_mag)
        since = day - (n.cleaning_day if day >= n.cleaning_day else 0.0)
        for k, hour in enumerate(hours):
            number = night * n.visits_per_night + k
            exposures.append(
                _exposure(
                    config,
                    weather,
                    {
                        "number": number,
                        "night": night,
                        "band": int(bands[k]),
                        "mjd": n.first_mjd + day + hour / 24,
                        "hours": float(hour),
                        "epoch": int(day >= n.cleaning_day),
                        "dust_mag": n.dust_mag_per_day * since + throughput,
                    },
                )
            )
    return _with_clouds(config, camera, exposures)


@dataclass(frozen=True)
class _Weather:
    """The air of a night at its middle, and how it changes."""

    air: AirState
    water_drift: float
    aerosol_drift: float
    culmination_h: float

    @staticmethod
    def draw(config: NightsConfig, rng: np.random.Generator) -> _Weather:
        """Draw the weather of a night."""
        air = AirState(
            water_mm=float(rng.uniform(*config.water_mm)),
            aerosol_depth=float(rng.uniform(*config.aerosol_depth)),
            aerosol_exponent=float(rng.uniform(0.7, 1.6)),
            ozone_dobson=float(rng.uniform(*config.ozone_dobson)),
            pressure_hpa=float(rng.normal(743.0, 2.0)),
            temperature_c=float(rng.normal(11.0, 3.5)),
            humidity_percent=35.0,
        )
        water_drift, aerosol_drift = rng.normal(0.0, (0.03, 0.03))
        return _Weather(air, water_drift, aerosol_drift, rng.normal(0.0, config.culmination_h))

    def at(self, hours: float, water_factor: float, pressure_hpa: float) -> AirState:
        """Return the air some hours from the middle of the night, water and pressure varied."""
        air = self.air
        return replace(
            air,
            water_mm=air.water_mm * float(np.exp(self.water_drift * hours)) * water_factor,
            aerosol_depth=air.aerosol_depth * float(np.exp(self.aerosol_drift * hours)),
            pressure_hpa=air.pressure_hpa + pressure_hpa,
        )


def _exposure(config: PhotometricConfig, weather: _Weather, known: dict[str, float]) -> Exposure:
    """Draw where a visit points, and what it looks through."""
    f, n, g = config.field, config.nights, config.gray
    rng = generator(config.seed, SkyStage.POINTING, int(known["number"]))
    offset = rng.uniform(-0.5, 0.5, 2) * f.dither_deg
    dec = f.dec_deg + offset[1]
    rotation = rng.choice(f.rotations_deg) + rng.normal(0.0, f.rotation_jitter_deg)
    hour_angle = (known["hours"] + weather.culmination_h) * _DEG_PER_HOUR
    rng = generator(config.seed, SkyStage.VISIT_WEATHER, int(known["number"]))
    air = weather.at(
        known["hours"], float(np.exp(rng.normal(0, n.water_scatter))), rng.normal(0, 0.2)
    )
    haze = g.clear_mag * abs(rng.normal())
    if rng.uniform() < g.haze_fraction:
        haze += rng.uniform(*g.haze_mag)
    return Exposure(
        **known,  # type: ignore[arg-type]
        ra_deg=float((f.ra_deg + offset[0] / np.cos(np.deg2rad(dec))) % 360.0),
        dec_deg=float(dec),
        rotation_deg=float(rotation),
        zenith=unit_vector(np.array(f.ra_deg + hour_angle), np.array(n.latitude_deg)),
        seeing_arcsec=float(rng.uniform(*n.seeing_arcsec)),
        air=air,
        haze_mag=float(haze),
        cloud_mag=0.0,
        gradient=(0.0, 0.0),
        patches=None,
    )


def _with_clouds(
    config: PhotometricConfig, camera: PhotometricCamera, exposures: list[Exposure]
) -> list[Exposure]:
    """Put clouds before the exact share of visits, as they come: a few at a time."""
    g = config.gray
    number = round(g.cloud_fraction * len(exposures))
    rng = generator(config.seed, SkyStage.CLOUD)
    # Half of them are alone, half come two or three in a row.
    cloudy: set[int] = set()
    while len(cloudy) < number:
        first, length = int(rng.integers(len(exposures))), int(rng.choice([1, 1, 2, 3]))
        run = range(first, min(first + length, len(exposures)))
        cloudy.update(list(run)[: number - len(cloudy)])
    return [
        _cloudy(config, camera, exposure) if exposure.number in cloudy else exposure
        for exposure in exposures
    ]


def _cloudy(config: PhotometricConfig, camera: PhotometricCamera, exposure: Exposure) -> Exposure:
    g = config.gray
    rng = generator(config.seed, SkyStage.CLOUD, exposure.number)
    low, high = np.log(g.cloud_mag)
    slope = rng.normal(0.0, g.cloud_gradient, 2) / np.sqrt(2)
    return replace(
        exposure,
        cloud_mag=float(np.exp(rng.uniform(low, high))),
        gradient=(float(slope[0]), float(slope[1])),
        patches=scalar_field(rng, g.cloud_deg, 2 * camera.radius_deg),
    )
