"""Steps of the level between neighbouring amplifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Amplifier, Section

    Float64 = NDArray[np.float64]

_CLIP_SIGMA = 3.0
_CLIP_PASSES = 4


@dataclass(frozen=True)
class Step:
    """Step of the level across the border of two amplifiers.

    Parameters
    ----------
    low, high
        Indices of the amplifiers at smaller and at larger x (or y).
    value
        Level of `high` less that of `low`, unit of the image.
    error
        Its standard error.
    """

    low: int
    high: int
    value: float
    error: float


def match_amplifiers(
    image: NDArray[np.float32],
    masked: NDArray[np.bool_],
    amplifiers: Sequence[Amplifier],
    *,
    strip_pix: int = 64,
    inset_pix: int = 5,
    min_unmasked_fraction: float = 0.5,
    max_offset: float = 5.0,
) -> Float64:
    """Subtract the pedestal of each amplifier that makes borders continuous, in place.

    Pedestals p minimise ``Σ_borders (p_high - p_low - step)² / error²`` with ``Σ p = 0``: a
    least-squares problem on the graph of touching amplifiers. Each connected group of
    amplifiers has its own zero mean.

    Parameters
    ----------
    image
        Changed in place.
    masked
        Pixels not to be used.
    amplifiers
        Amplifiers of the detector.
    strip_pix, inset_pix, min_unmasked_fraction, max_offset
        See :class:`drpflow.config.isr.AmpOffsetConfig`; `max_offset` in the image's unit.

    Returns
    -------
    ndarray, shape (n_amp,), float64
        The pedestals that were subtracted.
    """
    steps = measure_steps(
        image,
        masked,
        amplifiers,
        strip_pix=strip_pix,
        inset_pix=inset_pix,
        min_unmasked_fraction=min_unmasked_fraction,
    )
    pedestals = solve_pedestals([s for s in steps if abs(s.value) <= max_offset], len(amplifiers))
    for amp, pedestal in zip(amplifiers, pedestals, strict=True):
        x0, x1, y0, y1 = amp.data_section
        image[y0:y1, x0:x1] -= np.float32(pedestal)
    return pedestals


def measure_steps(
    image: NDArray[np.float32],
    masked: NDArray[np.bool_],
    amplifiers: Sequence[Amplifier],
    *,
    strip_pix: int,
    inset_pix: int,
    min_unmasked_fraction: float,
) -> list[Step]:
    """Measure the step across each border that two amplifiers share.

    The levels of the strips on both sides are compared, less what the gradient of the sky makes
    of the distance of their centres. That gradient is taken from the whole amplifiers: a strip
    is too narrow to know it.
    """
    steps = []
    for axis in (1, 0):
        gradient = _gradient(image, masked, amplifiers, axis)
        for i, first in enumerate(amplifiers):
            for j, second in enumerate(amplifiers):
                boxes = _strips(first.data_section, second.data_section, axis, strip_pix, inset_pix)
                if boxes is None:
                    continue
                low, high = (_line(image[b], masked[b], axis, min_unmasked_fraction) for b in boxes)
                if low is None or high is None:
                    continue
                low_start, high_start = (box[axis].start for box in boxes)
                distance = high.center + high_start - low.center - low_start
                steps.append(
                    Step(
                        i,
                        j,
                        high.level - low.level - gradient * distance,
                        float(np.hypot(low.level_error, high.level_error)),
                    )
                )
    return steps


def _gradient(
    image: NDArray[np.float32],
    masked: NDArray[np.bool_],
    amplifiers: Sequence[Amplifier],
    axis: int,
) -> float:
    """Return the mean slope of the sky along an axis, from every fourth line of each amplifier."""
    slopes, weights = [], []
    for amp in amplifiers:
        x0, x1, y0, y1 = amp.data_section
        box = slice(y0, y1, 4), slice(x0, x1, 4)
        line = _line(image[box], masked[box], axis, 0.5)
        if line is not None and np.isfinite(line.slope_error):
            slopes.append(line.slope / 4)
            weights.append(line.slope_error**-2)
    return float(np.average(slopes, weights=weights)) if slopes else 0.0


def _strips(
    low: Section, high: Section, axis: int, width: int, inset: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return the strips on the lower and the upper side of a border.

    None unless `high` begins, along `axis` (1: x, 0: y), where `low` ends.
    """
    along, across = (low[:2], low[2:]) if axis == 1 else (low[2:], low[:2])
    other_along, other_across = (high[:2], high[2:]) if axis == 1 else (high[2:], high[:2])
    border = along[1]
    start, stop = max(across[0], other_across[0]), min(across[1], other_across[1])
    before = slice(max(border - inset - width, along[0]), border - inset)
    after = slice(border + inset, min(border + inset + width, other_along[1]))
    if other_along[0] != border or start >= stop:
        return None
    if before.start >= before.stop or after.start >= after.stop:
        return None
    side = slice(start, stop)
    return ((side, before), (side, after)) if axis == 1 else ((before, side), (after, side))


@dataclass(frozen=True)
class _Line:
    """Straight line through the medians of lines of pixels: level at the center, and slope."""

    level: float
    level_error: float
    slope: float
    slope_error: float
    center: float


def _line(
    pixels: NDArray[np.float32], masked: NDArray[np.bool_], axis: int, min_fraction: float
) -> _Line | None:
    """Fit a straight line along `axis` to the medians across it; None if too few are usable."""
    values = np.where(masked, np.nan, pixels).astype(np.float64)
    values = values if axis == 0 else values.T
    values[~np.isfinite(values)] = np.nan
    if np.isfinite(values).mean() < min_fraction:
        return None
    _clip_sources(values)
    count = np.isfinite(values).sum(axis=1)
    usable = count >= min_fraction * values.shape[1]
    if not usable.any():
        return None
    levels = np.nanmedian(values[usable], axis=1)
    # √(π/2): scatter of a median over that of a mean.
    error = max(1.2533 * float(np.nanstd(values)) / np.sqrt(count[usable].mean()), 1e-9)
    at = np.flatnonzero(usable).astype(np.float64)
    center = float(at.mean())
    spread = float(np.sum((at - center) ** 2))
    slope = float(np.sum((at - center) * levels)) / spread if spread > 0 else 0.0
    slope_error = float(error / np.sqrt(spread)) if spread > 0 else np.inf
    level_error = float(error / np.sqrt(len(levels)))
    return _Line(float(levels.mean()), level_error, slope, slope_error, center)


def _clip_sources(values: Float64) -> None:
    """Set to NaN what stands out of the strip, in place."""
    for _ in range(_CLIP_PASSES):
        center = np.nanmedian(values)
        sigma = 1.4826 * np.nanmedian(np.abs(values - center))
        with np.errstate(invalid="ignore"):
            off = np.abs(values - center) > _CLIP_SIGMA * sigma
        if not off.any():
            return
        values[off] = np.nan


def solve_pedestals(steps: Sequence[Step], n_amplifiers: int) -> Float64:
    """Return the pedestals of zero mean that explain the steps best.

    Amplifiers without any step have pedestal 0.
    """
    laplacian = np.zeros((n_amplifiers, n_amplifiers))
    right = np.zeros(n_amplifiers)
    for step in steps:
        weight = 1.0 / max(step.error, 1e-6) ** 2
        i, j = step.low, step.high
        laplacian[[i, j], [i, j]] += weight
        laplacian[[i, j], [j, i]] -= weight
        right[j] += weight * step.value
        right[i] -= weight * step.value
    # The null space holds one constant a connected group: the minimum-norm solution has zero
    # mean in each.
    return np.linalg.pinv(laplacian, rcond=1e-10, hermitian=True) @ right
