"""The global astrometric solution, from tables to WCSs: see docs/algorithms/astrometric_fit.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.connect import isolated_visits, visit_groups
from drpflow.algorithms.astrometric_fit.fit import begin
from drpflow.algorithms.astrometric_fit.layout import make_layout
from drpflow.algorithms.astrometric_fit.rows import Tables, sort_rows
from drpflow.algorithms.astrometric_fit.sky import DAYS_PER_YEAR, make_sky
from drpflow.algorithms.astrometric_fit.solution import describe_orders, make_solution
from drpflow.algorithms.astrometric_fit.start import find_planes
from drpflow.data.astrometric_tables import check_tables
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit
    from drpflow.algorithms.astrometric_fit.result import AstrometrySolution, Pass
    from drpflow.algorithms.astrometric_fit.rows import SortedRows
    from drpflow.algorithms.astrometric_fit.start import Planes
    from drpflow.config.solve_astrometry import SolveAstrometryConfig
    from drpflow.data.astrometric_tables import Detectors, Observations, Stars, Visits
    from drpflow.data.sky_wcs import SkyWcs

    Bools: TypeAlias = NDArray[np.bool_]
    Ints: TypeAlias = NDArray[np.int32]
    Start: TypeAlias = Mapping[tuple[int, int], SkyWcs | None]


def solve(
    observations: Observations,
    visits: Visits,
    detectors: Detectors,
    stars: Stars,
    config: SolveAstrometryConfig,
    *,
    start: Start | None = None,
    progress: Callable[[Pass], None] | None = None,
) -> AstrometrySolution:
    """Solve for the maps of all detectors and visits and the motions of all stars together.

    Parameters
    ----------
    observations, visits, detectors, stars
        The tables, rows in any order; the result does not depend on it.
    config
        Parameters.
    start
        First WCSs by (visit, detector), rows of the tables. Without them the camera's geometry at
        the pointings of `visits` is the start.
    progress
        Called after each pass.

    Returns
    -------
    AstrometrySolution
        ``notes`` tells what could not be done as usual.

    Raises
    ------
    AlgorithmError
        If no visit shares stars with another one or with the catalogue.
    ValueError
        If the tables do not belong together.
    """
    check_tables(observations, visits, detectors, stars)
    tables = Tables.sorted(visits, detectors, stars)
    rows = sort_rows(observations, tables, config)
    epoch_mjd = float(tables.visits.mjd.mean()) if len(visits) else 0.0
    span = float(np.ptp(tables.visits.mjd)) / DAYS_PER_YEAR if len(visits) else 0.0
    moving = config.stars.motions and span >= config.stars.min_span_yr
    sky = make_sky(tables.stars, epoch_mjd, np.full(len(stars), moving), config)
    planes = find_planes(rows, tables, sky.axes, _sorted_start(start, tables))
    anchor = (sky.known == 1) & (sky.fit == 1)
    dropped = _unfit_visits(rows, tables, planes, anchor, start is not None, config)
    layout = make_layout(rows, tables, config.model)
    fit = begin(tables, rows, layout, planes, sky, epoch_mjd, config)
    for visit, reason in dropped.items():
        fit.dropped[visit] = reason
        fit.exclude(visit)
    history = fit.run(progress or (lambda _: None))
    kept = ~np.isin(np.arange(len(visits)), list(fit.dropped))
    if not kept.any():
        raise _nothing_left(fit)
    groups = visit_groups(rows, len(visits), anchor, fit.sky.fit == 1, kept)
    notes = rows.unusable.notes() + _notes(fit, groups, moving=moving, span=span)
    return make_solution(fit, groups, epoch_mjd, len(observations), notes, history)


def _sorted_start(start: Start | None, tables: Tables) -> Start | None:
    """Return the first WCSs by rows of the sorted tables."""
    if start is None:
        return None
    visit, detector = np.argsort(tables.visit_order), np.argsort(tables.detector_order)
    return {(int(visit[v]), int(detector[d])): wcs for (v, d), wcs in start.items()}


def _unfit_visits(
    rows: SortedRows,
    tables: Tables,
    planes: Planes,
    anchor: Bools,
    has_start: bool,
    config: SolveAstrometryConfig,
) -> dict[int, str]:
    """Return the visits that can not take part, with the reason."""
    n_visits, checks = len(tables.visits), config.visits
    count = np.bincount(rows.visit, minlength=n_visits)
    dropped = {int(v): "no usable observation" for v in np.flatnonzero(count == 0)}
    for v in np.flatnonzero(count > 0):
        offset = planes.offset_arcsec[v]
        if has_start and offset > checks.max_offset_arcsec:
            dropped[int(v)] = f"its first WCS is {offset:.1f} arcsec off"
    kept = ~np.isin(np.arange(n_visits), list(dropped))
    fit = ~tables.stars.reserved
    alone = isolated_visits(rows, n_visits, anchor, fit, kept, checks.min_stars)
    if len(alone) == int(kept.sum()):
        raise AlgorithmError(
            "no visit shares enough stars with another one or with the catalogue",
            {
                "visits": n_visits,
                "observations": len(rows),
                "most shared": max(alone.values(), default=0),
            },
            "Do the visits overlap, and does the reference catalogue cover the field?",
        )
    return dropped | {
        v: f"it shares {n} stars with other visits and the catalogue" for v, n in alone.items()
    }


def _nothing_left(fit: Fit) -> AlgorithmError:
    ids = fit.tables.visits.id
    return AlgorithmError(
        "no visit is left",
        {str(ids[v]): reason for v, reason in fit.dropped.items()},
        "Are the stars matched correctly?",
    )


def _notes(fit: Fit, groups: Ints, *, moving: bool, span: float) -> list[str]:
    """Return a sentence for each thing that is not as usual."""
    tables, sky = fit.tables, fit.sky
    notes = [
        f"visit {tables.visits.id[v]} dropped: {reason}"
        for v, reason in sorted(fit.dropped.items())
    ]
    tied = int(((fit.found.tied == 1) & (sky.fit == 1)).sum())
    if tied == 0:
        notes.append(
            "no reference star takes part: position, scale and rotation of the whole, and the mean "
            "motion, are those of the stars' first positions; held by priors"
        )
    missing = ~np.isfinite(tables.stars.color)
    if missing.all():
        notes.append("no star has a colour: no differential refraction is fitted")
    elif missing.any():
        notes.append(f"{int(missing.sum())} stars have no colour: the median stands in")
    if not moving:
        why = f"the visits span {span:.2f} years" if fit.config.stars.motions else "not asked for"
        notes.append(f"no proper motions and parallaxes beyond the catalogue's: {why}")
    n_groups = int(groups.max()) + 1
    if n_groups > 1:
        notes.append(f"{n_groups} groups of visits share no stars; they are tied by nothing")
    return notes + describe_orders(fit)
