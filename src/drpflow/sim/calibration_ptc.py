"""Gain and noise of amplifiers from the photon-transfer curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.calibration_reduction import cosmic_rays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Beyond this fraction of the full well some pixels begin to overflow.
HIGHEST_LEVEL = 0.75


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


@dataclass(frozen=True)
class CurvePoint:
    """One pair of flats on the photon-transfer curve.

    Attributes
    ----------
    statistics
        Mean, variance and its error by amplifier, shape (3, amplifiers); adu, adu².
    usable
        Amplifiers for which it counts.
    """

    statistics: NDArray[np.float64]
    usable: NDArray[np.bool_]


def pair_statistics(pair: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return mean, variance and its error of a pair of flats by amplifier.

    Parameters
    ----------
    pair
        Linear signal, adu, shape (2, amplifiers, rows, columns).

    Returns
    -------
    ndarray of float64, shape (3, amplifiers)
        Mean, adu; half the variance of the difference, adu²; its error.
    """
    first, second = pair.astype(np.float64)
    middle_a = np.median(first, axis=(1, 2), keepdims=True)
    middle_b = np.median(second, axis=(1, 2), keepdims=True)
    mean = (middle_a + middle_b) / 2
    difference = first * (mean / middle_a) - second * (mean / middle_b)
    result = []
    for part, signal, level in zip(difference, (first + second) / 2, mean, strict=True):
        # Pixels of odd response do not share the mean; cosmic rays are in one frame only.
        use = np.abs(signal / level - 1) < 0.12
        use &= ~cosmic_rays(part)
        values = part[use]
        variance = values.var() / 2
        result.append((signal[use].mean(), variance, variance * np.sqrt(2 / values.size)))
    return np.array(result).T


def fit_photon_transfer(
    points: Sequence[CurvePoint],
    saturation_adu: NDArray[np.float64],
    noise_adu: NDArray[np.float64],
) -> PhotonTransfer:
    """Fit the photon-transfer curve of each amplifier.

    Variances are fitted with equation 16 of Astier et al. (2019, A&A 629 A36),
    V = [exp(2 a g μ) - 1] / (2 a g²) + n², with the noise n from bias frames. The curvature a
    belongs to the sensor, so that its amplifiers share it.

    Parameters
    ----------
    points
        Pairs of flats.
    saturation_adu, noise_adu
        By amplifier.
    """
    statistics = np.array([p.statistics for p in points])
    usable = statistics[:, 0] < HIGHEST_LEVEL * saturation_adu
    usable &= np.array([p.usable for p in points])
    curves = [statistics[use, :, a].T for a, use in enumerate(usable.T)]
    single = np.array([_fit_curve(c, n) for c, n in zip(curves, noise_adu, strict=True)])
    weight = 1 / single[:, 3] ** 2
    loss = float(np.average(single[:, 2], weights=weight))
    fits = np.array([_fit_curve(c, n, loss) for c, n in zip(curves, noise_adu, strict=True)])
    # The error of the curvature moves all gains: dg/da from a fit with another curvature.
    other = loss + 1e-7
    moved = np.array([_fit_curve(c, n, other) for c, n in zip(curves, noise_adu, strict=True)])
    slope = (moved[:, 0] - fits[:, 0]) / 1e-7
    error = np.hypot(fits[:, 1], slope / np.sqrt(weight.sum()))
    return PhotonTransfer(fits[:, 0], error, noise_adu * fits[:, 0], loss)


def _fit_curve(
    curve: NDArray[np.float64], noise_adu: float, known_loss: float | None = None
) -> tuple[float, float, float, float]:
    """Fit one amplifier.

    Parameters
    ----------
    curve
        Means, variances and their errors, shape (3, points).
    noise_adu
        Read noise.
    known_loss
        Curvature; fitted if it is not given.

    Returns
    -------
    gain, gain_error, loss, loss_error : float
        electron adu-1; electron-1, positive.
    """
    mean, variance, error = curve
    from scipy.optimize import curve_fit

    def model(mu: NDArray, gain: float, loss_ppm: float) -> NDArray:
        x = 2e-6 * loss_ppm * gain * mu
        x = np.where(np.abs(x) < 1e-9, 1e-9, x)
        return mu / gain * -np.expm1(-x) / x + noise_adu**2

    guess = [float(np.median(mean / (variance - noise_adu**2)))]
    if known_loss is None:
        (gain, loss), covariance = curve_fit(
            model, mean, variance, [*guess, 1.0], sigma=error, absolute_sigma=True
        )
        errors = np.sqrt(np.diag(covariance))
        return float(gain), float(errors[0]), float(loss) * 1e-6, float(errors[1]) * 1e-6
    (gain,), covariance = curve_fit(
        lambda mu, gain: model(mu, gain, known_loss * 1e6),
        mean,
        variance,
        guess,
        sigma=error,
        absolute_sigma=True,
    )
    return float(gain), float(np.sqrt(covariance[0, 0])), known_loss, 0.0
