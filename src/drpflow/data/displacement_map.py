"""A small displacement of the plane, given on a grid: what turbulence does to one exposure.

Between nodes it is interpolated by cubic convolution (Keys 1981, IEEE Trans. ASSP 29, 1153, with
a = -1/2): smooth with its first derivatives, exact for quadratic polynomials, and of 16 nodes a
point. Beyond the nodes the displacement of the nearest edge goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.plane_maps import PlaneMap
from drpflow.data.record import Record, component, frozen_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Pair: TypeAlias = tuple[Floats, Floats]

TURBULENCE = "turbulence"
"""Stage of a SkyWcs that takes out the turbulence of a visit, field degrees to field degrees."""
_MAX_ROUNDS = 60


@component
@dataclass(frozen=True, eq=False)
class DisplacementMap(PlaneMap):
    """(u, v) = (x, y) + displacement(x, y).

    Parameters
    ----------
    origin
        (x, y) of the first node.
    spacing
        Distance between nodes, the same along both axes.
    values
        Displacements at the nodes in the units of the coordinates, shape (2, ny, nx), with at
        least four nodes along each axis.

    Raises
    ------
    ValueError
        If there are fewer nodes, something is not finite, or the spacing is not positive.
    """

    KIND: ClassVar[str] = "displacement_map"
    origin: tuple[float, float]
    spacing: float
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        values = frozen_array(self.values, np.float32, ndim=3)
        if values.shape[0] != 2 or min(values.shape[1:]) < 4 or not np.isfinite(values).all():
            raise ValueError(
                f"displacements are finite, of the shape (2, 4 or more, 4 or more), "
                f"not {values.shape}"
            )
        origin = (float(self.origin[0]), float(self.origin[1]))
        if not (np.isfinite(origin).all() and 0 < self.spacing < np.inf):
            raise ValueError(f"no grid: origin {origin}, spacing {self.spacing}")
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "spacing", float(self.spacing))
        object.__setattr__(self, "values", values)

    def forward(self, x: ArrayLike, y: ArrayLike) -> Pair:
        """Return (u, v) at points of any shape."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        moved = self._displacement(x, y)[0]
        return x + moved[0], y + moved[1]

    def forward_with_jacobian(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Return u, v and the Jacobian, shape (..., 2, 2)."""
        x, y = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        moved, slope_x, slope_y = self._displacement(x, y)
        jacobian = np.moveaxis(np.stack([slope_x, slope_y], axis=1), (0, 1), (-2, -1))
        return x + moved[0], y + moved[1], jacobian + np.eye(2)

    def inverse(self, u: ArrayLike, v: ArrayLike) -> Pair:
        """Return (x, y), NaN where the displacement is so steep that iteration does not end."""
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        x, y = u, v
        size = max(float(np.abs(self.values).max()), 1e-30)
        # The displacement changes by far less than the distance: each round wins digits.
        for _ in range(_MAX_ROUNDS):
            moved = self._displacement(x, y)[0]
            step = np.hypot(u - moved[0] - x, v - moved[1] - y)
            x, y = u - moved[0], v - moved[1]
            if not (step > 1e-12 * size).any():
                break
        lost = step > 1e-6 * size
        return np.where(lost, np.nan, x)[()], np.where(lost, np.nan, y)[()]

    def to_record(self) -> Record:
        """Return the stored form."""
        meta = {"origin": list(self.origin), "spacing": self.spacing}
        return self._record(meta, {"values": self.values})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the map from its stored form."""
        first, second = record.meta["origin"]
        return cls((first, second), record.meta["spacing"], record.arrays["values"])

    def _displacement(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the displacement and its slopes along x and y, each (2, ...)."""
        ny, nx = self.values.shape[1:]
        shape = x.shape
        column, wx, dx = cubic_weights((x.ravel() - self.origin[0]) / self.spacing, nx)
        row, wy, dy = cubic_weights((y.ravel() - self.origin[1]) / self.spacing, ny)
        around = np.arange(4)
        nodes = self.values[
            :, (row[:, None] + around)[:, :, None], (column[:, None] + around)[:, None]
        ]
        nodes = nodes.astype(np.float64)
        found = [
            np.einsum("kpij,pi,pj->kp", nodes, a, b).reshape(2, *shape)
            for a, b in ((wy, wx), (wy, dx / self.spacing), (dy / self.spacing, wx))
        ]
        return found[0], found[1], found[2]


def cubic_weights(place: Floats, n: int) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return how four neighbouring nodes count at places along an axis.

    Parameters
    ----------
    place
        Places in units of the spacing from the first node, shape (N,).
    n
        Number of nodes, at least 4.

    Returns
    -------
    first, weights, slopes
        First of the four nodes, shape (N,); their weights and the derivatives of these by the
        place, shape (N, 4). Places beyond the second and the last but one node are drawn there,
        and places that are not finite to the first.
    """
    limited = np.clip(np.nan_to_num(place), 1.0, n - 2.0)
    first = np.minimum(limited.astype(np.int64), n - 3) - 1
    t = limited - first - 1
    weights = np.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ],
        axis=-1,
    )
    slopes = np.stack(
        [
            (-1.5 * t + 2.0) * t - 0.5,
            (4.5 * t - 5.0) * t,
            (-4.5 * t + 4.0) * t + 0.5,
            (1.5 * t - 1.0) * t,
        ],
        axis=-1,
    )
    inside = (limited == place)[:, None]
    return first, weights, np.where(inside, slopes, 0.0)
