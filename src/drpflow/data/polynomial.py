"""Two-dimensional polynomials of total degree n on a rectangle.

    p(x, y) = Σ_{i + j ≤ n} c_k B_i(u) B_j(v),   u, v in [-1, 1] over the rectangle

with B the Chebyshev polynomials of the first kind (well conditioned at any order) or plain powers
(what FITS headers use). One class, :class:`Basis2D`, knows the terms; whoever owns coefficients
(coordinate maps, PSFs, photometric fields, backgrounds) multiplies them with it, and whoever
fits them asks it for the design matrix.

Terms are ordered by total degree and then by growing power of y:
``(i, j) = (0,0), (1,0), (0,1), (2,0), (1,1), (0,2), …``; coefficients of a lower order are
therefore the first ones of a higher order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np

from drpflow.data.record import frozen_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.geometry import Box

    Floats: TypeAlias = NDArray[np.float64]

Kind: TypeAlias = Literal["chebyshev", "power"]

# Points evaluated at a time: the work arrays of (order + 1) × this many doubles stay in the cache.
_CHUNK = 16384


@dataclass(frozen=True, slots=True)
class Domain:
    """The rectangle that is mapped onto [-1, 1]², in the units of x and y.

    Raises
    ------
    ValueError
        If a side is not finite and positive.
    """

    x_min: float
    x_max: float
    y_min: float
    y_max: float

    def __post_init__(self) -> None:
        for name in ("x_min", "x_max", "y_min", "y_max"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (0 < self.x_max - self.x_min < np.inf and 0 < self.y_max - self.y_min < np.inf):
            raise ValueError(f"a domain needs finite x_min < x_max, y_min < y_max, not {self}")

    @classmethod
    def of_box(cls, box: Box) -> Self:
        """Return the domain that reaches to the outer edges of a box's pixels."""
        return cls(*box.extent)

    @property
    def center(self) -> tuple[float, float]:
        """The central point."""
        return (self.x_min + self.x_max) / 2, (self.y_min + self.y_max) / 2

    @property
    def half_size(self) -> tuple[float, float]:
        """Half the width and half the height."""
        return (self.x_max - self.x_min) / 2, (self.y_max - self.y_min) / 2

    def to_unit(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Map coordinates to (u, v) in [-1, 1]²."""
        (xc, yc), (xh, yh) = self.center, self.half_size
        return (
            (np.asarray(x, np.float64) - xc) / xh,
            (np.asarray(y, np.float64) - yc) / yh,
        )

    def as_list(self) -> list[float]:
        """Return [x_min, x_max, y_min, y_max]."""
        return [self.x_min, self.x_max, self.y_min, self.y_max]


UNIT = Domain(-1.0, 1.0, -1.0, 1.0)
"""The domain in which u = x and v = y."""


@lru_cache(maxsize=64)
def _exponents(order: int) -> NDArray[np.intp]:
    pairs = [(degree - j, j) for degree in range(order + 1) for j in range(degree + 1)]
    return frozen_array(pairs, np.intp)


@dataclass(frozen=True, slots=True)
class Basis2D:
    """The terms of a polynomial, without coefficients.

    Parameters
    ----------
    order
        Total degree n; there are (n + 1)(n + 2)/2 terms.
    domain
        Rectangle that is scaled to [-1, 1]².
    kind
        ``"chebyshev"`` or ``"power"``.

    Raises
    ------
    ValueError
        If the order is negative or the kind unknown.
    """

    order: int
    domain: Domain
    kind: Kind = "chebyshev"

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", index(self.order))
        if self.order < 0:
            raise ValueError(f"the order of a polynomial is at least 0, not {self.order}")
        if self.kind not in ("chebyshev", "power"):
            raise ValueError(f"a basis is 'chebyshev' or 'power', not {self.kind!r}")

    @property
    def n_terms(self) -> int:
        """Number of coefficients."""
        return (self.order + 1) * (self.order + 2) // 2

    @property
    def exponents(self) -> NDArray[np.intp]:
        """Degrees (i, j) of each term in x and y, shape (n_terms, 2)."""
        return _exponents(self.order)

    def design(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return every term at every point, shape (..., n_terms).

        ``design(x, y) @ coefficients`` is the polynomial; the columns are its derivatives with
        respect to the coefficients.
        """
        u, v = np.broadcast_arrays(*self.domain.to_unit(x, y))
        i, j = self.exponents.T
        terms = (
            _vandermonde(self.kind, u, self.order)[i] * _vandermonde(self.kind, v, self.order)[j]
        )
        return np.moveaxis(terms, 0, -1)

    def evaluate(self, coefficients: Floats, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return one or several polynomials at points.

        Parameters
        ----------
        coefficients
            Shape (n_terms,), or (m, n_terms) for m polynomials.
        x, y
            Points, any shapes that broadcast.

        Returns
        -------
        ndarray
            Shape (...) or (m, ...).
        """
        return self._evaluate(coefficients, x, y, gradient=False)[0]

    def evaluate_with_gradient(
        self, coefficients: Floats, x: ArrayLike, y: ArrayLike
    ) -> tuple[Floats, Floats, Floats]:
        """Return the polynomials and their x and y derivatives, shaped as by :meth:`evaluate`."""
        value, dx, dy = self._evaluate(coefficients, x, y, gradient=True)
        return value, dx, dy

    def _evaluate(
        self, coefficients: Floats, x: ArrayLike, y: ArrayLike, *, gradient: bool
    ) -> list[Floats]:
        u, v = np.broadcast_arrays(*self.domain.to_unit(x, y))
        shape, u, v = u.shape, u.ravel(), v.ravel()
        matrix = self.square(coefficients)
        leading = matrix.shape[:-2]
        out = [np.empty((*leading, u.size)) for _ in range(3 if gradient else 1)]
        for start in range(0, u.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            bu, bv = (_vandermonde(self.kind, t[part], self.order) for t in (u, v))
            along_x = matrix @ bu
            out[0][..., part] = np.einsum("...jn,jn->...n", along_x, bv)
            if gradient:
                du, dv = (_derivatives(self.kind, t[part], b) for t, b in ((u, bu), (v, bv)))
                out[1][..., part] = np.einsum("...jn,jn->...n", matrix @ du, bv)
                out[2][..., part] = np.einsum("...jn,jn->...n", along_x, dv)
        if gradient:
            out[1] /= self.domain.half_size[0]
            out[2] /= self.domain.half_size[1]
        return [values.reshape((*leading, *shape)) for values in out]

    def evaluate_grid(self, coefficients: Floats, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return a polynomial on the grid of columns `x` (nx,) and rows `y` (ny,): (ny, nx).

        Two matrix products; a pixel costs order + 1 multiplications instead of the square.
        """
        bu, bv = self.along_axes(x, y)
        return bv.T @ (self.square(coefficients) @ bu)

    def along_axes(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Return B_0 … B_n at columns and at rows, shapes (order + 1, nx) and (order + 1, ny)."""
        u, v = self.domain.to_unit(x, y)
        return _vandermonde(self.kind, u, self.order), _vandermonde(self.kind, v, self.order)

    def square(self, coefficients: Floats) -> Floats:
        """Return coefficients as a matrix [j, i], (…, order + 1, order + 1), zero above order."""
        coefficients = np.asarray(coefficients, np.float64)
        if coefficients.shape[-1:] != (self.n_terms,):
            raise ValueError(
                f"order {self.order} has {self.n_terms} coefficients, "
                f"but the array is of shape {coefficients.shape}"
            )
        i, j = self.exponents.T
        matrix = np.zeros((*coefficients.shape[:-1], self.order + 1, self.order + 1))
        matrix[..., j, i] = coefficients
        return matrix

    def fit(
        self, x: ArrayLike, y: ArrayLike, values: ArrayLike, weights: ArrayLike | None = None
    ) -> Floats:
        """Return the least-squares coefficients for values at points.

        Parameters
        ----------
        x, y
            Points, shape (N,).
        values
            Shape (N,), or (m, N) to fit m polynomials at once.
        weights
            Inverse standard deviations, shape (N,); 1 if not given.

        Returns
        -------
        ndarray
            Shape (n_terms,) or (m, n_terms).

        Raises
        ------
        ValueError
            If the points do not determine every coefficient.
        """
        design = self.design(x, y)
        right = np.asarray(values, np.float64)
        if weights is not None:
            design = design * np.asarray(weights)[:, None]
            right = right * np.asarray(weights)
        # Columns are brought to unit length: the rank test must not depend on the units of x, y.
        lengths = np.sqrt(np.einsum("nk,nk->k", design, design))
        lengths[lengths == 0] = 1.0
        solution, _, rank, _ = np.linalg.lstsq(design / lengths, right.T, rcond=None)
        if rank < self.n_terms:
            raise ValueError(
                f"{design.shape[0]} points determine {rank} of the {self.n_terms} coefficients "
                f"of order {self.order}"
            )
        return np.ascontiguousarray(solution.T / lengths)

    def to_meta(self) -> dict[str, Any]:
        """Return the JSON-able form."""
        return {"kind": self.kind, "order": self.order, "domain": self.domain.as_list()}

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Self:
        """Rebuild the basis from :meth:`to_meta`."""
        return cls(int(meta["order"]), Domain(*meta["domain"]), meta["kind"])


@dataclass(frozen=True, eq=False)
class Polynomial2D:
    """A scalar field: a basis with its coefficients.

    Parameters
    ----------
    basis
        The terms.
    coefficients
        Shape (basis.n_terms,).

    Raises
    ------
    ValueError
        If the number of coefficients is wrong or one is not finite.
    """

    basis: Basis2D
    coefficients: Floats

    def __post_init__(self) -> None:
        coefficients = frozen_array(self.coefficients, ndim=1)
        if coefficients.shape != (self.basis.n_terms,) or not np.isfinite(coefficients).all():
            raise ValueError(
                f"order {self.basis.order} has {self.basis.n_terms} finite coefficients, "
                f"not {coefficients}"
            )
        object.__setattr__(self, "coefficients", coefficients)

    @classmethod
    def constant(cls, value: float, domain: Domain = UNIT) -> Self:
        """Return the field that is `value` everywhere."""
        return cls(Basis2D(0, domain), np.array([value]))

    @classmethod
    def fit(
        cls,
        basis: Basis2D,
        x: ArrayLike,
        y: ArrayLike,
        values: ArrayLike,
        weights: ArrayLike | None = None,
    ) -> Self:
        """Return the weighted least-squares field; see :meth:`Basis2D.fit`."""
        return cls(basis, basis.fit(x, y, values, weights))

    def __call__(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the field at points of any shape."""
        return self.basis.evaluate(self.coefficients, x, y)[()]

    def on_box(self, box: Box) -> Floats:
        """Return the field at the pixel centres of a box, shape ``box.shape``."""
        return self.basis.evaluate_grid(self.coefficients, box.x, box.y)

    def row_blocks(self, box: Box, rows: int = 256) -> Iterator[tuple[slice, Floats]]:
        """Yield the field on a box some rows at a time, with the slice of rows in the box.

        A 4096² field in float64 takes 128 MiB; so does each of its temporaries.
        """
        for start in range(0, box.height, rows):
            part = slice(start, min(start + rows, box.height))
            yield part, self.basis.evaluate_grid(self.coefficients, box.x, box.y[part])

    def scaled(self, factor: float) -> Polynomial2D:
        """Return the field times a number."""
        return Polynomial2D(self.basis, self.coefficients * factor)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polynomial2D):
            return NotImplemented
        return self.basis == other.basis and np.array_equal(self.coefficients, other.coefficients)

    __hash__ = None  # type: ignore[assignment]


def _vandermonde(kind: Kind, t: Floats, order: int) -> Floats:
    """Return B_0 … B_order at t, shape (order + 1, ...)."""
    basis = np.empty((order + 1, *t.shape))
    basis[0] = 1.0
    if order > 0:
        basis[1] = t
    for k in range(2, order + 1):
        if kind == "chebyshev":
            basis[k] = 2 * t * basis[k - 1] - basis[k - 2]
        else:
            basis[k] = t * basis[k - 1]
    return basis


def _derivatives(kind: Kind, t: Floats, basis: Floats) -> Floats:
    """Return dB_k/dt from B_k, shaped alike.

    Chebyshev: differentiating T_k = 2 t T_{k-1} - T_{k-2} gives
    T'_k = 2 T_{k-1} + 2 t T'_{k-1} - T'_{k-2}, which has no pole at t = ±1.
    """
    slope = np.zeros_like(basis)
    if len(basis) > 1:
        slope[1] = 1.0
    for k in range(2, len(basis)):
        if kind == "chebyshev":
            slope[k] = 2 * basis[k - 1] + 2 * t * slope[k - 1] - slope[k - 2]
        else:
            slope[k] = k * basis[k - 1]
    return slope
