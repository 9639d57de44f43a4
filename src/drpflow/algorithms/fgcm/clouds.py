"""Which visits were photometric, told from the distribution of their gray.

The mean gray g of a visit (magnitudes gained; clouds lose) is taken as drawn from one of

    clear   N(g; 0, σ²)
    haze    exp(g/λ_h) / λ_h ,  g < 0
    cloud   exp(g/λ_c) / λ_c ,  g < 0

with σ and the share of clouds found with the fit. Haze is what is too thin to tell from a clear
sky by its looks, but too common to leave in the Gaussian of clear visits, whose width it would set.
What the data say of a visit's gray, apart from this prior, is its posterior divided by the prior
(the cavity), a Gaussian N(ĝ, v), with which each of the three is convolved. Clouds are uneven, too:
the amplitudes of the polynomial over the field, common to clear visits, each its own under clouds,
count in the odds as well. In the fit a visit has the Gaussian prior of the mean precision and mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.layout import Block, Layout, degrees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm.layout import Prior
    from drpflow.config.fgcm import GrayConfig

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

_WIDE_MAG = 2.0
# Visits and coefficients for which the expectations of the configuration count.
_PRIOR_COUNT = 3.0
# Density [1/mag] of visits that none of the three explains: brighter than clear ones.
_ODD_DENSITY = 1e-4
# What a cloud's own amplitude costs in log odds for each degree: it could have been any.
_OCCAM = 1.5
CLEAR, HAZE, CLOUD = range(3)


@dataclass(frozen=True, eq=False)
class Clouds:
    """What is known of the clouds.

    Parameters
    ----------
    odds
        Probability of each visit to be clear, hazy or cloudy, (V, 3).
    scatter
        σ [mag].
    share
        Of the three among the visits, (3,).
    slope
        Size of the terms of each degree in each visit, (V, order + 1) [mag]; degree 0 unused.
    gray, gray_variance
        ĝ and v of the visits, (V,); v = ∞ of one of which nothing is told.
    uneven
        Logarithm of the odds of cloud against clear by unevenness alone, (V,).
    haze_mag
        λ_h.
    """

    odds: Floats
    scatter: float
    share: Floats
    slope: Floats
    gray: Floats
    gray_variance: Floats
    uneven: Floats
    haze_mag: float

    @classmethod
    def start(cls, layout: Layout, config: GrayConfig) -> Clouds:
        """Return the expectation before any data: wide enough for all."""
        n = layout.n_visits
        slope = np.full((n, layout.gray_order + 1), config.cloud_slope_mag)
        zero = np.zeros(n)
        share = _shares(config.cloud_fraction, config.haze_fraction)
        clear = np.tile([1.0, 0.0, 0.0], (n, 1))
        return cls(clear, _WIDE_MAG, share, slope, zero, zero + np.inf, zero, config.haze_mag)

    @property
    def clear(self) -> Floats:
        """Probability of each visit to be clear or hazy, (V,)."""
        return self.odds[:, CLEAR] + self.odds[:, HAZE]

    def prior(self, layout: Layout) -> tuple[Floats, Floats]:
        """Return means and precisions of the gray parameters, (V, terms) each."""
        precision = self.slope[:, degrees(layout.gray_order)] ** -2.0
        parts = self.odds / np.array([self.scatter, self.haze_mag, _WIDE_MAG]) ** 2
        precision[:, 0] = parts.sum(axis=1)
        mean = np.zeros_like(precision)
        # An exponential has mean and width λ.
        mean[:, 0] = -self.haze_mag * parts[:, HAZE] / precision[:, 0]
        return mean, precision

    def photometric(self, config: GrayConfig) -> Bools:
        """Return which visits are photometric, (V,)."""
        limit = max(3 * self.scatter, config.photometric_mag)
        near = (np.abs(self.gray) < limit) | (self.clear > 0.5)
        even = self.uneven < np.log(1 / config.uneven_chance)
        return near & even & np.isfinite(self.gray_variance)


def update_clouds(
    clouds: Clouds,
    layout: Layout,
    mean: Floats,
    variance: Floats,
    config: GrayConfig,
    *,
    least_scatter: float = 0.0,
) -> Clouds:
    """Return the clouds after a solution.

    Parameters
    ----------
    clouds
        Those of the solution's prior.
    layout
        Places of the parameters.
    mean, variance
        Posterior of the gray parameters, (V, terms).
    config
        Expectations.
    least_scatter
        Floor of σ, to let the visits settle from wide to narrow.
    """
    center, precision = clouds.prior(layout)
    told, spread = _cavity(mean, variance, center, precision)
    slope = _slopes(layout, mean, variance, clouds, config)
    uneven = _unevenness(layout, told, spread, clouds, slope)
    scatter = max(clouds.scatter, least_scatter)
    odds = _odds(told[:, 0], spread[:, 0], uneven, scatter, clouds, config)
    known = np.isfinite(spread[:, 0])
    clear = odds[:, CLEAR]
    cloudy = float(odds[known, CLOUD].sum()) + _PRIOR_COUNT * config.cloud_fraction
    cloudy = float(np.clip(cloudy / (known.sum() + _PRIOR_COUNT), 0.01, 0.9))
    # MacKay's update, not that of expectation-maximisation, which takes some twenty rounds.
    well = np.clip(1 - variance[:, 0] * precision[:, 0], 0, 1)
    second = float((clear * mean[:, 0] ** 2)[known].sum()) + _PRIOR_COUNT * config.clear_mag**2
    scatter = float(np.sqrt(second / ((clear * well)[known].sum() + _PRIOR_COUNT)))
    scatter = float(np.clip(scatter, config.min_clear_mag, config.max_clear_mag))
    return replace(
        clouds,
        odds=odds,
        scatter=max(scatter, least_scatter),
        share=_shares(cloudy, config.haze_fraction),
        slope=slope,
        gray=told[:, 0],
        gray_variance=spread[:, 0],
        uneven=uneven,
    )


def _shares(cloudy: float, hazy: float) -> Floats:
    """Return the shares of the three; haze has a fixed part of what is not cloud.

    Were it free, all visits could be hazy, under a brighter sky that nobody has seen.
    """
    return np.array([(1 - cloudy) * (1 - hazy), (1 - cloudy) * hazy, cloudy])


def _cavity(
    mean: Floats, variance: Floats, center: Floats, precision: Floats
) -> tuple[Floats, Floats]:
    """Return what the data alone say: the posterior over the prior; ∞ where they are silent."""
    rest = 1 / variance - precision
    told = rest > 1e-3 * precision
    rest = np.where(told, rest, 1.0)
    value = (mean / variance - center * precision) / rest
    return np.where(told, value, 0.0), np.where(told, 1 / rest, np.inf)


def _odds(
    gray: Floats,
    spread: Floats,
    uneven: Floats,
    scatter: float,
    clouds: Clouds,
    config: GrayConfig,
) -> Floats:
    """Return the probabilities of the three, (V, 3)."""
    known = np.isfinite(spread)
    v = np.where(known, spread, 1.0)
    total = v + scatter**2
    log = np.empty((gray.size, 3))
    log[:, CLEAR] = -0.5 * (np.log(2 * np.pi * total) + gray**2 / total)
    log[:, HAZE] = _log_exponential(gray, v, config.haze_mag)
    log[:, CLOUD] = np.logaddexp(_log_exponential(gray, v, config.cloud_mag), np.log(_ODD_DENSITY))
    log += np.log(clouds.share)
    log[:, CLOUD] += np.clip(uneven, -_OCCAM, 50)
    log = np.where(known[:, None], log, np.log(clouds.share))
    odds = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _log_exponential(gray: Floats, variance: Floats, length: float) -> Floats:
    """Return ln ∫ exp(g'/λ)/λ [g' < 0] N(gray - g'; variance) dg'."""
    from scipy.special import log_ndtr

    rate = 1 / length
    inside = log_ndtr(-(gray + rate * variance) / np.sqrt(variance))
    return np.asarray(np.log(rate) + rate * gray + 0.5 * rate**2 * variance + inside)


def _slopes(
    layout: Layout, mean: Floats, variance: Floats, clouds: Clouds, config: GrayConfig
) -> Floats:
    """Return amplitudes by visit and degree: MacKay's τ² = (Σ c² + a s²) / (γ + a)."""
    old = clouds.slope
    new = old.copy()
    degree = degrees(layout.gray_order)
    is_clear = clouds.clear > 0.5
    for n in range(1, layout.gray_order + 1):
        terms = degree == n
        told = np.clip(1 - variance[:, terms] / old[:, n, None] ** 2, 0, 1).sum(axis=1)
        power = (mean[:, terms] ** 2).sum(axis=1)
        a, s2 = _PRIOR_COUNT, config.clear_slope_mag**2
        pooled = (power[is_clear].sum() + a * s2) / (told[is_clear].sum() + a)
        own = (power + config.cloud_slope_mag**2) / (told + 1)
        new[:, n] = np.sqrt(np.where(is_clear, pooled, np.maximum(own, pooled)))
    return new


def _unevenness(
    layout: Layout, told: Floats, spread: Floats, clouds: Clouds, slope: Floats
) -> Floats:
    """Return ln of the odds of cloud against clear by the terms of degree 1 and more, (V,).

    Under a cloud the amplitude is the one that fits best, at the price of `_OCCAM` for each degree.
    """
    degree = degrees(layout.gray_order)
    is_clear = clouds.clear > 0.5
    out = np.zeros(len(told))
    for n in range(1, layout.gray_order + 1):
        terms = degree == n
        c2, v = told[:, terms] ** 2, spread[:, terms]
        some = np.isfinite(v)
        v = np.where(some, v, 1.0)
        common = (
            float(np.median(slope[is_clear, n])) if is_clear.any() else float(slope[:, n].min())
        )
        even = v + common**2
        best = np.maximum((np.where(some, c2 - v, 0.0)).mean(axis=1), common**2)
        rough = v + best[:, None]
        odds = 0.5 * (np.log(even / rough) + c2 / even - c2 / rough)
        out += np.where(some, odds, 0.0).sum(axis=1) - _OCCAM
    return out


def gray_of(layout: Layout, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Return mean and variance of the gray parameters, (V, terms) each."""
    return layout.block(Block.GRAY, mean), layout.block(Block.GRAY, variance)


def with_clouds(prior: Prior, clouds: Clouds, layout: Layout) -> Prior:
    """Return the prior with the visits' gray as the clouds expect it."""
    mean, precision = prior.mean.copy(), prior.precision.copy()
    layout.block(Block.GRAY, mean)[:], layout.block(Block.GRAY, precision)[:] = clouds.prior(layout)
    return replace(prior, mean=mean, precision=precision)
