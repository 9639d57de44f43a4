"""The wings of bright stars as a layer of the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.background import BackgroundLayer
from drpflow.data.record import Record, component, frozen_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


_SPACING_PIX = 32.0
"""Distance of the nodes from which the tails of wings are interpolated."""

_BEND, _KINK = 2.8, 0.1
"""How wrong that is at a distance r from a star, in units of its light there: 2.8 (h/r)⁴ for the
fourth derivative of r⁻², 0.1 h/r for the kinks of c, h the spacing."""


@component
@dataclass(frozen=True, eq=False)
class StarWingsLayer(BackgroundLayer):
    """Round wings about stars, one profile for each region of the focal plane.

    The light at a distance r from a star is ``flux · c(r) / r²`` per pixel, c linear in ln r
    between the nodes. It is 0 at the last node and beyond, and falls to 0 between the first node
    and three quarters of its radius: what lies further in is the star's image, not its wings.

    Parameters
    ----------
    x, y
        Places of the stars, pixels; they may lie beyond the image. Shape (m,).
    flux
        Fluxes in the unit of the background, shape (m,).
    region
        Row of `profile` that holds for each star, shape (m,).
    radii
        Nodes, pixels, evenly spaced in their logarithm, shape (k,), k at least 2.
    profile
        c at the nodes, not negative, 0 at the last, shape (n_regions, k).
    faintest
        How wrong the light of a star may be anywhere. Beyond a radius that follows from it, of
        some tens of pixels for most stars, all stars are interpolated from one mesh.

    Raises
    ------
    ValueError
        If shapes do not fit or values are out of range.
    """

    KIND: ClassVar[str] = "star_wings_layer"
    x: Floats
    y: Floats
    flux: Floats
    region: NDArray[np.int64]
    radii: Floats
    profile: Floats
    faintest: float

    def __post_init__(self) -> None:
        for name in ("x", "y", "flux", "radii"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), ndim=1))
        object.__setattr__(self, "region", frozen_array(self.region, np.int64, ndim=1))
        object.__setattr__(self, "profile", frozen_array(self.profile, ndim=2))
        if not self.x.shape == self.y.shape == self.flux.shape == self.region.shape:
            raise ValueError("places, fluxes and regions of stars differ in number")
        if self.profile.shape[1] != self.radii.size or self.radii.size < 2:
            raise ValueError(f"{self.radii.size} nodes for a profile of {self.profile.shape}")
        steps = np.diff(np.log(self.radii)) if (self.radii > 0).all() else np.zeros(1)
        if steps[0] <= 0 or not np.allclose(steps, steps[0], rtol=1e-6):
            raise ValueError("the nodes must increase by one factor")
        if (self.profile < 0).any() or self.profile[:, -1].any() or not self.faintest > 0:
            raise ValueError("a profile is not negative and 0 at its last node; faintest > 0")
        if self.region.size and not 0 <= self.region.min() <= self.region.max() < len(self.profile):
            raise ValueError("a star's region has no profile")

    def evaluate_grid(self, x: Floats, y: Floats) -> Floats:
        """Return the layer on a grid; 8 ns for each star and pixel, or node, near enough."""
        from drpflow.kernels.star_wings import add_interpolated, add_near_wings, wing_tails

        columns, rows = np.asarray(x, np.float64), np.asarray(y, np.float64)
        out = np.zeros((rows.size, columns.size))
        if not (self.x.size and out.size):
            return out
        reach = self._reach()
        wings = (self.flux, self.region, self.radii, self.profile, reach)
        add_near_wings(out, columns, rows, self.x, self.y, *wings)
        i, j = _nodes(columns), _nodes(rows)
        places = _SPACING_PIX * i, _SPACING_PIX * j
        tails = wing_tails(*places, self.x, self.y, *wings)
        add_interpolated(out, columns, rows, tails, int(i[0]), int(j[0]), _SPACING_PIX)
        return out

    def _reach(self) -> Floats:
        """Return beyond which radius each star is interpolated, pixels."""
        strength = self.flux * self.profile.max(axis=1)[self.region] / self.faintest
        strength = np.maximum(strength, 0.0)
        kink = (_KINK * _SPACING_PIX * strength) ** (1 / 3)
        bend = (_BEND * _SPACING_PIX**4 * strength) ** (1 / 6)
        return np.asarray(np.clip(np.maximum(kink, bend), _SPACING_PIX, self.radii[-1]))

    def to_record(self) -> Record:
        """Return the stored form."""
        names = ("x", "y", "flux", "region", "radii", "profile")
        return self._record({"faintest": self.faintest}, {n: getattr(self, n) for n in names})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the layer from its stored form."""
        return cls(**record.arrays, faintest=float(record.meta["faintest"]))


def _nodes(places: Floats) -> Floats:
    """Return the numbers of the nodes about places: two on either side of each."""
    low, high = np.floor(places[[0, -1]] / _SPACING_PIX)
    return np.arange(low - 1, high + 3)
