"""Colours of stars from their fluxes: measured, told by another colour, or merely expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.fit_stellar_motions import StarColorConfig

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_MAG_ZERO = 31.4
_MAG_ERROR = 2.5 / np.log(10)
_MAD = 1.4826
# Colours so well known make the sequence; fewer stars make none.
_SURE_MAG, _FEWEST = 0.1, 40
# What is expected of stars where no colour is known at all.
_ANY_MAG, _ANY_SPREAD_MAG = 1.0, 0.7


class Colors(NamedTuple):
    """Colours, their errors, and whether they follow from the star's own fluxes; shape (S,)."""

    color: Floats
    error: Floats
    known: Bools


def star_colors(
    flux_njy: Floats, flux_err_njy: Floats, bands: tuple[int, int], config: StarColorConfig
) -> Colors:
    """Return the colours of stars.

    Parameters
    ----------
    flux_njy, flux_err_njy
        Mean flux of each star in each band, NaN where there is none, shape (S, B).
    bands
        The two bands between which the colour is.
    config
        Parameters.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = _MAG_ZERO - 2.5 * np.log10(flux_njy)
        error = np.hypot(_MAG_ERROR * flux_err_njy / flux_njy, config.floor_mag)
    color = mag[:, bands[0]] - mag[:, bands[1]]
    sigma = np.hypot(error[:, bands[0]], error[:, bands[1]])
    known = np.isfinite(color) & (sigma <= config.max_error_mag)
    sure = known & (sigma <= _SURE_MAG)
    middle, spread = _usual(color[sure if sure.sum() >= _FEWEST else known])
    made = np.where(known, color, middle)
    made_err = np.where(known, sigma, spread)
    told = known.copy()
    for blue, red in _other_pairs(mag.shape[1], bands):
        pair, pair_err = mag[:, blue] - mag[:, red], np.hypot(error[:, blue], error[:, red])
        has = np.isfinite(pair) & (pair_err <= config.max_error_mag)
        line = sure & has & (pair_err <= _SURE_MAG)
        wanted = has & ~known
        if line.sum() < _FEWEST or not wanted.any():
            continue
        value, value_err = _told(pair, pair_err, wanted, pair[line], color[line], config)
        better = wanted.copy()
        better[wanted] = value_err < made_err[wanted]
        made[better], made_err[better] = value[better[wanted]], value_err[better[wanted]]
        told |= better
    return Colors(made, made_err, told)


def _usual(color: Floats) -> tuple[float, float]:
    """Return median and spread of colours; the spread holds both heaps, blue and red."""
    if color.size < 3:
        return _ANY_MAG, _ANY_SPREAD_MAG
    low, middle, high = np.percentile(color, (15.87, 50, 84.13))
    return float(middle), float(max((high - low) / 2, 0.05))


def _other_pairs(n_band: int, bands: tuple[int, int]) -> list[tuple[int, int]]:
    pairs = [(a, b) for a in range(n_band) for b in range(a + 1, n_band)]
    return [pair for pair in pairs if pair != tuple(sorted(bands))]


def _told(
    pair: Floats,
    pair_err: Floats,
    wanted: Bools,
    along: Floats,
    color: Floats,
    config: StarColorConfig,
) -> tuple[Floats, Floats]:
    """Return colours that another one tells, and their errors: medians along the sequence."""
    edges = np.quantile(along, np.linspace(0, 1, config.sequence_bins + 1))
    place = np.clip(np.searchsorted(edges, along, side="right") - 1, 0, config.sequence_bins - 1)
    filled = [k for k in range(config.sequence_bins) if (place == k).any()]
    x = np.array([np.median(along[place == k]) for k in filled])
    y = np.array([np.median(color[place == k]) for k in filled])
    slope = np.gradient(y, x) if x.size > 1 and (np.diff(x) > 0).all() else np.zeros(x.size)
    off = color - np.interp(along, x, y)
    spread = np.array([_MAD * np.median(np.abs(off[place == k])) for k in filled])
    asked = pair[wanted]
    value = np.interp(asked, x, y)
    error = np.hypot(np.interp(asked, x, spread), np.interp(asked, x, slope) * pair_err[wanted])
    beyond = np.maximum(np.maximum(x[0] - asked, asked - x[-1]), 0)
    return value, np.hypot(error, beyond)
