"""solveAstrometry: WCSs of all visits about a piece of the sky, and its stars, from one fit.

``docs/tasks/solveAstrometry.md`` has inputs, products and figures,
``docs/algorithms/astrometric_fit.md`` the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit import solve
from drpflow.algorithms.astrometric_input import VisitInput, references_of, visits_of
from drpflow.data.astrometric_tables import Detectors
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit import AstrometrySolution, Pass
    from drpflow.algorithms.astrometric_fit.result import SolvedStars
    from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
    from drpflow.data.astrometric_tables import Observations, Stars, Visits
    from drpflow.data.camera import Camera
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]
    Numbers: TypeAlias = dict[str, float | int | str]

_NO_WCS = "the fit has no solution for the visit"
_AXES = ("ra", "dec", "pm_ra", "pm_dec", "parallax")
# Bands between which the colour of the configuration's reference star is known.
_COLOR = ("g", "i")


@dataclass(frozen=True, eq=False)
class Survey:
    """What a run has measured about a piece of the sky.

    Parameters
    ----------
    camera
        The camera.
    visits
        Metadata, fitted boresight and first WCSs of each visit, by number.
    unreadable
        Why other visits could not be read.
    observations
        Detections; ``visit`` counts `visits`, ``detector`` the detectors of the camera.
    stars
        Isolated stars on these visits, without reference.
    owned
        Which of them the piece holds, shape (S,); the others are those of its neighbours.
    color_bands
        Bands that the stars' colours were made of.
    references
        Reference stars, None without a catalogue.
    """

    camera: Camera
    visits: Sequence[tuple[VisitInfo, tuple[float, float, float], Mapping[int, SkyWcs | None]]]
    unreadable: Mapping[int, str]
    observations: Observations
    stars: Stars
    owned: NDArray[np.bool_]
    color_bands: frozenset[str]
    references: ReferenceStars | None


@dataclass(frozen=True, eq=False)
class Solved:
    """What solveAstrometry makes.

    Parameters
    ----------
    wcs
        ``solved_astrometry_wcs`` by visit.
    stars, visits, residuals
        Columns of ``solved_astrometry_stars``, ``…_visits`` and ``…_residuals``, of what the piece
        holds.
    numbers
        Figures for the status file.
    problem
        Why visits have no solution, or None if all have.
    notes
        What could not be done as usual, a sentence each.
    """

    wcs: dict[int, ComponentTable]
    stars: Columns
    visits: Columns
    residuals: Columns
    numbers: Numbers
    problem: AlgorithmError | None = None
    notes: tuple[str, ...] = ()


def solve_astrometry(
    survey: Survey,
    config: SolveAstrometryTaskConfig,
    progress: Callable[[Pass], None] | None = None,
) -> Solved:
    """Solve the astrometry of a piece of the sky.

    Parameters
    ----------
    survey
        What was measured.
    config
        The section ``solveAstrometry``.
    progress
        Called after each pass.

    Raises
    ------
    AlgorithmError
        If no visit can be solved.
    """
    chosen, observations, lost = _solvable(survey)
    if not chosen or not len(observations):
        why = _first(lost) or "no isolated star was seen by these visits"
        numbers = {"n_visits": len(chosen), "n_lost_visits": len(lost)}
        raise AlgorithmError("no visit can be solved", numbers, why)
    visits = visits_of(chosen, survey.camera)
    detectors = Detectors.from_camera(survey.camera)
    stars, reference_id = _with_references(survey, float(np.mean(visits.mjd)), config)
    config, note = _with_reference_color(config, stars, survey)
    solution = _method(config)(
        observations,
        visits,
        detectors,
        stars,
        config,
        start=_start(chosen, detectors),
        progress=progress,
    )
    products = _Products(solution, chosen, visits, detectors, observations, stars)
    for row in np.flatnonzero(~solution.visits.solved):
        lost[int(visits.id[row])] = solution.visits.reason[row]
    wcs = {v: no_wcs((), why) for v, why in survey.unreadable.items()}
    wcs |= {
        info.visit: no_wcs(given, lost[info.visit])
        for info, _, given in survey.visits
        if info.visit in lost
    }
    wcs |= {item.info.visit: products.wcs(row) for row, item in enumerate(chosen)}
    notes = (*note, *solution.notes)
    return Solved(
        wcs,
        star_columns(solution.stars, stars, reference_id, survey.owned),
        visit_columns(solution, visits),
        products.residuals(survey.owned),
        _numbers(solution, len(visits), notes) | {"n_lost_visits": len(lost)},
        _problem(lost),
        notes,
    )


def _method(config: SolveAstrometryTaskConfig) -> Callable[..., AstrometrySolution]:
    """Return the way of solving that the configuration names."""
    if config.method == "polynomials":
        return solve
    from drpflow.algorithms.turbulence.solution import solve_with_turbulence

    return solve_with_turbulence


def _solvable(survey: Survey) -> tuple[list[VisitInput], Observations, dict[int, str]]:
    """Return the visits that can be solved, their observations, and why others cannot."""
    given = [VisitInput(*visit) for visit in survey.visits]
    lost = dict(survey.unreadable)
    lost |= {item.info.visit: item.lacks for item in given if item.lacks}
    good = np.array([not item.lacks for item in given], np.bool_)
    chosen = [item for item in given if not item.lacks]
    if good.all():
        return chosen, survey.observations, lost
    kept = survey.observations.take(good[survey.observations.visit])
    rows = (np.cumsum(good) - 1).astype(np.int32)
    return chosen, replace(kept, visit=rows[kept.visit]), lost


def _start(
    chosen: Sequence[VisitInput], detectors: Detectors
) -> dict[tuple[int, int], SkyWcs] | None:
    """Return the first WCSs by rows, None if there are none."""
    number = {int(d): row for row, d in enumerate(detectors.id)}
    found = {
        (visit, number[detector]): wcs
        for visit, item in enumerate(chosen)
        for detector, wcs in item.wcs.items()
        if wcs is not None
    }
    return found or None


def _with_references(
    survey: Survey, mjd: float, config: SolveAstrometryTaskConfig
) -> tuple[Stars, NDArray[np.int64]]:
    """Return the stars with what the catalogue says of them, and the numbers of its stars."""
    reference, ids = references_of(
        survey.stars.ra_deg,
        survey.stars.dec_deg,
        mjd,
        survey.references,
        config.catalog.match_radius_arcsec,
        config.catalog.unknown_error_mas,
    )
    return replace(survey.stars, reference=reference), ids


def _with_reference_color(
    config: SolveAstrometryTaskConfig, stars: Stars, survey: Survey
) -> tuple[SolveAstrometryTaskConfig, tuple[str, ...]]:
    """Return the configuration with a reference colour in the bands of the survey, and a note."""
    order = dict.fromkeys([*(f.band for f in survey.camera.filters), *sorted(survey.color_bands)])
    bands = [band for band in order if band in survey.color_bands]
    known = np.isfinite(stars.color)
    if not known.any() or not bands or (bands[0], bands[-1]) == _COLOR:
        return config, ()
    middle = float(np.median(stars.color[known]))
    model = config.model.model_copy(update={"reference_color_mag": middle})
    note = f"colours are {bands[0]} - {bands[-1]}: WCSs hold for a star of {middle:.2f}"
    return config.model_copy(update={"model": model}), (note,)


def nothing(visits: Iterable[int], why: str) -> Solved:
    """Return the products of a solution that failed: no WCS."""
    return Solved({v: no_wcs((), why) for v in visits}, {}, {}, {}, {})


def no_wcs(detectors: Iterable[int], why: str) -> ComponentTable:
    """Return the table of a visit without a solution."""
    ids = sorted(int(d) for d in detectors)
    rows = {d: ComponentRow({}, {"wcs": why}) for d in ids}
    nan, zero = np.full(len(ids), np.nan), np.zeros(len(ids), np.int32)
    return ComponentTable(
        rows,
        {
            **dict.fromkeys(("wcs_error", "rms", "reserved_rms"), nan),
            **dict.fromkeys(("n_good", "n_reserved"), zero),
        },
    )


class _Products:
    """Turns a solution into what is stored by visit and by observation."""

    def __init__(
        self,
        solution: AstrometrySolution,
        chosen: Sequence[VisitInput],
        visits: Visits,
        detectors: Detectors,
        observations: Observations,
        stars: Stars,
    ) -> None:
        self.solution, self.chosen, self.visits = solution, chosen, visits
        self.detectors, self.observations, self.stars = detectors, observations, stars
        images = solution.images
        keys = zip(images.visit.tolist(), images.detector.tolist(), strict=True)
        self.image = {key: row for row, key in enumerate(keys)}

    def wcs(self, visit: int) -> ComponentTable:
        """Return the WCSs of a visit (row): of the detectors that were read out."""
        if not self.solution.visits.solved[visit]:
            return no_wcs(self.chosen[visit].wcs, self.solution.visits.reason[visit])
        number = {int(d): row for row, d in enumerate(self.detectors.id)}
        ids = sorted(d for d in self.chosen[visit].wcs if (visit, number[d]) in self.image)
        at = np.array([self.image[visit, number[d]] for d in ids], np.intp)
        images = self.solution.images
        rows = {d: ComponentRow({"wcs": self.solution.wcs[visit, number[d]]}) for d in ids}
        return ComponentTable(
            rows,
            {
                "wcs_error": images.error_arcsec[at],
                "n_good": images.n_stars[at].astype(np.int32),
                "n_reserved": images.n_reserved[at].astype(np.int32),
                "rms": images.rms_mas[at],
                "reserved_rms": images.reserved_rms_mas[at],
            },
        )

    def residuals(self, owned: NDArray[np.bool_]) -> Columns:
        """Return the columns of ``solved_astrometry_residuals``."""
        rows = np.flatnonzero(owned[self.observations.star])
        star, visit, detector = (
            getattr(self.observations, name)[rows] for name in ("star", "visit", "detector")
        )
        order = np.lexsort((detector, self.visits.id[visit], self.stars.id[star]))
        rows, star, visit = rows[order], star[order], visit[order]
        found = self.solution.residuals
        dx, dy = self._before()
        return {
            "isolated_star_id": self.stars.id[star],
            "visit": self.visits.id[visit],
            "detector": self.detectors.id[detector[order]].astype(np.int32),
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
            "reserved": self.stars.reserved[star],
        }

    def _before(self) -> tuple[Floats, Floats]:
        """Return the residuals by the first WCSs: what the new ones moved is added, mas."""
        found, obs = self.solution.residuals, self.observations
        dx, dy = np.full((2, len(obs)), np.nan)
        key = obs.visit.astype(np.int64) * len(self.detectors) + obs.detector
        order = np.argsort(key, kind="stable")
        images, first = np.unique(key[order], return_index=True)
        for image, rows in zip(images.tolist(), np.split(order, first[1:]), strict=True):
            visit, detector = divmod(image, len(self.detectors))
            old = self.chosen[visit].wcs.get(int(self.detectors.id[detector]))
            new = self.solution.wcs.get((visit, detector))
            if old is None or new is None:
                continue
            x, y = obs.x[rows], obs.y[rows]
            places = (wcs.pixel_to_world_values(x, y) for wcs in (old, new))
            (u0, v0), (u1, v1) = (new.projection.from_sky(*place) for place in places)
            dx[rows] = found.dx_mas[rows] + 3.6e6 * (u0 - u1)
            dy[rows] = found.dy_mas[rows] + 3.6e6 * (v0 - v1)
        return dx, dy


def star_columns(
    solved: SolvedStars, stars: Stars, reference_id: NDArray[np.int64], owned: NDArray[np.bool_]
) -> Columns:
    """Return the columns of ``solved_astrometry_stars``, by number.

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
    sigma = np.sqrt(np.einsum("sii->si", solved.covariance[rows]))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = solved.covariance[rows] / (sigma[:, :, None] * sigma[:, None, :])
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


def visit_columns(solution: AstrometrySolution, visits: Visits) -> Columns:
    """Return the columns of ``solved_astrometry_visits``, by number."""
    order = np.argsort(visits.id)
    v = solution.visits
    return {
        "visit": visits.id[order],
        "band": np.array(visits.bands)[visits.band[order]],
        "mjd": visits.mjd[order],
        "solved": v.solved[order],
        "reason": np.array(v.reason, np.str_)[order],
        "group": v.group[order].astype(np.int32),
        "floor": v.floor_mas[order],
        "dcr_east": v.dcr[order, 0],
        "dcr_north": v.dcr[order, 1],
        "dcr_east_err": v.dcr_error[order, 0],
        "dcr_north_err": v.dcr_error[order, 1],
        "order": v.order[order].astype(np.int32),
        "offset": v.offset_arcsec[order],
        "n_good": v.n_observations[order].astype(np.int32),
        "n_rejected": v.n_rejected[order].astype(np.int32),
    }


def _numbers(solution: AstrometrySolution, n_visits: int, notes: Sequence[str]) -> Numbers:
    """Return the figures for the status file."""
    r, v, images = solution.residuals, solution.visits, solution.images
    numbers: Numbers = {
        "n_visits": n_visits,
        "n_stars": int((solution.stars.n_observations > 0).sum()),
        "n_observations": int(r.used.size),
        "n_used": int(r.used.sum()),
        "n_rejected": int(r.rejected.sum()),
        "n_groups": int(np.unique(v.group[v.solved]).size),
        "n_passes": len(solution.history),
        "last_change_mas": solution.history[-1].change_mas if solution.history else 0.0,
        "floor_mas": _median(v.floor_mas),
        "wcs_error_mas": 1e3 * _median(images.error_arcsec),
        "rms_mas": _median(images.rms_mas),
        "reserved_rms_mas": _median(images.reserved_rms_mas),
    }
    numbers = {n: round(x, 3) if isinstance(x, float) else x for n, x in numbers.items()}
    return numbers | ({"notes": "; ".join(notes)} if notes else {})


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")


def _problem(lost: Mapping[int, str]) -> AlgorithmError | None:
    if not lost:
        return None
    return AlgorithmError(
        f"{len(lost)} visits have no solution: {_first(lost)}", {"n_lost_visits": len(lost)}
    )


def _first(lost: Mapping[int, str]) -> str:
    """Return a few of the visits with their reasons."""
    return "; ".join(f"visit {v}: {lost[v]}" for v in sorted(lost)[:3])
