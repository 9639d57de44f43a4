"""The astrometric solution with the turbulence of each visit taken out.

The maps of a solution leave residuals; each visit's are taken for a Gaussian process with the
spectrum of turbulence; what it predicts is taken off the measured positions, and everything is
solved again, so that star positions, rejections and error floors profit as well. From a star that
took part, what the others predict is taken off, not the field that knows the star. Two rounds are
enough: the second sees star positions from which the first has taken the turbulence. The field
that was taken off in the end becomes a stage of the coordinate systems, after the visit's map.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit import solve
from drpflow.algorithms.astrometric_fit.result import AstrometrySolution, StarFlag
from drpflow.algorithms.turbulence.correlation import LagSums, fit_spectrum, lag_sums, together
from drpflow.algorithms.turbulence.process import GriddedField, ResidualSet, VisitProcess
from drpflow.algorithms.turbulence.spectrum import Spectrum
from drpflow.data.displacement_map import TURBULENCE, DisplacementMap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.result import Pass
    from drpflow.config.solve_astrometry import SolveAstrometryConfig
    from drpflow.config.turbulence import TurbulenceConfig
    from drpflow.data.astrometric_tables import Detectors, Observations, Stars, Visits
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

MAS_PER_DEG = 3.6e6
_MIN_NOISE_MAS = 0.3
"""Errors of centroids below this are taken for this."""
_MARGIN_NODES = 3


@dataclass(frozen=True)
class VisitTurbulence:
    """What was found of a visit's turbulence.

    Parameters
    ----------
    spectrum
        Its spectrum; None if there were too few stars.
    gain
        Share by which it reduces the weighted squares of the residuals of stars that it has not
        seen; NaN if it was not tried.
    field
        The displacement; None if it does not help.
    rows
        Observations from which it was found; None likewise.
    predicted_mas
        What others of these predict for each, along the axes of the field, shape (2, n); None
        likewise.
    """

    spectrum: Spectrum | None
    gain: float
    field: GriddedField | None
    rows: Ints | None
    predicted_mas: Floats | None

    @property
    def kept(self) -> bool:
        """Whether it is part of the solution."""
        return self.field is not None


@dataclass(frozen=True, eq=False)
class TurbulenceSolution(AstrometrySolution):
    """An astrometric solution, residuals and all, with the turbulence taken out.

    Parameters
    ----------
    turbulence
        Of each visit, rows of the input table.
    """

    turbulence: tuple[VisitTurbulence, ...] = ()


def solve_with_turbulence(
    observations: Observations,
    visits: Visits,
    detectors: Detectors,
    stars: Stars,
    config: SolveAstrometryConfig,
    *,
    start: Mapping[tuple[int, int], SkyWcs] | None = None,
    progress: Callable[[Pass], None] | None = None,
) -> TurbulenceSolution:
    """Solve, and take out the turbulence of the visits in which that helps.

    Parameters and faults are those of :func:`drpflow.algorithms.astrometric_fit.solve`.
    """
    solution = solve(observations, visits, detectors, stars, config, start=start, progress=progress)
    found: tuple[VisitTurbulence, ...] = tuple(_none() for _ in range(len(visits)))
    moved = np.zeros((2, len(observations)))
    for _ in range(config.turbulence.rounds):
        places = field_places(observations, solution.wcs)
        found = find_turbulence(observations, stars, solution, (places, moved), config.turbulence)
        if not any(item.kept for item in found):
            break
        moved = _displacements(observations, places, found)
        corrected = _corrected(observations, detectors, moved)
        solution = solve(
            corrected, visits, detectors, stars, config, start=solution.wcs, progress=progress
        )
    wcs = {(v, d): with_turbulence(item, found[v].field) for (v, d), item in solution.wcs.items()}
    values = {f.name: getattr(solution, f.name) for f in fields(AstrometrySolution)}
    notes = (*solution.notes, *_notes(found, solution))
    return TurbulenceSolution(**{**values, "wcs": wcs, "notes": notes}, turbulence=found)


def _none() -> VisitTurbulence:
    return VisitTurbulence(None, float("nan"), None, None, None)


def find_turbulence(
    observations: Observations,
    stars: Stars,
    solution: AstrometrySolution,
    before: tuple[Floats, Floats],
    config: TurbulenceConfig,
) -> tuple[VisitTurbulence, ...]:
    """Return the turbulence of all visits.

    Parameters
    ----------
    observations, stars
        The tables.
    solution
        A solution of them.
    before
        Where its coordinate systems have the observations in the field, deg, and what had been
        taken from them along the axes of the field before they were solved, mas; shapes (2, N).
    config
        The parameters.
    """
    rows = _rows(observations, stars, solution)
    sets = {v: _residuals(observations, solution, before, own) for v, own in rows.items()}
    usable = {v: item for v, item in sets.items() if len(item) >= config.min_stars}
    boxes = _boxes(solution)
    found = [_none() for _ in range(len(solution.visits.solved))]
    if not usable:
        return tuple(found)
    sums = {v: lag_sums(item, config.max_separation_deg) for v, item in usable.items()}
    common = _common_spectrum(usable, sums, config)
    for v, item in usable.items():
        spectrum = fit_spectrum(sums[v], common, common=False)
        found[v] = _tried(item, rows[v], spectrum, config, boxes[v])
    return tuple(found)


def _rows(
    observations: Observations, stars: Stars, solution: AstrometrySolution
) -> dict[int, Ints]:
    """Return for each visit its observations of the fit."""
    r = solution.residuals
    wrong = StarFlag.VARIABLE | StarFlag.NO_OBSERVATION
    good = ~stars.reserved & ((solution.stars.flag & int(wrong)) == 0)
    good &= np.isfinite(solution.stars.covariance[:, :2, :2]).all(axis=(1, 2))
    kept = r.used & ~r.rejected & good[observations.star]
    kept &= np.isfinite(r.x_deg) & np.isfinite(r.dx_mas) & np.isfinite(r.dy_mas)
    rows = np.flatnonzero(kept)
    # By the stars' numbers, so that folds do not depend on the order of the input.
    rows = rows[np.lexsort((stars.id[observations.star[rows]], observations.visit[rows]))]
    visit = observations.visit[rows]
    starts = np.flatnonzero(np.diff(visit, prepend=-1) != 0)
    parts = np.split(rows, starts[1:]) if rows.size else []
    return {int(observations.visit[part[0]]): part for part in parts}


def _residuals(
    observations: Observations,
    solution: AstrometrySolution,
    before: tuple[Floats, Floats],
    rows: Ints,
) -> ResidualSet:
    """Return what maps without turbulence leave, with the errors of centroid and star."""
    r = solution.residuals
    place = solution.stars.covariance[observations.star[rows]]
    star = np.clip((place[:, 0, 0] + place[:, 1, 1]) / 2, 0.0, 1e6) + _MIN_NOISE_MAS**2
    (x, y), (dx, dy) = (values[:, rows] for values in before)
    noise = (np.asarray(w[rows], np.float64) for w in (r.xx, r.xy, r.yy))
    xx, xy, yy = noise
    return ResidualSet(x, y, r.dx_mas[rows] + dx, r.dy_mas[rows] + dy, xx + star, xy, yy + star)


def _common_spectrum(
    sets: dict[int, ResidualSet], sums: dict[int, LagSums], config: TurbulenceConfig
) -> Spectrum:
    """Return the spectrum of all visits together."""
    everything = together(list(sums.values()))
    noise = float(np.median(np.concatenate([(item.xx + item.yy) / 2 for item in sets.values()])))
    excess = max(everything.variance_mas2 - noise, 0.1 * everything.variance_mas2, 0.01)
    start = Spectrum(float(np.sqrt(excess)), config.coherence_deg)
    return fit_spectrum(everything, start, common=True, visits=len(sums))


def _tried(
    residuals: ResidualSet,
    rows: Ints,
    spectrum: Spectrum,
    config: TurbulenceConfig,
    box_deg: tuple[float, float, float, float],
) -> VisitTurbulence:
    """Return the turbulence of a visit, if the stars predict the residuals of each other."""
    process = VisitProcess(residuals, spectrum, config.nodes_per_coherence, box_deg)
    rng = np.random.default_rng([rows.size, config.folds])
    fold = rng.permutation(rows.size) % config.folds
    predicted = process.predicted_by_others(fold)
    vectors = np.stack([residuals.dx_mas, residuals.dy_mas])
    weight = 1.0 / ((residuals.xx + residuals.yy) / 2 + spectrum.rms_mas**2)
    before, after = (float((weight * w**2).sum()) for w in (vectors, vectors - predicted))
    gain = 1.0 - after / before if before > 0 else 0.0
    if gain <= config.min_gain:
        return VisitTurbulence(spectrum, gain, None, None, None)
    return VisitTurbulence(spectrum, gain, process.field, rows, predicted)


def field_places(observations: Observations, wcs: Mapping[tuple[int, int], SkyWcs]) -> Floats:
    """Return where coordinate systems have pixels in the field, deg, shape (2, N).

    NaN where a visit and detector have none.
    """
    places = np.full((2, len(observations)), np.nan)
    n_detectors = int(observations.detector.max(initial=0)) + 1
    key = observations.visit.astype(np.int64) * n_detectors + observations.detector
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1) != 0)
    for rows in np.split(order, starts[1:]) if order.size else []:
        item = wcs.get((int(observations.visit[rows[0]]), int(observations.detector[rows[0]])))
        if item is not None:
            places[:, rows] = _through_stages(item, observations.x[rows], observations.y[rows])
    return places


def _through_stages(wcs: SkyWcs, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    u, v = x, y
    for _, item in wcs.stages:
        u, v = item.forward(u, v)
    return u, v


def _displacements(
    observations: Observations, places: Floats, found: tuple[VisitTurbulence, ...]
) -> Floats:
    """Return the turbulence of every observation, mas, shape (2, N); 0 where it is not known.

    A star that took part has what others predict: the field follows its own noise, and a residual
    without that noise would make errors and error floors too small.
    """
    out = np.zeros_like(places)
    order = np.argsort(observations.visit, kind="stable")
    ends = np.searchsorted(observations.visit[order], np.arange(len(found) + 1))
    for v, item in enumerate(found):
        rows = order[ends[v] : ends[v + 1]]
        rows = rows[np.isfinite(places[:, rows]).all(axis=0)]
        if item.field is not None and rows.size:
            out[:, rows] = item.field.at(*places[:, rows])
        if item.rows is not None and item.predicted_mas is not None:
            out[:, item.rows] = item.predicted_mas
    return out


def _corrected(observations: Observations, detectors: Detectors, moved_mas: Floats) -> Observations:
    """Return observations from whose pixels a displacement in the field has been taken."""
    x, y = observations.x.copy(), observations.y.copy()
    for d in range(len(detectors)):
        rows = np.flatnonzero((observations.detector == d) & (moved_mas != 0).any(axis=0))
        if not rows.size:
            continue
        jacobian = detectors.jacobian(d, x[rows], y[rows])
        steps = np.linalg.solve(jacobian, moved_mas[:, rows].T[:, :, None] / MAS_PER_DEG)
        x[rows] -= steps[:, 0, 0]
        y[rows] -= steps[:, 1, 0]
    return replace(observations, x=x, y=y)


def with_turbulence(wcs: SkyWcs, field: GriddedField | None) -> SkyWcs:
    """Return a coordinate system with the turbulence over its image taken out.

    Parameters
    ----------
    wcs
        Of one image, of known size, without turbulence.
    field
        The turbulence of its visit; None leaves the coordinate system as it is.
    """
    if field is None:
        return wcs
    x, y = _corners(wcs)
    first, last = [], []
    for place, origin, n in zip(
        (x, y), field.origin_deg, field.values_mas.shape[:0:-1], strict=True
    ):
        low = int(np.floor((place.min() - origin) / field.spacing_deg)) - _MARGIN_NODES
        high = int(np.ceil((place.max() - origin) / field.spacing_deg)) + _MARGIN_NODES + 1
        low = min(max(low, 0), max(n - 4, 0))
        first.append(low)
        last.append(min(max(high, low + 4), n))
    values = field.values_mas[:, first[1] : last[1], first[0] : last[0]]
    origin_x, origin_y = (
        o + k * field.spacing_deg for o, k in zip(field.origin_deg, first, strict=True)
    )
    item = DisplacementMap(
        (origin_x, origin_y), field.spacing_deg, (-values / MAS_PER_DEG).astype(np.float32)
    )
    return wcs.with_stage(TURBULENCE, item)


def _corners(wcs: SkyWcs) -> tuple[Floats, Floats]:
    """Return where the rim of an image lies in the field, deg."""
    nx, ny = wcs.pixel_shape or (1, 1)
    x, y = np.meshgrid(np.linspace(-0.5, nx - 0.5, 5), np.linspace(-0.5, ny - 0.5, 5))
    return _through_stages(wcs, x.ravel(), y.ravel())


def _boxes(solution: AstrometrySolution) -> dict[int, tuple[float, float, float, float]]:
    """Return the box in the field that holds all detectors of each visit."""
    corners: dict[int, list[tuple[Floats, Floats]]] = defaultdict(list)
    for (v, _), item in solution.wcs.items():
        corners[v].append(_corners(item))
    boxes = {}
    for v, parts in corners.items():
        x, y = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        boxes[v] = (float(x.min()), float(x.max()), float(y.min()), float(y.max()))
    return boxes


def _notes(found: tuple[VisitTurbulence, ...], solution: AstrometrySolution) -> tuple[str, ...]:
    kept = [item for item in found if item.kept and item.spectrum is not None]
    solved = int(np.count_nonzero(solution.visits.solved))
    if not kept:
        return (f"turbulence: in none of {solved} visits does it help",)
    rms = np.median([item.spectrum.rms_mas for item in kept if item.spectrum])
    length = 60 * np.median([item.spectrum.coherence_deg for item in kept if item.spectrum])
    text = f"turbulence taken out of {len(kept)} of {solved} visits"
    return (f"{text}: median {rms:.1f} mas, coherent over {length:.1f} arcmin",)
