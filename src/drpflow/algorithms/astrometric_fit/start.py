"""Where the visits point, from the stars themselves, before the fit.

A robust linear map from the field of the camera to the places of the stars in the tangent plane of
the given pointing turns that plane: afterwards a visit's map is the identity to some 10⁻³, so that
the fit is nearly linear. Stars on the sky are good to a fraction of an arcsecond here, which is
enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.sky import MAS_PER_DEG
from drpflow.data.tan_projection import TanProjection, unit_vectors
from drpflow.kernels import astrometric_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.rows import SortedRows, Tables
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Start: TypeAlias = Mapping[tuple[int, int], SkyWcs | None]

_MOST_ROWS = 2000
_ROUNDS = 12


@dataclass(frozen=True, eq=False)
class Planes:
    """The tangent planes of the visits.

    Parameters
    ----------
    projections
        One for each visit.
    in_front
        Which rows are of stars within 90° of the tangent point, (N,).
    linear
        Map of each visit that is left: place ≈ field + linear · (1, fx, fy), mas, fx and fy in
        degrees, (V, 2, 3).
    scatter_mas
        Of its stars about it, robust, in each coordinate, (V,); NaN for visits without stars.
    offset_arcsec
        From the start, at the middle of the field, (V,).
    """

    projections: tuple[TanProjection, ...]
    in_front: Bools
    linear: Floats
    scatter_mas: Floats
    offset_arcsec: Floats


def find_planes(rows: SortedRows, tables: Tables, start: Start | None) -> Planes:
    """Find the tangent plane of each visit.

    Parameters
    ----------
    rows
        Sorted observations.
    tables
        Sorted tables.
    start
        First WCSs by (visit, detector), rows of the sorted tables.
    """
    given = [_given(tables, v, start) for v in range(len(tables.visits))]
    by_visit = _by_visit(rows)
    place = np.empty((len(rows), 2))
    _project(rows, tables, given, place)
    planes, offsets = [], []
    for v, projection in enumerate(given):
        own = by_visit[v]
        found = _robust(rows.field[own], place[own])[0] if own.size >= 3 else np.zeros((2, 3))
        planes.append(_turned(projection, found))
        offsets.append(float(np.hypot(*found[:, 0])) / 1000)
    _project(rows, tables, planes, place)
    linear, scatter = np.zeros((len(given), 2, 3)), np.full(len(given), np.nan)
    for v, own in enumerate(by_visit):
        if own.size >= 3:
            linear[v], scatter[v] = _robust(rows.field[own], place[own])
    in_front = np.isfinite(place[:, 0])
    return Planes(tuple(planes), in_front, linear, scatter, np.array(offsets))


def _by_visit(rows: SortedRows) -> list[NDArray[np.int32]]:
    """Return some rows of each visit, at most 2,000, spread over its stars."""
    order, ends = rows.by_visit
    own = [order[a:b] for a, b in pairwise(ends)]
    return [item[:: max(1, -(-item.size // _MOST_ROWS))] for item in own]


def _given(tables: Tables, visit: int, start: Start | None) -> TanProjection:
    """Return the plane in which the start has the visit, its first WCSs if there are any."""
    projection = tables.visits.projection(visit)
    pieces = []
    for d in range(len(tables.detectors)):
        wcs = (start or {}).get((visit, d))
        if wcs is not None:
            nx, ny = tables.detectors.size_pix[d]
            x, y = (a.ravel() for a in np.meshgrid([0, nx / 2, nx], [0, ny / 2, ny]))
            seen = projection.from_sky(*wcs.pixel_to_world_values(x, y))
            nominal = tables.detectors.field(d, x, y)
            pieces.append((np.stack(nominal, axis=1), np.stack(seen, axis=1)))
    if not pieces:
        return projection
    field, place = (np.concatenate(p) for p in zip(*pieces, strict=True))
    return _turned(projection, _robust(field, place)[0])


def _project(rows: SortedRows, tables: Tables, planes: list[TanProjection], place: Floats) -> None:
    """Fill in the places of the stars in the planes of the visits."""
    stars = tables.stars
    direction = np.ascontiguousarray(unit_vectors(stars.ra_deg, stars.dec_deg).T)
    axes = np.array([p.axes for p in planes])
    astrometric_rows.project(rows.first, rows.visit, direction, axes, place)


def _robust(field: Floats, place: Floats) -> tuple[Floats, float]:
    """Return the linear map of place - field, mas, (2, 3), and the scatter of the rest, mas.

    Weights 1/(1 + (r/2s)²), s the scatter from the median: beginning at the median shift, so that
    wrong matches, if they are less than half, do not count.
    """
    good = np.isfinite(place).all(axis=1)
    field, delta = field[good], (place[good] - field[good]) * MAS_PER_DEG
    if len(field) < 3:
        return np.zeros((2, 3)), np.inf
    design = np.column_stack([np.ones(len(field)), field])
    found = np.zeros((2, 3))
    found[:, 0] = np.median(delta, axis=0)
    scatter = 0.0
    for _ in range(_ROUNDS):
        rest = delta - design @ found.T
        distance = np.hypot(*rest.T)
        # The median of a Rayleigh distribution is 1.1774 sigma.
        scatter = float(np.median(distance)) / 1.1774
        weight = 1 / (1 + (distance / max(2 * scatter, 1e-3)) ** 2)
        # A little weight on zero slopes keeps stars on a line from turning the field.
        normal = design.T @ (weight[:, None] * design) + np.diag([0, 1e-9, 1e-9])
        right = design.T @ (weight[:, None] * rest)
        found = found + np.linalg.solve(normal, right).T
    return found, scatter


def _turned(projection: TanProjection, linear: Floats) -> TanProjection:
    """Return the plane in which the shift and the turn of a linear map are gone."""
    shift = linear[:, 0] / MAS_PER_DEG
    angle = np.degrees((linear[1, 1] - linear[0, 2]) / 2 / MAS_PER_DEG)
    ra, dec = projection.to_sky(*shift)
    sense = 1.0 if projection.x_axis == "west" else -1.0
    # Meridians converge: the direction of north turns along with the point of contact.
    moved = TanProjection(float(ra), float(dec), projection.rotation_deg, projection.x_axis)
    ahead = projection.to_sky(shift[0], shift[1] + 1e-3)
    seen = moved.from_sky(*ahead)
    convergence = np.degrees(np.arctan2(seen[0], seen[1]))
    turned = moved.rotation_deg + sense * (angle - convergence)
    return TanProjection(moved.ra_deg, moved.dec_deg, float(turned % 360.0), moved.x_axis)
