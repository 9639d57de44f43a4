"""How residuals of stars depend on their colours: visit by visit, and along the zenith."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scoring import Figure, resampled, rms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.data.visit_info import VisitInfo

Floats = NDArray[np.float64]

MIN_STARS = 10
"""With colours, on a visit."""
AIRMASS = 1.5
"""At which the part along the zenith is told."""
_CLIP_SIGMA = 4.0


class ColorTrend(NamedTuple):
    """Slopes of the residuals of a visit over colour, mas per magnitude.

    Parameters
    ----------
    band
        Of the visit.
    tan_z
        Tangent of its zenith distance.
    slope, error
        Along the axes of the field, shape (2,), and standard deviations.
    upward, upward_error
        The part towards the zenith.
    """

    band: str
    tan_z: float
    slope: Floats
    error: Floats
    upward: float
    upward_error: float


def color_trend(
    off_mas: Floats, variance_mas2: Floats, color_mag: Floats, info: VisitInfo
) -> ColorTrend | None:
    """Return the slopes of a visit, None with too few stars of known colour.

    Parameters
    ----------
    off_mas, variance_mas2
        Residuals along the axes of the field (x to the west at rotation 0) and variances of the
        centroids, shape (2, N).
    color_mag
        Colours, NaN where they are not known.
    info
        Metadata of the visit.
    """
    known = np.isfinite(color_mag) & np.isfinite(off_mas).all(axis=0)
    if known.sum() < MIN_STARS:
        return None
    color = color_mag[known]
    fits = [_slope(color, *rows[:, known]) for rows in np.stack([off_mas, variance_mas2], axis=1)]
    slope, error = np.array(fits).T
    assert info.parallactic_angle_deg is not None
    assert info.rotation_deg is not None
    assert info.zenith_distance_deg is not None
    turn = np.radians(info.parallactic_angle_deg - info.rotation_deg)
    zenith = np.array([-np.sin(turn), np.cos(turn)])
    tan_z = float(np.tan(np.radians(info.zenith_distance_deg)))
    upward_error = float(np.hypot(*(error * zenith)))
    return ColorTrend(info.band, tan_z, slope, error, float(slope @ zenith), upward_error)


def _slope(color: Floats, off: Floats, variance: Floats) -> tuple[float, float]:
    """Return slope and error, which follows from the scatter about the line."""
    kept = np.ones(color.size, bool)
    for _ in range(3):
        weight = kept / (variance + np.median(off[kept] ** 2))
        x = color - np.average(color, weights=weight)
        slope = (weight * x * off).sum() / (weight * x**2).sum()
        left = off - np.average(off, weights=weight) - slope * x
        sigma = np.sqrt((weight * left**2).sum() / kept.sum() / weight[kept].mean())
        kept = np.abs(left) * np.sqrt(weight.max()) < _CLIP_SIGMA * sigma * np.sqrt(weight.max())
    scatter = (weight * left**2).sum() / max(kept.sum() - 2, 1)
    return float(slope), float(np.sqrt(scatter / (weight * x**2).sum()))


def trend_lines(trends: dict[str, Sequence[ColorTrend]]) -> list[str]:
    """Return a table of the trends of named groups of stars, in Markdown."""
    columns = (
        "trend with colour, mas per magnitude", "visits", "each coordinate, rms", "of it errors",
        "largest pull", f"along the zenith at airmass {AIRMASS:g}, by band",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, given in trends.items():
        if not given:
            continue
        slopes, errors = (
            np.concatenate([getattr(t, n) for t in given]) for n in ("slope", "error")
        )
        bands = [
            f"{band} {upward_trend(list(of_band)).text(2)}"
            for band, of_band in groupby(sorted(given, key=lambda t: t.band), lambda t: t.band)
        ]
        lines.append(
            f"| {name} | {len(given)} | {resampled(slopes, rms).text(2)} | {rms(errors):.2f} "
            f"| {np.abs(slopes / errors).max():.1f} | {', '.join(bands)} |"
        )
    return lines


def upward_trend(trends: Sequence[ColorTrend]) -> Figure:
    """Return what is left of refraction at an airmass: slopes fitted as tan z, visits drawn."""
    tan_z, upward, error = np.array([(t.tan_z, t.upward, t.upward_error) for t in trends]).T
    rows = np.arange(len(trends), dtype=float)
    there = np.sqrt(AIRMASS**2 - 1)

    def fitted(drawn: Floats) -> float:
        k = drawn.astype(np.intp)
        weight = tan_z[k] / error[k] ** 2
        return float(there * (weight * upward[k]).sum() / (weight * tan_z[k]).sum())

    return resampled(rows, fitted)
