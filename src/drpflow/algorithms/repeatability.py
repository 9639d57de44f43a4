"""How well stars repeat: deviations from their own means, and what noise leaves of them.

What is compared under a square root must be alike. Deviations from a *median* of few values come
out too small (of three values the median is one: 1.48 times the median absolute deviation is 0.58
of the truth), and a robust width is less than the rms of noises that are not all equal. Hence
means, and pulls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

FEWEST = 3
"""Values of a key, at least, for a deviation to mean anything."""

_MAD_TO_SIGMA = 1.4826022185056018
_HALVINGS = 24
_SIGMA_TO_MEDIAN = 0.6744897501960817
# Of three values each this is 4.5 sigma, of many 7.5.
_FAR_SIGMA = 8.0


def about_mean(
    key: NDArray[np.integer], values: Floats, noise: Floats, counted: Bools | None = None
) -> tuple[Floats, Floats]:
    """Return deviations from the mean of each key, and their noise.

    Parameters
    ----------
    key
        What should be equal, such as a star in a band; not negative, shape (N,).
    values
        Measurements; NaN is left out.
    noise
        Their standard deviations.
    counted
        Which values make the mean; all, if not given. Values far off their median do not count.

    Returns
    -------
    off : ndarray, shape (N,)
        Deviation of each value that is not NaN, also of those that make no mean. Values that are
        in the mean are enlarged by √(n/(n-1)) for the part that they have in it. NaN where fewer
        than two others make the mean.
    noise : ndarray, shape (N,)
        Standard deviation of that by noise alone, the mean's included.
    """
    known = np.isfinite(values) & np.isfinite(noise)
    inside = known if counted is None else known & counted
    if not inside.any():
        return np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    size = int(key.max()) + 1
    off = np.full(values.shape, np.nan)
    off[inside] = values[inside] - _medians(key[inside], values[inside])
    limit = _FAR_SIGMA * np.hypot(noise, excess(off[inside], noise[inside]))
    inside = inside & ~(np.abs(off) > limit)
    n = np.bincount(key[inside], minlength=size)[key].astype(float)
    # Differences from one value of each key: sums of magnitudes would lose digits.
    origin = np.zeros(size)
    origin[key[inside]] = values[inside]
    shifted = values - origin[key]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(key[inside], shifted[inside], minlength=size)[key] / n
        shared = np.bincount(key[inside], noise[inside] ** 2, minlength=size)[key] / n**2
        factor = np.where(inside, n / (n - 1), 1.0)
        variance = noise**2 * np.where(inside, 1 - 2 / n, 1.0) + shared
        off = (shifted - mean) * np.sqrt(factor)
        out = np.sqrt(variance * factor)
    enough = known & (n - inside >= FEWEST - 1)
    return np.where(enough, off, np.nan), np.where(enough, out, np.nan)


def _medians(key: NDArray[np.integer], values: Floats) -> Floats:
    """Return the median of its key for each value."""
    order = np.lexsort((values, key))
    sorted_key = key[order]
    first = np.flatnonzero(np.r_[True, sorted_key[1:] != sorted_key[:-1]])
    counts = np.diff(np.r_[first, key.size])
    ranked = values[order]
    median = (ranked[first + (counts - 1) // 2] + ranked[first + counts // 2]) / 2
    found = np.empty_like(values)
    found[order] = np.repeat(median, counts)
    return found


def width(values: Floats) -> float:
    """Return 1.4826 times the median absolute value: the width of what is about zero."""
    return _MAD_TO_SIGMA * float(np.median(np.abs(values)))


def excess(off: Floats, noise: Floats) -> float:
    """Return the scatter beyond the noise: with it, pulls have a robust width of one.

    Parameters
    ----------
    off, noise
        Deviations about zero and their standard deviations by noise, at least one of each.

    Returns
    -------
    float
        s such that ``width(off / hypot(noise, s))`` is 1; 0 if the noise explains all.
    """
    if width(off / np.maximum(noise, 1e-300)) <= 1:
        return 0.0
    low, high = 0.0, width(off)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        wide = np.median(np.abs(off) / np.hypot(noise, middle)) > _SIGMA_TO_MEDIAN
        low, high = (middle, high) if wide else (low, middle)
    return (low + high) / 2


def noise_width(noise: Floats) -> float:
    """Return the robust width that deviations have by noise alone.

    Less than the rms of the noises if they differ: the median of |x| where each x is drawn with
    its own standard deviation.
    """
    from scipy.special import erf

    low, high = 0.0, float(noise.max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = np.mean(erf(middle * _SIGMA_TO_MEDIAN / np.sqrt(2) / np.maximum(noise, 1e-300)))
        low, high = (middle, high) if below < 0.5 else (low, middle)
    return (low + high) / 2


__all__ = ["FEWEST", "about_mean", "excess", "noise_width", "width"]
