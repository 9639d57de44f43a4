"""Friends of friends on the sky, and what lies near a place: N log N, and little memory.

Two points are friends if the chord between their unit vectors is at most that of the linking
length, groups are what friendship connects (Huchra & Geller 1982, ApJ 257, 423). A grid on a
tangent plane limits the pairs that are compared, and nothing else: the groups are the same
wherever it lies. Pairs are never listed, since a star that was seen a thousand times has half a
million of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]

_RAD_PER_ARCSEC = np.pi / 180 / 3600
# At 25 degrees a tangent plane stretches by 1.22: points a linking length apart, 1.41 cells, are
# less than two rows and columns apart.
_MAX_EXTENT_DEG = 25.0
_FREE_COLUMNS = 64


@dataclass(frozen=True, eq=False)
class SkyGrid:
    """Points sorted into the cells of a tangent plane.

    Parameters
    ----------
    linking_arcsec
        Linking length; a cell's diagonal is as long.
    order
        Row of each sorted point in the columns that it is from, shape (N,).
    points
        Unit vectors, sorted by cell, shape (N, 3).
    keys, starts
        Numbers of the cells that hold points, shape (C,), and where each begins, shape (C + 1,).
    stride
        Cells in a row of the grid.
    axes
        Unit vectors of the tangent point and of the plane's axes, shape (3, 3).
    corner
        Column and row, in cells from the tangent point, of the grid's first cell.
    """

    linking_arcsec: float
    order: Integers
    points: Floats
    keys: Integers
    starts: Integers
    stride: int
    axes: Floats
    corner: tuple[int, int]

    @classmethod
    def build(cls, vectors: Floats, linking_arcsec: float) -> Self:
        """Sort points into cells.

        Parameters
        ----------
        vectors
            Unit vectors, shape (N, 3).
        linking_arcsec
            Linking length.

        Raises
        ------
        ValueError
            If points are more than 25 degrees from their middle.
        """
        axes = _axes(vectors)
        column, row = _cells(vectors, axes, linking_arcsec)
        if len(vectors):
            corner = int(column.min()) - _FREE_COLUMNS, int(row.min()) - _FREE_COLUMNS
            stride = int(column.max()) - corner[0] + _FREE_COLUMNS
        else:
            corner, stride = (0, 0), 2 * _FREE_COLUMNS
        number = (row - corner[1]) * stride + column - corner[0]
        order = np.argsort(number, kind="stable")
        keys, starts = np.unique(number[order], return_index=True)
        points = np.ascontiguousarray(vectors[order])
        starts = np.append(starts, len(order)).astype(np.int64)
        return cls(linking_arcsec, order, points, keys, starts, stride, axes, corner)

    def friends(self) -> Integers:
        """Return the group of each point, shape (N,); numbered by their first points."""
        from drpflow.kernels.friends import link_cells

        first = np.empty(len(self.keys), np.int64)
        limit2 = _chord(self.linking_arcsec) ** 2
        link_cells(self.keys, self.starts, self.points, self.stride, limit2, first)
        of_sorted = np.repeat(first, np.diff(self.starts))
        group = np.empty(len(self.order), np.int64)
        group[self.order] = of_sorted
        return renumbered(group)

    def near(self, places: Floats, radius_arcsec: float) -> tuple[Integers, Integers]:
        """Return the points within a radius of places.

        Parameters
        ----------
        places
            Unit vectors within the points' extent, shape (M, 3).
        radius_arcsec
            The radius.

        Returns
        -------
        place, point : ndarray of int64
            Rows of each pair, by place; the order of a place's points is not defined.

        Raises
        ------
        ValueError
            If the radius is more than 20 times the linking length.
        """
        from drpflow.kernels.friends import pairs_within

        side = _side(self.linking_arcsec)
        reach = int(np.ceil(radius_arcsec * _RAD_PER_ARCSEC * 1.25 / side))
        if reach >= _FREE_COLUMNS // 2:
            raise ValueError(f"a radius of {radius_arcsec} arcsec is too large for this grid")
        column, row = _cells(places, self.axes, self.linking_arcsec)
        keys = (row - self.corner[1]) * self.stride + column - self.corner[0]
        limit2, room = _chord(radius_arcsec) ** 2, len(self.order) + 1000
        while True:
            found = np.empty((room, 2), np.int64)
            count = pairs_within(
                *(self.keys, self.starts, self.points, self.stride),
                *(places, keys, reach, limit2, found),
            )
            if count <= room:
                return found[:count, 0], self.order[found[:count, 1]]
            room = count


def renumbered(group: Integers) -> Integers:
    """Return groups numbered 0, 1, 2 … in the order in which they first appear."""
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return np.asarray(rank[inverse])


def _axes(vectors: Floats) -> Floats:
    """Return the direction of the middle of points, and two at right angles to it."""
    middle = vectors.sum(axis=0) if len(vectors) else np.array([1.0, 0.0, 0.0])
    length = float(np.linalg.norm(middle))
    middle = middle / length if length > 0 else np.array([1.0, 0.0, 0.0])
    # The coordinate axis that is farthest from the middle is a safe second direction.
    second = np.cross(middle, np.eye(3)[np.argmin(np.abs(middle))])
    second /= np.linalg.norm(second)
    return np.stack([middle, second, np.cross(middle, second)])


def _cells(vectors: Floats, axes: Floats, linking_arcsec: float) -> tuple[Integers, Integers]:
    """Return column and row of points, in cells from the tangent point."""
    depth, x, y = axes @ vectors.T
    if len(vectors) and depth.min() < np.cos(np.radians(_MAX_EXTENT_DEG)):
        raise ValueError(f"points lie more than {_MAX_EXTENT_DEG:g} degrees from their middle")
    side = _side(linking_arcsec)
    return np.floor(x / depth / side).astype(np.int64), np.floor(y / depth / side).astype(np.int64)


def _side(linking_arcsec: float) -> float:
    """Return the side of a cell whose diagonal is the linking length, less rounding."""
    return float(linking_arcsec * _RAD_PER_ARCSEC / np.sqrt(2) * (1 - 1e-9))


def _chord(angle_arcsec: float) -> float:
    return float(2 * np.sin(angle_arcsec * _RAD_PER_ARCSEC / 2))
