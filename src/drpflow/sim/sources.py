"""Everything in the sky at one visit, in one table: where it is seen and how bright it is."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.astrometry import DAYS_PER_YEAR, propagate
from drpflow.sim.catalog import star_magnitudes
from drpflow.sim.earth import unit_vector
from drpflow.sim.transients import asteroid_position, supernova_magnitude

if TYPE_CHECKING:
    from drpflow.sim.catalog import Catalog
    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.pointing import VisitTruth
    from drpflow.sim.transients import Transients

FAINTEST_TRANSIENT_MAG = 26.0


class Kind(IntEnum):
    """What a source is, as in truth tables."""

    STAR = 0
    GALAXY = 1
    SUPERNOVA = 2
    FLARE = 3
    ASTEROID = 4


SOURCE_DTYPE = np.dtype(
    [
        ("id", "i8"),
        ("kind", "i4"),
        ("direction", "f8", (3,)),
        ("mag", "f8"),
        ("sed", "f8"),
        ("bulge_fraction", "f8"),
        ("disc_radius_arcsec", "f8"),
        ("bulge_radius_arcsec", "f8"),
        ("axis_ratio", "f8"),
        ("position_angle_deg", "f8"),
        ("trail_arcsec", "f8", (2,)),
    ]
)
"""``direction``: ICRS unit vector as seen from the Earth. ``mag``: AB, in the catalogue's r.
``trail_arcsec``: motion to the east and north during the exposure."""

_GALAXY_SHAPE = (
    "bulge_fraction",
    "disc_radius_arcsec",
    "bulge_radius_arcsec",
    "axis_ratio",
    "position_angle_deg",
)


def visit_sources(
    config: SurveyConfig, catalog: Catalog, transients: Transients, visit: VisitTruth
) -> np.ndarray:
    """Return all sources of a visit, an array of :data:`SOURCE_DTYPE`."""
    parts = [
        _star_sources(config, catalog.stars, visit),
        _galaxy_sources(catalog.galaxies),
        *_transient_sources(transients, visit),
    ]
    return np.concatenate(parts)


def _points(rows: np.ndarray, kind: Kind, mag: np.ndarray, direction: np.ndarray) -> np.ndarray:
    found = np.zeros(len(rows), SOURCE_DTYPE)
    found["id"], found["kind"], found["sed"] = rows["id"], kind, rows["sed"]
    found["mag"], found["direction"] = mag, direction
    return found


def _star_sources(config: SurveyConfig, stars: np.ndarray, visit: VisitTruth) -> np.ndarray:
    direction = star_directions(config, stars, visit.mjd_tai)
    return _points(stars, Kind.STAR, star_magnitudes(stars, visit.mjd_tai), direction)


def star_directions(config: SurveyConfig, stars: np.ndarray, mjd_tai: float) -> np.ndarray:
    """Return where stars are seen at a time, shape (N, 3)."""
    years = (mjd_tai - config.reference.epoch_mjd) / DAYS_PER_YEAR
    return propagate(
        stars["ra"],
        stars["dec"],
        stars["pm_ra"],
        stars["pm_dec"],
        stars["parallax"],
        years,
        mjd_tai,
    )


def _galaxy_sources(galaxies: np.ndarray) -> np.ndarray:
    direction = unit_vector(galaxies["ra"], galaxies["dec"])
    found = _points(galaxies, Kind.GALAXY, galaxies["mag"], direction)
    for name in _GALAXY_SHAPE:
        found[name] = galaxies[name]
    return found


def _transient_sources(transients: Transients, visit: VisitTruth) -> list[np.ndarray]:
    mags = supernova_magnitude(transients.supernovae, visit.mjd_tai)
    alive = mags < FAINTEST_TRANSIENT_MAG
    supernovae = transients.supernovae[alive]
    flares = transients.flares[transients.flares["visit"] == visit.visit]
    asteroids = transients.asteroids[transients.asteroids["night_index"] == visit.night_index]
    seen = unit_vector(*asteroid_position(asteroids, visit.mjd_tai))
    moving = _points(asteroids, Kind.ASTEROID, asteroids["mag"], seen)
    hours = visit.exposure_time_s / 3600
    moving["trail_arcsec"][:, 0] = asteroids["rate_ra_arcsec_per_hour"] * hours
    moving["trail_arcsec"][:, 1] = asteroids["rate_dec_arcsec_per_hour"] * hours
    return [
        _points(
            supernovae,
            Kind.SUPERNOVA,
            mags[alive],
            unit_vector(supernovae["ra"], supernovae["dec"]),
        ),
        _points(flares, Kind.FLARE, flares["mag"], unit_vector(flares["ra"], flares["dec"])),
        moving,
    ]
