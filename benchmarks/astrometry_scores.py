"""Scores of astrometric solutions against the truth of a simulated survey.

Errors are in mas on the sky. Those of coordinate systems are distances (both coordinates
together) from where light of the reference colour really comes, without the turbulence, which no
polynomial can follow, and with it; those of stars are of one coordinate. Residuals are those of
all measurements of bright stars that are not spoilt, whether the fit took them for outliers or
not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astrometry_tables import visits_of
from numpy.typing import NDArray
from scoring import Figure, polynomial_design, resampled_groups, rms, robust_sigma, share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drpflow.algorithms.astrometric_fit.result import AstrometrySolution
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.sim.astrometric_survey import AstrometricSurvey

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BRIGHT_MAS = 5.0
"""Largest centroid error, in seeing of 1 arcsec, of a bright star."""
MIN_SEEN = 3
MAS_PER_DEG = 3.6e6
DAYS_PER_YEAR = 365.25
GRID = 6
"""Points along a detector's side where coordinate systems are compared."""


@dataclass(frozen=True)
class Scores:
    """Samples from which figures are pooled over surveys.

    Parameters
    ----------
    samples
        Values, one a detector image, star or measurement, by name.
    counts
        Hits and tries by name.
    groups
        Visit or star of each value of the samples that have several of one.
    """

    samples: dict[str, Floats]
    counts: dict[str, tuple[int, int]]
    groups: dict[str, NDArray[np.int64]]


def offsets_mas(
    ra: Floats, dec: Floats, true_ra: Floats, true_dec: Floats
) -> tuple[Floats, Floats]:
    """Return by how much positions lie east and north of the truth."""
    east = (np.asarray(ra) - true_ra + 180.0) % 360.0 - 180.0
    return east * np.cos(np.deg2rad(true_dec)) * MAS_PER_DEG, (dec - true_dec) * MAS_PER_DEG


def grid_of(survey: AstrometricSurvey) -> tuple[Floats, Floats]:
    """Return pixels evenly over a detector."""
    side = survey.camera.config.side_pix
    places = (np.arange(GRID) + 0.5) / GRID * side - 0.5
    x, y = np.meshgrid(places, places)
    return x.ravel(), y.ravel()


def wcs_errors(
    survey: AstrometricSurvey,
    wcs: Mapping[tuple[int, int], SkyWcs],
    color: float,
    *,
    turbulence: bool = False,
) -> dict[tuple[int, int], Floats]:
    """Return errors (2, points) of coordinate systems on the grid, east and north, mas."""
    x, y = grid_of(survey)
    found, visit_of_air, air = {}, -1, None
    for (v, d), item in sorted(wcs.items()):
        if turbulence and v != visit_of_air:
            visit_of_air, air = v, survey.turbulence(v)
        true = survey.pixel_to_sky(v, d, x, y, color, air)
        found[v, d] = np.array(offsets_mas(*item.pixel_to_world_values(x, y), *true))
    return found


def without_frame(
    survey: AstrometricSurvey, errors: dict[tuple[int, int], Floats]
) -> dict[tuple[int, int], Floats]:
    """Return errors without one shift, turn, scale and shear of the whole sky.

    That is what nothing but a reference catalogue tells.
    """
    x, y = grid_of(survey)
    f = survey.config.field
    designs = {}
    for v, d in errors:
        ra, dec = survey.pixel_to_sky(v, d, x, y)
        east, north = offsets_mas(ra, dec, np.array(f.ra_deg), np.array(f.dec_deg))
        designs[v, d] = np.column_stack([east / 3.6e6, north / 3.6e6, np.ones(x.size)])
    design = np.concatenate([designs[key] for key in errors])
    shift = np.concatenate([errors[key].T for key in errors])
    common = np.linalg.lstsq(design, shift, rcond=None)[0]
    return {key: errors[key] - (designs[key] @ common).T for key in errors}


def score(
    survey: AstrometricSurvey, solution: AstrometrySolution, color: float, *, tied: bool = True
) -> Scores:
    """Compare a solution with the truth.

    Parameters
    ----------
    survey
        The truth.
    solution
        What was found.
    color
        Of the star for which the coordinate systems hold.
    tied
        Whether a reference catalogue told where the sky is; else one linear map of the sky is free.
    """
    samples: dict[str, Floats] = {}
    counts: dict[str, tuple[int, int]] = {}
    errors = wcs_errors(survey, solution.wcs, color)
    errors = errors if tied else without_frame(survey, errors)
    _images(survey, solution, errors, samples)
    if tied and survey.config.turbulence.rms_mas:
        moving = wcs_errors(survey, solution.wcs, color, turbulence=True)
        samples["wcs turbulent"] = np.array(
            [np.sqrt(np.mean(np.hypot(*e) ** 2)) for e in moving.values()]
        )
    _stars(survey, solution, samples, tied=tied)
    residual_rows = _observations(survey, solution, samples, counts)
    wanted = survey.start_matrix.shape[0] * survey.start_matrix.shape[1]
    counts["detector images solved"] = (len(solution.wcs), wanted)
    visit = np.array([v for v, _ in errors], np.int64)
    groups = dict.fromkeys(("wcs", "wcs edge", "wcs pull", "wcs turbulent"), visit)
    for name, rows in residual_rows.items():
        groups[f"residual {name}"] = np.tile(survey.centroids.star[rows].astype(np.int64), 2)
    return Scores(samples, counts, groups)


def _images(
    survey: AstrometricSurvey,
    solution: AstrometrySolution,
    errors: dict[tuple[int, int], Floats],
    samples: dict[str, Floats],
) -> None:
    square = {key: float(np.mean((e**2).sum(axis=0))) for key, e in errors.items()}
    samples["wcs"] = np.sqrt(list(square.values()))
    samples["wcs edge"] = np.array([np.hypot(*e).max() for e in errors.values()])
    images = solution.images
    quoted = {
        (int(v), int(d)): 1e3 * float(e)
        for v, d, e in zip(images.visit, images.detector, images.error_arcsec, strict=True)
    }
    samples["wcs pull"] = np.array([np.sqrt(square[key]) / quoted[key] for key in square])
    side = len(survey.camera.x_deg)
    mean = np.zeros((side, 2, GRID**2))
    number = np.zeros(side)
    for (_, d), e in errors.items():
        mean[d] += e
        number[d] += 1
    samples["wcs static"] = np.hypot(*np.moveaxis(mean / number[:, None, None], 1, 0)).ravel()


def true_motion(survey: AstrometricSurvey, mjd: float) -> Floats:
    """Return true position at a time, motion and parallax of the stars, columns, shape (S, 5)."""
    s = survey.stars
    return np.column_stack([*s.at_epoch(mjd), s.pm_ra, s.pm_dec, s.parallax])


def _stars(
    survey: AstrometricSurvey,
    solution: AstrometrySolution,
    samples: dict[str, Floats],
    *,
    tied: bool,
) -> None:
    s, found = survey.stars, solution.stars
    true = true_motion(survey, found.epoch_mjd)
    east, north = offsets_mas(found.ra_deg, found.dec_deg, true[:, 0], true[:, 1])
    off = np.column_stack(
        [
            east,
            north,
            found.pm_ra - true[:, 2],
            found.pm_dec - true[:, 3],
            found.parallax - true[:, 4],
        ]
    )
    if not tied:
        off = _without_sky(survey, off)
    error = np.sqrt(np.einsum("sii->si", found.covariance))
    noise = survey.config.noise
    slope = noise.error_slope * (s.mag - survey.config.field.faint_mag)
    bright = noise.faint_error_mas * 10.0**slope < BRIGHT_MAS
    seen = found.n_observations >= MIN_SEEN
    alone = np.isnan(s.reference.ra)
    groups = {
        "reserved": seen & s.reserved & alone,
        "reserved in catalogue": seen & s.reserved & ~alone & ~s.reference.wrong,
        "all": seen & ~s.reference.wrong,
    }
    # Where visits overlap: as often as half of them would show it.
    often = found.n_observations >= max(np.max(found.n_observations) / 2, MIN_SEEN)
    samples["position often"] = off[often & bright & s.reserved, :2].ravel()
    least = allowed_mas(survey, found.epoch_mjd)
    least = least * np.random.default_rng(survey.config.seed).normal(size=least.shape)
    samples["least often"] = least[often & bright & s.reserved].ravel()
    for name, rows in groups.items():
        samples[f"position {name}"] = off[rows & bright, :2].ravel()
        samples[f"least {name}"] = least[rows & bright].ravel()
        samples[f"position pull {name}"] = (off / error)[rows, :2].ravel()
        samples[f"motion {name}"] = off[rows & bright, 2:4].ravel()
        samples[f"motion pull {name}"] = (off / error)[rows, 2:4].ravel()
        samples[f"parallax {name}"] = off[rows & bright, 4]
        samples[f"parallax pull {name}"] = (off / error)[rows, 4]


def allowed_mas(survey: AstrometricSurvey, mjd: float) -> Floats:
    """Return errors that star positions would have if all maps were known, mas, shape (S, 2).

    Of the measurements that are not spoilt, turbulence as noise of single stars, the reference
    catalogue and the spread of motions: the inverse of the information (Cramér and Rao).
    """
    s, c, r = survey.stars, survey.centroids, survey.stars.reference
    visits = visits_of(survey)
    rows = np.flatnonzero(~c.spoilt)
    mas2 = (MAS_PER_DEG * survey.camera.scale_deg) ** 2
    noise = mas2 * (c.xx + c.yy)[rows].astype(float) / 2 + survey.config.turbulence.rms_mas**2
    star, visit = c.star[rows], c.visit[rows]
    years = (visits.mjd - mjd)[visit] / DAYS_PER_YEAR
    ra, dec = np.deg2rad(s.ra), np.deg2rad(s.dec)
    east = np.stack([-np.sin(ra), np.cos(ra), 0 * ra], axis=1)
    out = np.stack([np.cos(ra) * np.cos(dec), np.sin(ra) * np.cos(dec), np.sin(dec)], axis=1)
    information = np.zeros((len(s), 5, 5))
    motions = np.stack([s.pm_ra, s.pm_dec, s.parallax])
    information[:, [2, 3, 4], [2, 3, 4]] = 1 / motions.var(axis=1)
    for k, axis in enumerate((east, np.cross(out, east))):
        step = np.zeros((rows.size, 5))
        step[:, k], step[:, 2 + k] = 1.0, years
        step[:, 4] = -(axis[star] * visits.earth_au[visit]).sum(axis=1)
        np.add.at(information, star, step[:, :, None] * (step / noise[:, None])[:, None])
    known = np.flatnonzero(np.isfinite(r.ra) & ~r.wrong)
    back = np.eye(5)
    back[[0, 1], [2, 3]] = -(mjd - s.epoch_mjd) / DAYS_PER_YEAR
    weight = 1 / r.error[known] ** 2
    information[known] += np.einsum("ij,sj,jk->sik", back.T, weight, back)
    information[:, [0, 1], [0, 1]] += 1e-12
    return np.sqrt(np.einsum("sii->si", np.linalg.inv(information))[:, :2])


def _without_sky(survey: AstrometricSurvey, off: Floats) -> Floats:
    """Return errors without what is common to all stars and linear in their place."""
    s, f = survey.stars, survey.config.field
    design = np.column_stack([s.ra - f.ra_deg, s.dec - f.dec_deg, np.ones(len(s))])
    out = off.copy()
    for k in range(off.shape[1]):
        good = np.isfinite(off[:, k])
        if not good.any():
            continue
        good &= np.abs(off[:, k]) < 5 * robust_sigma(off[good, k]) + 1e-9
        line = np.linalg.lstsq(design[good], off[good, k], rcond=None)[0]
        out[:, k] -= design @ line
    return out


def _observations(
    survey: AstrometricSurvey,
    solution: AstrometrySolution,
    samples: dict[str, Floats],
    counts: dict[str, tuple[int, int]],
) -> dict[str, NDArray[np.intp]]:
    """Add the residuals; return the rows of each sample."""
    c, r = survey.centroids, solution.residuals
    mas_per_pix = MAS_PER_DEG * survey.camera.scale_deg
    sigma = mas_per_pix * np.sqrt((c.xx + c.yy) / 2.0)
    moved = mas_per_pix * np.hypot(c.x - c.true_x, c.y - c.true_y)
    wild = c.spoilt & (moved > 6 * np.hypot(sigma, survey.config.turbulence.rms_mas))
    fit = ~survey.stars.reserved[c.star]
    rejected = np.asarray(r.rejected)
    counts["outliers rejected"] = (int((rejected & wild).sum()), int(wild.sum()))
    clean = ~c.spoilt
    counts["good measurements lost"] = (int((rejected & clean).sum()), int(clean.sum()))
    counts["measurements rejected"] = (int((rejected & fit).sum()), int(fit.sum()))
    bright = (sigma < BRIGHT_MAS) & clean & np.isfinite(r.dx_mas)
    seen = solution.stars.n_observations[c.star]
    # A residual about a mean of n is too small by √(1 - 1/n).
    factor = np.sqrt(seen / np.maximum(seen - 1.0, 1.0))
    chosen = {}
    for name, rows in (("reserved", ~fit), ("fitted", fit)):
        kept = bright & rows & (seen >= MIN_SEEN)
        chosen[name] = np.flatnonzero(kept)
        both = np.concatenate([(r.dx_mas * factor)[kept], (r.dy_mas * factor)[kept]])
        samples[f"residual {name}"] = np.asarray(both, float)
    return chosen


def attainable_mas(survey: AstrometricSurvey, order: int, visits: int = 20) -> Floats:
    """Return errors of a polynomial fitted to the truth of each visit, mas.

    Stars and detectors are known without error, of measurements all that a catalogue tells: what
    is left is what turbulence and centroids do to one visit's polynomial. Rms distances, one a
    detector image, of up to `visits` visits.
    """
    c, camera = survey.centroids, survey.camera
    mas = MAS_PER_DEG * camera.scale_deg
    x, y = grid_of(survey)
    found = []
    for v in range(min(visits, len(survey.visits))):
        rows = np.flatnonzero((c.visit == v) & ~c.spoilt & ~survey.stars.reserved[c.star])
        place = _unit_places(survey, c.detector[rows], c.x[rows], c.y[rows])
        design = polynomial_design(*place, order)
        moved = np.stack([c.x - c.true_x + c.air_x, c.y - c.true_y + c.air_y], axis=1)[rows] * mas
        variance = (c.xx + c.yy)[rows] / 2 * mas**2 + survey.config.turbulence.rms_mas**2
        weight = 1 / np.sqrt(variance.astype(float))
        solution = np.linalg.lstsq(design * weight[:, None], moved * weight[:, None], rcond=None)[0]
        for d in range(len(camera.x_deg)):
            there = _unit_places(survey, np.full(x.size, d), x, y)
            wrong = polynomial_design(*there, order) @ solution
            found.append(np.sqrt(np.mean((wrong**2).sum(axis=1))))
    return np.array(found)


def _unit_places(
    survey: AstrometricSurvey, detector: NDArray[np.int64], x: Floats, y: Floats
) -> tuple[Floats, Floats]:
    camera = survey.camera
    middle = (camera.config.side_pix - 1) / 2
    px = camera.x_deg[detector] + (x - middle) * camera.scale_deg
    py = camera.y_deg[detector] + (y - middle) * camera.scale_deg
    return px / camera.radius_deg, py / camera.radius_deg


def pooled(scores: list[Scores], name: str) -> Floats:
    """Return the finite values of a sample of all surveys."""
    values = np.concatenate([s.samples.get(name, np.zeros(0)) for s in scores])
    return values[np.isfinite(values)]


def pooled_groups(scores: list[Scores], name: str) -> NDArray[np.int64]:
    """Return the groups of these values; each value is one where nothing else is known."""
    parts, last = [], 0
    for item in scores:
        values = item.samples.get(name, np.zeros(0))
        group = item.groups.get(name, np.arange(values.size))
        parts.append(group[np.isfinite(values)] + last)
        last += int(group.max(initial=-1)) + 1
    return np.concatenate(parts)


def pull_rms(pulls: Floats) -> float:
    """Return the rms of errors over quoted ones, without those beyond eight times.

    Percentiles would not do: motions and parallaxes of faint stars are those of the population,
    which is far from Gaussian, however right its variance.
    """
    return rms(pulls[np.abs(pulls) < 8])


def figures(scores: list[Scores]) -> dict[str, Figure]:
    """Return all figures, pooled over surveys; each has its digits and unit in its name."""
    table: dict[str, Figure] = {}

    def add(label: str, name: str, statistic: Callable[[Floats], float]) -> None:
        values, group = pooled(scores, name), pooled_groups(scores, name)
        table[label] = resampled_groups(values, group, statistic, resamplings=200)

    add("WCS error, rms [mas]", "wcs", rms)
    add("WCS error with the turbulence of the visit, rms [mas]", "wcs turbulent", rms)
    add("WCS error, median detector image [mas]", "wcs", lambda a: float(np.median(a)))
    add("WCS error, mean of all visits, rms [mas]", "wcs static", rms)
    add("WCS error over quoted, rms", "wcs pull", rms)
    for name in ("reserved", "reserved in catalogue"):
        add(f"bright stars, {name}: position, rms [mas]", f"position {name}", rms)
        add(f"bright stars, {name}: position, MAD [mas]", f"position {name}", robust_sigma)
        add(f"bright stars, {name}: the same, maps known [mas]", f"least {name}", robust_sigma)
    add(
        "bright stars, reserved and seen often: position, MAD [mas]", "position often", robust_sigma
    )
    label = "bright stars, reserved and seen often: the same, maps known [mas]"
    add(label, "least often", robust_sigma)
    for name in ("reserved", "reserved in catalogue", "all"):
        for what in ("position", "motion", "parallax"):
            add(f"{what} pull width, {name}", f"{what} pull {name}", pull_rms)
    for what in ("motion", "parallax"):
        add(f"{what} pull mean, reserved", f"{what} pull reserved", lambda a: float(np.mean(a)))
    add("bright stars, reserved: proper motion, MAD [mas/yr]", "motion reserved", robust_sigma)
    add("bright stars, reserved: parallax, MAD [mas]", "parallax reserved", robust_sigma)
    add("residuals of bright reserved stars, rms [mas]", "residual reserved", rms)
    add("residuals of bright reserved stars, MAD [mas]", "residual reserved", robust_sigma)
    for name in scores[0].counts:
        hits, tries = (sum(s.counts[name][k] for s in scores) for k in (0, 1))
        table[f"{name} [%]"] = share(hits, tries)
    return table
