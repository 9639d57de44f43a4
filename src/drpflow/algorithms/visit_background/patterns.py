"""Patterns that come and go in the empty sky: principal components of data with gaps.

What the common shape leaves of each visit is R_vb in bins b of the focal plane, with weights W_vb
that are 0 in gaps. Scores a and components E minimise Σ W (R - a E)²: weighted least squares for
one with the other held (Roweis 1998, NIPS 10, 626). How many components there are is what
predicts bins best that were not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.visit_background.frame import PATTERN
from drpflow.data.background import BackgroundLayer, MeshLayer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.cells import DetectorCells
    from drpflow.config.make_sky_frame import MakeSkyFrameConfig

    Float64: TypeAlias = NDArray[np.float64]
    Rest: TypeAlias = Mapping[int, tuple[DetectorCells, Float64, Float64]]

_ROUNDS = 40
_SHRINKAGE = 0.02
"""Weight of the prior at 0 relative to that of the values of a mean row."""

_SEED = 20260917


def find_patterns(
    rests: Mapping[int, Rest], config: MakeSkyFrameConfig
) -> tuple[dict[int, list[tuple[str, BackgroundLayer]]], int]:
    """Return the patterns of each detector as layers, and their number.

    Parameters
    ----------
    rests
        What the common shape leaves, by visit and detector: cells, values in units of the sky,
        inverse variances.
    config
        Most patterns, and visits that each needs.
    """
    most = min(config.max_patterns, len(rests) // config.min_visits_per_pattern)
    grids = {k: cells for rest in rests.values() for k, (cells, _, _) in rest.items()}
    keys = sorted(grids)
    if most < 1 or not keys:
        return {}, 0
    table = [_row(rest, grids, keys, config) for rest in rests.values()]
    values, weights = (np.array([row[i] for row in table]) for i in (0, 1))
    number = _best_number(values, weights, most, config.held_out)
    if number == 0:
        return {}, 0
    scores, components = principal_components(values, weights, number)
    strength = np.sqrt(np.mean(scores**2, axis=0))
    components = components * strength[:, None]
    return _as_layers(components, grids, keys, config), number


def _step(cells: DetectorCells, config: MakeSkyFrameConfig) -> int:
    return max(1, round(config.mesh_pix / cells.cell_pix))


def _row(
    rest: Rest, grids: Mapping[int, DetectorCells], keys: list[int], config: MakeSkyFrameConfig
) -> tuple[Float64, Float64]:
    """Return the bins of all detectors of a visit in a row, with weights."""
    values, weights = [], []
    for key in keys:
        shape = grids[key].level.shape
        _, value, weight = rest.get(key, (None, np.zeros(shape), np.zeros(shape)))
        step = _step(grids[key], config)
        total, sums = (_binned(v, step) for v in (weight, weight * value))
        values.append(np.divide(sums, total, out=np.zeros(total.shape), where=total > 0).ravel())
        weights.append(total.ravel())
    return np.concatenate(values), np.concatenate(weights)


def _best_number(values: Float64, weights: Float64, most: int, held_out: float) -> int:
    """Return how many components predict bins that were held out.

    One more counts if it lowers their squared residuals by more than twice the error of that
    difference.
    """
    rng = np.random.default_rng([_SEED, *values.shape])
    test = (rng.random(values.shape) < held_out) & (weights > 0)
    best, before = 0, weights[test] * values[test] ** 2
    for number in range(1, most + 1):
        scores, components = principal_components(values, np.where(test, 0.0, weights), number)
        after = weights[test] * (values - scores @ components)[test] ** 2
        gain = before - after
        if gain.mean() <= 2 * gain.std() / np.sqrt(gain.size):
            break
        best, before = number, after
    return best


def principal_components(values: Float64, weights: Float64, number: int) -> tuple[Float64, Float64]:
    """Return scores (n_visits, number) and orthonormal components (number, n_bins).

    Parameters
    ----------
    values
        Shape (n_visits, n_bins); what has no weight is not looked at.
    weights
        Inverse variances, same shape, 0 in gaps.
    number
        Components.
    """
    filled = np.where(weights > 0, values, 0.0)
    components = np.linalg.svd(filled, full_matrices=False)[2][:number]
    relative = weights / max(float(weights.max()), 1e-300)
    scores = np.zeros((len(values), number))
    for _ in range(_ROUNDS):
        scores = _regress(filled, relative, components)
        components = _regress(filled.T, relative.T, scores.T).T
        # Orthonormal rows, so that scores do not run away from components.
        u, s, components = np.linalg.svd(scores @ components, full_matrices=False)
        scores, components = u[:, :number] * s[:number], components[:number]
    return scores, components


def _regress(values: Float64, weights: Float64, terms: Float64) -> Float64:
    """Return for each row of values its weighted coefficients of the terms, (rows, number)."""
    matrix = np.einsum("vb,ib,jb->vij", weights, terms, terms)
    # Rows with few values are held near 0: they would run away with their noise.
    scale = float(np.einsum("vii->", matrix)) / (len(terms) * len(values))
    matrix += (_SHRINKAGE * scale + 1e-30) * np.eye(len(terms))
    vector = np.einsum("vb,ib,vb->vi", weights, terms, values)
    return np.asarray(np.linalg.solve(matrix, vector[..., None])[..., 0])


def _as_layers(
    components: Float64,
    grids: Mapping[int, DetectorCells],
    keys: list[int],
    config: MakeSkyFrameConfig,
) -> dict[int, list[tuple[str, BackgroundLayer]]]:
    found: dict[int, list[tuple[str, BackgroundLayer]]] = {}
    start = 0
    for key in keys:
        step = _step(grids[key], config)
        x, y = (_bin_centers(axis, step) for axis in grids[key].centers)
        part = components[:, start : start + x.size * y.size].reshape(-1, y.size, x.size)
        start += x.size * y.size
        found[key] = [
            (f"{PATTERN}{k + 1}", MeshLayer(p, np.ones(p.shape), x, y, "spline"))
            for k, p in enumerate(part)
        ]
    return found


def _binned(values: Float64, step: int) -> Float64:
    rows, columns = (np.arange(0, n, step) for n in values.shape)
    return np.asarray(np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1))


def _bin_centers(centers: Float64, step: int) -> Float64:
    return np.array([centers[k : k + step].mean() for k in range(0, centers.size, step)])
