"""What a ramp of exposure times tells: linearity, saturation, gain, charge transfer.

All come from the same pairs of windowed flats, reduced to a few numbers per pair and amplifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.calibration_reduction import SKIP_LEADING, Linearizer, cosmic_rays
from drpflow.sim.electronics import ADC_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from drpflow.sim.calibration_reduction import Reduction

MARGIN_PIX = 8
# Light from which on a signal that falls short by this much is saturated, not just non-linear.
SATURATED_LOSS = 0.04
POLYNOMIAL_TERMS = 5
NODES = 15
MIDDLE_LEVELS = (0.2, 0.8)


@dataclass(frozen=True)
class RampPair:
    """One pair of flats.

    Attributes
    ----------
    light
        What the lamp's monitor says of each, electrons.
    signal
        Blocks of each, adu above bias, float32, shape (2, amplifiers, rows, columns).
    overscan
        Mean of each overscan column, adu above the rows' level, shape (2, amplifiers, columns).
    """

    light: tuple[float, float]
    signal: NDArray[np.float32]
    overscan: NDArray[np.float64]

    @property
    def inner(self) -> NDArray[np.float32]:
        """The signal without the margins."""
        return self.signal[:, :, MARGIN_PIX:-MARGIN_PIX, MARGIN_PIX:-MARGIN_PIX]

    def means(self) -> NDArray[np.float64]:
        """Mean signal of each frame and amplifier, adu, shape (2, amplifiers).

        Of the pixels that are within 12 % of the median: it leaves out bad ones and cosmic rays.
        The median itself will not do, since the distribution of the response is skew, and its
        median moves by 0.1 % when photon noise blurs it at low levels.
        """
        middle = np.median(self.inner[:, :, ::4, ::4], axis=(2, 3), keepdims=True)
        use = np.abs(self.inner - middle) < 0.12 * np.abs(middle)
        return np.mean(self.inner, axis=(2, 3), where=use, dtype=np.float64)


def reduce_pairs(
    frames: Iterable[tuple[NDArray[np.uint16], float]], reduction: Reduction
) -> list[RampPair]:
    """Reduce a ramp, two successive frames at a time; `reduction` must know bias and crosstalk."""
    iterator = iter(frames)
    pairs = []
    for (raw_a, light_a), (raw_b, light_b) in zip(iterator, iterator, strict=True):
        pairs.append(
            RampPair(
                (light_a, light_b),
                np.stack([reduction.blocks(raw) for raw in (raw_a, raw_b)]),
                np.stack(
                    [reduction.overscan(raw).mean(axis=1, dtype=float) for raw in (raw_a, raw_b)]
                ),
            )
        )
    return pairs


@dataclass(frozen=True)
class Saturation:
    """Where amplifiers stop to respond.

    Attributes
    ----------
    level_adu
        Signal above bias from which pixels count as saturated, by amplifier.
    usable
        Which pairs are below it, shape (pairs, amplifiers).
    """

    level_adu: NDArray[np.float64]
    usable: NDArray[np.bool_]


def measure_saturation(pairs: list[RampPair], bias_adu: NDArray[np.float64]) -> Saturation:
    """Find the level at which the signal no longer follows the light.

    Parameters
    ----------
    pairs
        The ramp, growing.
    bias_adu
        Mean level of each amplifier, for where the converter ends first.
    """
    light = np.array([np.mean(p.light) for p in pairs])
    signal = np.array([p.means().mean(axis=0) for p in pairs])
    reference = len(pairs) // 3
    slope = signal[reference] / light[reference]
    usable = signal > (1 - SATURATED_LOSS) * slope * light[:, None]
    usable &= np.logical_and.accumulate(usable, axis=0)
    level = ADC_MAX - bias_adu
    for a in np.flatnonzero(~usable[-1]):
        # Pixels differ: the level must hold for all but the weakest.
        full = np.concatenate([p.inner[:, a].ravel() for p, ok in zip(pairs, usable, strict=True)
                               if not ok[a]][-1:])
        level[a] = min(level[a], 0.985 * np.percentile(full, 1))
    top = np.array([p.inner.max(axis=(0, 2, 3)) for p in pairs])
    usable &= np.median(top, axis=1, keepdims=True) < ADC_MAX
    for row, pair in zip(usable, pairs, strict=True):
        row &= np.percentile(pair.inner, 99, axis=(0, 2, 3)) < level
    return Saturation(level, usable)


def measure_linearizers(pairs: list[RampPair], saturation: Saturation) -> tuple[Linearizer, ...]:
    """Fit the correction of each amplifier.

    The linear signal is k · light. With s the measured one, s - k · light = s² Σ_j c_j Tⱼ(s),
    whose slope at zero vanishes, so that k and with it the gain are those of small signals. k and
    c are one linear least-squares problem, in which all levels weigh alike relative to their
    signal, as the error of the lamp's monitor does.
    """
    light = np.array([item for p in pairs for item in p.light])
    signal = np.concatenate([p.means() for p in pairs])
    usable = np.repeat(saturation.usable, 2, axis=0)
    return tuple(
        _fit_linearizer(light[use], values[use], top)
        for values, use, top in zip(signal.T, usable.T, saturation.level_adu, strict=True)
    )


def _fit_linearizer(
    light: NDArray[np.float64], signal: NDArray[np.float64], top: float
) -> Linearizer:
    """Fit one amplifier; nodes reach to `top`, adu, a little beyond the last level."""
    from numpy.polynomial.chebyshev import chebval, chebvander

    top = min(top, 1.1 * signal.max())
    terms = min(POLYNOMIAL_TERMS, max(1, light.size // 2 - 3))
    x = signal / top
    bend = x[:, None] ** 2 * chebvander(2 * x - 1, terms - 1)
    matrix = np.column_stack([light / light.max(), bend])
    solution = np.linalg.lstsq(matrix / x[:, None], np.ones_like(x), rcond=None)[0]
    nodes = np.linspace(0, 1, NODES)
    correction = nodes**2 * chebval(2 * nodes - 1, solution[1:])
    return Linearizer(nodes * top, correction * top)


def measure_serial_cti(
    pairs: list[RampPair], saturation: Saturation, prescan_pix: int
) -> NDArray[np.float64]:
    """Measure the loss per transfer from the extended edge response.

    Charge that trails the last of w columns into the overscan, over that column's signal and the
    number of transfers, w + prescan (Janesick 2001, Scientific Charge-Coupled Devices, 5.3).
    Levels are weighted with their signal.
    """
    trailing, last = 0.0, 0.0
    top = saturation.level_adu
    width = pairs[0].signal.shape[3]
    for pair in pairs:
        mean = pair.means().mean(axis=0)
        use = (mean > MIDDLE_LEVELS[0] * top) & (mean < MIDDLE_LEVELS[1] * top)
        late = pair.overscan[:, :, : SKIP_LEADING - 1].sum(axis=2).mean(axis=0)
        trailing = trailing + np.where(use, late, 0.0)
        edge = np.median(pair.signal[..., -1], axis=2).mean(axis=0)
        last = last + np.where(use, edge, 0.0)
    return np.asarray(np.maximum(trailing / last, 0) / (width + prescan_pix))


@dataclass(frozen=True)
class PhotonTransfer:
    """Gain and noise of amplifiers, and their errors.

    Attributes
    ----------
    gain, gain_error
        electron adu-1.
    read_noise
        electron.
    area_loss
        Curvature of the photon-transfer curve: relative area lost to an electron, electron-1.
    """

    gain: NDArray[np.float64]
    gain_error: NDArray[np.float64]
    read_noise: NDArray[np.float64]
    area_loss: float


def measure_photon_transfer(
    pairs: list[RampPair], saturation: Saturation, noise_adu: NDArray[np.float64]
) -> PhotonTransfer:
    """Fit the photon-transfer curve of each amplifier.

    The variance of differences within pairs, halved, is fitted with equation 16 of Astier et al.
    (2019, A&A 629 A36), V = [exp(2 a g μ) - 1] / (2 a g²) + n², with the noise n from bias frames.

    Parameters
    ----------
    pairs
        The ramp; signals must be linear.
    saturation
        Which pairs to use.
    noise_adu
        Read noise by amplifier.
    """
    statistics = np.array([_pair_statistics(p) for p in pairs])
    # Beyond three quarters of the full well some pixels begin to overflow.
    usable = saturation.usable & (statistics[:, 0] < 0.75 * saturation.level_adu)
    curves = [statistics[use, :, a].T for a, use in enumerate(usable.T)]
    single = np.array([_fit_curve(*c, n) for c, n in zip(curves, noise_adu, strict=True)])
    # The sensor is one, so that all amplifiers share the curvature.
    weight = 1 / single[:, 3] ** 2
    loss = float(np.average(single[:, 2], weights=weight))
    fits = np.array([_fit_curve(*c, n, loss) for c, n in zip(curves, noise_adu, strict=True)])
    # A wrong curvature moves all gains together: dg/da from the two fits of each amplifier.
    slope = (single[:, 0] - fits[:, 0]) / np.where(single[:, 2] == loss, 1, single[:, 2] - loss)
    error = np.hypot(fits[:, 1], slope / np.sqrt(weight.sum()))
    return PhotonTransfer(fits[:, 0], error, noise_adu * fits[:, 0], loss)


def _pair_statistics(pair: RampPair) -> NDArray[np.float64]:
    """Return mean, variance and its error by amplifier, shape (3, amplifiers)."""
    first, second = pair.inner.astype(np.float64)
    middle_a = np.median(first, axis=(1, 2), keepdims=True)
    middle_b = np.median(second, axis=(1, 2), keepdims=True)
    mean = (middle_a + middle_b) / 2
    difference = first * (mean / middle_a) - second * (mean / middle_b)
    result = []
    for part, signal, level in zip(difference, (first + second) / 2, mean, strict=True):
        # Pixels of odd response do not share the mean; cosmic rays are in one frame only.
        use = np.abs(signal / level - 1) < 0.1
        use &= ~cosmic_rays(part)
        values = part[use]
        variance = values.var() / 2
        result.append((signal[use].mean(), variance, variance * np.sqrt(2 / values.size)))
    return np.array(result).T


def _fit_curve(
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    error: NDArray[np.float64],
    noise_adu: float,
    known_loss: float | None = None,
) -> tuple[float, float, float, float]:
    """Return gain and its error, area loss (positive) and its error; the latter may be given."""
    from scipy.optimize import curve_fit

    def model(mu: NDArray, gain: float, loss_ppm: float) -> NDArray:
        loss = loss_ppm * 1e-6
        return -np.expm1(-2 * loss * gain * mu) / (2 * loss * gain**2) + noise_adu**2

    guess = [float(np.median(mean / (variance - noise_adu**2)))]
    if known_loss is None:
        (gain, loss), covariance = curve_fit(
            model, mean, variance, [*guess, 1.0], sigma=error, absolute_sigma=True
        )
        errors = np.sqrt(np.diag(covariance))
        return float(gain), float(errors[0]), float(loss) * 1e-6, float(errors[1]) * 1e-6
    (gain,), covariance = curve_fit(
        lambda mu, gain: model(mu, gain, known_loss * 1e6),
        mean, variance, guess, sigma=error, absolute_sigma=True,
    )
    return float(gain), float(np.sqrt(covariance[0, 0])), known_loss, 0.0
