"""Catalogues of a made-up sky as many visits would see it, with the truth of each detection.

No pixels: positions, fluxes, sizes and flags with their noise, from stars, galaxies, asteroids and
rubbish, on detectors with gaps, through air that changes from visit to visit. Sources closer than
the seeing become one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from drpflow.config.associate_isolated_stars import DetectionConfig
from drpflow.data.source_ids import make_source_ids
from drpflow.data.tan_projection import TanProjection
from drpflow.tasks.associate_isolated_stars import VisitStars

# So much brighter than the limit at five sigma stars are saturated.
_SATURATED_MAG = 8.5

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Columns = dict[str, NDArray[Any]]

STAR, GALAXY, ASTEROID, RUBBISH = 0, 1, 2, 3
BANDS = ("g", "r", "i")
_CORNERS = {"llc": (-1, -1), "lrc": (1, -1), "urc": (1, 1), "ulc": (-1, 1)}


@dataclass(frozen=True)
class Sky:
    """What the field is like; densities per square degree."""

    ra_deg: float = 359.98
    dec_deg: float = -12.0
    radius_deg: float = 0.5
    n_visit: int = 20
    side: int = 3
    detector_deg: float = 0.15
    gap_deg: float = 0.005
    stars: float = 8000.0
    galaxies: float = 8000.0
    asteroids: float = 60.0
    rubbish: float = 60.0
    faintest_mag: float = 24.0
    dither_deg: float = 0.05
    spread_deg: float = 0.0
    wrong_visits: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Catalog:
    """Visits, and the truth.

    Parameters
    ----------
    visits
        What each has.
    kind, ra, dec
        True sources of the sky at the middle epoch: stars first, then galaxies.
    isolated
        Stars with nothing detectable within two arcsec.
    snr
        Median significance in the visits that cover each and do not saturate, 0 for none.
    n_visit
        Number of these visits.
    of_source
        True source of each detection by ``sourceId``; -1 for what is none of the sky.
    """

    visits: list[VisitStars]
    kind: Integers
    ra: Floats
    dec: Floats
    isolated: NDArray[np.bool_]
    snr: Floats
    n_visit: Integers
    of_source: dict[int, int] = field(repr=False)


@dataclass(frozen=True)
class _Truth:
    kind: Integers
    x: Floats
    y: Floats
    motion: Floats
    mag: Floats
    size: Floats
    projection: TanProjection


def make_catalog(sky: Sky) -> Catalog:
    """Return the catalogues of a sky."""
    rng = np.random.default_rng([sky.seed, 41])
    truth = _truth(sky, rng)
    visits, owners, seen = [], {}, []
    for number in range(1, sky.n_visit + 1):
        visit, of_source, snr = _visit(number, sky, truth)
        visits.append(visit)
        owners |= of_source
        seen.append(snr)
    times = np.isfinite(seen).sum(axis=0)
    # NaN sorts to the end: the middle one of those that are known.
    ranked = np.nan_to_num(np.sort(seen, axis=0))
    snr = ranked[np.maximum(times - 1, 0) // 2, np.arange(len(times))]
    ra, dec = truth.projection.to_sky(truth.x, truth.y)
    isolated = _isolated(truth, np.nan_to_num(seen).max(axis=0))
    return Catalog(visits, truth.kind, ra, dec, isolated, snr, times, owners)


def _truth(sky: Sky, rng: np.random.Generator) -> _Truth:
    area = np.pi * sky.radius_deg**2
    n_star, n_galaxy = rng.poisson(sky.stars * area), rng.poisson(sky.galaxies * area)
    n = n_star + n_galaxy
    radius, angle = sky.radius_deg * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    kind = np.repeat([STAR, GALAXY], [n_star, n_galaxy])
    # Counts that rise by 0.25 dex a magnitude.
    mag = sky.faintest_mag + np.log10(rng.random((n, 1))) / 0.25
    mag = np.maximum(mag, 14.0) + rng.uniform(0, 1, (n, 1)) * [1.0, 0.0, -0.5]
    size = np.where(kind == GALAXY, rng.lognormal(np.log(0.8), 0.35, n), 0.0)
    motion = rng.standard_t(3, (n, 2)) * 0.006 * (kind == STAR)[:, None]
    projection = TanProjection(sky.ra_deg, sky.dec_deg)
    return _Truth(
        *(kind, radius * np.cos(angle), radius * np.sin(angle)), motion, mag, size, projection
    )


def _isolated(truth: _Truth, best_snr: Floats) -> NDArray[np.bool_]:
    """Return which are stars without anything detectable that matters within two arcsec."""
    points = np.stack([truth.x, truth.y], axis=1) * 3600
    pairs = cKDTree(points).query_pairs(2.0, output_type="ndarray")
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    flux = 10 ** (-0.4 * truth.mag.min(axis=1))
    matters = best_snr[pairs[:, 1]] > 4
    matters &= flux[pairs[:, 1]] > 0.003 * flux[pairs[:, 0]]
    alone = truth.kind == STAR
    alone[pairs[matters, 0]] = False
    return alone


def _visit(number: int, sky: Sky, truth: _Truth) -> tuple[VisitStars, dict[int, int], Floats]:
    """Return what a visit sees, whose each detection is, and the S/N of the true sources."""
    rng = np.random.default_rng([sky.seed, 42, number])
    band = rng.integers(len(BANDS))
    mjd = 60000.0 + 1500 * (number - 1) / max(sky.n_visit - 1, 1)
    seeing = rng.uniform(0.7, 1.4)
    cloud = 0.0 if rng.random() < 0.8 else rng.uniform(0, 1.5)
    limit = (24.5, 24.0, 23.5)[band] - 2.5 * np.log10(seeing) - cloud - 1.5
    pointing = rng.normal(0, sky.dither_deg, 2)
    if sky.spread_deg:
        pointing = rng.uniform(-sky.spread_deg, sky.spread_deg, 2)
    turn = rng.uniform(0, 2 * np.pi)
    wrong = number <= sky.wrong_visits
    years = (mjd - 60750.0) / 365.25
    x = truth.x + truth.motion[:, 0] * years / 3600
    y = truth.y + truth.motion[:, 1] * years / 3600
    mag, size, kind = truth.mag[:, band], truth.size, truth.kind
    extra = rng.poisson(np.array([sky.asteroids, sky.rubbish]) * (3 * sky.detector_deg) ** 2)
    # Asteroids and rubbish of this visit alone.
    place = pointing + rng.uniform(-0.25, 0.25, (extra.sum(), 2))
    x, y = np.append(x, place[:, 0]), np.append(y, place[:, 1])
    mag = np.append(mag, limit - rng.exponential(0.8, extra.sum()))
    kind = np.append(kind, np.repeat([ASTEROID, RUBBISH], extra))
    size = np.append(size, np.zeros(extra.sum()))
    owner = np.where(kind <= GALAXY, np.arange(len(x)), -1)
    snr = 5 * 10 ** (0.4 * (limit - mag)) / np.sqrt(1 + size**2 / seeing**2)
    snr = 1 / np.sqrt(1 / snr**2 + 0.002**2 + 0.1 / snr)
    detector, edge = _placed(x - pointing[0], y - pointing[1], turn, sky)
    covered = (detector >= 0) & (edge > 4 * seeing) & (mag > limit - _SATURATED_MAG)
    true_snr = np.where(covered, snr, np.nan)[: len(truth.x)]
    rows = np.flatnonzero((detector >= 0) & (snr + rng.normal(0, 1, len(snr)) > 5))
    rows, blended = _merged(x, y, mag, rows, 0.8 * seeing)
    stars = {"x": x[rows], "y": y[rows], "snr": snr[rows], "mag": mag[rows], "size": size[rows]}
    stars |= {"edge": edge[rows], "blended": blended, "detector": detector[rows]}
    columns, summary = _measured(stars, seeing, limit, sky, rng, turn, pointing, truth, wrong)
    columns["sourceId"] = _ids(number, detector[rows])
    names = (f"{BANDS[band]}1", mjd)
    visit = VisitStars(number, BANDS[band], names[0], names[1], columns, summary)
    pairs = zip(columns["sourceId"].tolist(), owner[rows].tolist(), strict=True)
    return visit, dict(pairs), true_snr


def _placed(x: Floats, y: Floats, turn: float, sky: Sky) -> tuple[Integers, Floats]:
    """Return the detector of places in the field, -1 for none, and arcsec to its edge."""
    u = x * np.cos(turn) + y * np.sin(turn)
    v = -x * np.sin(turn) + y * np.cos(turn)
    pitch = sky.detector_deg + sky.gap_deg
    i, j = (np.floor(w / pitch + sky.side / 2) for w in (u, v))
    half = sky.detector_deg / 2
    edge = half - np.maximum(
        *(np.abs(w - (k - (sky.side - 1) / 2) * pitch) for w, k in ((u, i), (v, j)))
    )
    inside = (i >= 0) & (i < sky.side) & (j >= 0) & (j < sky.side) & (edge > 0)
    return np.where(inside, j * sky.side + i, -1).astype(np.int64), edge * 3600


def _merged(x: Floats, y: Floats, mag: Floats, rows: Integers, radius_arcsec: float) -> Any:
    """Return the detections that are left where each swallows fainter ones near to it."""
    points = np.stack([x[rows], y[rows]], axis=1) * 3600
    lost, blended = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    pairs = cKDTree(points).query_pairs(radius_arcsec, output_type="ndarray")
    for a, b in pairs:
        brighter, fainter = (a, b) if mag[rows[a]] <= mag[rows[b]] else (b, a)
        lost[fainter] = True
        blended[brighter] |= mag[rows[fainter]] - mag[rows[brighter]] < 4
    return rows[~lost], blended[~lost]


def _measured(
    stars: Columns,
    seeing: float,
    limit: float,
    sky: Sky,
    rng: np.random.Generator,
    turn: float,
    pointing: Floats,
    truth: _Truth,
    wrong: bool,
) -> tuple[Columns, Columns]:
    """Return the columns of the detections and of the visit's summary."""
    n, snr, detector = len(stars["snr"]), stars["snr"], stars["detector"]
    n_detector = sky.side**2
    noise = 0.6 * seeing / snr
    shift = rng.normal(0, 0.01, (n_detector, 2))
    wcs_error = np.full(n_detector, np.nan)
    if wrong:
        # A detector of no use, one by the pointing alone, one that is plainly wrong.
        shift[0], wcs_error[0] = rng.normal(0, 0.2, 2), 0.3
        shift[1] = [1.3, -0.9]
    offset = np.hypot(noise, 0.02)[:, None] * rng.normal(0, 1, (n, 2)) + shift[detector]
    ra, dec = truth.projection.to_sky(
        stars["x"] + offset[:, 0] / 3600, stars["y"] + offset[:, 1] / 3600
    )
    flux = 10 ** (-0.4 * (stars["mag"] - 31.4))
    psf = (seeing / 2.35 / 0.2) ** 2 * 2
    size_error = 2.8 / snr * (1 + stars["size"] ** 2 / seeing**2)
    excess = (stars["size"] / seeing) ** 2 + rng.normal(0, np.hypot(size_error, 0.01))
    excess += np.where(stars["blended"], 0.3, 0.0)
    flags = dict.fromkeys(DetectionConfig().bad_flags, np.zeros(n, bool))
    flags["pixelFlags_edge"] = stars["edge"] < 3 * seeing
    flags["pixelFlags_saturated"] = stars["mag"] < limit - _SATURATED_MAG
    flags["pixelFlags_interpolatedCenter"] = rng.random(n) < 0.01
    columns: Columns = {
        **flags,
        "detector": detector.astype(np.int32),
        "ra": ra,
        "dec": dec,
        "raErr": noise / 3600,
        "decErr": noise / 3600,
        "detect_isPrimary": np.ones(n, bool),
        "blendedness": np.where(stars["blended"], 0.1, 0.0),
        "psfFlux_instFlux": flux,
        "psfFlux_instFluxErr": flux / snr,
        "psfFlux": flux,
        "reference_id": np.zeros(n, np.int64),
        "ixx": psf / 2 * (1 + excess),
        "iyy": psf / 2 * (1 + excess),
        "ixxErr": psf * size_error / 1.41,
        "iyyErr": psf * size_error / 1.41,
        "ixxPSF": np.full(n, psf / 2),
        "iyyPSF": np.full(n, psf / 2),
        "shape_flag": rng.random(n) < 0.01,
    }
    columns["psfFlux_instFlux"] = np.where(rng.random(n) < 0.002, np.nan, flux)
    return columns, _summary(sky, limit, turn, pointing, truth, wcs_error)


def _summary(
    sky: Sky, limit: float, turn: float, pointing: Floats, truth: _Truth, wcs_error: Floats
) -> Columns:
    k = np.arange(sky.side**2)
    pitch, half = sky.detector_deg + sky.gap_deg, sky.detector_deg / 2
    columns: Columns = {"detector": k.astype(np.int32), "wcs_error": wcs_error}
    columns |= {"magLim": np.full(k.size, limit), "lost": np.full(k.size, "", "U1")}
    for name, (a, b) in _CORNERS.items():
        u = (k % sky.side - (sky.side - 1) / 2) * pitch + a * half
        v = (k // sky.side - (sky.side - 1) / 2) * pitch + b * half
        x = u * np.cos(turn) - v * np.sin(turn) + pointing[0]
        y = u * np.sin(turn) + v * np.cos(turn) + pointing[1]
        columns[f"{name}ra"], columns[f"{name}dec"] = truth.projection.to_sky(x, y)
    return columns


def _ids(visit: int, detector: Integers) -> Integers:
    """Return identifiers, in the order of the rows within each detector."""
    ids = np.zeros(len(detector), np.int64)
    for d in np.unique(detector):
        rows = np.flatnonzero(detector == d)
        ids[rows] = make_source_ids(visit, int(d), rows.size)
    return ids


class Score(NamedTuple):
    """How well an association agrees with the truth.

    Parameters
    ----------
    wanted
        Isolated stars brighter than a limit that three visits cover, or more.
    found
        Of these, those that are found, and once.
    made
        Stars so bright that were made where two visits should see them, or more.
    false
        Of these, those that are nothing that lasts, or are mixed of several sources.
    galaxies
        Of these, galaxies that look like stars.
    """

    wanted: int
    found: int
    made: int
    false: int
    galaxies: int


def score(catalog: Catalog, stars: Columns, sources: Columns, min_snr: float = 20.0) -> Score:
    """Compare stars, sorted by identifier, and their sources with the truth."""
    owner = np.array([catalog.of_source[i] for i in sources["sourceId"].tolist()])
    row = np.searchsorted(stars["isolated_star_id"], sources["isolated_star_id"])
    first = np.full(len(stars["isolated_star_id"]), -1)
    first[row[::-1]] = owner[::-1]
    false = first < 0
    false[row[owner != first[row]]] = True
    times = np.bincount(first[~false], minlength=len(catalog.kind))
    wanted = catalog.isolated & (catalog.snr > min_snr) & (catalog.n_visit >= 3)
    judged = (stars["snr"] > min_snr) & (stars["n_expected"] >= 2)
    galaxy = ~false & (catalog.kind[first] == GALAXY)
    return Score(
        int(wanted.sum()),
        int((times[wanted] == 1).sum()),
        *(int((judged & which).sum()) for which in (np.ones_like(judged), false, galaxy)),
    )
