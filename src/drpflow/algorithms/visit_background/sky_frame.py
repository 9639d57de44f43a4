"""Sky frames: what the empty skies of many visits in one filter have in common.

A cell c of visit v is F_c P_v(c) plus wings of stars plus noise: P a polynomial over the focal
plane, different in each visit, F a shape that all have. The two are found in turn. Cells with
more than sky are left out, in each visit others, since the telescope points elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.visit_background.design import build_design
from drpflow.algorithms.visit_background.detector_shape import Shape, fit_shape
from drpflow.algorithms.visit_background.frame import WINGS, DetectorFrame
from drpflow.algorithms.visit_background.model import fit_visit
from drpflow.algorithms.visit_background.patterns import find_patterns
from drpflow.algorithms.visit_background.solve import wing_information, wing_prior
from drpflow.data.background import Background
from drpflow.data.star_wings import StarWingsLayer
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import DetectorCells
    from drpflow.algorithms.visit_background.model import VisitFit
    from drpflow.algorithms.visit_background.stars import DetectorStars
    from drpflow.config.make_sky_frame import MakeSkyFrameConfig

    Float64: TypeAlias = NDArray[np.float64]

_FIELDS = ("values", "weights")


@dataclass(frozen=True, eq=False)
class SkyFrame:
    """The sky frame of a filter.

    Parameters
    ----------
    layers
        Shape and patterns of each detector, in units of the sky.
    visits
        Visits that made it.
    lengths
        Correlation length of each detector's shape, pixels; 0 for a plane.
    errors
        Standard deviation of each detector's shape, relative to the sky.
    fine
        Share of what the smooth part leaves that is real, by detector.
    n_patterns
        Patterns.
    """

    layers: dict[int, Background]
    visits: tuple[int, ...]
    lengths: dict[int, float]
    errors: dict[int, float]
    fine: dict[int, float]
    n_patterns: int


@dataclass(frozen=True, eq=False)
class FrameVisit:
    """A visit that a frame may be made of.

    Parameters
    ----------
    cells
        By detector.
    stars
        Bright stars by detector; may be empty.
    """

    cells: Mapping[int, DetectorCells]
    stars: Mapping[int, DetectorStars]


@dataclass(frozen=True, eq=False)
class _Ratios:
    """Cells of a visit over its own sky, by detector.

    Parameters
    ----------
    values
        Ratios, shape (my, mx).
    weights
        Inverse variances, 0 for what does not count.
    wings
        What the visit alone says of the nodes of wings: inverse covariance, and that times the
        nodes; None without wings.
    """

    values: dict[int, Float64]
    weights: dict[int, Float64]
    wings: tuple[Float64, Float64] | None


def make_sky_frame(visits: Mapping[int, FrameVisit], config: MakeSkyFrameConfig) -> SkyFrame:
    """Return the frame that the skies of visits share.

    Parameters
    ----------
    visits
        By number.
    config
        Orders, guards and masks.

    Raises
    ------
    AlgorithmError
        If there are too few visits.
    """
    chosen = _most_sky(visits, config)
    grids = {k: c for visit in chosen.values() for k, c in visit.cells.items()}
    shapes: dict[int, Shape] = {}
    ratios: dict[int, _Ratios] = {}
    for number in range(config.rounds):
        frames = _frames(chosen, shapes, ratios, config)
        ratios = _all_ratios(chosen, frames, config, first=number == 0)
        if len(ratios) < config.min_visits:
            raise AlgorithmError(
                f"{len(ratios)} visits show the empty sky; a frame needs {config.min_visits}",
                {"visits": len(ratios)},
                "add visits in this filter, or lower makeSkyFrame.min_visits",
            )
        # A detector that galaxies leave in too few visits keeps the shape that it had.
        shapes = shapes | _shapes(ratios, grids, config)
    rests = {v: _rest(r, shapes, grids) for v, r in ratios.items()}
    patterns, n_patterns = find_patterns(rests, config)
    frames = _frames(chosen, shapes, ratios, config)
    layers = {
        key: Background((*frames[key].layers.layers, *patterns.get(key, ())), "1") for key in shapes
    }
    return SkyFrame(
        layers,
        tuple(ratios),
        {k: s.length_pix for k, s in shapes.items()},
        {k: s.error for k, s in shapes.items()},
        {k: s.fine for k, s in shapes.items()},
        n_patterns,
    )


def _frames(
    visits: Mapping[int, FrameVisit],
    shapes: Mapping[int, Shape],
    ratios: Mapping[int, _Ratios],
    config: MakeSkyFrameConfig,
) -> dict[int, DetectorFrame]:
    """Return shapes and wings as visits take them for granted."""
    profile = _profile(ratios, config)
    found = {}
    for key, shape in shapes.items():
        layers = list(shape.layers())
        radii = next((v.stars[key].radii for v in visits.values() if key in v.stars), None)
        if profile is not None and radii is not None:
            none = np.zeros(0)
            wings = StarWingsLayer(none, none, none, np.zeros(0, np.int64), radii, profile, 1.0)
            layers.append((WINGS, wings))
        found[key] = DetectorFrame(Background(tuple(layers), "1"))
    return found


def _profile(ratios: Mapping[int, _Ratios], config: MakeSkyFrameConfig) -> Float64 | None:
    """Return the profile of wings that all visits together tell, by ring; None if none does."""
    told = [r.wings for r in ratios.values() if r.wings is not None]
    if not told:
        return None
    inverse = np.sum([i for i, _ in told], axis=0)
    vector = np.sum([v for _, v in told], axis=0)
    rings = config.sky.wings.regions
    strength = float(vector.sum() / max(float(inverse.sum()), 1e-300))
    if strength <= 0:
        return None
    prior = wing_prior(vector.size // rings, rings, strength, config.sky.wings)
    nodes = np.maximum(np.linalg.solve(inverse + prior, vector), 0.0).reshape(rings, -1)
    return np.column_stack([nodes, np.zeros(len(nodes))])


def _most_sky(
    visits: Mapping[int, FrameVisit], config: MakeSkyFrameConfig
) -> dict[int, FrameVisit]:
    """Return the visits with the most measured cells, by number."""
    number = {v: sum(int(c.usable.sum()) for c in visits[v].cells.values()) for v in visits}
    ranked = sorted((v for v in visits if number[v]), key=lambda v: (-number[v], v))
    return {v: visits[v] for v in sorted(ranked[: config.max_visits])}


def _all_ratios(
    visits: Mapping[int, FrameVisit],
    frames: Mapping[int, DetectorFrame],
    config: MakeSkyFrameConfig,
    *,
    first: bool,
) -> dict[int, _Ratios]:
    """Return the ratios of all visits that show the empty sky.

    In the first round the shape is not known, and would be taken for nebulae and wings; and
    polynomials of a high degree would take the steps between detectors, which are offsets then,
    for their own.
    """
    model = config.sky
    if first:
        mask = model.mask.model_copy(update={"scales_pix": ()})
        start = {"mask": mask, "max_order": min(1, model.max_order)}
        model = model.model_copy(update=start)
    else:
        # What steps there are the shape has by now; offsets would only take from it again.
        model = model.model_copy(update={"pistons": "never"})
    found = {}
    for number, visit in visits.items():
        stars = {} if first else visit.stars
        design = build_design(visit.cells, frames, stars, model.wings.regions, model.max_order)
        fit = fit_visit(design, model)
        if not fit.nebula:
            found[number] = _ratios(fit, config)
    return found


def _ratios(fit: VisitFit, config: MakeSkyFrameConfig) -> _Ratios:
    """Return the cells less wings over the visit's polynomial."""
    design, layout, parameters = fit.design, fit.design.layout, fit.solution.parameters
    polynomial = parameters[: layout.basis.n_terms]
    values, weights = {}, {}
    for key, terms in design.detectors.items():
        c = terms.cells
        smooth = layout.basis.evaluate(polynomial, c.x_mm, c.y_mm)
        wings = np.zeros(c.level.size)
        wing = terms.index >= layout.wings.start
        wings[terms.rows] = terms.columns[:, wing] @ parameters[terms.index[wing]]
        rest = c.level - wings.reshape(c.level.shape)
        used = fit.used[key] & (smooth > 0)
        values[key] = np.divide(rest, smooth, out=np.zeros(smooth.shape), where=used)
        weights[key] = np.where(used, c.weight * smooth**2, 0.0)
    told = wing_information(design, design.normal(fit.used), fit.solution, config.sky)
    return _Ratios(values, weights, told)


def _shapes(
    ratios: Mapping[int, _Ratios], grids: Mapping[int, DetectorCells], config: MakeSkyFrameConfig
) -> dict[int, Shape]:
    """Return the shape of the empty sky on each detector."""
    found = {}
    for key, grid in sorted(grids.items()):
        those = [r for r in ratios.values() if key in r.values]
        same = [
            r for r in those if r.values[key].shape == grid.level.shape and r.weights[key].any()
        ]
        if len(same) >= config.min_visits:
            values, weights = (np.array([getattr(r, n)[key] for r in same]) for n in _FIELDS)
            found[key] = fit_shape(values, weights, grid, config)
    scale = float(np.mean([shape.mean for shape in found.values()])) if found else 1.0
    return {key: shape.scaled(1 / scale) for key, shape in found.items()}


def _rest(
    ratios: _Ratios, shapes: Mapping[int, Shape], grids: Mapping[int, DetectorCells]
) -> dict[int, tuple[DetectorCells, Float64, Float64]]:
    """Return cells, what the shape leaves of the ratios, and inverse variances, by detector."""
    found = {}
    for key, shape in shapes.items():
        if key in ratios.values:
            weight = ratios.weights[key]
            rest = np.where(weight > 0, ratios.values[key] - shape.on_grid(*grids[key].centers), 0)
            found[key] = grids[key], rest, weight
    return found
