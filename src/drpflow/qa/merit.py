"""Figures of merit from numbers and their truth: pure functions of arrays.

Every figure comes with an interval in which it lies with 95 % probability: by resampling for means,
medians and rms values, by Wilson's formula for shares. What is common to a group (the turbulence of
a visit, the place of a star) makes its values alike, and resampling single values would give
intervals that are too short: :func:`resampled_groups` draws whole groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

RESAMPLINGS = 1000


@dataclass(frozen=True)
class Figure:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float
    number: int
    """How many values it was made from."""

    def scaled(self, factor: float) -> Figure:
        """Return the same in another unit."""
        return Figure(factor * self.value, factor * self.low, factor * self.high, self.number)

    def text(self, digits: int, factor: float = 1.0) -> str:
        """Return it as text, e.g. ``0.031 (0.028 to 0.035)``; a dash if it is not known."""
        if not np.isfinite(self.value):
            return "–"
        value, low, high = (f"{factor * v:.{digits}f}" for v in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


def rms(values: ArrayLike) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def robust_sigma(values: ArrayLike) -> float:
    """Return 1.4826 times the median absolute deviation from the median."""
    given = np.asarray(values, np.float64)
    return float(1.4826 * np.median(np.abs(given - np.median(given))))


def resampled(
    values: ArrayLike,
    statistic: Callable[[Floats], float],
    seed: int = 1,
    resamplings: int = RESAMPLINGS,
) -> Figure:
    """Return a statistic of values, with its interval by resampling them.

    Parameters
    ----------
    values
        One a detector, so that what is common to a detector's sources does not make the
        interval too short. What is not finite is left out.
    statistic
        Function of an array.
    seed
        Of the resampling.
    resamplings
        How often; fewer where there are many values or the statistic is slow.
    """
    given = np.asarray(values, np.float64)
    given = given[np.isfinite(given)]
    if not given.size:
        return Figure(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng([seed, given.size])
    drawn = given[rng.integers(0, given.size, (resamplings, given.size))]
    found = np.array([statistic(row) for row in drawn])
    low, high = np.nanpercentile(found, [2.5, 97.5]) if np.isfinite(found).any() else (np.nan,) * 2
    return Figure(float(statistic(given)), float(low), float(high), given.size)


def resampled_groups(
    values: ArrayLike,
    group: ArrayLike,
    statistic: Callable[[Floats], float],
    seed: int = 1,
    resamplings: int = 1000,
) -> Figure:
    """Return a statistic of values, with its 95 % interval by resampling groups of them.

    Parameters
    ----------
    values
        What is not finite is left out.
    group
        Number of the group of each value.
    statistic
        Function of an array.
    seed
        Of the resampling.
    resamplings
        How often.
    """
    given, number = np.asarray(values, np.float64), np.asarray(group)
    good = np.isfinite(given)
    given, number = given[good], number[good]
    if not given.size:
        return Figure(np.nan, np.nan, np.nan, 0)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(number[order]) != 0])
    parts = np.split(given[order], starts[1:])
    if len(parts) == given.size:
        return resampled(given, statistic, seed, resamplings)
    rng = np.random.default_rng([seed, given.size, len(parts)])
    drawn = rng.integers(0, len(parts), (resamplings, len(parts)))
    found = [statistic(np.concatenate([parts[k] for k in row])) for row in drawn.tolist()]
    low, high = np.nanpercentile(found, [2.5, 97.5]) if np.isfinite(found).any() else (np.nan,) * 2
    return Figure(float(statistic(given)), float(low), float(high), given.size)


def share(hits: float, total: float) -> Figure:
    """Return hits / total with Wilson's interval."""
    if total == 0:
        return Figure(np.nan, np.nan, np.nan, 0)
    z, p = 1.959964, hits / total
    middle = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    return Figure(p, max(middle - half, 0.0), min(middle + half, 1.0), int(total))


def pull_width(pulls: ArrayLike) -> float:
    """Return the width of errors in units of their quoted standard deviations.

    From the 16th and 84th percentiles, so that blends in the tails do not count.
    """
    given = np.asarray(pulls, np.float64)
    given = given[np.isfinite(given)]
    if given.size < 10:
        return float("nan")
    low, high = np.percentile(given, [15.865, 84.135])
    return float((high - low) / 2)


def pull_figure(pulls: ArrayLike, seed: int = 1) -> Figure:
    """Return :func:`pull_width` with its interval."""
    return resampled(pulls, pull_width, seed)


def slope(abscissa: ArrayLike, ordinate: ArrayLike) -> float:
    """Return the slope of a straight line through points, outliers beyond 4 sigma left out."""
    x, y = np.asarray(abscissa, float), np.asarray(ordinate, float)
    keep = np.isfinite(x) & np.isfinite(y)
    line = np.array([0.0, 0.0])
    for _ in range(5):
        line = np.polyfit(x[keep], y[keep], 1)
        off = y - np.polyval(line, x)
        keep = np.isfinite(off) & (np.abs(off) <= 4 * robust_sigma(off[keep]) + 1e-12)
    return float(line[0])


def shape_errors(
    model: tuple[Floats, Floats, Floats], truth: tuple[Floats, Floats, Floats]
) -> dict[str, Floats]:
    """Return errors of PSF sizes and ellipticities from second moments (xx, yy, xy).

    ``size`` is that of the determinant radius, relative; ``trace`` that of xx + yy, relative;
    ``e1`` and ``e2`` those of the distortions (xx - yy)/(xx + yy) and 2xy/(xx + yy).
    """
    (a, b, c), (p, q, r) = model, truth
    return {
        "size": ((a * b - c * c) / (p * q - r * r)) ** 0.25 - 1,
        "trace": (a + b) / (p + q) - 1,
        "e1": (a - b) / (a + b) - (p - q) / (p + q),
        "e2": 2 * c / (a + b) - 2 * r / (p + q),
    }


def match(
    x: ArrayLike, y: ArrayLike, true_x: ArrayLike, true_y: ArrayLike, radius_pix: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows of detections and of true sources that are each other's nearest.

    Parameters
    ----------
    x, y
        Detections, pixels; what is not finite matches nothing.
    true_x, true_y
        True sources, pixels.
    radius_pix
        Largest distance.
    """
    from scipy.spatial import cKDTree

    found = np.column_stack([x, y]).astype(float).reshape(-1, 2)
    true = np.column_stack([true_x, true_y]).astype(float).reshape(-1, 2)
    rows = np.flatnonzero(np.isfinite(found).all(axis=1))
    empty = np.empty(0, np.intp)
    if not len(rows) or not len(true):
        return empty, empty
    there, back = cKDTree(true), cKDTree(found[rows])
    distance, nearest = there.query(found[rows], distance_upper_bound=radius_pix)
    within = np.flatnonzero(np.isfinite(distance))
    returned = back.query(true[nearest[within]])[1]
    mutual = within[returned == within]
    return rows[mutual], nearest[mutual]


def nearness(x: Floats, y: Floats, flux: Floats, fwhm_pix: float) -> Floats:
    """Return how much the neighbours of sources disturb them: 1 where they begin to.

    For each source, the largest over its neighbours with at least 0.3 of its flux of R/distance,
    where R = FWHM (2 + 1.2 log₁₀ max(flux ratio, 1)) is about where a seeing disc that much
    brighter has fallen to a tenth of the source's peak.
    """
    from scipy.spatial import cKDTree

    worst = np.zeros(len(x))
    if len(x) < 2:
        return worst
    reach = fwhm_pix * (2 + 1.2 * np.log10(max(flux.max() / max(flux.min(), 1e-30), 1.0)))
    tree = cKDTree(np.column_stack([x, y]))
    pairs = tree.query_pairs(min(reach, 12 * fwhm_pix), output_type="ndarray")
    for a, b in (pairs.T, pairs.T[::-1]):
        ratio = flux[b] / flux[a]
        radius = fwhm_pix * (2 + 1.2 * np.log10(np.maximum(ratio, 1)))
        distance = np.maximum(np.hypot(x[a] - x[b], y[a] - y[b]), 1e-6)
        np.maximum.at(worst, a, np.where(ratio >= 0.3, radius / distance, 0))
    return worst


def away_from(x: ArrayLike, y: ArrayLike, bad: Bools, radius_pix: int) -> Bools:
    """Return which positions have no bad pixel within a radius, and lie that far from edges."""
    from scipy.ndimage import distance_transform_edt

    grown = distance_transform_edt(~bad) <= radius_pix if bad.any() else bad.copy()
    for edge in (slice(None, radius_pix), slice(-radius_pix, None)):
        grown[edge] = grown[:, edge] = True
    column = np.rint(np.asarray(x, float)).astype(int)
    row = np.rint(np.asarray(y, float)).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < bad.shape[1]) & (row < bad.shape[0])
    good = np.zeros(len(column), bool)
    good[inside] = ~grown[row[inside], column[inside]]
    return good
