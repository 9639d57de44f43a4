"""Numbers by which the report judges the photometric calibration: scatter and residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms import repeatability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector
    from drpflow.qa.photometry_data import Measurements

    Floats: TypeAlias = NDArray[np.float64]

BRIGHT_ERROR_MAG = 0.005
"""Stars with less noise than this are bright."""

_MMAG = 1e3
# Deviations, at least, for a width.
_FEWEST_DEVIATIONS = 8
# Stars in a cell of a residual map, and cells along the side of a detector.
_PER_CELL, _MOST_CELLS = 12, 16
_FAINTEST_ERROR_MAG = 0.1


@dataclass(frozen=True)
class Scatter:
    """Scatter of stars about themselves, mmag, from visit to visit: robust widths.

    Parameters
    ----------
    number
        Deviations that it is the width of.
    first
        After calibrateImage alone.
    first_mean
        The same with one zero point a detector, whatever varies over it.
    raw
        After the global calibration, without the colours of stars.
    corrected
        With them.
    noise
        The width that the errors of the fluxes alone would make.
    intrinsic, intrinsic_first
        What the errors do not explain of `corrected` and `first`: with it pulls have width one.
    """

    number: int
    first: float
    first_mean: float
    raw: float
    corrected: float
    noise: float
    intrinsic: float
    intrinsic_first: float


def width(values: Floats) -> float:
    """Return 1.4826 times the median absolute value, NaN of too few."""
    finite = values[np.isfinite(values)]
    return repeatability.width(finite) if finite.size >= _FEWEST_DEVIATIONS else float("nan")


@dataclass(frozen=True, eq=False)
class Deviations:
    """Of each measurement from the mean of its star and band, mmag; NaN where there are too few.

    Parameters
    ----------
    first, first_mean, raw, corrected
        As in :class:`Scatter`, enlarged by √(n/(n-1)) as the star's mean takes part of them.
    noise
        What the errors of the fluxes make of the last.
    """

    first: Floats
    first_mean: Floats
    raw: Floats
    corrected: Floats
    noise: Floats


def deviations(of: Measurements) -> Deviations:
    """Return by how much measurements deviate, over all visits of a star in a band."""
    key = np.unique(np.stack([of.star, of.band], 1), axis=0, return_inverse=True)[1].ravel()
    noise = _MMAG * of.mag_err
    first, first_mean, raw, (corrected, noise_left) = (
        repeatability.about_mean(key, _MMAG * mag, noise)
        for mag in (of.mag_first, of.mag_first_mean, of.mag_raw, of.mag)
    )
    return Deviations(first[0], first_mean[0], raw[0], corrected, noise_left)


def scatter(of: Deviations, rows: NDArray[np.bool_]) -> Scatter:
    """Return the scatter of some measurements.

    Parameters
    ----------
    of
        Their deviations.
    rows
        Which count; those without a deviation do not.
    """
    rows = rows & np.isfinite(of.corrected)
    noise = of.noise[rows]
    return Scatter(
        int(rows.sum()),
        width(of.first[rows]),
        width(of.first_mean[rows]),
        width(of.raw[rows]),
        width(of.corrected[rows]),
        repeatability.noise_width(noise) if noise.size else float("nan"),
        _excess(of.corrected[rows], noise),
        _excess(of.first[rows], noise),
    )


def _excess(off: Floats, noise: Floats) -> float:
    known = np.isfinite(off)
    if known.sum() < _FEWEST_DEVIATIONS:
        return float("nan")
    return repeatability.excess(off[known], noise[known])


def by_magnitude(
    of: Measurements, off: Deviations, rows: NDArray[np.bool_], step_mag: float = 1.0
) -> list[tuple[float, Scatter]]:
    """Return the scatter in bins of the standard magnitude, with the middle of each bin."""
    rows = rows & np.isfinite(off.corrected)
    bins = np.floor(of.standard / step_mag)
    return [
        (float((k + 0.5) * step_mag), scatter(off, rows & (bins == k)))
        for k in np.unique(bins[rows])
        if (rows & (bins == k)).sum() >= _FEWEST_DEVIATIONS
    ]


@dataclass(frozen=True, eq=False)
class ResidualMap:
    """Mean of calibrated minus standard magnitudes over the detectors, mmag.

    Parameters
    ----------
    mean, error
        By detector, shape (n, n) each, [y, x]; NaN in a cell without stars.
    number
        Measurements of each detector.
    """

    mean: dict[int, Floats]
    error: dict[int, Floats]
    number: dict[int, int]

    def structure(self, detector: int) -> float:
        """Return the rms of a detector's cells beyond their errors, mmag."""
        mean, error = self.mean[detector], self.error[detector]
        known = np.isfinite(mean)
        weight = 1 / error[known] ** 2
        if known.sum() < 2:
            return float("nan")
        about = mean[known] - np.average(mean[known], weights=weight)
        share = np.maximum(1 - weight / weight.sum(), 1e-3)
        excess = np.average(about**2 / share - error[known] ** 2, weights=weight)
        return float(np.sqrt(max(excess, 0.0)))


class ResidualMaps:
    """Sums of residuals of photometric visits in fine cells, of one piece of sky after another."""

    def __init__(self, detectors: Mapping[int, Detector], n_bands: int) -> None:
        self._detectors = detectors
        shape = (n_bands, _MOST_CELLS, _MOST_CELLS)
        self._weights = {d: np.zeros(shape) for d in detectors}
        self._sums = {d: np.zeros(shape) for d in detectors}
        self._numbers = {d: np.zeros(n_bands, np.int64) for d in detectors}

    def add(self, of: Measurements) -> None:
        """Add measurements; very faint ones and outliers (over 5 σ) do not count."""
        residual = of.mag - of.standard
        # Bright stars tell about the calibration as little as their own scatter allows.
        variance = of.mag_err**2 + 0.003**2
        used = of.photometric & (of.mag_err < _FAINTEST_ERROR_MAG) & (of.band >= 0)
        used &= np.abs(residual) < 5 * np.sqrt(variance)
        for key, detector in self._detectors.items():
            mine = np.flatnonzero(used & (of.detector == key))
            nx, ny = detector.size_pix
            i = np.clip(((of.x[mine] + 0.5) / nx * _MOST_CELLS).astype(int), 0, _MOST_CELLS - 1)
            j = np.clip(((of.y[mine] + 0.5) / ny * _MOST_CELLS).astype(int), 0, _MOST_CELLS - 1)
            place = of.band[mine], j, i
            np.add.at(self._weights[key], place, 1 / variance[mine])
            np.add.at(self._sums[key], place, residual[mine] / variance[mine])
            self._numbers[key] += np.bincount(
                of.band[mine], minlength=self._numbers[key].size
            )  # fmt: skip

    def band(self, band: int) -> ResidualMap:
        """Return the map of a band, in cells wide enough to hold some stars each."""
        numbers = {d: int(n[band]) for d, n in self._numbers.items()}
        usual = float(np.median([n for n in numbers.values() if n] or [0]))
        cells = _cells(usual)
        mean, error = {}, {}
        for key in self._detectors:
            weight = _coarse(self._weights[key][band], cells)
            total = _coarse(self._sums[key][band], cells)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean[key] = np.where(weight > 0, _MMAG * total / weight, np.nan)
                error[key] = np.where(weight > 0, _MMAG / np.sqrt(weight), np.nan)
        return ResidualMap(mean, error, numbers)


def _cells(number: float) -> int:
    """Return the cells along a side that hold some stars each: a power of two."""
    wanted = np.sqrt(max(number, 1.0) / _PER_CELL)
    return int(2 ** np.clip(np.floor(np.log2(max(wanted, 1.0))), 0, np.log2(_MOST_CELLS)))


def _coarse(fine: Floats, cells: int) -> Floats:
    step = _MOST_CELLS // cells
    return np.asarray(fine.reshape(cells, step, cells, step).sum(axis=(1, 3)))
