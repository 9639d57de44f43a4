"""The global astrometric solution, from tables to WCSs: see docs/algorithms/astrometric_fit.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.connect import isolated_visits, visit_groups
from drpflow.algorithms.astrometric_fit.fit import begin
from drpflow.algorithms.astrometric_fit.held_maps import held_maps, note_on_change, with_all_terms
from drpflow.algorithms.astrometric_fit.layout import make_layout
from drpflow.algorithms.astrometric_fit.rows import Tables, sort_rows
from drpflow.algorithms.astrometric_fit.sky import DAYS_PER_YEAR, make_sky, tells_mean_motion
from drpflow.algorithms.astrometric_fit.solution import describe_orders, make_solution
from drpflow.algorithms.astrometric_fit.start import find_planes
from drpflow.algorithms.astrometric_fit.visit_checks import shares_too_few
from drpflow.data.astrometric_tables import check_tables
from drpflow.errors import AlgorithmError
from drpflow.kernels.astrometric_model import EXCLUDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.fit import Fit
    from drpflow.algorithms.astrometric_fit.layout import Layout
    from drpflow.algorithms.astrometric_fit.result import AstrometrySolution, Pass
    from drpflow.algorithms.astrometric_fit.rows import SortedRows
    from drpflow.algorithms.astrometric_fit.start import Planes
    from drpflow.config.solve_astrometry import SolveAstrometryConfig
    from drpflow.data.astrometric_tables import Detectors, Observations, Stars, Visits
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.solved_instrument import HeldMap
    from drpflow.kernels.astrometric_model import Sky

    Floats: TypeAlias = NDArray[np.float64]
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
    held: Sequence[HeldMap] = (),
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
    held
        Static maps that an earlier solution has found: priors, with their errors, unless
        the observations contradict them.

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
    start = _sorted_start(start, tables)
    planes = find_planes(rows, tables, start)
    layout = make_layout(rows, tables, config.model)
    tells_mean = tells_mean_motion(tables.stars, config)
    given = _Given(tables, rows, layout, planes, sky, tells_mean, epoch_mjd, config)
    started, report = _visits_with(start), progress or (lambda _: None)
    fit, history, change = _fitted(given, held, started, report)
    if not fit.kept().any():
        raise _nothing_left(fit)
    groups = visit_groups(rows, fit.counted(), fit.anchors(), fit.kept())
    notes = change + rows.unusable.notes() + _notes(fit, groups, moving=moving, span=span)
    return make_solution(fit, groups, epoch_mjd, len(observations), notes, history)


class _Given(NamedTuple):
    """What a fit begins with, but for held maps."""

    tables: Tables
    rows: SortedRows
    layout: Layout
    planes: Planes
    sky: Sky
    tells_mean: NDArray[np.bool_]
    epoch_mjd: float
    config: SolveAstrometryConfig


def _fitted(
    given: _Given,
    held: Sequence[HeldMap],
    started: set[int],
    progress: Callable[[Pass], None],
) -> tuple[Fit, tuple[Pass, ...], list[str]]:
    """Return a fit that has ended, its passes, and a note if the held maps are not believed.

    With such maps, the fit without them is made too, and judges.
    """
    fit, history = _run(given, held, started, progress)
    if not fit.held.known.any():
        return fit, history, []
    free, passes = _run(given, (), started, progress)
    change = note_on_change(fit, free)
    return (free, passes, [change]) if change else (fit, history, [])


def _run(
    given: _Given,
    held: Sequence[HeldMap],
    started: set[int],
    progress: Callable[[Pass], None],
) -> tuple[Fit, tuple[Pass, ...]]:
    """Return a fit that has ended, and its passes."""
    tables, rows, layout, planes, sky, tells_mean, epoch_mjd, config = given
    known = held_maps(held, layout, tables, config.model)
    layout = with_all_terms(layout, known)
    fit = begin(tables, rows, layout, planes, sky, known, tells_mean, epoch_mjd, config)
    for visit, reason in _unfit_visits(fit, started).items():
        fit.drop(visit, reason)
    return fit, fit.run(progress)


def _sorted_start(start: Start | None, tables: Tables) -> Start | None:
    """Return the first WCSs by rows of the sorted tables."""
    if start is None:
        return None
    visit, detector = np.argsort(tables.visit_order), np.argsort(tables.detector_order)
    return {(int(visit[v]), int(detector[d])): wcs for (v, d), wcs in start.items()}


def _visits_with(start: Start | None) -> set[int]:
    """Return the visits that have a first WCS."""
    return {v for (v, _), wcs in (start or {}).items() if wcs is not None}


def _unfit_visits(fit: Fit, started: set[int]) -> dict[int, str]:
    """Return the visits that can not take part, with the reason.

    Where a visit points is checked if it has a first WCS: pointings that are merely recorded are
    off by more.
    """
    rows, checks = fit.sorted_rows, fit.config.visits
    count = np.diff(rows.by_visit[1])
    dropped = {int(v): "no usable observation" for v in np.flatnonzero(count == 0)}
    for v in sorted(started - set(dropped)):
        offset = fit.planes.offset_arcsec[v]
        if offset > checks.max_offset_arcsec:
            dropped[v] = f"its first WCS is {offset:.1f} arcsec off"
    kept = ~np.isin(np.arange(count.size), list(dropped))
    counts = ~fit.tables.stars.reserved[rows.star]
    counts &= fit.found.state != EXCLUDED
    anchor = (fit.sky.known > 0) & (fit.sky.fit == 1)
    alone = isolated_visits(rows, counts, anchor, kept, checks.min_stars)
    if len(alone) == int(kept.sum()):
        raise AlgorithmError(
            "no visit shares enough stars with another one or with the catalogue",
            {
                "visits": count.size,
                "observations": len(rows),
                "most shared": max(alone.values(), default=0),
            },
            "Do the visits overlap, and does the reference catalogue cover the field?",
        )
    return dropped | {v: shares_too_few(n) for v, n in alone.items()}


def _nothing_left(fit: Fit) -> AlgorithmError:
    ids = fit.tables.visits.id
    return AlgorithmError(
        "no visit is left",
        {str(ids[v]): reason for v, reason in fit.dropped.items()},
        "Are the stars matched correctly?",
    )


def _notes(fit: Fit, groups: Ints, *, moving: bool, span: float) -> list[str]:
    """Return a sentence for each thing that is not as usual."""
    notes = [
        f"visit {fit.tables.visits.id[v]} dropped: {reason}"
        for v, reason in sorted(fit.dropped.items())
    ]
    notes += _notes_on_stars(fit, moving=moving, span=span)
    n_groups = int(groups.max()) + 1
    if n_groups > 1:
        notes.append(f"{n_groups} groups of visits share no stars; they are tied by nothing")
    if not fit.converged:
        notes.append(
            f"positions still changed after {fit.config.solver.max_passes} passes "
            "(solver.max_passes)"
        )
    if fit.slow:
        notes.append(f"the linear problem of {fit.slow} passes was not solved to the end")
    return notes + describe_orders(fit)


def _notes_on_stars(fit: Fit, *, moving: bool, span: float) -> list[str]:
    """Return what is not as usual with catalogue, colours and motions."""
    notes, stars = [], fit.tables.stars
    known = fit.sky.known > 0
    if not fit.anchors().any():
        notes.append(
            "no reference star takes part: position, scale and rotation of the whole, and the mean "
            "motion, are those of the stars' first positions; held by priors"
        )
    elif not fit.tells_mean[:2].all():
        notes.append(
            "the catalogue tells no proper motions: their mean over all stars is held at 0"
        )
    still = int((known & ~np.isfinite(_motions(stars)).all(axis=1)).sum())
    if still:
        notes.append(f"{still} stars of the catalogue have no proper motion there")
    if (fit.sky.kind == 1).any() and not fit.tells_mean[2]:
        notes.append("parallaxes are about a mean that nothing tells, held at 0")
    missing = ~np.isfinite(stars.color)
    if missing.all():
        notes.append("no star has a colour: no differential refraction is fitted")
    elif missing.any():
        notes.append(f"{int(missing.sum())} stars have no colour: the median stands in")
    if not moving:
        why = f"the visits span {span:.2f} years" if fit.config.stars.motions else "not asked for"
        notes.append(f"no proper motions and parallaxes beyond the catalogue's: {why}")
    return notes


def _motions(stars: Stars) -> Floats:
    """Return the proper motions of the catalogue, (S, 2)."""
    r = stars.reference
    if r is None:
        return np.full((len(stars), 2), np.nan)
    return np.stack([r.pm_ra, r.pm_dec], axis=1)
