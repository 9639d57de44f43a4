"""Figures of merit from numbers and their truth: pure functions of arrays.

Every figure comes with an interval in which it lies with 95 % probability: by resampling the
detectors for means, medians and rms values, by Wilson's formula for shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RESAMPLINGS = 1000


@dataclass(frozen=True)
class Figure:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float
    number: int
    """How many values it was made from."""

    def text(self, digits: int, factor: float = 1.0) -> str:
        """Return it as text, e.g. ``0.031 (0.028 to 0.035)``."""
        value, low, high = (f"{factor * v:.{digits}f}" for v in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


def rms(values: ArrayLike) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def robust_sigma(values: ArrayLike) -> float:
    """Return 1.4826 times the median absolute deviation from the median."""
    values = np.asarray(values, float)
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


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
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not values.size:
        return Figure(np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng([seed, values.size])
    drawn = values[rng.integers(0, values.size, (resamplings, values.size))]
    found = np.array([statistic(row) for row in drawn])
    low, high = np.percentile(found, [2.5, 97.5])
    return Figure(float(statistic(values)), float(low), float(high), values.size)


def share(hits: float, total: float) -> Figure:
    """Return hits / total with Wilson's interval."""
    if total == 0:
        return Figure(np.nan, np.nan, np.nan, 0)
    z, p = 1.959964, hits / total
    middle = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    return Figure(p, max(middle - half, 0.0), min(middle + half, 1.0), int(total))


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
    from scipy.ndimage import binary_dilation

    r = np.arange(-radius_pix, radius_pix + 1)
    grown = binary_dilation(bad, (r[:, None] ** 2 + r**2) <= radius_pix**2)
    for edge in (slice(None, radius_pix), slice(-radius_pix, None)):
        grown[edge] = grown[:, edge] = True
    column = np.rint(np.asarray(x, float)).astype(int)
    row = np.rint(np.asarray(y, float)).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < bad.shape[1]) & (row < bad.shape[0])
    good = np.zeros(len(column), bool)
    good[inside] = ~grown[row[inside], column[inside]]
    return good


def pull_width(pulls: ArrayLike) -> float:
    """Return the width of errors in units of their quoted standard deviations.

    From the 16th and 84th percentiles, so that blends in the tails do not count.
    """
    pulls = np.asarray(pulls, float)
    pulls = pulls[np.isfinite(pulls)]
    if pulls.size < 10:
        return float("nan")
    low, high = np.percentile(pulls, [15.865, 84.135])
    return float((high - low) / 2)


def pull_figure(pulls: ArrayLike, seed: int = 1) -> Figure:
    """Return :func:`pull_width` with its interval."""
    pulls = np.asarray(pulls, float)
    return resampled(pulls, pull_width, seed)


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


@dataclass(frozen=True)
class CosmicRayCounts:
    """Pixels counted on one frame."""

    hit: int
    """Hit by more than the threshold."""
    hit_masked: int
    core: int
    """In the cores of stars, and not hit."""
    core_masked: int

    def __add__(self, other: CosmicRayCounts) -> CosmicRayCounts:
        return CosmicRayCounts(
            self.hit + other.hit,
            self.hit_masked + other.hit_masked,
            self.core + other.core,
            self.core_masked + other.core_masked,
        )


def count_cosmic_rays(
    masked: Bools,
    electron: NDArray,
    sigma_electron: float,
    cores: Bools,
    usable: Bools,
    threshold: float = 10.0,
) -> CosmicRayCounts:
    """Compare a mask with the charge that cosmic rays left.

    Parameters
    ----------
    masked
        What was taken for cosmic rays.
    electron
        Charge of cosmic rays, electrons.
    sigma_electron
        Noise of the sky.
    cores
        Pixels in the cores of stars.
    usable
        Pixels that count: neither saturated nor defective.
    threshold
        Charge in units of the noise above which a pixel should be found. A core pixel with more
        than half a sigma of it is not counted as falsely masked, nor are its neighbours.
    """
    from scipy.ndimage import binary_dilation

    hit = usable & (electron > threshold * sigma_electron)
    touched = binary_dilation(electron > 0.5 * sigma_electron, np.ones((3, 3), bool))
    clean = usable & cores & ~touched
    return CosmicRayCounts(
        int(hit.sum()), int((hit & masked).sum()), int(clean.sum()), int((clean & masked).sum())
    )


def star_cores(shape: tuple[int, int], x: ArrayLike, y: ArrayLike, radius_pix: float) -> Bools:
    """Return the pixels whose centres lie within a radius of stars."""
    cores = np.zeros(shape, bool)
    reach = int(np.ceil(radius_pix))
    for cx, cy in zip(np.asarray(x, float), np.asarray(y, float), strict=True):
        column, row = round(cx), round(cy)
        x0, x1 = max(column - reach, 0), min(column + reach + 1, shape[1])
        y0, y1 = max(row - reach, 0), min(row + reach + 1, shape[0])
        v, u = np.mgrid[y0:y1, x0:x1]
        cores[y0:y1, x0:x1] |= (u - cx) ** 2 + (v - cy) ** 2 <= radius_pix**2
    return cores


def at_false_rate(false: ArrayLike, completeness: ArrayLike, wanted: float) -> float:
    """Return the completeness of a detector at a false rate, between its thresholds.

    Parameters
    ----------
    false, completeness
        At each of its thresholds.
    wanted
        The false rate. Outside the range that was tried the nearest end counts.
    """
    order = np.argsort(false)
    return float(np.interp(wanted, np.asarray(false)[order], np.asarray(completeness)[order]))


def polynomial_design(x: ArrayLike, y: ArrayLike, order: int) -> Floats:
    """Return 1, x, y, x², … to a total degree, columns."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    return np.column_stack(
        [x**i * y**j for n in range(order + 1) for j in range(n + 1) for i in [n - j]]
    )


def best_fit_error(
    star: tuple[Floats, Floats], shift: Floats, sigma: Floats, grid: tuple[Floats, Floats],
    true_shift: Floats, order: int,
) -> float:  # fmt: skip
    """Return the rms error on a grid of a polynomial fitted to stars: what is attainable.

    Parameters
    ----------
    star
        x and y of the stars, scaled to about -1 to 1.
    shift
        What is fitted, with its errors in it, shape (N, 2).
    sigma
        Standard deviation of each star's shift along one axis.
    grid, true_shift
        Where the fit is compared, in the units of `star`, and the truth there, shape (M, 2).
    order
        Total degree.
    """
    design = polynomial_design(*star, order)
    if len(design) < design.shape[1]:
        return float("nan")
    weighted = design / sigma[:, None]
    solution = np.linalg.lstsq(weighted, shift / sigma[:, None], rcond=None)[0]
    error = polynomial_design(*grid, order) @ solution - true_shift
    return float(np.sqrt(np.mean(np.square(error).sum(axis=1))))
