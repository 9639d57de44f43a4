"""The truth catalogue: stars and galaxies of the field.

Magnitudes are AB in the ``r`` of :mod:`drpflow.sim.sed`. Positions are ICRS at the epoch of the
reference catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.sed import SedLibrary
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.config import GalaxyConfig, StarConfig, SurveyConfig
    from drpflow.sim.instrument import Instrument

FIRST_STAR_ID = 1_000_000
FIRST_GALAXY_ID = 2_000_000
KM_S_PER_AU_YEAR = 4.74047

STAR_DTYPE = np.dtype(
    [
        ("id", "i8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("mag", "f8"),
        ("sed", "f8"),
        ("temperature_k", "f8"),
        ("pm_ra", "f8"),
        ("pm_dec", "f8"),
        ("parallax", "f8"),
        ("amplitude_mag", "f8"),
        ("period_day", "f8"),
        ("phase", "f8"),
    ]
)
GALAXY_DTYPE = np.dtype(
    [
        ("id", "i8"),
        ("ra", "f8"),
        ("dec", "f8"),
        ("mag", "f8"),
        ("sed", "f8"),
        ("redshift", "f8"),
        ("bulge_fraction", "f8"),
        ("disc_radius_arcsec", "f8"),
        ("bulge_radius_arcsec", "f8"),
        ("axis_ratio", "f8"),
        ("position_angle_deg", "f8"),
    ]
)

# Main sequence: temperature and absolute magnitude (after Pecaut & Mamajek 2013).
_SEQUENCE_K = (2800.0, 3300.0, 3800.0, 4500.0, 5200.0, 5900.0, 6500.0, 8000.0, 14000.0)
_SEQUENCE_MAG = (14.0, 11.2, 9.0, 7.2, 5.8, 4.6, 3.6, 2.0, -0.2)


@dataclass(frozen=True)
class Catalog:
    """Everything fixed to the sky.

    Parameters
    ----------
    stars
        Array of :data:`STAR_DTYPE`; motions in mas yr⁻¹ (cos dec included), parallax in mas.
    galaxies
        Array of :data:`GALAXY_DTYPE`; radii hold half the light.
    radius_deg
        Radius of the field that holds them.
    """

    stars: np.ndarray
    galaxies: np.ndarray
    radius_deg: float


def build_catalog(config: SurveyConfig, instrument: Instrument) -> Catalog:
    """Draw the field: stars as far out as their wings reach into the camera."""
    reach = instrument.half_diagonal_mm() * instrument.optics.plate_scale_arcsec_per_mm
    reach = reach * 1.02 + config.observing.dither_arcsec
    wings = config.artifacts.aureole_edge_arcsec if config.artifacts.aureole else 0.0
    star_radius = (reach + max(20.0, wings)) / 3600.0
    galaxy_radius = (reach + 20.0) / 3600.0
    return Catalog(_stars(config, star_radius), _galaxies(config, galaxy_radius), star_radius)


def draw_positions(
    rng: np.random.Generator, config: SurveyConfig, radius_deg: float, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw places evenly from a disc about the field's centre (small-angle)."""
    o = config.observing
    radius = radius_deg * np.sqrt(rng.uniform(size=number))
    angle = rng.uniform(0, 2 * np.pi, number)
    dec = o.dec_deg + radius * np.cos(angle)
    ra = o.ra_deg + radius * np.sin(angle) / np.cos(np.deg2rad(dec))
    return ra % 360.0, dec


def _star_counts(config: StarConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return magnitudes and the number of stars per square arcminute up to each.

    log10 dN/dm is a straight line up to `density_mag` and a parabola beyond.
    """
    step = 0.02
    mags = np.arange(config.bright_mag, max(config.faint_mag, config.density_mag), step)
    beyond = np.maximum(mags - config.density_mag, 0.0)
    rate = 10.0 ** (
        config.count_slope * (mags - config.density_mag) + config.slope_change / 2 * beyond**2
    )
    counts = np.cumsum(rate) * step
    counts *= config.density_per_arcmin2 / np.interp(config.density_mag, mags, counts)
    kept = mags < config.faint_mag
    return mags[kept], counts[kept]


def _stars(config: SurveyConfig, radius_deg: float) -> np.ndarray:
    s = config.stars
    rng = generator(config.seed, SkyStage.STARS)
    mags, counts = _star_counts(s)
    number = rng.poisson(counts[-1] * np.pi * (60 * radius_deg) ** 2)
    stars = np.zeros(number, STAR_DTYPE)
    stars["id"] = FIRST_STAR_ID + np.arange(number)
    stars["ra"], stars["dec"] = draw_positions(rng, config, radius_deg, number)
    stars["mag"] = np.interp(rng.uniform(size=number) * counts[-1], counts, mags)
    stars["temperature_k"] = draw_temperatures(rng, stars["mag"])
    stars["sed"] = SedLibrary.star_index(stars["temperature_k"])
    _draw_motions(rng, stars)
    if not s.proper_motions:
        stars["pm_ra"] = stars["pm_dec"] = 0.0
    if not s.parallaxes:
        stars["parallax"] = 0.0
    _draw_variability(config, stars)
    return stars


def draw_temperatures(rng: np.random.Generator, mag: np.ndarray) -> np.ndarray:
    """Draw temperatures: turn-off stars among the bright, red dwarfs among the faint."""
    faint = np.clip((mag - 16.0) / 5.0, 0.0, 1.0)
    bounds = np.cumsum([0.55 - 0.27 * faint, 0.35 - 0.03 * faint, 0.07 + 0.33 * faint], axis=0)
    kind = (rng.uniform(size=len(mag)) > bounds).sum(axis=0)
    number = len(mag)
    draws = [
        rng.normal(5900.0, 330.0, number),
        rng.uniform(3900.0, 5500.0, number),
        rng.normal(3450.0, 230.0, number),
        rng.uniform(7000.0, 12000.0, number),
    ]
    return np.clip(np.choose(kind, draws), 2850.0, 13500.0)


def _draw_motions(rng: np.random.Generator, stars: np.ndarray) -> None:
    """Fill in parallaxes from the main sequence, and motions from disc and halo velocities."""
    absolute = np.interp(stars["temperature_k"], _SEQUENCE_K, _SEQUENCE_MAG)
    absolute = absolute + rng.normal(scale=0.4, size=len(stars))
    distance_pc = np.maximum(10.0 ** ((stars["mag"] - absolute + 5) / 5), 20.0)
    stars["parallax"] = 1e3 / distance_pc
    dispersion_km_s = np.interp(distance_pc, (300.0, 1500.0, 5000.0), (28.0, 45.0, 140.0))
    speed = rng.normal(size=(2, len(stars))) * dispersion_km_s
    stars["pm_ra"], stars["pm_dec"] = speed / KM_S_PER_AU_YEAR * stars["parallax"]


def _draw_variability(config: SurveyConfig, stars: np.ndarray) -> None:
    s = config.stars
    rng = generator(config.seed, SkyStage.VARIABILITY)
    number = len(stars)
    variable = rng.uniform(size=number) < s.variable_fraction
    amplitude = s.variable_amplitude_mag * np.exp(rng.normal(scale=0.7, size=number))
    stars["amplitude_mag"] = np.where(variable, np.minimum(amplitude, 0.8), 0.0)
    stars["period_day"] = 10.0 ** rng.uniform(-0.7, 2.0, number)
    stars["phase"] = rng.uniform(size=number)


def star_magnitudes(stars: np.ndarray, mjd_tai: float) -> np.ndarray:
    """Return the stars' magnitudes at a time: the variable ones follow a skewed wave."""
    turn = 2 * np.pi * (mjd_tai / stars["period_day"] + stars["phase"])
    wave = np.sin(turn) + 0.25 * np.sin(2 * turn)
    return stars["mag"] + stars["amplitude_mag"] * wave


def _galaxies(config: SurveyConfig, radius_deg: float) -> np.ndarray:
    g = config.galaxies
    rng = generator(config.seed, SkyStage.GALAXIES)
    ordinary = rng.poisson(g.density_per_arcmin2 * np.pi * (60 * radius_deg) ** 2)
    number = ordinary + g.low_surface_brightness
    galaxies = np.zeros(number, GALAXY_DTYPE)
    galaxies["id"] = FIRST_GALAXY_ID + np.arange(number)
    galaxies["ra"], galaxies["dec"] = draw_positions(rng, config, radius_deg, number)
    low, high = 10.0 ** (g.count_slope * np.array([g.bright_mag, g.faint_mag]))
    galaxies["mag"] = np.log10(rng.uniform(low, high, number)) / g.count_slope
    _draw_shapes(rng, galaxies)
    if g.low_surface_brightness:
        _make_diffuse(rng, g, galaxies[ordinary:])
    return galaxies


def _draw_shapes(rng: np.random.Generator, galaxies: np.ndarray) -> None:
    number, faint = len(galaxies), galaxies["mag"] - 20.0
    early = rng.uniform(size=number) < 0.3 - 0.03 * np.clip(faint, -4, 4)
    youth = np.where(early, rng.uniform(0, 0.2, number), rng.uniform(0.2, 1.0, number))
    median_z = np.clip(0.25 * 10.0 ** (0.09 * faint), 0.03, 0.9)
    galaxies["redshift"] = np.clip(median_z * np.exp(rng.normal(scale=0.4, size=number)), 0.02, 1.2)
    galaxies["sed"] = SedLibrary.galaxy_index(youth, galaxies["redshift"])
    half_light = 1.1 * 10.0 ** (-0.09 * faint + rng.normal(scale=0.17, size=number))
    late_fraction = rng.beta(1.2, 6.0, number)
    galaxies["bulge_fraction"] = np.where(early, rng.uniform(0.5, 1.0, number), late_fraction)
    galaxies["disc_radius_arcsec"] = np.clip(half_light, 0.12, 6.0)
    galaxies["bulge_radius_arcsec"] = galaxies["disc_radius_arcsec"] * rng.uniform(
        0.25, 0.6, number
    )
    galaxies["axis_ratio"] = np.where(
        early, rng.uniform(0.55, 1.0, number), rng.uniform(0.22, 1.0, number)
    )
    galaxies["position_angle_deg"] = rng.uniform(0, 180, number)


def _make_diffuse(rng: np.random.Generator, config: GalaxyConfig, diffuse: np.ndarray) -> None:
    """Turn these into large discs of low surface brightness."""
    number = len(diffuse)
    diffuse["mag"] = config.bright_mag + rng.uniform(0.7, 2.0, number)
    diffuse["bulge_fraction"] = 0.02
    diffuse["disc_radius_arcsec"] = rng.uniform(8.0, 12.0, number)
    diffuse["bulge_radius_arcsec"] = 0.8
    diffuse["axis_ratio"] = rng.uniform(0.6, 0.95, number)
    diffuse["redshift"] = 0.03
    diffuse["sed"] = SedLibrary.galaxy_index(np.full(number, 0.7), np.full(number, 0.05))
