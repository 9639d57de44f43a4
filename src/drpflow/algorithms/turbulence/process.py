"""The Gaussian process: the most likely displacement field, given residuals of stars.

Let d = B z be the field on a grid, z white and B the root of its covariance (two Fourier
transforms, :class:`~drpflow.algorithms.turbulence.spectrum.Modes`), W the cubic interpolation to
the N stars and C the covariance of their residuals r. The mean of d given r is B z with

    (1 + Bᵀ Wᵀ C⁻¹ W B) z = Bᵀ Wᵀ C⁻¹ r,

which conjugate gradients solve in some tens of steps, each of four transforms and 64 N
multiplications: nothing is ever factored, and 10⁴ stars take seconds instead of the minutes of a
Cholesky decomposition. Stars spread evenly would make the matrix diagonal in k; that diagonal is
the preconditioner. (The grid stands for the process itself as long as it is finer than the
patches: Wilson & Nickisch 2015, ICML, section 4, call this structured kernel interpolation.)

Residuals are those of a fit that has polynomials H b over the field, whose b took what it could of
the displacement. They are found together with it: in the place of C⁻¹ stands
Q = C⁻¹ - C⁻¹H (HᵀC⁻¹H + 1)⁻¹ HᵀC⁻¹, the columns of H multiplied by the expected sizes of their
coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.turbulence.spectrum import Modes, Spectrum, modes
from drpflow.data.displacement_map import cubic_weights
from drpflow.data.polynomial import Basis2D, Domain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Complexes: TypeAlias = NDArray[np.complex128]

_PADDING = 4.0
"""Coherence lengths of empty plane, so that the periodic field does not meet itself."""
_MARGIN_NODES = 4
_TOLERANCE = 1e-3
_MAX_STEPS = 300


@dataclass(frozen=True, eq=False)
class ResidualSet:
    """Residuals of N stars in one visit.

    Parameters
    ----------
    x_deg, y_deg
        Places in the field.
    dx_mas, dy_mas
        Residuals.
    xx, xy, yy
        Their covariance without the turbulence, mas².
    """

    x_deg: Floats
    y_deg: Floats
    dx_mas: Floats
    dy_mas: Floats
    xx: Floats
    xy: Floats
    yy: Floats

    def __len__(self) -> int:
        return self.x_deg.size

    def take(self, rows: NDArray[Any]) -> ResidualSet:
        """Return the given rows (indices or a mask)."""
        return ResidualSet(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def weights(self) -> Floats:
        """Return the elements xx, xy and yy of the inverse covariances, shape (3, N)."""
        determinant = self.xx * self.yy - self.xy**2
        return np.stack([self.yy, -self.xy, self.xx]) / determinant


@dataclass(frozen=True, eq=False)
class GriddedField:
    """A displacement field on a grid.

    Parameters
    ----------
    origin_deg
        (x, y) of the first node.
    spacing_deg
        Distance between nodes.
    values_mas
        Shape (2, ny, nx).
    steps
        Steps of the iteration that found it.
    """

    origin_deg: tuple[float, float]
    spacing_deg: float
    values_mas: Floats
    steps: int

    def at(self, x_deg: Floats, y_deg: Floats) -> Floats:
        """Return displacements at places, mas, shape (2, N)."""
        matrix = _interpolation(self, x_deg, y_deg)
        return np.asarray((matrix @ self.values_mas.reshape(2, -1).T).T)


class VisitProcess:
    """The process for one visit.

    Parameters
    ----------
    residuals
        At least one; all finite, with positive definite covariances.
    spectrum
        Of the process.
    nodes
        Nodes over the shortest coherence length.
    box_deg
        (x0, x1, y0, y1) that the grid shall cover besides the stars.
    free_mas
        Expected size of the terms of each order, from 0, of a polynomial over the field that is
        found with the process and is no part of it; empty for none.
    """

    def __init__(
        self,
        residuals: ResidualSet,
        spectrum: Spectrum,
        nodes: float = 5.0,
        box_deg: tuple[float, float, float, float] | None = None,
        free_mas: Sequence[float] = (),
    ) -> None:
        from scipy.fft import next_fast_len

        self.number = len(residuals)
        spacing = spectrum.shortest_deg / nodes
        ends = [(float(p.min()), float(p.max())) for p in (residuals.x_deg, residuals.y_deg)]
        if box_deg is not None:
            more = (box_deg[:2], box_deg[2:])
            ends = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(ends, more, strict=True)]
        margin = _MARGIN_NODES * spacing
        low, reach = [a - margin for a, _ in ends], [b - a + 2 * margin for a, b in ends]
        padding = _PADDING * spectrum.coherence_deg * np.sqrt(spectrum.stretch)
        nx, ny = (next_fast_len(int(np.ceil((r + padding) / spacing)) + 1, True) for r in reach)
        self._grid = GriddedField((low[0], low[1]), spacing, np.zeros((2, ny, nx)), 0)
        waves = modes(spectrum, (ny, nx), spacing)
        self._system = _System(waves, self._grid, residuals, free_mas)
        # The density of information to expect: that over the box of the stars.
        self._inside = reach[0] * reach[1] / spacing**2
        kept = [int(np.ceil(r / spacing)) + 2 for r in reach]
        self._shape = (min(kept[1], ny), min(kept[0], nx))

    @cached_property
    def _whole(self) -> tuple[Complexes, int]:
        return self._system.solve(np.ones(self.number), self._inside)

    @cached_property
    def field(self) -> GriddedField:
        """The mean of the process given all residuals."""
        white, steps = self._whole
        ny, nx = self._shape
        values = np.ascontiguousarray(self._system.field(white)[:, :ny, :nx])
        return GriddedField(self._grid.origin_deg, self._grid.spacing_deg, values, steps)

    @cached_property
    def polynomial(self) -> Floats:
        """The polynomial that was found with the field, at the stars, mas, shape (2, N)."""
        return self._system.polynomial(self._whole[0], np.ones(self.number)).T

    def predicted_by_others(self, fold: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return for each star what the stars of other folds predict, mas.

        Parameters
        ----------
        fold
            Number of the fold of each star, shape (N,).

        Returns
        -------
        tuple of ndarray
            By a polynomial alone, and by the field and the polynomial that goes with it, shapes
            (2, N).
        """
        plain, whole = np.zeros((2, 2, self.number))
        for k in np.unique(fold):
            here, others = fold == k, (fold != k).astype(np.float64)
            white, _ = self._system.solve(others, self._inside, self._whole[0])
            plain[:, here] = self._system.polynomial(0 * white, others)[here].T
            both = self._system.at_stars(white) + self._system.polynomial(white, others)
            whole[:, here] = both[here].T
        return plain, whole


def _interpolation(field: GriddedField, x_deg: Floats, y_deg: Floats) -> Any:
    """Return the sparse matrix from the nodes of a grid to places, (N, ny nx)."""
    from scipy.sparse import csr_matrix

    ny, nx = field.values_mas.shape[1:]
    column, wx, _ = cubic_weights((x_deg - field.origin_deg[0]) / field.spacing_deg, nx)
    row, wy, _ = cubic_weights((y_deg - field.origin_deg[1]) / field.spacing_deg, ny)
    around = np.arange(4)
    nodes = (row[:, None] + around)[:, :, None] * nx + (column[:, None] + around)[:, None]
    weights = wy[:, :, None] * wx[:, None]
    ends = np.arange(0, 16 * x_deg.size + 1, 16)
    return csr_matrix((weights.ravel(), nodes.ravel(), ends), shape=(x_deg.size, ny * nx))


def _design(residuals: ResidualSet, size_mas: Sequence[float]) -> Floats:
    """Return the terms of a polynomial over the stars times their sizes, shape (N, T)."""
    x, y = residuals.x_deg, residuals.y_deg
    if not len(size_mas):
        return np.zeros((x.size, 0))
    edge = 1e-6
    domain = Domain(x.min() - edge, x.max() + edge, y.min() - edge, y.max() + edge)
    basis = Basis2D(len(size_mas) - 1, domain)
    return basis.design(x, y) * np.asarray(size_mas)[basis.exponents.sum(axis=1)]


class _Weights:
    """Q v of vectors at stars: their weights, less what a polynomial takes.

    Parameters
    ----------
    elements
        xx, xy and yy of the inverse covariances, shape (3, N).
    design
        Terms of the polynomial times their expected sizes, shape (N, T).
    """

    def __init__(self, elements: Floats, design: Floats) -> None:
        self.elements, self.design = elements, design
        xx, xy, yy = (design.T @ (w[:, None] * design) for w in elements)
        gram = np.block([[xx, xy], [xy, yy]])
        self.inverse = np.linalg.inv(gram + np.eye(len(gram)))

    def whole(self, vectors: Floats) -> Floats:
        """Return C⁻¹ v of vectors of shape (N, 2)."""
        xx, xy, yy = self.elements
        x, y = vectors.T
        return np.column_stack([xx * x + xy * y, xy * x + yy * y])

    def polynomial(self, weighted: Floats) -> Floats:
        """Return the polynomial through vectors of which C⁻¹ v is given, at the stars, (N, 2)."""
        terms = self.inverse @ (self.design.T @ weighted).T.ravel()
        return np.asarray(self.design @ terms.reshape(2, -1).T)

    def __call__(self, vectors: Floats) -> Floats:
        """Return Q v of vectors of shape (N, 2)."""
        weighted = self.whole(vectors)
        if not self.inverse.size:
            return weighted
        return weighted - self.whole(self.polynomial(weighted))


class _System:
    """The linear system in the Fourier plane, for one visit."""

    def __init__(
        self, waves: Modes, grid: GriddedField, residuals: ResidualSet, free_mas: Sequence[float]
    ) -> None:
        self.waves = waves
        self.matrix = _interpolation(grid, residuals.x_deg, residuals.y_deg)
        self.transposed = self.matrix.T.tocsr()
        self.elements = residuals.weights()
        self.design = _design(residuals, free_mas)
        self.vectors = np.column_stack([residuals.dx_mas, residuals.dy_mas])

    def weights(self, share: Floats) -> _Weights:
        """Return the weights of the stars, multiplied by a share of each: 0 leaves it out."""
        return _Weights(self.elements * share, self.design)

    def at_stars(self, white: Complexes) -> Floats:
        """Return W B z, shape (N, 2)."""
        return np.asarray(self.matrix @ self.field(white).reshape(2, -1).T)

    def polynomial(self, white: Complexes, share: Floats) -> Floats:
        """Return H b of what a field leaves, shape (N, 2)."""
        weights = self.weights(share)
        if not weights.inverse.size:
            return np.zeros_like(self.vectors)
        return weights.polynomial(weights.whole(self.vectors - self.at_stars(white)))

    def field(self, white: Complexes) -> Floats:
        """Return B z, shape (2, ny, nx), from the two parts of z."""
        from scipy.fft import irfft2

        kx, ky = self.waves.direction
        e, b = self.waves.root_along * white[0], self.waves.root_across * white[1]
        waves = np.stack([kx * e - ky * b, ky * e + kx * b])
        return np.asarray(irfft2(waves, s=self.waves.shape, norm="ortho"))

    def adjoint(self, values: Floats) -> Complexes:
        """Return Bᵀ d of values at the nodes, shape (ny nx, 2)."""
        from scipy.fft import rfft2

        waves = rfft2(values.T.reshape(2, *self.waves.shape), norm="ortho")
        kx, ky = np.conj(self.waves.direction)
        return np.stack(
            [
                self.waves.root_along * (kx * waves[0] + ky * waves[1]),
                self.waves.root_across * (kx * waves[1] - ky * waves[0]),
            ]
        )

    def apply(self, white: Complexes, weights: _Weights) -> Complexes:
        """Return (1 + Bᵀ Wᵀ Q W B) z."""
        return white + self.gathered(self.at_stars(white), weights)

    def gathered(self, vectors: Floats, weights: _Weights) -> Complexes:
        """Return Bᵀ Wᵀ Q r of vectors at the stars, shape (N, 2)."""
        return self.adjoint(self.transposed @ weights(vectors))

    def dot(self, a: Complexes, b: Complexes) -> float:
        """Return the scalar product over the whole plane."""
        return float(((a.real * b.real + a.imag * b.imag) * self.waves.weight).sum())

    def solve(
        self, share: Floats, nodes_inside: float, start: Complexes | None = None
    ) -> tuple[Complexes, int]:
        """Return z, by conjugate gradients, and the number of steps.

        Parameters
        ----------
        share
            By what to multiply the weight of each star: 0 leaves it out.
        nodes_inside
            Nodes of the grid among the stars.
        start
            A solution nearby.
        """
        weights = self.weights(share)
        density = float(weights.elements[[0, 2]].sum()) / 2 / nodes_inside
        powers = np.stack([self.waves.root_along**2, self.waves.root_across**2])
        inverse = 1 / (1 + density * powers)
        rest = self.gathered(self.vectors, weights)
        small = _TOLERANCE**2 * self.dot(rest, inverse * rest)
        white = np.zeros_like(rest)
        if start is not None:
            white, rest = start.copy(), rest - self.apply(start, weights)
        step = inverse * rest
        height = self.dot(rest, step)
        for number in range(_MAX_STEPS):
            if height <= small:
                return white, number
            applied = self.apply(step, weights)
            length = height / self.dot(step, applied)
            white += length * step
            rest -= length * applied
            better = inverse * rest
            height, before = self.dot(rest, better), height
            step = better + (height / before) * step
        return white, _MAX_STEPS
