"""What a polynomial that was fitted over the field has taken out of the correlation of residuals.

With K the covariance of the displacements and P the projection on the polynomial, residuals have
(1 - P) K (1 - P). In a field of a few coherence lengths that is far from K: a cubic over 7' leaves
half the amplitude of turbulence that is coherent over 3'. The difference, averaged over all pairs
of one separation, is found on a coarse grid over the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.turbulence.spectrum import modes
from drpflow.data.polynomial import UNIT, Basis2D

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.turbulence.spectrum import Spectrum

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

_NODES = (10, 24)
"""Fewest and most nodes along a side."""
_NODES_PER_COHERENCE = (2.5, 4.0)
"""Fewest, and those to have where there may be so many."""
_PERIODS = 4
"""Sides of the field in the period of the transforms, so that its ends do not meet."""


@dataclass(frozen=True)
class FittedField:
    """A field over which a polynomial was fitted.

    Parameters
    ----------
    side_deg
        Its width and height.
    order
        Of the polynomial; -1 for none.
    """

    side_deg: tuple[float, float]
    order: int

    def taken(self, spectrum: Spectrum, lag_deg: Floats) -> Floats:
        """Return what the polynomial adds to ⟨dx dx⟩, ⟨dy dy⟩ and ⟨dx dy⟩ (it takes), mas².

        Zero where the field is so large that a polynomial takes next to nothing.

        Parameters
        ----------
        spectrum
            Of the displacements.
        lag_deg
            Separations along each axis, shape (L,).

        Returns
        -------
        ndarray
            Shape (3, L, L), rows along y.
        """
        out = np.zeros((3, lag_deg.size, lag_deg.size))
        lengths = [side / spectrum.coherence_deg for side in self.side_deg]
        if self.order < 0 or _NODES[1] < _NODES_PER_COHERENCE[0] * max(lengths):
            return out
        nx, ny = (int(np.clip(_NODES_PER_COHERENCE[1] * n, *_NODES)) for n in lengths)
        steps = self.side_deg[0] / nx, self.side_deg[1] / ny
        tables = self._mean_change(spectrum, (ny, nx), steps)
        return np.array([_at(t, lag_deg, steps) for t in tables])

    def _mean_change(
        self, spectrum: Spectrum, shape: tuple[int, int], steps: tuple[float, float]
    ) -> Floats:
        """Return (1 - P) K (1 - P) - K, mean over pairs by separation, (3, 2 ny - 1, 2 nx - 1)."""
        ny, nx = shape
        row, column = (w.ravel() for w in np.indices(shape))
        down, right = row[:, None] - row, column[:, None] - column
        key = (down + ny - 1) * (2 * nx - 1) + right + nx - 1
        number = np.bincount(key.ravel(), minlength=(2 * ny - 1) * (2 * nx - 1))
        u, v = (2 * row + 1) / ny - 1, (2 * column + 1) / nx - 1
        q = np.linalg.qr(Basis2D(self.order, UNIT).design(v, u))[0]
        found = []
        for table in _correlation(spectrum, shape, steps):
            k = table[down, right]
            qk = q.T @ k
            change = q @ (qk @ q) @ q.T - q @ qk - (k @ q) @ q.T
            found.append(np.bincount(key.ravel(), change.ravel(), minlength=number.size) / number)
        return np.array(found).reshape(3, 2 * ny - 1, 2 * nx - 1)


def _correlation(
    spectrum: Spectrum, shape: tuple[int, int], steps: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    """Return correlations at all separations of a grid; negative ones count from the end."""
    # Modes have one spacing for both axes; a field that is not square is sampled a little finer.
    from scipy.ndimage import map_coordinates

    spacing = min(steps)
    size = _PERIODS * max(shape) + 1
    tables = modes(spectrum, (size, size), spacing).correlation()
    lags = [np.arange(1 - n, n) * (s / spacing) for n, s in zip(shape, steps[::-1], strict=True)]
    places = np.meshgrid(*lags, indexing="ij")
    found = []
    for table in tables:
        centred = np.fft.fftshift(table)
        at = map_coordinates(centred, [p + size // 2 for p in places], order=3)
        found.append(np.fft.ifftshift(at))
    return found[0], found[1], found[2]


def _at(table: Floats, lag_deg: Floats, steps: tuple[float, float]) -> Floats:
    """Return a table by separation, its middle at 0, at other separations."""
    from scipy.ndimage import map_coordinates

    ny, nx = table.shape
    places = np.meshgrid(lag_deg / steps[1] + ny // 2, lag_deg / steps[0] + nx // 2, indexing="ij")
    return np.asarray(map_coordinates(table, places, order=1, mode="nearest"))
