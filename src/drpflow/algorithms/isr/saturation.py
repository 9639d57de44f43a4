"""Saturated and suspect pixels, and what bleeds from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.kernels import interpolation

if TYPE_CHECKING:
    from numpy.typing import NDArray


def flag_levels(
    raw: NDArray[np.float32],
    bias_level: float,
    saturation_adu: float,
    *,
    adc_maximum_adu: float,
    suspect_fraction: float,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find saturated and suspect pixels of an amplifier in its raw values.

    Parameters
    ----------
    raw
        Raw pixels, adu.
    bias_level
        Level of the bias, adu.
    saturation_adu
        Signal above the bias from which a pixel is saturated, adu.
    adc_maximum_adu
        Raw value from which a pixel is saturated whatever the bias, adu.
    suspect_fraction
        Fraction of the saturation level from which a pixel is suspect.

    Returns
    -------
    saturated, suspect : ndarray of bool, the shape of `raw`
        Suspect pixels are not saturated.
    """
    limit = np.float32(min(bias_level + saturation_adu, adc_maximum_adu))
    saturated = raw >= limit
    lower = np.float32(bias_level + suspect_fraction * (float(limit) - bias_level))
    suspect = raw >= lower
    suspect &= ~saturated
    return saturated, suspect


def grow(mask: NDArray[np.int32], bit: np.int32, radius: int) -> None:
    """Grow the areas of a mask bit by `radius` pixels in all directions, in place."""
    if radius > 0:
        rows, columns = np.nonzero(mask & bit)
        interpolation.grow(mask, rows, columns, radius, bit)


def edge_bleed_rows(
    signal: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    *,
    min_columns: int,
    sigma: float,
    max_rows: int,
) -> int:
    """Count the rows that a bleed has spoilt at the serial register.

    Charge of a bleed that reaches the register spills along it, so that whole rows next to it
    are raised (or, where the amplifier cannot follow, lowered). The median of a row is
    compared with those of rows further up.

    Parameters
    ----------
    signal
        Pixels of an amplifier in the order of readout.
    saturated
        Its saturated pixels.
    min_columns
        Saturated columns side by side in the first row that make a bleed.
    sigma
        How far the median of a row must be off, in units of the scatter of rows.
    max_rows
        Most rows that can be spoilt.

    Returns
    -------
    int
        Number of rows, counted from the register.
    """
    if _longest_run(saturated[0]) < min_columns or max_rows == 0:
        return 0
    reach = min(2 * max_rows + 50, len(signal))
    usable = np.where(saturated[:reach], np.nan, signal[:reach])
    full = np.isnan(usable).all(axis=1)
    usable[full] = np.inf  # a wholly saturated row is off the level in any case
    levels = np.nanmedian(usable, axis=1)
    calm = levels[max_rows:] if reach > max_rows + 10 else levels[reach // 2 :]
    calm = calm[np.isfinite(calm)]
    if calm.size == 0:
        return max_rows
    center = np.median(calm)
    scatter = 1.4826 * np.median(np.abs(calm - center))
    off = np.abs(levels[:max_rows] - center) > sigma * scatter
    return int(np.argmin(off)) if not off.all() else len(off)


def _longest_run(row: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
