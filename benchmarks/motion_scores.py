"""How good stellar motions are, beside what the data allow and what simpler fits make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.tan_projection import unit_vectors
from drpflow.sim.earth import east_north
from drpflow.sim.motion_survey import REFERENCE_COLOR, MotionSurvey, true_places

if TYPE_CHECKING:
    from motion_tables import Columns, Fitted

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PARAMETERS = ("raPM", "decPM", "parallax")
TRUTH = {"raPM": "pm_ra", "decPM": "pm_dec", "parallax": "parallax"}
TIED, STILL, SCATTERS = 2, 16, 32
_MAS_PER_RAD = 180 * 3.6e6 / np.pi
_DAYS_PER_YEAR = 365.25


class Errors(NamedTuple):
    """Errors of stars whose motions are told, beside the stated ones; columns of length N.

    Parameters
    ----------
    error, stated, limit
        Error, standard deviation and what the data allow, of (raPM, decPM, parallax), (N, 3).
    snr, color
        Median significance, and true colour.
    tied
        Tied to the catalogue: `limit` does not know of that.
    seed
        Of the survey.
    """

    error: Floats
    stated: Floats
    limit: Floats
    snr: Floats
    color: Floats
    tied: Bools
    seed: NDArray[np.int64]

    def select(self, kept: Bools) -> Errors:
        """Return some of the stars."""
        return Errors(*(column[kept] for column in self))

    @property
    def pulls(self) -> Floats:
        """Errors over stated ones."""
        return self.error / self.stated


def errors_of(survey: MotionSurvey, fitted: Fitted, seed: int) -> Errors:
    """Compare stars with the truth."""
    stars = fitted.stars.stars
    flag, true = stars["flag"], fitted.true_star
    rows = np.flatnonzero((true >= 0) & (flag & (STILL | SCATTERS) == 0))
    truth = {name: values[true[rows]] for name, values in survey.stars.items()}
    error = np.stack([stars[n][rows] - truth[TRUTH[n]] for n in PARAMETERS], axis=1)
    stated = np.stack([stars[f"{n}Err"][rows] for n in PARAMETERS], axis=1)
    designs = star_designs(survey, fitted.rows, stars["source_match_id"][rows])
    limit = np.array([_limit(survey, *design) for design in designs])
    return Errors(
        *(error, stated, limit, stars["snr"][rows].astype(float), truth["color"]),
        *(flag[rows] & TIED > 0, np.full(rows.size, seed)),
    )


def place_pulls(survey: MotionSurvey, fitted: Fitted) -> Floats:
    """Return errors of places over stated ones, (N, 2)."""
    stars, true = fitted.stars.stars, fitted.true_star
    rows = np.flatnonzero((true >= 0) & (stars["flag"] & (STILL | SCATTERS) == 0))
    truth = {name: values[true[rows]] for name, values in survey.stars.items()}
    ra, dec = true_places(truth, stars["epoch"][rows])
    cosine = np.cos(np.radians(dec))
    return np.stack(
        [
            (stars["ra"][rows] - ra) * cosine / stars["raErr"][rows],
            (stars["dec"][rows] - dec) / stars["decErr"][rows],
        ],
        axis=1,
    )


def star_designs(
    survey: MotionSurvey, rows: Columns, ids: NDArray[np.int64]
) -> list[tuple[Floats, Columns]]:
    """Return, for each of some groups, derivatives (n, 2, 5) and the rows they are of."""
    order = np.argsort(rows["source_match_id"], kind="stable")
    sorted_ids = rows["source_match_id"][order]
    mjd_of = {v.number: v.mjd for v in survey.visits}
    earth_of = {v.number: earth_position_au(v.mjd) for v in survey.visits}
    designs = []
    for one in ids.tolist():
        own = order[np.searchsorted(sorted_ids, one) : np.searchsorted(sorted_ids, one, "right")]
        mine = {name: values[own] for name, values in rows.items()}
        mjd = np.array([mjd_of[v] for v in mine["visit"].tolist()])
        earth = np.array([earth_of[v] for v in mine["visit"].tolist()])
        middle = unit_vectors(mine["ra"][0], mine["dec"][0])
        axes = np.stack(east_north(middle))
        design = np.zeros((own.size, 2, 5))
        design[:, [0, 1], [0, 1]] = 1
        design[:, [0, 1], [2, 3]] = ((mjd - mjd.mean()) / _DAYS_PER_YEAR)[:, None]
        design[:, :, 4] = -earth @ axes.T
        offset = unit_vectors(mine["ra"], mine["dec"]).T - middle
        designs.append((design, mine | {"offset": offset @ axes.T * _MAS_PER_RAD}))
    return designs


def _limit(survey: MotionSurvey, design: Floats, rows: Columns) -> Floats:
    """Return the least errors that unbiased estimates can have (Cramér and Rao).

    True errors of all positions that are not spoilt are known, and colours; no catalogue.
    """
    config, scale = survey.config, 1000 * 0.2
    grown = rows["psfFlux"] / rows["psfFluxErr"] / rows["true_snr"]
    information = np.zeros((5, 5))
    for k in np.flatnonzero(~rows["spoilt"]):
        xx, yy, xy = rows["xErr"][k] ** 2, rows["yErr"][k] ** 2, rows["x_y_Cov"][k]
        covariance = np.array([[xx, xy], [xy, yy]], float) * (scale * grown[k]) ** 2
        covariance += np.eye(2) * (config.floor_mas**2 + config.wcs_mas**2)
        information += design[k].T @ np.linalg.inv(covariance) @ design[k]
    if np.linalg.matrix_rank(information) < 5:
        return np.full(3, np.nan)
    return np.sqrt(np.diag(np.linalg.inv(information))[2:])


def plain_fits(survey: MotionSurvey, fitted: Fitted, seed: int) -> Errors:
    """Return what least squares without weights, colours, rejection and catalogue gives.

    Errors are those that the scatter of the residuals tells.
    """
    stars = fitted.stars.stars
    rows = np.flatnonzero((fitted.true_star >= 0) & (stars["flag"] & STILL == 0))
    rows = rows[stars["n_source"][rows] >= 4]
    error, stated = np.full((rows.size, 3), np.nan), np.full((rows.size, 3), np.nan)
    designs = star_designs(survey, fitted.rows, stars["source_match_id"][rows])
    truth = {name: values[fitted.true_star[rows]] for name, values in survey.stars.items()}
    true = np.stack([truth[TRUTH[n]] for n in PARAMETERS], axis=1)
    limit = np.array([_limit(survey, *design) for design in designs])
    for k, (design, own) in enumerate(designs):
        a, b = design.reshape(-1, 5), own["offset"].reshape(-1)
        normal = np.linalg.pinv(a.T @ a)
        found = normal @ a.T @ b
        scatter = ((b - a @ found) ** 2).sum() / max(b.size - 5, 1)
        error[k] = found[2:] - true[k]
        stated[k] = np.sqrt(scatter * np.diag(normal)[2:])
    return Errors(
        *(error, stated, limit, stars["snr"][rows].astype(float), truth["color"]),
        *(stars["flag"][rows] & TIED > 0, np.full(rows.size, seed)),
    )


def first_visit_share(fitted: Fitted, min_snr: float) -> tuple[int, int]:
    """Return how many stars with motions a match to the first visit would have, and how many are.

    Of stars fainter than a significance of ten, brighter than `min_snr`.
    """
    stars = fitted.stars.stars
    told = (fitted.true_star >= 0) & (stars["flag"] & STILL == 0)
    told &= (stars["snr"] < 10) & (stars["snr"] >= min_snr)
    seen = np.unique(fitted.rows["source_match_id"][fitted.rows["visit"] == 1])
    return int(np.isin(stars["source_match_id"][told], seen).sum()), int(told.sum())


def width(values: Floats) -> tuple[float, float, float]:
    """Return the half-width of the middle 68 %, and its 95 % interval by resampling."""
    values = values[np.isfinite(values)]
    rng = np.random.default_rng(0)
    half = [_half(rng.choice(values, values.size)) for _ in range(300)]
    low, high = np.percentile(half, (2.5, 97.5))
    return _half(values), float(low), float(high)


def _half(values: Floats) -> float:
    low, high = np.percentile(values, (15.87, 84.13))
    return float(high - low) / 2


def mean_pulls(errors: Errors) -> tuple[Floats, Floats]:
    """Return mean pulls and their errors, from the scatter between surveys, (3,)."""
    return _over_surveys([errors.pulls[errors.seed == s].mean(axis=0) for s in _seeds(errors)])


def color_slopes(errors: Errors) -> tuple[Floats, Floats]:
    """Return slopes of errors over colour, in stated errors a magnitude, and their errors, (3,).

    The errors are from the scatter between surveys: those of refraction are common to all stars.
    """
    slopes = []
    for seed in _seeds(errors):
        own = errors.select(errors.seed == seed)
        x = own.color - REFERENCE_COLOR
        design = np.column_stack([np.ones_like(x), x])
        slopes.append(np.linalg.lstsq(design, own.pulls, rcond=None)[0][1])
    return _over_surveys(slopes)


def _seeds(errors: Errors) -> list[int]:
    return np.unique(errors.seed).tolist()


def _over_surveys(values: list[Floats]) -> tuple[Floats, Floats]:
    table = np.array(values)
    return table.mean(axis=0), table.std(axis=0, ddof=1) / np.sqrt(len(table))
