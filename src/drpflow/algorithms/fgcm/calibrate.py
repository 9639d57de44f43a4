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
from drpflow.algorithms.fgcm.held import note_on_change
from drpflow.algorithms.fgcm.layout import Block, Layout
from drpflow.algorithms.fgcm.model import Model, band_passbands
from drpflow.algorithms.fgcm.notes import notes
from drpflow.algorithms.fgcm.parameters import parameter_table
from drpflow.algorithms.fgcm.result import FgcmResult, StandardStars
from drpflow.algorithms.fgcm.rows import Rejected, build_rows
from drpflow.algorithms.fgcm.second_flux import second_flux
from drpflow.algorithms.fgcm.standard_stars import standard_stars, with_own_slopes
from drpflow.algorithms.fgcm.zero_points import ZeroPoints, zero_points
from drpflow.data.photometric_tables import check_tables
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.model import Table
    from drpflow.config.fgcm import FgcmConfig
    from drpflow.data.photometric_tables import Detectors, Observations, Stars, Visits
    from drpflow.data.solved_instrument import HeldParameter

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]


def calibrate(
    observations: Observations,
    visits: Visits,
    detectors: Detectors,
    stars: Stars,
    look_up_table: Table,
    config: FgcmConfig,
    progress: Callable[[Cycle], None] | None = None,
    held: Sequence[HeldParameter] = (),
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
    held
        Parameters of the instrument that an earlier solution has found: priors, with their errors,
        unless the observations contradict them.

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
    _, wavelength_nm = band_passbands(visits, look_up_table)
    rows, rejected = build_rows(observations, visits, detectors, stars, config, wavelength_nm)
    if len(rows) == 0:
        raise AlgorithmError(
            "no star was seen twice, and none is in the reference catalogue",
            {"observations": len(observations), "visits": len(visits)},
            "Do the visits overlap, and does the reference catalogue cover the field?",
        )
    layout = Layout.of(visits, detectors, config, rows.regions)
    model = Model(visits, detectors, look_up_table, layout, config)
    fit = GlobalFit(rows, model, visits, stars, config, held)
    solution, change = _solved(fit, progress or (lambda _: None))
    group = connect(rows, len(visits), len(detectors), len(visits.bands))
    second = second_flux(solution, observations, stars, config)
    reference_slope = _reference_slopes(solution)
    found = zero_points(solution, group, reference_slope, config, second)
    rejected = _with_outliers(rejected, solution)
    told = change + notes(solution, found.n_star, group, rejected, len(observations))
    shell = _result(solution, found, group, reference_slope, rejected, told)
    return _with_stars(shell, observations, stars, solution, config)


def _with_stars(
    shell: FgcmResult,
    observations: Observations,
    stars: Stars,
    solution: Solution,
    config: FgcmConfig,
) -> FgcmResult:
    """Return a result with standard magnitudes."""
    final = standard_stars(shell, observations, stars, solution, config)
    better = with_own_slopes(final, solution, config)
    if better is not None:
        shell = replace(shell, stars=better)
        final = standard_stars(shell, observations, stars, solution, config)
    return replace(shell, stars=final)


def _solved(fit: GlobalFit, progress: Callable[[Cycle], None]) -> tuple[Solution, tuple[str, ...]]:
    """Return the solution, without held parameters if it contradicts them, and a note on that."""
    solution = fit.run(progress)
    if not solution.held_rows.size:
        return solution, ()
    free = GlobalFit(fit.rows, fit.model, fit.visits, fit.stars, fit.config).run(progress)
    change = note_on_change(solution, free)
    return (free, (change,)) if change else (solution, ())


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


def _reference_slopes(solution: Solution) -> Floats:
    """Return the median κ F' of the stars of the fit in each band, (B,)."""
    rows, slope = solution.problem.rows, solution.slope * solution.state.kappa
    out = np.median(slope, axis=0)
    for band in range(out.size):
        used = rows.star[(rows.band == band) & (solution.residuals.weight > 0)]
        if used.size:
            out[band] = np.median(slope[used, band])
    return out


def _result(
    solution: Solution,
    found: ZeroPoints,
    group: Ints,
    reference_slope: Floats,
    rejected: Rejected,
    told: tuple[str, ...],
) -> FgcmResult:
    """Return the result without standard magnitudes."""
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
        n_fit=found.n_fit,
        field=found.local[:, :, 1:],
        patches={visit: patches[:, 1:] for visit, patches in found.patches.items()},
        star_flat=flat.reshape(-1, d, layout.n_local),
        star_flat_of=layout.throughputs,
        i10=solution.state.i10[: v * d].reshape(v, d),
        i10_standard=model.i10_std,
        reference_slope=reference_slope,
        photometric=solution.clouds.photometric(model.config.gray),
        clear_probability=np.where(found.n_star.any(axis=1), solution.clouds.clear, np.nan),
        group=group,
        tied=found.tied,
        cloud_flux_offset=found.cloud_flux_offset,
        air=model.air_of_visits(solution.parameters),
        stars=StandardStars(
            empty, empty, none, none, empty, slope, solution.slope_measured, solution.variable
        ),
        parameters=parameter_table(solution),
        noise_floor_mag=solution.noise.floor[: layout.n_bands],
        history=solution.history,
        rejected=rejected,
        notes=told,
    )
