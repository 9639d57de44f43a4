"""A symmetric matrix of which the lower triangle alone is kept, and its Cholesky factor.

Rows lie in panels of 384, each of which reaches to the end of its own diagonal block, so that all
products are of dense blocks (level 3 BLAS) at half the memory of the square: n²/2 doubles, 0.29 GB
for n = 8,460. The factor overwrites the matrix, at n³/3 multiplications.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

_PANEL = 384


class PackedMatrix:
    """A symmetric matrix of n rows, zero at first.

    Parameters
    ----------
    n
        Its order.

    Attributes
    ----------
    values
        All panels, one after the other.
    start
        Element (i, j), j ≤ i, is ``values[start[i] + j]``.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        rows = np.arange(n)
        length = np.minimum((rows // _PANEL + 1) * _PANEL, n)
        self.start = np.concatenate([[0], np.cumsum(length)])[:-1].astype(np.int64)
        self.values: Floats = np.zeros(int(length.sum()))

    @property
    def diagonal(self) -> Floats:
        """The diagonal, a copy."""
        return self.values[self.start + np.arange(self.n)]

    def add_diagonal(self, values: Floats) -> None:
        """Add to the diagonal."""
        self.values[self.start + np.arange(self.n)] += values

    def panel(self, k: int) -> Floats:
        """Return the rows of panel k, shape (rows, columns up to the end of its block), a view."""
        first = k * _PANEL
        last = min(first + _PANEL, self.n)
        begin = self.start[first]
        return self.values[begin : begin + (last - first) * last].reshape(last - first, last)

    @property
    def n_panels(self) -> int:
        """Number of panels."""
        return -(-self.n // _PANEL)

    def factor(self) -> CholeskyFactor:
        """Overwrite the matrix with its Cholesky factor.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the matrix is not positive definite.
        """
        from scipy.linalg import solve_triangular

        for i in range(self.n_panels):
            row = self.panel(i)
            for j in range(i + 1):
                a, b = j * _PANEL, min((j + 1) * _PANEL, self.n)
                other = self.panel(j)
                if j:
                    row[:, a:b] -= row[:, :a] @ other[:, :a].T
                if j < i:
                    block = solve_triangular(
                        other[:, a:b], row[:, a:b].T, lower=True, check_finite=False
                    )
                    row[:, a:b] = block.T
                else:
                    lower = np.tril(row[:, a:b])
                    row[:, a:b] = np.linalg.cholesky(lower + np.tril(lower, -1).T)
        return CholeskyFactor(self)


class CholeskyFactor:
    """L of a matrix A = L Lᵀ, in the place of the matrix."""

    def __init__(self, matrix: PackedMatrix) -> None:
        self._matrix = matrix

    def solve(self, right: Floats) -> Floats:
        """Return A⁻¹ right, for one or several columns."""
        return self.solve_upper(self._solve_lower(right))

    def _solve_lower(self, right: Floats) -> Floats:
        """Return L⁻¹ right."""
        from scipy.linalg import solve_triangular

        out = np.array(right, np.float64)
        for i in range(self._matrix.n_panels):
            row = self._matrix.panel(i)
            a, b = i * _PANEL, row.shape[1]
            out[a:b] = solve_triangular(
                row[:, a:], out[a:b] - row[:, :a] @ out[:a], lower=True, check_finite=False
            )
        return out

    def solve_upper(self, right: Floats) -> Floats:
        """Return L⁻ᵀ right: of columns of unit normal numbers, draws of the covariance A⁻¹."""
        from scipy.linalg import solve_triangular

        out = np.array(right, np.float64)
        for i in reversed(range(self._matrix.n_panels)):
            row = self._matrix.panel(i)
            a, b = i * _PANEL, row.shape[1]
            out[a:b] = solve_triangular(
                row[:, a:], out[a:b], lower=True, trans="T", check_finite=False
            )
            out[:a] -= row[:, :a].T @ out[a:b]
        return out
