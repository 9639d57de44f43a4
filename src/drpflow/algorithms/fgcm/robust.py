"""Means and medians of labelled values, of which some may be far off."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.noise import taper
from drpflow.kernels.fgcm import segment_medians

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.fgcm import FitNoiseConfig

    Floats: TypeAlias = NDArray[np.float64]
    Labels: TypeAlias = NDArray[np.integer]

_ROUNDS = 3
# What a value contributes at most to the mean that it is compared with.
_MAX_LEVERAGE = 0.9


class Segments:
    """Rows by a label, for medians.

    Parameters
    ----------
    label
        Of the rows, (N,), below `number`.
    number
        Of labels, L.
    """

    def __init__(self, label: Labels, number: int) -> None:
        self.label = label
        self.order = np.argsort(label, kind="stable").astype(np.int64)
        self.count = np.bincount(label, minlength=number)
        self.first = np.concatenate([[0], np.cumsum(self.count)]).astype(np.int64)

    def medians(self, value: Floats) -> Floats:
        """Return the median of each label, NaN where there are no rows, (L,)."""
        out = np.empty(self.count.size)
        segment_medians(self.first, self.order, value, out)
        return out


def medians(label: Labels, value: Floats, number: int) -> Floats:
    """Return the median of the values of each label below `number`, NaN where there are none."""
    return Segments(label, number).medians(value)


def robust_means(
    label: Labels, value: Floats, variance: Floats, number: int, config: FitNoiseConfig
) -> tuple[Floats, Floats, Floats]:
    """Return means by label (NaN without weight), and residuals and weights of the values.

    The mean of values with a gross outlier would be far from all: their median begins.

    Parameters
    ----------
    label
        From 0, below `number`, (N,).
    value, variance
        Finite, (N,).
    number
        Of labels.
    config
        Clipping.
    """
    t = (value - medians(label, value, number)[label]) / np.sqrt(2 * variance)
    for _ in range(_ROUNDS):
        weight = taper(t, config) / variance
        total = np.bincount(label, weight, number)
        known = total > 0
        mean = np.where(known, np.bincount(label, weight * value, number), np.nan)
        mean[known] /= total[known]
        residual = value - mean[label]
        leverage = np.minimum(weight / np.where(known, total, 1.0)[label], _MAX_LEVERAGE)
        t = residual / np.sqrt(variance * (1 - leverage))
        # All values of the label disagree: none counts.
        t[~known[label]] = np.inf
    return mean, residual, taper(t, config) / variance
