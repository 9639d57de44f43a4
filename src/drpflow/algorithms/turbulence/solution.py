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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit import solve
from drpflow.algorithms.astrometric_fit.result import AstrometrySolution
from drpflow.algorithms.turbulence.correlation import LagSums, fit_spectrum, lag_sums, together
from drpflow.algorithms.turbulence.process import GriddedField, ResidualSet, VisitProcess
from drpflow.algorithms.turbulence.residuals import fitted_residuals
from drpflow.algorithms.turbulence.spectrum import Spectrum
from drpflow.data.displacement_map import TURBULENCE, DisplacementMap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.result import Pass, SolvedImages
    from drpflow.config.solve_astrometry import SolveAstrometryConfig
    from drpflow.config.turbulence import TurbulenceConfig
    from drpflow.data.astrometric_tables import Detectors, Observations, Stars, Visits
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.solved_instrument import HeldMap

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

MAS_PER_DEG = 3.6e6
_MARGIN_NODES = 3
_LEAST_COHERENCE = 0.3
"""Distances of neighbouring stars that turbulence must be coherent over to be found."""
_COMMON_STARS = 100.0
"""Stars of a visit that say as much of its gain as all visits together."""


@dataclass(frozen=True)
class VisitTurbulence:
    """What was found of a visit's turbulence.

    Parameters
    ----------
    spectrum
        Its spectrum; None if there were too few stars.
    gain
        Share by which it reduces the weighted squares of the residuals of stars that it has not
        seen, drawn towards that of all visits; NaN if it was not tried.
    field
        The displacement; None if it does not help.
    rows
        Observations from which it was found; None likewise.
    predicted_mas
        What others of these predict for each, along the axes of the field and without a
        polynomial, which the map of the visit has, shape (2, n); None likewise.
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
    held: Sequence[HeldMap] = (),
) -> TurbulenceSolution:
    """Solve, and take out the turbulence of the visits in which that helps.

    Parameters and faults are those of :func:`drpflow.algorithms.astrometric_fit.solve`.
    """
    of_all: dict[str, Any] = {"progress": progress, "held": held}
    solution = solve(observations, visits, detectors, stars, config, start=start, **of_all)
    still, found = solution, tuple(_none() for _ in range(len(visits)))
    moved = np.zeros((2, len(observations)))
    for _ in range(config.turbulence.rounds):
        before = field_places(observations, solution.wcs), moved
        found = find_turbulence(observations, visits, stars, solution, before, config.turbulence)
        if not any(item.kept for item in found):
            # What an earlier round has taken off would be in no coordinate system.
            solution = still
            break
        moved = _displacements(observations, before[0], found)
        corrected = _corrected(observations, detectors, moved)
        solution = solve(corrected, visits, detectors, stars, config, start=solution.wcs, **of_all)
    wcs = {(v, d): with_turbulence(item, found[v].field) for (v, d), item in solution.wcs.items()}
    values = {f.name: getattr(solution, f.name) for f in fields(AstrometrySolution)}
    values |= {
        "wcs": wcs,
        "images": _with_errors_of(still.images, solution.images),
        "notes": (*solution.notes, *_notes(found, solution)),
    }
    return TurbulenceSolution(**values, turbulence=found)


def _with_errors_of(still: SolvedImages, images: SolvedImages) -> SolvedImages:
    """Return images with the stated errors of a solution from which nothing was taken off.

    Turbulence that was found is not known without error, least of all where it is like a
    polynomial: residuals without it would make the maps look better than they are.
    """
    width = int(max(still.detector.max(initial=0), images.detector.max(initial=0))) + 1
    known, wanted = (i.visit.astype(np.int64) * width + i.detector for i in (still, images))
    order = np.argsort(known)
    row = order[np.minimum(np.searchsorted(known, wanted, sorter=order), known.size - 1)]
    same = known[row] == wanted
    error = np.where(same, still.error_arcsec[row], images.error_arcsec)
    return replace(images, error_arcsec=error)


def _none(spectrum: Spectrum | None = None, gain: float = float("nan")) -> VisitTurbulence:
    return VisitTurbulence(spectrum, gain, None, None, None)


def find_turbulence(
    observations: Observations,
    visits: Visits,
    stars: Stars,
    solution: AstrometrySolution,
    before: tuple[Floats, Floats],
    config: TurbulenceConfig,
) -> tuple[VisitTurbulence, ...]:
    """Return the turbulence of all visits.

    Parameters
    ----------
    observations, visits, stars
        The tables.
    solution
        A solution of them.
    before
        Where its coordinate systems have the observations in the field, deg, and what had been
        taken from them along the axes of the field before they were solved, mas; shapes (2, N).
    config
        The parameters.
    """
    found = [_none() for _ in range(len(visits))]
    parts = fitted_residuals(observations, visits, stars, solution, before)
    usable = {v: part for v, part in parts.items() if part[0].size >= config.min_stars}
    if not usable:
        return tuple(found)
    boxes, order = _boxes(solution), solution.visits.order
    reach = config.max_separation_deg
    sums = {v: lag_sums(item, reach, int(order[v])) for v, (_, item) in usable.items()}
    common = _common_spectrum([item for _, item in usable.values()], list(sums.values()), config)
    squares = np.zeros((len(visits), 2))
    for v, (rows, item) in usable.items():
        spectrum = fit_spectrum(sums[v], common, common=False)
        found[v] = _none(spectrum, 0.0)
        if spectrum.shortest_deg < _LEAST_COHERENCE * _distance(item):
            continue
        free = solution.visit_mas[: int(order[v]) + 1].tolist()
        process = VisitProcess(item, spectrum, config.nodes_per_coherence, boxes[v], free)
        predicted, squares[v] = _tried(
            item, process, float(solution.visits.floor_mas[v]), config.folds
        )
        moved = predicted - process.polynomial
        found[v] = VisitTurbulence(spectrum, np.nan, process.field, rows, moved)
    gains = _gains(squares, {v: usable[v][0].size for v, item in enumerate(found) if item.kept})
    for v, gain in gains.items():
        kept = gain > config.min_gain
        found[v] = replace(found[v], gain=gain) if kept else _none(found[v].spectrum, gain)
    return tuple(found)


def _distance(residuals: ResidualSet) -> float:
    """Return the mean distance of neighbouring stars, deg."""
    area = float(np.ptp(residuals.x_deg) * np.ptp(residuals.y_deg))
    return float(np.sqrt(area / len(residuals)))


def _common_spectrum(
    sets: list[ResidualSet], sums: list[LagSums], config: TurbulenceConfig
) -> Spectrum:
    """Return the spectrum of all visits together."""
    everything = together(sums)
    noise = float(np.median(np.concatenate([(item.xx + item.yy) / 2 for item in sets])))
    excess = max(everything.variance_mas2 - noise, 0.1 * everything.variance_mas2, 0.01)
    start = Spectrum(float(np.sqrt(excess)), config.coherence_deg)
    return fit_spectrum(everything, start, common=True, visits=len(sums))


def _tried(
    residuals: ResidualSet, process: VisitProcess, floor_mas: float, folds: int
) -> tuple[Floats, Floats]:
    """Return what stars predict for each other, and the squares of residuals before and after."""
    rng = np.random.default_rng([len(residuals), folds])
    fold = rng.permutation(len(residuals)) % folds
    plain, predicted = process.predicted_by_others(fold)
    vectors = np.stack([residuals.dx_mas, residuals.dy_mas])
    weight = 1.0 / ((residuals.xx + residuals.yy) / 2 + floor_mas**2)
    squares = [float((weight * (vectors - w) ** 2).sum()) for w in (plain, predicted)]
    return predicted, np.array(squares)


def _gains(squares: Floats, number: Mapping[int, int]) -> dict[int, float]:
    """Return by which share the squares of each visit's residuals fall.

    Few stars say little of that: visits are drawn to what all gain together.

    Parameters
    ----------
    squares
        Before and after, of each visit, shape (V, 2).
    number
        Stars of the visits that were tried.
    """
    before, after = squares.sum(axis=0)
    whole = 1 - after / before if before > 0 else 0.0
    gains = {}
    for v, n in number.items():
        own = 1 - squares[v, 1] / squares[v, 0] if squares[v, 0] > 0 else 0.0
        gains[v] = float((n * own + _COMMON_STARS * whole) / (n + _COMMON_STARS))
    return gains


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
