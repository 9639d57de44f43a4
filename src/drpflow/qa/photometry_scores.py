"""Numbers by which the report judges the photometric calibration: scatter and residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms import repeatability
from drpflow.qa.residual_maps import CellSums, ResidualMap

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


class ResidualMaps:
    """Means of residuals of photometric visits, of one piece of sky after another, mmag."""

    def __init__(self, detectors: Mapping[int, Detector], n_bands: int) -> None:
        self._bands = [CellSums(detectors) for _ in range(n_bands)]

    def add(self, of: Measurements) -> None:
        """Add measurements; very faint ones and outliers (over 5 σ) do not count."""
        residual = of.mag - of.standard
        # Bright stars tell about the calibration as little as their own scatter allows.
        variance = of.mag_err**2 + 0.003**2
        used = of.photometric & (of.mag_err < _FAINTEST_ERROR_MAG)
        used &= np.abs(residual) < 5 * np.sqrt(variance)
        for band, sums in enumerate(self._bands):
            mine = used & (of.band == band)
            place = of.x[mine], of.y[mine]
            sums.add(of.detector[mine], place, _MMAG * residual[mine], _MMAG**2 * variance[mine])

    def band(self, band: int) -> ResidualMap:
        """Return the map of a band."""
        return self._bands[band].result()
