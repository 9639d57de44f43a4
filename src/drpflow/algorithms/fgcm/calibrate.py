"""The global photometric calibration, from tables to zero points.

The method is the forward global calibration of Burke et al. (2018, AJ 155, 41), solved as a linear
mixed model: see docs/algorithms/fgcm.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.cycles import Cycle, GlobalFit, Solution
from drpflow.algorithms.fgcm.groups import connect
from drpflow.algorithms.fgcm.layout import Block, Layout
from drpflow.algorithms.fgcm.model import Model
from drpflow.algorithms.fgcm.parameters import parameter_table
from drpflow.algorithms.fgcm.result import FgcmResult, StandardStars, chromatic
from drpflow.algorithms.fgcm.rows import Rejected, Rows, build_rows
from drpflow.algorithms.fgcm.standard_stars import standard_stars
from drpflow.algorithms.fgcm.zero_points import ZeroPoints, zero_points
from drpflow.data.photometric_tables import check_tables
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.model import Table
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Detectors, Observations, Stars, Visits

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]

# Share of outliers from which they are told.
_MANY_OUTLIERS = 0.05


def calibrate(
    observations: Observations,
    visits: Visits,
    detectors: Detectors,
    stars: Stars,
    look_up_table: Table,
    config: FgcmConfig,
    progress: Callable[[Cycle], None] | None = None,
) -> FgcmResult:
    """Calibrate all visits together.

    Parameters
    ----------
    observations, visits, detectors, stars
        The tables; rows with NaN and duplicates are allowed, and counted.
    look_up_table
        Integrals of the passbands.
    config
        Parameters.
    progress
        Called after each cycle.

    Returns
    -------
    FgcmResult
        ``notes`` tells what could not be done as usual: no references, one band, unconnected
        visits, nights without photometric visits.

    Raises
    ------
    AlgorithmError
        If no star was seen twice, and none is in the reference catalogue.
    ValueError
        If the tables do not belong together.
    """
    check_tables(observations, visits, detectors, stars)
    rows, rejected = build_rows(observations, visits, detectors, stars, config)
    if len(rows) == 0:
        raise AlgorithmError(
            "no star was seen twice, and none is in the reference catalogue",
            {"observations": len(observations), "visits": len(visits)},
            "Do the visits overlap, and does the reference catalogue cover the field?",
        )
    layout = Layout.of(visits, detectors, config, rows.regions)
    model = Model(visits, detectors, look_up_table, layout, config)
    fit = GlobalFit(rows, model, visits, stars, config)
    solution = fit.run(progress or (lambda _: None))
    rejected = _with_outliers(rejected, solution)
    slope = solution.slope * solution.state.kappa
    reference_slope = np.array(
        [_median_slope(slope[:, b], solution, b) for b in range(len(visits.bands))]
    )
    group = connect(rows, len(visits), len(detectors), len(visits.bands))
    found = zero_points(solution, group, reference_slope, config)
    shell = _result(solution, found, group, reference_slope, rejected, rows)
    final = standard_stars(shell, observations, stars, solution, config)
    return _result(solution, found, group, reference_slope, rejected, rows, final)


def _with_outliers(rejected: Rejected, solution: Solution) -> Rejected:
    """Return the counts with those of the observations that the fit left out."""
    rows = solution.problem.rows
    out = (solution.weight == 0) & ~solution.variable[rows.star[rows.pair]]
    reference = rows.is_reference
    return replace(
        rejected,
        outlying=int((out & ~reference).sum()),
        outlying_references=int((out & reference).sum()),
    )


def _median_slope(slope: Floats, solution: Solution, band: int) -> float:
    """Return the median slope of the stars of the fit in a band."""
    rows = solution.problem.rows
    used = rows.star[(rows.band == band) & (solution.residuals.weight > 0)]
    return float(np.median(slope[used])) if used.size else float(np.median(slope))


def _result(
    solution: Solution,
    found: ZeroPoints,
    group: Ints,
    reference_slope: Floats,
    rejected: Rejected,
    rows: Rows,
    stars: StandardStars | None = None,
) -> FgcmResult:
    model, layout = solution.problem.model, solution.problem.model.layout
    v, d = layout.n_visits, layout.n_detectors
    flat = layout.block(Block.FLAT, solution.parameters)[:, : layout.n_local]
    slope = solution.slope * solution.state.kappa
    empty = np.full(slope.shape, np.nan)
    none = np.zeros(slope.shape, np.int32)
    return FgcmResult(
        bands=model.visits.bands,
        visit_band=model.visits.band,
        zero_point=found.zero_point,
        zero_point_error=found.error,
        offset_error=found.offset_error,
        flag=found.flag,
        gray=found.gray,
        n_star=found.n_star,
        field=found.local[:, :, 1:],
        star_flat=flat.reshape(-1, d, layout.n_local),
        star_flat_of=layout.throughputs,
        i10=solution.state.i10[: v * d].reshape(v, d),
        i10_standard=model.i10_std,
        reference_slope=reference_slope,
        photometric=solution.clouds.photometric(model.config.gray),
        clear_probability=solution.clouds.clear,
        group=group,
        patchy=found.patchy,
        air=model.air_of_visits(solution.parameters),
        stars=stars
        or StandardStars(
            empty, empty, none, none, empty, slope, solution.slope_measured, solution.variable
        ),
        parameters=parameter_table(solution),
        noise_floor_mag=solution.noise.floor[: layout.n_bands],
        history=solution.history,
        rejected=rejected,
        notes=(*_notes(solution, found, group, rows), *_outlier_notes(rejected, rows)),
    )


def _notes(solution: Solution, found: ZeroPoints, group: Ints, rows: Rows) -> tuple[str, ...]:
    """Return what is unusual about the calibration, in sentences."""
    model, layout = solution.problem.model, solution.problem.model.layout
    visits, notes = model.visits, []
    used = np.unique(rows.band[rows.pair[~rows.is_reference]])
    tied = set(np.unique(rows.band[rows.pair[rows.is_reference]]).tolist())
    names = [visits.bands[b] for b in used if b not in tied]
    if names:
        notes.append(
            f"no reference stars in {', '.join(names)}: the calibration is relative, magnitudes "
            "have an arbitrary offset"
        )
    if used.size == 1 and not solution.slope_measured.any():
        notes.append("one band only: all stars count as having the colour of a usual star")
    seen = found.n_star.sum(axis=1) > 0
    for band in used:
        groups = np.unique(group[seen & (visits.band == band)])
        if groups.size > 1:
            notes.append(
                f"the visits in {visits.bands[band]} fall into {groups.size} groups without common "
                "stars: what ties them is that clear nights are alike"
            )
    lost = int((~seen).sum())
    if lost:
        notes.append(f"{lost} visits have no usable stars, and no zero point")
    per_night = np.bincount(
        layout.night[solution.clouds.photometric(model.config.gray) & seen],
        minlength=layout.nights.size,
    )
    unfit = int((per_night < model.config.air.min_visits).sum())
    if unfit:
        notes.append(
            f"{unfit} of {layout.nights.size} nights have too few photometric visits to "
            "tell their air: it is the standard air there"
        )
    if layout.gray_order < min(model.config.gray.order, layout.flat_order):
        notes.append(f"many visits: gray is fitted with order {layout.gray_order}")
    return tuple(notes)


def _outlier_notes(rejected: Rejected, rows: Rows) -> list[str]:
    """Return a sentence for observations, and for references, of which many were left out."""
    n_references = int(rows.is_reference.sum())
    counts = [
        ("observations disagree", rejected.outlying, len(rows) - n_references),
        ("reference magnitudes disagree", rejected.outlying_references, n_references),
    ]
    return [
        f"{out} of {number} {what} with the rest of their stars, and were left out"
        for what, out, number in counts
        if out > _MANY_OUTLIERS * number
    ]


__all__ = ["calibrate", "chromatic"]
