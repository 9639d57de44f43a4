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

    The level at the border is where a straight line through the medians of a strip's lines
    parallel to it ends, so that a gradient of the sky makes no step.
    """
    steps = []
    for i, first in enumerate(amplifiers):
        for j, second in enumerate(amplifiers):
            for axis in (1, 0):
                strips = _strips(
                    first.data_section, second.data_section, axis, strip_pix, inset_pix
                )
                if strips is None:
                    continue
                levels = [
                    _border_level(image[box], masked[box], axis, inset_pix, min_unmasked_fraction)
                    for box in strips
                ]
                # Strips run away from the border: that of the lower amplifier is reversed.
                (low, low_error), (high, high_error) = levels
                if np.isfinite(low + high):
                    steps.append(Step(i, j, high - low, float(np.hypot(low_error, high_error))))
    return steps


def _strips(
    low: Section, high: Section, axis: int, width: int, inset: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return the strips on both sides of a border, first index away from the border.

    None unless `high` begins, along `axis` (1: x, 0: y), where `low` ends.
    """
    along, across = (low[:2], low[2:]) if axis == 1 else (low[2:], low[:2])
    other_along, other_across = (high[:2], high[2:]) if axis == 1 else (high[2:], high[:2])
    border = along[1]
    start, stop = max(across[0], other_across[0]), min(across[1], other_across[1])
    if other_along[0] != border or start >= stop:
        return None
    near, far = border - inset, max(border - inset - width, along[0])
    if near <= far or border + inset >= other_along[1]:
        return None
    before = slice(near - 1, far - 1 if far > 0 else None, -1)
    after = slice(border + inset, min(border + inset + width, other_along[1]))
    side = slice(start, stop)
    return ((side, before), (side, after)) if axis == 1 else ((before, side), (after, side))


def _border_level(
    strip: NDArray[np.float32],
    masked: NDArray[np.bool_],
    axis: int,
    inset: int,
    min_unmasked_fraction: float,
) -> tuple[float, float]:
    """Extrapolate the level of a strip to the border; return it and its error."""
    values = np.where(masked, np.nan, strip).astype(np.float64)
    values = values if axis == 0 else values.T  # first index: distance from the border
    values[~np.isfinite(values)] = np.nan
    if np.isfinite(values).mean() < min_unmasked_fraction:
        return np.nan, np.nan
    _clip_sources(values)
    distance = inset + 0.5 + np.arange(len(values))
    usable = np.isfinite(values).mean(axis=1) >= min_unmasked_fraction
    if not usable.any():
        return np.nan, np.nan
    levels = np.nanmedian(values[usable], axis=1)
    error = 1.2533 * np.nanstd(values) / np.sqrt(np.isfinite(values[usable]).mean(0).sum())
    design = np.vander(distance[usable], 2 if usable.sum() > 3 else 1)
    covariance = np.linalg.inv(design.T @ design)
    level = (covariance @ design.T @ levels)[-1]
    return float(level), float(error * np.sqrt(covariance[-1, -1]))


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
