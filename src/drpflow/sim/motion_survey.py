"""Sources of many visits without pixels: what a full-depth catalogue holds of moving stars.

Stars down to beyond the limit of single visits, found only where noise lets them exceed the
threshold, with errors stated from the flux that was measured, as a pipeline states them. The air
disperses; each visit's coordinate system is off by a little, smoothly; some positions are spoilt;
asteroids and false detections are seen once. Everything is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drpflow.config.base import StrictModel, param
from drpflow.sim.astrometry import DAYS_PER_YEAR, MAS_PER_RAD, propagate
from drpflow.sim.earth import east_north, ra_dec_deg, unit_vector
from drpflow.sim.streams import SkyStage, generator

Columns = dict[str, np.ndarray]

BANDS = ("g", "r", "i")
DISPERSION_MAS = (42.0, 11.0, 5.0)
REFERENCE_COLOR = 0.78
REFERENCE_EPOCH_MJD = 57388.5
PIXEL_ARCSEC = 0.2
_ZERO_MAG = 31.4
_DEG_PER_HOUR = 15.041
_ARCSEC = 1 / 3600


class MotionConfig(StrictModel):
    """A field, its visits and their errors."""

    seed: int = param(1, "everything random follows from it", ge=0)
    ra_deg: float = param(150.1, "middle of the field", unit="deg")
    dec_deg: float = param(-12.3, "middle of the field", unit="deg")
    side_deg: float = param(0.3, "side of the field", unit="deg", gt=0)
    stars: int = param(2000, "stars in the field", ge=0)
    bright_mag: float = param(17.0, "brightest star (r)", unit="mag")
    faint_mag: float = param(24.2, "faintest star (r)", unit="mag")
    fast_fraction: float = param(0.05, "share of stars that move eight times as fast", ge=0)
    motion_mas_yr: float = param(5.0, "rms proper motion of each coordinate", ge=0)
    parallax_mas: float = param(1.0, "mean parallax (exponential)", ge=0)
    nights: tuple[int, ...] = param((0, 95, 370, 731, 800), "days after the first night")
    first_mjd: float = param(60700.2, "middle of the first night, TAI", unit="d")
    visits_per_night: int = param(5, "visits a night", ge=1)
    hours: float = param(5.0, "their span about the culmination", unit="h", ge=0)
    limits_mag: tuple[float, float, float] = param((24.0, 23.6, 23.2), "5 sigma, seeing 1 arcsec")
    threshold: float = param(5.0, "significance that is detected", gt=0)
    floor_mas: float = param(2.0, "turbulence of a visit, each coordinate, rms", ge=0)
    told_floor: float = param(1.0, "the floor that is told over the true one", gt=0)
    wcs_mas: float = param(1.5, "error of a visit's coordinate system, each coordinate", ge=0)
    dcr_error: float = param(0.5, "error of the refraction that is told", unit="mas/mag", ge=0)
    color_spread: float = param(0.02, "scatter of stellar colours about one sequence", ge=0)
    outliers: float = param(0.01, "share of positions that are spoilt", ge=0)
    outlier_mas: float = param(150.0, "rms of what spoils them", ge=0)
    variable: float = param(0.1, "share of stars that vary by 0.2 mag rms", ge=0)
    false_per_visit: int = param(30, "asteroids and false detections of each visit", ge=0)
    reference_faint_mag: float = param(20.0, "faintest star of the reference catalogue")
    reference_share: float = param(0.6, "share of the brighter stars that it has", ge=0)
    reference_wrong: float = param(0.01, "share of wrong entries", ge=0)
    zero_point_mas: float = param(0.0, "what parallaxes of the catalogue are too large by")


@dataclass(frozen=True)
class MotionVisit:
    """A visit: time, band, refraction towards east and north at a magnitude, seeing."""

    number: int
    mjd: float
    band: int
    dcr_mas: np.ndarray
    seeing_arcsec: float


@dataclass(frozen=True)
class MotionSurvey:
    """A simulated survey.

    Parameters
    ----------
    config
        What was asked for.
    visits
        The visits.
    stars
        Truth, a row a star: ``ra``, ``dec`` (barycentric, at `REFERENCE_EPOCH_MJD`), ``pm_ra``,
        ``pm_dec``, ``parallax``, ``color`` (g - i), ``mag_g``, ``mag_r``, ``mag_i``.
    sources
        Of each visit: columns as in a table of sources, beside ``true_star`` (-1 for none),
        ``spoilt`` and ``true_snr``.
    visit_table
        What is told of the visits: ``floor``, ``dcr_east``, ``dcr_north`` and their errors.
    reference
        Columns of the reference catalogue; ``true_star`` among them.
    """

    config: MotionConfig
    visits: list[MotionVisit]
    stars: Columns
    sources: list[Columns]
    visit_table: Columns
    reference: Columns


def simulate_motions(config: MotionConfig) -> MotionSurvey:
    """Draw a survey; equal configurations give equal surveys."""
    visits = _visits(config)
    stars = _stars(config)
    sources = [_observe(config, stars, visit) for visit in visits]
    return MotionSurvey(
        config, visits, stars, sources, _told(config, visits), _reference(config, stars)
    )


def _visits(config: MotionConfig) -> list[MotionVisit]:
    out = unit_vector(config.ra_deg, config.dec_deg)
    east, north = east_north(out)
    hours = (np.arange(config.visits_per_night) + 0.5) / config.visits_per_night - 0.5
    visits = []
    for number in range(len(config.nights) * config.visits_per_night):
        night, k = divmod(number, config.visits_per_night)
        rng = generator(config.seed, SkyStage.POINTING, number)
        hour = hours[k] * config.hours
        zenith = unit_vector(config.ra_deg + hour * _DEG_PER_HOUR, -30.24)
        band = (k + night) % 3
        lift = np.array([east @ zenith, north @ zenith]) / (out @ zenith)
        # A star that is redder than the reference is lifted less: farther from the zenith.
        dcr = -DISPERSION_MAS[band] * lift
        mjd = config.first_mjd + config.nights[night] + hour / 24
        visits.append(MotionVisit(number + 1, mjd, band, dcr, float(rng.uniform(0.7, 1.3))))
    return visits


def _stars(config: MotionConfig) -> Columns:
    rng = generator(config.seed, SkyStage.STARS)
    n = config.stars
    x, y = rng.uniform(-config.side_deg / 2, config.side_deg / 2, (2, n))
    dec = config.dec_deg + y
    low, high = 10 ** (0.2 * np.array([config.bright_mag, config.faint_mag]))
    mag = np.log10(rng.uniform(low, high, n)) / 0.2
    red = rng.uniform(size=n) < 0.45
    color = np.where(red, rng.normal(1.9, 0.35, n), rng.normal(0.6, 0.25, n))
    speed = config.motion_mas_yr * np.where(rng.uniform(size=n) < config.fast_fraction, 8.0, 1.0)
    motion = speed * rng.normal(size=(2, n))
    # g - r rises and then saturates with g - i.
    spread = rng.normal(0, config.color_spread, n)
    gr = 0.72 * color - 0.05 * np.maximum(color - 1.2, 0) ** 2 + spread
    return {
        "ra": (config.ra_deg + x / np.cos(np.deg2rad(dec))) % 360.0,
        "dec": dec,
        "pm_ra": motion[0],
        "pm_dec": motion[1],
        "parallax": rng.exponential(config.parallax_mas, n) if config.parallax_mas else np.zeros(n),
        "color": color,
        "mag_g": mag + gr,
        "mag_r": mag,
        "mag_i": mag + gr - color,
        "variable": rng.uniform(size=n) < config.variable,
    }


def true_directions(stars: Columns, mjd: float) -> np.ndarray:
    """Return where stars are seen from the Earth, unit vectors (S, 3)."""
    years = (mjd - REFERENCE_EPOCH_MJD) / DAYS_PER_YEAR
    motion = stars["pm_ra"], stars["pm_dec"], stars["parallax"]
    return propagate(stars["ra"], stars["dec"], *motion, years, mjd)


def true_places(stars: Columns, mjd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return barycentric places at a time for each star, deg."""
    years = ((mjd - REFERENCE_EPOCH_MJD) / DAYS_PER_YEAR)[:, None]
    start = unit_vector(stars["ra"], stars["dec"])
    east, north = east_north(start)
    drift = stars["pm_ra"][:, None] * east + stars["pm_dec"][:, None] * north
    return ra_dec_deg(start + drift * years / MAS_PER_RAD)


def _observe(config: MotionConfig, stars: Columns, visit: MotionVisit) -> Columns:
    """Return the sources of a visit."""
    rng = generator(config.seed, SkyStage.VISIT_WEATHER, visit.number)
    n = config.stars
    limit = config.limits_mag[visit.band] - 2.5 * np.log10(visit.seeing_arcsec)
    mag = stars[f"mag_{BANDS[visit.band]}"] + stars["variable"] * rng.normal(0, 0.2, n)
    flux = 10 ** (-0.4 * (mag - _ZERO_MAG))
    sky = 10 ** (-0.4 * (limit - _ZERO_MAG)) / 5
    # Photons of a star equal those of the sky 3.5 mag above the limit.
    sigma = sky * np.sqrt(1 + flux / (25 * 5 * sky))
    measured = flux + sigma * rng.normal(size=n)
    found = np.flatnonzero(measured > config.threshold * sigma)
    shift = (stars["color"] - REFERENCE_COLOR)[:, None] * visit.dcr_mas
    shift += _wcs_error(config, stars, visit) + rng.normal(0, config.floor_mas, (n, 2))
    spoilt = rng.uniform(size=n) < config.outliers
    shift += spoilt[:, None] * rng.normal(0, config.outlier_mas, (n, 2))
    turn, axes = rng.uniform(0, np.pi), np.array([1.1, 1 / 1.1])
    c, s = np.cos(turn), np.sin(turn)
    unit = np.array([[c, -s], [s, c]]) * axes
    error = 600 * visit.seeing_arcsec * sigma / flux
    shift += error[:, None] * (rng.normal(size=(n, 2)) @ unit.T)
    ra, dec = ra_dec_deg(_moved(true_directions(stars, visit.mjd), shift))
    stated = 0.6 * visit.seeing_arcsec / PIXEL_ARCSEC * sigma / np.where(measured > 0, measured, 1)
    rows = {"ra": ra, "dec": dec, "psfFlux": measured, "psfFluxErr": sigma, "stated": stated}
    rows |= {"spoilt": spoilt, "true_snr": flux / sigma, "true_star": np.arange(n)}
    kept = {name: values[found] for name, values in rows.items()}
    kept = _with_false(config, kept, rng, sky, visit)
    return _measured(kept, visit, unit)


def _wcs_error(config: MotionConfig, stars: Columns, visit: MotionVisit) -> np.ndarray:
    """Return a smooth displacement of the coordinate system, mas: a shift and slopes."""
    rng = generator(config.seed, SkyStage.FLEXURE, visit.number)
    terms = rng.normal(0, config.wcs_mas / np.sqrt(3), (3, 2))
    x = (stars["ra"] - config.ra_deg + 180) % 360 - 180
    u = x * np.cos(np.deg2rad(config.dec_deg)) / config.side_deg * np.sqrt(12)
    v = (stars["dec"] - config.dec_deg) / config.side_deg * np.sqrt(12)
    return np.column_stack([np.ones_like(u), u, v]) @ terms


def _moved(direction: np.ndarray, shift_mas: np.ndarray) -> np.ndarray:
    east, north = east_north(direction)
    return direction + (shift_mas[:, :1] * east + shift_mas[:, 1:] * north) / MAS_PER_RAD


def _with_false(
    config: MotionConfig,
    rows: Columns,
    rng: np.random.Generator,
    sky: float,
    visit: MotionVisit,
) -> Columns:
    """Return the rows with detections of nothing that lasts."""
    n = config.false_per_visit
    x, y = rng.uniform(-config.side_deg / 2, config.side_deg / 2, (2, n))
    dec = config.dec_deg + y
    snr = 5 + rng.exponential(3, n)
    false = {
        "ra": (config.ra_deg + x / np.cos(np.deg2rad(dec))) % 360.0,
        "dec": dec,
        "psfFlux": snr * sky,
        "psfFluxErr": np.full(n, sky),
        "stated": 0.6 * visit.seeing_arcsec / PIXEL_ARCSEC / snr,
        "spoilt": np.zeros(n, bool),
        "true_snr": snr,
        "true_star": np.full(n, -1),
    }
    return {name: np.concatenate([rows[name], false[name]]) for name in rows}


def _measured(rows: Columns, visit: MotionVisit, unit: np.ndarray) -> Columns:
    """Return the columns of a table of sources; pixels are aligned with east and north."""
    n = rows["ra"].size
    stated = rows.pop("stated")
    covariance = (unit @ unit.T) * stated[:, None, None] ** 2
    scale = PIXEL_ARCSEC * _ARCSEC
    number = np.arange(1, n + 1, dtype=np.int64)
    return rows | {
        "sourceId": (np.int64(visit.number) << 30) + number,
        "detector": np.zeros(n, np.int16),
        "xErr": np.sqrt(covariance[:, 0, 0]).astype(np.float32),
        "yErr": np.sqrt(covariance[:, 1, 1]).astype(np.float32),
        "x_y_Cov": covariance[:, 0, 1].astype(np.float32),
        "localWcs_CDMatrix_1_1": np.full(n, scale),
        "localWcs_CDMatrix_1_2": np.zeros(n),
        "localWcs_CDMatrix_2_1": np.zeros(n),
        "localWcs_CDMatrix_2_2": np.full(n, scale),
        "extendedness": np.zeros(n),
        **{name: np.zeros(n, bool) for name in ("psfFlux_flag", "centroid_flag", "sky_source")},
        "detect_isPrimary": np.ones(n, bool),
    }


def _told(config: MotionConfig, visits: list[MotionVisit]) -> Columns:
    """Return what a solution would tell of the visits."""
    rng = generator(config.seed, SkyStage.TURBULENCE)
    n = len(visits)
    dcr = np.array([visit.dcr_mas for visit in visits]) + rng.normal(0, config.dcr_error, (n, 2))
    return {
        "visit": np.array([visit.number for visit in visits]),
        "floor": np.full(n, config.floor_mas * config.told_floor),
        "dcr_east": dcr[:, 0],
        "dcr_north": dcr[:, 1],
        "dcr_east_err": np.full(n, config.dcr_error),
        "dcr_north_err": np.full(n, config.dcr_error),
    }


def _reference(config: MotionConfig, stars: Columns) -> Columns:
    """Return a catalogue whose errors go together, as those of a scanning satellite do."""
    rng = generator(config.seed, SkyStage.REFERENCE)
    bright = stars["mag_r"] < config.reference_faint_mag
    rows = np.flatnonzero(bright & (rng.uniform(size=config.stars) < config.reference_share))
    n = rows.size
    size = np.maximum(0.3 * 10 ** (0.15 * (stars["mag_r"][rows] - 20)), 0.03)
    factor = np.array([1, 1, 1.1, 1.1, 1.2])
    mixing = np.linalg.cholesky(0.3 * np.ones((5, 5)) + 0.7 * np.eye(5))
    noise = size[:, None] * factor * (rng.normal(size=(n, 5)) @ mixing.T)
    wrong = rng.uniform(size=n) < config.reference_wrong
    noise += wrong[:, None] * rng.normal(size=(n, 5)) * [50, 50, 10, 10, 5]
    place = unit_vector(stars["ra"][rows], stars["dec"][rows])
    ra, dec = ra_dec_deg(_moved(place, noise[:, :2]))
    names = ("ra", "dec", "pm_ra", "pm_dec", "parallax")
    motion = {k: stars[k][rows] + noise[:, 2 + j] for j, k in enumerate(names[2:])}
    motion["parallax"] = motion["parallax"] + config.zero_point_mas
    errors = {f"{k}_err": size * factor[j] for j, k in enumerate(names)}
    pairs = [(a, b) for j, a in enumerate(names) for b in names[j + 1 :]]
    return {
        "id": 10_000_000 + rows.astype(np.int64),
        "ra": ra,
        "dec": dec,
        "epoch": np.full(n, REFERENCE_EPOCH_MJD),
        **motion,
        **errors,
        **{f"{a}_{b}_corr": np.full(n, 0.3) for a, b in pairs},
        **{f"flux_{b}": 10 ** (-0.4 * (stars[f"mag_{b}"][rows] - _ZERO_MAG)) for b in BANDS},
        "true_star": rows,
        "wrong": wrong,
    }
