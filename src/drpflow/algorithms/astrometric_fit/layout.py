"""The parameters of the maps: terms, domains, orders, priors, and images on which they show."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.astrometric_fit.rows import count_stars
from drpflow.data.polynomial import Basis2D, Domain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.astrometric_fit.rows import SortedRows, Tables
    from drpflow.config.solve_astrometry import AstrometricModelConfig

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

_SIDE = 4
# Stars for each coefficient below which a map's order falls.
_STARS_PER_TERM = 1.5


@dataclass(frozen=True, eq=False)
class Layout:
    """Static maps (detector and epoch of the instrument) and visits.

    Parameters
    ----------
    map_detector, map_epoch
        Of each of the M static maps.
    map_basis
        Terms of each, over the field places of its detector.
    visit_basis
        Terms of the visits, over the field.
    map_of
        Static map of each visit and detector, (V, D).
    map_order, visit_order
        Orders that the stars allow, (M,), (V,).
    grid
        Field places on each detector at which errors are looked at, deg, (D, G, 2).
    """

    map_detector: Ints
    map_epoch: Ints
    map_basis: tuple[Basis2D, ...]
    visit_basis: Basis2D
    map_of: Ints
    map_order: Ints
    visit_order: Ints
    grid: Floats

    @property
    def n_maps(self) -> int:
        """Number of static maps."""
        return self.map_detector.size

    @property
    def n_shared(self) -> int:
        """Terms of a visit's map that static maps have as well, at their highest order."""
        order = min(self.map_basis[0].order, self.visit_basis.order)
        return (order + 1) * (order + 2) // 2

    @property
    def map_terms(self) -> Ints:
        """Number of terms of each static map, (M,)."""
        return n_terms(self.map_order)

    @property
    def visit_terms(self) -> Ints:
        """Number of terms of each visit, (V,)."""
        return n_terms(self.visit_order)

    @property
    def map_domain(self) -> Floats:
        """Centres and inverse half sizes, (M, 4)."""
        return np.array([_as_kernel(b.domain) for b in self.map_basis]).reshape(-1, 4)

    @property
    def visit_domain(self) -> Floats:
        """Centre and inverse half size, (4,)."""
        return np.array(_as_kernel(self.visit_basis.domain))

    def shifts(self, c: Floats, q: Floats) -> Floats:
        """Return what changes of the parameters do on the grid: mas, (V, D, G, 2)."""
        by_map = self._map_design @ c.swapaxes(1, 2)
        by_visit = np.einsum("dgk,vbk->vdgb", self._visit_design, q[:, :, :-1], optimize=True)
        return by_visit + by_map[self.map_of]

    @cached_property
    def _map_design(self) -> Floats:
        """Terms of each static map on the grid of its detector, (M, G, K)."""
        places = self.grid[self.map_detector]
        return np.array([b.design(*p.T) for b, p in zip(self.map_basis, places, strict=True)])

    @cached_property
    def _visit_design(self) -> Floats:
        """Terms of a visit on the grids, (D, G, L)."""
        return self.visit_basis.design(self.grid[..., 0], self.grid[..., 1])


def make_layout(rows: SortedRows, tables: Tables, config: AstrometricModelConfig) -> Layout:
    """Lay the parameters out for the visits and detectors of some tables."""
    visits, detectors = tables.visits, tables.detectors
    opened = np.searchsorted(np.array(config.epochs_mjd), visits.mjd, side="right")
    epochs, epoch = np.unique(
        visits.instrument_epoch.astype(np.int64) * (len(config.epochs_mjd) + 1) + opened,
        return_inverse=True,
    )
    n_detectors = len(detectors)
    grid, boxes = zip(*(_places(tables, d) for d in range(n_detectors)), strict=True)
    map_of = (epoch[:, None] * n_detectors + np.arange(n_detectors)).astype(np.int32)
    map_detector = np.tile(np.arange(n_detectors, dtype=np.int32), epochs.size)
    edges = np.array([box.as_list() for box in boxes])
    whole = _widened(
        Domain(edges[:, 0].min(), edges[:, 1].max(), edges[:, 2].min(), edges[:, 3].max())
    )
    tells = _telling(rows, tables)
    n_map = count_stars(rows.first, map_of[rows.visit, rows.detector], tells, map_detector.size)
    n_visit = count_stars(rows.first, rows.visit, tells, len(visits))
    return Layout(
        map_detector=map_detector,
        map_epoch=np.repeat(np.arange(epochs.size, dtype=np.int32), n_detectors),
        map_basis=tuple(Basis2D(config.detector_order, boxes[d]) for d in map_detector),
        visit_basis=Basis2D(config.visit_order, whole),
        map_of=map_of,
        map_order=_allowed(n_map, config.detector_order),
        visit_order=_allowed(n_visit, config.visit_order),
        grid=np.array(grid),
    )


def _telling(rows: SortedRows, tables: Tables) -> Bools:
    """Return which rows tell something of the maps: of stars seen again or in the catalogue."""
    stars = tables.stars
    again = np.diff(rows.first) > 1
    if stars.reference is not None:
        again = again | stars.reference.known
    return np.asarray((again & ~stars.reserved)[rows.star])


def n_terms(order: Ints) -> Ints:
    """Return the number of terms of polynomials of these orders."""
    return ((order + 1) * (order + 2) // 2).astype(np.int32)


def _allowed(n_stars: NDArray[np.int64], highest: int) -> Ints:
    """Return the highest orders whose terms the stars determine."""
    order = np.zeros(n_stars.size, np.int32)
    for k in range(1, highest + 1):
        order[n_stars >= _STARS_PER_TERM * (k + 1) * (k + 2) / 2] = k
    return order


def _places(tables: Tables, detector: int) -> tuple[Floats, Domain]:
    """Return places on a grid over a detector, deg, (G, 2), and the rectangle around it."""
    nx, ny = tables.detectors.size_pix[detector]
    side = (np.arange(_SIDE) + 0.5) / _SIDE
    x, y = np.meshgrid(side * nx - 0.5, side * ny - 0.5)
    inside = tables.detectors.field(detector, x.ravel(), y.ravel())
    t = np.linspace(0, 1, 9)
    rim_x = np.concatenate([t, t, 0 * t, 0 * t + 1]) * nx - 0.5
    rim_y = np.concatenate([0 * t, 0 * t + 1, t, t]) * ny - 0.5
    u, v = tables.detectors.field(detector, rim_x, rim_y)
    return np.stack(inside, axis=1), Domain(u.min(), u.max(), v.min(), v.max())


def _widened(domain: Domain) -> Domain:
    """Return a rectangle a thousandth larger: static maps shift places beyond the edge."""
    (x, y), (dx, dy) = domain.center, domain.half_size
    return Domain(x - 1.001 * dx, x + 1.001 * dx, y - 1.001 * dy, y + 1.001 * dy)


def _as_kernel(domain: Domain) -> tuple[float, float, float, float]:
    (x, y), (dx, dy) = domain.center, domain.half_size
    return x, y, 1 / dx, 1 / dy
