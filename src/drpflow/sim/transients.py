"""What was not there before, and what moves: supernovae, flares, asteroids.

Each kind has a structured array for the truth; :func:`transient_sources` turns those alive at a
visit into sources like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.catalog import draw_positions
from drpflow.sim.sed import SedLibrary
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.catalog import Catalog
    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.pointing import VisitTruth

FIRST_SUPERNOVA_ID = 3_000_000
FIRST_FLARE_ID = 4_000_000
FIRST_ASTEROID_ID = 5_000_000
RISE_DAY = 17.0
DECLINE_MAG_PER_DAY = 0.06

SUPERNOVA_DTYPE = np.dtype(
    [
        ("id", "i8"),
        ("host", "i8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("peak_mag", "f8"),
        ("peak_mjd", "f8"),
        ("sed", "f8"),
    ]
)
FLARE_DTYPE = np.dtype(
    [("id", "i8"), ("visit", "i8"), ("ra", "f8"), ("dec", "f8"), ("mag", "f8"), ("sed", "f8")]
)
ASTEROID_DTYPE = np.dtype(
    [
        ("id", "i8"),
        ("night_index", "i8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("mjd", "f8"),
        ("rate_ra_arcsec_per_hour", "f8"),
        ("rate_dec_arcsec_per_hour", "f8"),
        ("mag", "f8"),
        ("sed", "f8"),
    ]
)


@dataclass(frozen=True)
class Transients:
    """Arrays of :data:`SUPERNOVA_DTYPE`, :data:`FLARE_DTYPE` and :data:`ASTEROID_DTYPE`."""

    supernovae: np.ndarray
    flares: np.ndarray
    asteroids: np.ndarray


def build_transients(
    config: SurveyConfig, catalog: Catalog, log: tuple[VisitTruth, ...]
) -> Transients:
    """Draw all of them."""
    return Transients(
        _supernovae(config, catalog, log),
        _flares(config, catalog, log),
        _asteroids(config, catalog, log),
    )


def supernova_magnitude(supernovae: np.ndarray, mjd_tai: float) -> np.ndarray:
    """Return magnitudes at a time, infinite before the explosion.

    The rise is a fireball, flux ∝ time², the decline is exponential.
    """
    age = mjd_tai - supernovae["peak_mjd"]
    rising = np.clip(1 + age / RISE_DAY, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        before = -5 * np.log10(rising)
    return supernovae["peak_mag"] + np.where(age < 0, before, DECLINE_MAG_PER_DAY * age)


def asteroid_position(asteroids: np.ndarray, mjd_tai: float) -> tuple[np.ndarray, np.ndarray]:
    """Return right ascensions and declinations [deg] at a time (straight motion)."""
    hours = (mjd_tai - asteroids["mjd"]) * 24
    dec = asteroids["dec"] + asteroids["rate_dec_arcsec_per_hour"] * hours / 3600
    shift = asteroids["rate_ra_arcsec_per_hour"] * hours / 3600
    return asteroids["ra"] + shift / np.cos(np.deg2rad(dec)), dec


def _supernovae(config: SurveyConfig, catalog: Catalog, log: tuple[VisitTruth, ...]) -> np.ndarray:
    t = config.transients
    rng = generator(config.seed, SkyStage.SUPERNOVAE)
    hosts = catalog.galaxies
    number = t.supernovae if len(hosts) else 0
    found = np.zeros(number, SUPERNOVA_DTYPE)
    if number == 0:
        return found
    # Brighter galaxies have more stars to explode.
    weight = 10.0 ** (-0.3 * hosts["mag"])
    host = hosts[rng.choice(len(hosts), number, p=weight / weight.sum())]
    offset = rng.normal(scale=0.7, size=(2, number)) * host["disc_radius_arcsec"] / 3600
    found["id"] = FIRST_SUPERNOVA_ID + np.arange(number)
    found["host"] = host["id"]
    found["dec"] = host["dec"] + offset[1]
    found["ra"] = host["ra"] + offset[0] / np.cos(np.deg2rad(found["dec"]))
    found["peak_mag"] = rng.uniform(*t.peak_mag, number)
    times = np.array([v.mjd_tai for v in log])
    found["peak_mjd"] = rng.choice(times, number) + rng.uniform(-20.0, 10.0, number)
    found["sed"] = SedLibrary.star_index(rng.uniform(6000.0, 11000.0, number))
    return found


def _flares(config: SurveyConfig, catalog: Catalog, log: tuple[VisitTruth, ...]) -> np.ndarray:
    t = config.transients
    rng = generator(config.seed, SkyStage.FLARES)
    found = np.zeros(t.flares, FLARE_DTYPE)
    found["id"] = FIRST_FLARE_ID + np.arange(t.flares)
    found["visit"] = rng.choice([v.visit for v in log], t.flares)
    found["ra"], found["dec"] = draw_positions(rng, config, 0.7 * catalog.radius_deg, t.flares)
    found["mag"] = rng.uniform(*t.peak_mag, t.flares)
    found["sed"] = SedLibrary.star_index(rng.uniform(8000.0, 12000.0, t.flares))
    return found


def _asteroids(config: SurveyConfig, catalog: Catalog, log: tuple[VisitTruth, ...]) -> np.ndarray:
    t = config.transients
    nights = sorted({v.night_index for v in log})
    found = np.zeros(len(nights) * t.asteroids_per_night, ASTEROID_DTYPE)
    number = t.asteroids_per_night
    for place, night in enumerate(nights):
        rng = generator(config.seed, SkyStage.ASTEROIDS, night, 1)
        rows = found[place * number : (place + 1) * number]
        times = [v.mjd_tai for v in log if v.night_index == night]
        rows["night_index"] = night
        rows["mjd"] = np.mean(times)
        rows["ra"], rows["dec"] = draw_positions(rng, config, 0.7 * catalog.radius_deg, number)
        rate, angle = (
            rng.uniform(*t.asteroid_rate_arcsec_per_hour, number),
            rng.normal(0, 0.4, number),
        )
        # Near opposition they move westward along an ecliptic that lies at 20° to the equator.
        rows["rate_ra_arcsec_per_hour"] = -rate * np.cos(angle + 0.35)
        rows["rate_dec_arcsec_per_hour"] = rate * np.sin(angle + 0.35)
        rows["mag"] = rng.uniform(*t.peak_mag, number)
        rows["sed"] = SedLibrary.star_index(rng.uniform(5200.0, 5800.0, number))
    found["id"] = FIRST_ASTEROID_ID + np.arange(len(found))
    return found
