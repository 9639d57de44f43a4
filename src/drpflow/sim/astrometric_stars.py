"""The stars of an astrometric survey, and the reference catalogue of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.astrometry import DAYS_PER_YEAR, MAS_PER_RAD, propagate
from drpflow.sim.earth import east_north, ra_dec_deg, unit_vector
from drpflow.sim.star_field import draw_magnitudes
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.astrometric_camera import AstrometricCamera
    from drpflow.sim.astrometric_config import AstrometricConfig, ReferenceConfig

FIRST_STAR_ID = 1_000_000


@dataclass(frozen=True)
class ReferenceEntries:
    """What the reference catalogue has, a row a star; NaN for stars not in it.

    Parameters
    ----------
    ra, dec
        Position at the catalogue's epoch, deg.
    pm_ra, pm_dec, parallax
        mas/yr and mas.
    error
        Of east, north, pm_ra, pm_dec and parallax, shape (S, 5). They are independent.
    wrong
        Entries of another star.
    """

    ra: np.ndarray
    dec: np.ndarray
    pm_ra: np.ndarray
    pm_dec: np.ndarray
    parallax: np.ndarray
    error: np.ndarray
    wrong: np.ndarray

    def take(self, rows: np.ndarray) -> ReferenceEntries:
        """Return some rows."""
        return ReferenceEntries(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class AstrometricStars:
    """The stars (S) of the field.

    Parameters
    ----------
    id
        Numbers.
    ra, dec
        True barycentric position at `epoch_mjd`, deg.
    pm_ra, pm_dec, parallax
        True motion, mas/yr and mas.
    epoch_mjd
        Of the positions: that of the reference catalogue.
    mag
        Brightness.
    color, color_told
        True colour, and what is known of it (NaN where nothing).
    reserved
        Kept for validation.
    start_ra, start_dec
        Where they are thought to be at first, deg.
    reference
        The reference catalogue.
    """

    id: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    pm_ra: np.ndarray
    pm_dec: np.ndarray
    parallax: np.ndarray
    epoch_mjd: float
    mag: np.ndarray
    color: np.ndarray
    color_told: np.ndarray
    reserved: np.ndarray
    start_ra: np.ndarray
    start_dec: np.ndarray
    reference: ReferenceEntries

    def __len__(self) -> int:
        return self.id.size

    def take(self, rows: np.ndarray) -> AstrometricStars:
        """Return some stars."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        own = {n: c[rows] for n, c in columns.items() if isinstance(c, np.ndarray)}
        return replace(self, **own, reference=self.reference.take(rows))

    def directions(self, mjd: float) -> np.ndarray:
        """Return where the stars are seen from the Earth at a time, unit vectors (S, 3)."""
        years = (mjd - self.epoch_mjd) / DAYS_PER_YEAR
        motion = (self.pm_ra, self.pm_dec, self.parallax)
        return propagate(self.ra, self.dec, *motion, years, mjd)

    def at_epoch(self, mjd: float) -> tuple[np.ndarray, np.ndarray]:
        """Return true barycentric positions at a time, deg."""
        years = (mjd - self.epoch_mjd) / DAYS_PER_YEAR
        still = np.zeros_like(self.parallax)
        return ra_dec_deg(propagate(self.ra, self.dec, self.pm_ra, self.pm_dec, still, years, mjd))


def draw_stars(
    config: AstrometricConfig, camera: AstrometricCamera, middle_mjd: float
) -> AstrometricStars:
    """Draw the field about all boresights.

    Parameters
    ----------
    config, camera
        Survey and camera.
    middle_mjd
        Of the survey: a first catalogue has the stars where they then are.
    """
    f = config.field
    rng = generator(config.seed, SkyStage.STARS)
    half_deg = f.dither_deg / 2 + camera.radius_deg
    number = rng.poisson(f.stars_per_detector / camera.config.detector_deg**2 * (2 * half_deg) ** 2)
    x, y = rng.uniform(-half_deg, half_deg, (2, number))
    dec = f.dec_deg + y
    ra = (f.ra_deg + x / np.cos(np.deg2rad(dec))) % 360.0
    mag = draw_magnitudes(rng, f, number)
    speed = f.motion_mas_per_year * np.where(rng.uniform(size=number) < f.fast_fraction, 8.0, 1.0)
    pm_ra, pm_dec = speed * rng.normal(size=(2, number))
    parallax = rng.exponential(f.parallax_mas, number)
    color = _colors(rng, number)
    told = color + rng.normal(0.0, f.color_error_mag, number)
    told[rng.uniform(size=number) < f.color_unknown_fraction] = np.nan
    epoch = config.reference.epoch_mjd
    years = (middle_mjd - epoch) / DAYS_PER_YEAR
    seen = propagate(ra, dec, pm_ra, pm_dec, parallax, years, middle_mjd)
    start_ra, start_dec = _displaced(*ra_dec_deg(seen), rng.normal(0.0, 20.0, (2, number)))
    motion = (pm_ra, pm_dec, parallax)
    return AstrometricStars(
        id=FIRST_STAR_ID + np.arange(number),
        ra=ra,
        dec=dec,
        pm_ra=pm_ra,
        pm_dec=pm_dec,
        parallax=parallax,
        epoch_mjd=epoch,
        mag=mag,
        color=color,
        color_told=told,
        reserved=rng.uniform(size=number) < f.reserved_fraction,
        start_ra=start_ra,
        start_dec=start_dec,
        reference=_reference(config.reference, config.seed, (ra, dec), motion, mag),
    )


def _colors(rng: np.random.Generator, number: int) -> np.ndarray:
    """Draw g - i: a blue and a red heap, as in the halo and the disc."""
    red = rng.uniform(size=number) < 0.45
    return np.where(red, rng.normal(1.9, 0.35, number), rng.normal(0.6, 0.25, number))


def _displaced(
    ra: np.ndarray, dec: np.ndarray, shift_mas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return positions moved east and north."""
    direction = unit_vector(ra, dec)
    east, north = east_north(direction)
    moved = direction + (shift_mas[0][:, None] * east + shift_mas[1][:, None] * north) / MAS_PER_RAD
    return ra_dec_deg(moved)


def _reference(
    config: ReferenceConfig,
    seed: int,
    place: tuple[np.ndarray, np.ndarray],
    motion: tuple[np.ndarray, np.ndarray, np.ndarray],
    mag: np.ndarray,
) -> ReferenceEntries:
    """Draw the reference catalogue."""
    rng = generator(seed, SkyStage.REFERENCE)
    number = mag.size
    listed = (mag < config.faint_mag) & (rng.uniform(size=number) < config.fraction)
    wrong = listed & (rng.uniform(size=number) < config.outlier_fraction)
    size = config.error_mas * 10.0 ** (config.error_slope * (mag - config.faint_mag))
    # As in Gaia, bright stars have a floor.
    size = np.maximum(size, 0.05)
    factors = np.array([1, 1, config.motion_factor, config.motion_factor, config.parallax_factor])
    error = size[:, None] * factors
    noise = error * rng.normal(size=(number, 5))
    noise += wrong[:, None] * rng.normal(size=(number, 5)) * np.array([50, 50, 10, 10, 2])
    ra, dec = _displaced(*place, noise[:, :2].T)
    pm_ra, pm_dec, parallax = (m + n for m, n in zip(motion, noise[:, 2:].T, strict=True))
    for column in (ra, dec, pm_ra, pm_dec, parallax, error):
        column[~listed] = np.nan
    return ReferenceEntries(ra, dec, pm_ra, pm_dec, parallax, error, wrong)
