"""The columns of solveAstrometry's tables, from a solution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.result import AstrometrySolution, SolvedStars
    from drpflow.data.astrometric_survey import VisitInput
    from drpflow.data.astrometric_tables import Detectors, Observations, Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

_AXES = ("ra", "dec", "pm_ra", "pm_dec", "parallax")
_MAS_PER_DEG = 3.6e6


def star_columns(
    solved: SolvedStars, stars: Stars, reference_id: NDArray[np.int64], owned: NDArray[np.bool_]
) -> Columns:
    """Return the columns of ``solved_astrometry_stars``, by number.

    What was not fitted has neither value nor error: the precision by which the fit holds motions
    is none of the star's.

    Parameters
    ----------
    solved, stars
        The solution, and the stars that it was asked for.
    reference_id
        Reference star of each, 0 for none.
    owned
        Which of them are wanted.
    """
    rows = np.flatnonzero(owned)
    rows = rows[np.argsort(stars.id[rows])]
    values = np.stack([np.zeros(rows.size)] * 2 + [getattr(solved, n)[rows] for n in _AXES[2:]])
    unknown = np.where(np.isfinite(values.T), 0.0, np.nan)
    covariance = solved.covariance[rows] + unknown[:, :, None] + unknown[:, None, :]
    sigma = np.sqrt(np.einsum("sii->si", covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / (sigma[:, :, None] * sigma[:, None, :])
    columns: Columns = {
        "isolated_star_id": stars.id[rows],
        "ra": solved.ra_deg[rows],
        "dec": solved.dec_deg[rows],
        "epoch": np.full(rows.size, solved.epoch_mjd),
        **{name: getattr(solved, name)[rows] for name in _AXES[2:]},
        **{f"{name}_err": sigma[:, k] for k, name in enumerate(_AXES)},
    }
    columns |= {
        f"{_AXES[i]}_{_AXES[j]}_corr": correlation[:, i, j].astype(np.float32)
        for i in range(5)
        for j in range(i + 1, 5)
    }
    return columns | {
        "n_good": solved.n_observations[rows].astype(np.int32),
        "n_rejected": solved.n_rejected[rows].astype(np.int32),
        "chi2": solved.chi2[rows],
        "dof": solved.dof[rows],
        "color": stars.color[rows],
        "reference_id": reference_id[rows],
        "flag": solved.flag[rows].astype(np.int32),
        "reserved": stars.reserved[rows],
    }


def visit_columns(
    solution: AstrometrySolution,
    visits: Visits,
    given: Sequence[VisitInput],
    lost: Mapping[int, str],
) -> Columns:
    """Return the columns of ``solved_astrometry_visits``, by number.

    Parameters
    ----------
    solution, visits
        The solution, and the visits that it was asked for.
    given
        What was known of all visits that could be read.
    lost
        Why visits took no part, by number; those of `visits` among them have rows already.
    """
    v = solution.visits
    solved = {
        "visit": visits.id,
        "band": np.array(visits.bands, np.str_)[visits.band],
        "mjd": visits.mjd,
        "solved": v.solved,
        "reason": np.array(v.reason, np.str_),
        "group": v.group.astype(np.int32),
        "floor": v.floor_mas,
        "dcr_east": v.dcr[:, 0],
        "dcr_north": v.dcr[:, 1],
        "dcr_east_err": v.dcr_error[:, 0],
        "dcr_north_err": v.dcr_error[:, 1],
        "order": v.order.astype(np.int32),
        "offset": v.offset_arcsec,
        "n_good": v.n_observations.astype(np.int32),
        "n_rejected": v.n_rejected.astype(np.int32),
    }
    others = {k: why for k, why in lost.items() if k not in set(visits.id.tolist())}
    missing = lost_visit_columns(others, given)
    order = np.argsort(np.concatenate([solved["visit"], missing["visit"]]))
    return {name: np.concatenate([solved[name], missing[name]])[order] for name in solved}


def lost_visit_columns(lost: Mapping[int, str], given: Sequence[VisitInput] = ()) -> Columns:
    """Return the columns of ``solved_astrometry_visits`` of visits that took no part.

    Parameters
    ----------
    lost
        Why, by number.
    given
        What is known of visits, these or others.
    """
    info = {item.info.visit: item.info for item in given}
    ids = sorted(lost)
    known = [info.get(visit) for visit in ids]
    nan, zero = np.full(len(ids), np.nan), np.zeros(len(ids), np.int32)
    times = [np.nan if i is None or i.mjd is None else i.mjd for i in known]
    return {
        "visit": np.array(ids, np.int64),
        "band": np.array(["" if i is None else i.band for i in known], np.str_),
        "mjd": np.array(times, float),
        "solved": np.zeros(len(ids), np.bool_),
        "reason": np.array([lost[visit] for visit in ids], np.str_),
        "group": zero - 1,
        **dict.fromkeys(("floor", "dcr_east", "dcr_north"), nan),
        **dict.fromkeys(("dcr_east_err", "dcr_north_err"), nan),
        "order": zero,
        "offset": nan,
        **dict.fromkeys(("n_good", "n_rejected"), zero),
    }


def residual_columns(
    solution: AstrometrySolution,
    chosen: Sequence[VisitInput],
    tables: tuple[Visits, Detectors, Stars],
    observations: Observations,
    owned: NDArray[np.bool_],
) -> Columns:
    """Return the columns of ``solved_astrometry_residuals``, by star, visit and detector.

    Parameters
    ----------
    solution
        The solution.
    chosen
        What was known of its visits.
    tables
        Visits, detectors and stars that it was asked for.
    observations
        Their observations.
    owned
        Stars that are wanted.
    """
    visits, detectors, stars = tables
    rows = np.flatnonzero(owned[observations.star])
    star, visit, detector = (
        getattr(observations, name)[rows] for name in ("star", "visit", "detector")
    )
    order = np.lexsort((detector, visits.id[visit], stars.id[star]))
    rows, star, visit = rows[order], star[order], visit[order]
    found = solution.residuals
    dx, dy = _before(solution, chosen, detectors, observations)
    return {
        "isolated_star_id": stars.id[star],
        "visit": visits.id[visit],
        "detector": detectors.id[detector[order]].astype(np.int32),
        "field_x": found.x_deg[rows],
        "field_y": found.y_deg[rows],
        "dx": found.dx_mas[rows],
        "dy": found.dy_mas[rows],
        "initial_dx": dx[rows].astype(np.float32),
        "initial_dy": dy[rows].astype(np.float32),
        "xx": found.xx[rows],
        "xy": found.xy[rows],
        "yy": found.yy[rows],
        "used": found.used[rows],
        "rejected": found.rejected[rows],
        "reserved": stars.reserved[star],
    }


def _before(
    solution: AstrometrySolution,
    chosen: Sequence[VisitInput],
    detectors: Detectors,
    observations: Observations,
) -> tuple[Floats, Floats]:
    """Return the residuals by the first WCSs: what the new ones moved is added, mas."""
    found, obs = solution.residuals, observations
    dx, dy = np.full((2, len(obs)), np.nan)
    key = obs.visit.astype(np.int64) * len(detectors) + obs.detector
    order = np.argsort(key, kind="stable")
    images, first = np.unique(key[order], return_index=True)
    for image, rows in zip(images.tolist(), np.split(order, first[1:]), strict=True):
        visit, detector = divmod(image, len(detectors))
        old = chosen[visit].wcs.get(int(detectors.id[detector]))
        new = solution.wcs.get((visit, detector))
        if old is None or new is None:
            continue
        x, y = obs.x[rows], obs.y[rows]
        places = (wcs.pixel_to_world_values(x, y) for wcs in (old, new))
        (u0, v0), (u1, v1) = (new.projection.from_sky(*place) for place in places)
        dx[rows] = found.dx_mas[rows] + _MAS_PER_DEG * (u0 - u1)
        dy[rows] = found.dy_mas[rows] + _MAS_PER_DEG * (v0 - v1)
    return dx, dy
