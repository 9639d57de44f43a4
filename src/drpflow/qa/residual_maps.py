"""Means of residuals in cells of the detectors, gathered piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector

    Floats: TypeAlias = NDArray[np.float64]

PER_CELL = 12
"""Values in a cell of a residual map, if not said otherwise."""

# Cells along the side of a detector.
_MOST_CELLS = 16


@dataclass(frozen=True, eq=False)
class ResidualMap:
    """Mean of residuals over the detectors.

    Parameters
    ----------
    mean, error
        By detector, shape (n, n) each, [y, x]; NaN in a cell without values.
    number
        Values on each detector.
    """

    mean: dict[int, Floats]
    error: dict[int, Floats]
    number: dict[int, int]

    def structure(self, detector: int) -> float:
        """Return the rms of a detector's cells beyond their errors."""
        mean, error = self.mean[detector], self.error[detector]
        known = np.isfinite(mean)
        weight = 1 / error[known] ** 2
        if known.sum() < 2:
            return float("nan")
        about = mean[known] - np.average(mean[known], weights=weight)
        share = np.maximum(1 - weight / weight.sum(), 1e-3)
        excess = np.average(about**2 / share - error[known] ** 2, weights=weight)
        return float(np.sqrt(max(excess, 0.0)))

    def average(self, detector: int) -> tuple[float, float]:
        """Return the mean of a detector and its error."""
        mean, error = self.mean[detector], self.error[detector]
        known = np.isfinite(mean)
        if not known.any():
            return float("nan"), float("nan")
        weight = 1 / error[known] ** 2
        return float(np.average(mean[known], weights=weight)), float(1 / np.sqrt(weight.sum()))

    def largest(self, detector: int) -> tuple[float, float]:
        """Return the most significant cell of a detector and its error."""
        mean, error = self.mean[detector], self.error[detector]
        if not np.isfinite(mean).any():
            return float("nan"), float("nan")
        place = int(np.nanargmax(np.abs(mean / error)))
        return float(mean.flat[place]), float(error.flat[place])


class CellSums:
    """Weighted sums of residuals in fine cells of each detector.

    Parameters
    ----------
    detectors
        Their sizes say where cells are.
    """

    def __init__(self, detectors: Mapping[int, Detector]) -> None:
        self._detectors = detectors
        shape = (_MOST_CELLS, _MOST_CELLS)
        self._weights = {d: np.zeros(shape) for d in detectors}
        self._sums = {d: np.zeros(shape) for d in detectors}
        self._numbers = dict.fromkeys(detectors, 0)

    def add(
        self,
        detector: NDArray[np.integer],
        place: tuple[Floats, Floats],
        values: Floats,
        variance: Floats,
    ) -> None:
        """Add values at places x and y, pixels; those that are not finite do not count."""
        good = np.isfinite(values) & np.isfinite(variance) & (variance > 0)
        for key, about in self._detectors.items():
            mine = np.flatnonzero(good & (detector == key))
            i, j = (
                np.clip(((p[mine] + 0.5) / n * _MOST_CELLS).astype(int), 0, _MOST_CELLS - 1)
                for p, n in zip(place, about.size_pix, strict=True)
            )
            np.add.at(self._weights[key], (j, i), 1 / variance[mine])
            np.add.at(self._sums[key], (j, i), values[mine] / variance[mine])
            self._numbers[key] += mine.size

    def result(self, per_cell: int = PER_CELL) -> ResidualMap:
        """Return the means in cells that are wide enough to hold so many values each."""
        usual = float(np.median([n for n in self._numbers.values() if n] or [0]))
        cells = _cells(usual / per_cell)
        mean, error = {}, {}
        for key in self._detectors:
            weight, total = (_coarse(s[key], cells) for s in (self._weights, self._sums))
            with np.errstate(invalid="ignore", divide="ignore"):
                mean[key] = np.where(weight > 0, total / weight, np.nan)
                error[key] = np.where(weight > 0, 1 / np.sqrt(weight), np.nan)
        return ResidualMap(mean, error, dict(self._numbers))


def _cells(number: float) -> int:
    """Return the cells along a side if there are so many in all: a power of two."""
    wanted = np.log2(max(np.sqrt(number), 1.0))
    return int(2 ** np.clip(np.floor(wanted), 0, np.log2(_MOST_CELLS)))


def _coarse(fine: Floats, cells: int) -> Floats:
    step = _MOST_CELLS // cells
    return np.asarray(fine.reshape(cells, step, cells, step).sum(axis=(1, 3)))
