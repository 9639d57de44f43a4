"""Intervals of figures whose values come in groups: the detectors of a visit, the visits of a star.

What is common to a group (the turbulence of a visit, the place of a star) makes its values alike:
resampling single values would give intervals that are too short. Here whole groups are drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scoring import Figure, resampled

if TYPE_CHECKING:
    from collections.abc import Callable

Floats = NDArray[np.float64]


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
    values, group = np.asarray(values, float), np.asarray(group)
    good = np.isfinite(values)
    values, group = values[good], group[good]
    if not values.size:
        return Figure(np.nan, np.nan, np.nan, 0)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0])
    parts = np.split(values[order], starts[1:])
    if len(parts) == values.size:
        return resampled(values, statistic, seed, resamplings)
    rng = np.random.default_rng([seed, values.size, len(parts)])
    drawn = rng.integers(0, len(parts), (resamplings, len(parts)))
    found = [statistic(np.concatenate([parts[k] for k in row])) for row in drawn.tolist()]
    low, high = np.percentile(found, [2.5, 97.5])
    return Figure(float(statistic(values)), float(low), float(high), values.size)
