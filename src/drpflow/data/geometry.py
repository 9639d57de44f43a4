"""Boxes and polygons in pixel coordinates.

Pixel (0, 0) is centred on the point (0, 0): it covers -0.5 to 0.5 in both directions. A box is
half open in pixel *indices*, so as an area it reaches from ``x0 - 0.5`` to ``x1 - 0.5``.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from drpflow.data.record import Record, StoredComponent, component, frozen_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels, half open: columns x0 … x1 - 1, rows y0 … y1 - 1.

    Parameters
    ----------
    x0, x1, y0, y1
        Limits, pixels. A box with ``x0 == x1`` or ``y0 == y1`` is empty.

    Raises
    ------
    ValueError
        If a limit lies before its partner.
    """

    x0: int
    x1: int
    y0: int
    y1: int

    def __post_init__(self) -> None:
        for name in ("x0", "x1", "y0", "y1"):
            object.__setattr__(self, name, index(getattr(self, name)))
        if self.x1 < self.x0 or self.y1 < self.y0:
            raise ValueError(
                f"a box is (x0, x1, y0, y1) with x0 <= x1 and y0 <= y1, not {tuple(self)}"
            )

    @classmethod
    def from_shape(cls, shape: tuple[int, ...], xy0: tuple[int, int] = (0, 0)) -> Self:
        """Return the box of an array of shape (ny, nx) whose first pixel is `xy0` = (x, y)."""
        ny, nx = shape
        x0, y0 = xy0
        return cls(x0, x0 + nx, y0, y0 + ny)

    @classmethod
    def around(cls, x: float, y: float, half_size: int) -> Self:
        """Return the square of ``2 half_size + 1`` pixels about the pixel that holds (x, y)."""
        # floor(x + 0.5): round() would send halves to the even neighbour.
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        return cls(column - half_size, column + half_size + 1, row - half_size, row + half_size + 1)

    def __iter__(self) -> Iterator[int]:
        return iter((self.x0, self.x1, self.y0, self.y1))

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0

    @property
    def shape(self) -> tuple[int, int]:
        """Array shape, (ny, nx)."""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.area == 0

    @property
    def xy0(self) -> tuple[int, int]:
        """The first pixel, (x, y)."""
        return self.x0, self.y0

    @property
    def center(self) -> tuple[float, float]:
        """The central point (x, y)."""
        return (self.x0 + self.x1 - 1) / 2, (self.y0 + self.y1 - 1) / 2

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Outer edges of the pixels: (x_min, x_max, y_min, y_max)."""
        return self.x0 - 0.5, self.x1 - 0.5, self.y0 - 0.5, self.y1 - 0.5

    @property
    def x(self) -> NDArray[np.float64]:
        """Column coordinates, shape (width,)."""
        return np.arange(self.x0, self.x1, dtype=np.float64)

    @property
    def y(self) -> NDArray[np.float64]:
        """Row coordinates, shape (height,)."""
        return np.arange(self.y0, self.y1, dtype=np.float64)

    def slices(self, xy0: tuple[int, int] = (0, 0)) -> tuple[slice, slice]:
        """Return the slices (rows, columns) that cut this box from an array starting at `xy0`.

        Raises
        ------
        ValueError
            If the box begins before the array, where a slice would count from the end.
        """
        x0, y0 = self.x0 - xy0[0], self.y0 - xy0[1]
        if x0 < 0 or y0 < 0:
            raise ValueError(f"box {tuple(self)} begins before the first pixel {tuple(xy0)}")
        return slice(y0, y0 + self.height), slice(x0, x0 + self.width)

    def contains(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Return which points fall on a pixel of the box."""
        x_min, x_max, y_min, y_max = self.extent
        x, y = np.asarray(x), np.asarray(y)
        return np.asarray((x >= x_min) & (x < x_max) & (y >= y_min) & (y < y_max))

    def covers(self, other: Box) -> bool:
        """Return whether every pixel of `other` is one of this box."""
        return other.is_empty or self.intersect(other) == other

    def intersect(self, other: Box) -> Box:
        """Return the pixels common to both; empty, at the nearest corner, if there are none."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, max(x0, min(self.x1, other.x1)), y0, max(y0, min(self.y1, other.y1)))

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds both; an empty box adds nothing."""
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        return Box(
            min(self.x0, other.x0),
            max(self.x1, other.x1),
            min(self.y0, other.y0),
            max(self.y1, other.y1),
        )

    def grow(self, margin: int) -> Box:
        """Return the box with `margin` pixels more on each side (fewer if negative)."""
        x0, y0 = self.x0 - margin, self.y0 - margin
        return Box(x0, max(x0, self.x1 + margin), y0, max(y0, self.y1 + margin))

    def shifted(self, dx: int, dy: int) -> Box:
        """Return the box moved by whole pixels."""
        return Box(self.x0 + dx, self.x1 + dx, self.y0 + dy, self.y1 + dy)


@component
@dataclass(frozen=True, eq=False)
class ValidPolygon(StoredComponent):
    """The part of a detector whose pixels are usable, as a simple polygon.

    Parameters
    ----------
    vertices
        Corners (x, y) in order, either sense, pixels, shape (N, 2); the last is joined to the
        first. The polygon may be concave, but its sides must not cross.

    Raises
    ------
    ValueError
        If there are fewer than three corners, or one is not finite.
    """

    KIND: ClassVar[str] = "valid_polygon"
    vertices: NDArray[np.float64]

    def __post_init__(self) -> None:
        vertices = frozen_array(self.vertices, ndim=2)
        if vertices.shape[0] < 3 or vertices.shape[1] != 2:
            raise ValueError(f"a polygon has at least 3 corners (x, y), not {vertices.shape}")
        if not np.isfinite(vertices).all():
            raise ValueError("a polygon has finite corners")
        object.__setattr__(self, "vertices", vertices)

    @classmethod
    def from_box(cls, box: Box) -> Self:
        """Return the outline of a box, along the outer edges of its pixels."""
        x_min, x_max, y_min, y_max = box.extent
        return cls(np.array([(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)]))

    @property
    def area_pix(self) -> float:
        """Area, square pixels (the shoelace formula)."""
        # Relative to the first corner, so that a small polygon far from the origin keeps digits.
        x, y = (self.vertices - self.vertices[0]).T
        return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)

    def contains(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.bool_]:
        """Return which points are inside (even number of sides to the right: outside).

        Points on a side go to the polygon at their upper right, so that polygons that share a
        side never both hold a point of it.
        """
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        inside = np.zeros(x.shape, bool)
        for (xa, ya), (xb, yb) in self._sides():
            spans = (ya > y) != (yb > y)
            inside ^= spans & (x < xa + (y - ya) * _inverse_slope(xa, ya, xb, yb))
        return inside

    def rasterize(self, box: Box) -> NDArray[np.bool_]:
        """Return which pixels of `box` have their centre inside; shape ``box.shape``.

        Each row holds a switch at every side that crosses it; the running parity of the
        switches from the right is the answer of :meth:`contains`, at a cost of rows × sides
        + pixels instead of pixels × sides.
        """
        rows = box.y
        switches = np.zeros((box.height, box.width + 1), bool)
        for (xa, ya), (xb, yb) in self._sides():
            crossed = np.flatnonzero((ya > rows) != (yb > rows))
            x = xa + (rows[crossed] - ya) * _inverse_slope(xa, ya, xb, yb)
            # How many pixel centres of the row lie to the left of the crossing.
            column = np.clip(np.ceil(x - box.x0), 0, box.width).astype(np.intp)
            switches[crossed, column] ^= True
        parity = np.logical_xor.accumulate(switches[:, ::-1], axis=1)[:, ::-1]
        return np.ascontiguousarray(parity[:, 1:])

    def clipped(self, box: Box) -> ValidPolygon | None:
        """Return the part within a box, or None where nothing is left.

        Sutherland & Hodgman (1974, Comm. ACM 17, 32). Parts of a concave polygon that the box
        separates stay joined by sides of no width along its edge; area and membership are right.
        """
        x_min, x_max, y_min, y_max = box.extent
        vertices: NDArray[np.float64] = self.vertices
        for axis, sign, limit in ((0, 1, x_min), (0, -1, x_max), (1, 1, y_min), (1, -1, y_max)):
            vertices = _clip(vertices, axis, sign, limit)
            if len(vertices) < 3:
                return None
        clipped = ValidPolygon(vertices)
        return clipped if clipped.area_pix > 0 else None

    def shifted(self, dx: float, dy: float) -> ValidPolygon:
        """Return the polygon moved by (dx, dy)."""
        return ValidPolygon(self.vertices + np.array([dx, dy]))

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record(arrays={"vertices": self.vertices})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the polygon from its stored form."""
        return cls(record.arrays["vertices"])

    def _sides(self) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        return zip(self.vertices, np.roll(self.vertices, -1, axis=0), strict=True)


def _inverse_slope(xa: float, ya: float, xb: float, yb: float) -> float:
    """Return dx/dy of a side; level sides, which no row crosses, get 0."""
    return 0.0 if ya == yb else (xb - xa) / (yb - ya)


def _clip(vertices: NDArray[np.float64], axis: int, sign: int, limit: float) -> NDArray[np.float64]:
    """Keep what lies on the side ``sign · (coordinate - limit) >= 0`` of one line."""
    distance = sign * (vertices[:, axis] - limit)
    kept: list[NDArray[np.float64]] = []
    for k in range(len(vertices)):
        here, there = distance[k - 1], distance[k]
        if (here < 0) != (there < 0):
            cut = vertices[k - 1] + here / (here - there) * (vertices[k] - vertices[k - 1])
            cut[axis] = limit
            kept.append(cut)
        if there >= 0:
            kept.append(vertices[k])
    return np.array(kept).reshape(-1, 2)
