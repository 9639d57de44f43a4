"""Variance of the pixels, from the charge they collected and the noise of reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Amplifier


def poisson_and_read_noise(
    image: NDArray[np.float32],
    amplifiers: Sequence[Amplifier],
    read_noise_electron: Sequence[float],
    *,
    floor_fraction: float = 0.25,
    extra: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the variance of an image before it is divided by the flat.

    ``max(image + extra + RN², f·RN²)``. The mean over pixels is then right however faint the
    sky is: ``max(image, 0) + RN²`` counts upward fluctuations of the noise only, and is 8 %
    too large for a read noise of 5 electrons without any sky.

    Parameters
    ----------
    image
        Signal, dark current taken off, electron.
    amplifiers
        Amplifiers of the detector.
    read_noise_electron
        Read noise of each, electron.
    floor_fraction
        f.
    extra
        Variance from elsewhere (dark current, calibrations), electron². Overwritten with the
        result if given.

    Returns
    -------
    ndarray, shape of `image`, float32, electron²
    """
    variance = image.copy() if extra is None else np.add(image, extra, out=extra)
    for amp, noise in zip(amplifiers, read_noise_electron, strict=True):
        x0, x1, y0, y1 = amp.data_section
        part = variance[y0:y1, x0:x1]
        part += np.float32(noise**2)
        np.maximum(part, np.float32(floor_fraction * noise**2), out=part)
    return variance


def calibration_variance(
    shape: tuple[int, int],
    amplifiers: Sequence[Amplifier],
    gain: Sequence[float],
    *,
    bias_variance: NDArray[np.float32] | None = None,
    dark_variance: NDArray[np.float32] | None = None,
    exposure_time_s: float = 0.0,
) -> NDArray[np.float32]:
    """Return the variance that the noise of the bias and dark frames adds.

    Parameters
    ----------
    shape
        Of the detector.
    amplifiers
        Amplifiers of the detector.
    gain
        Gain of each, electron adu-1.
    bias_variance
        adu².
    dark_variance
        electron² s-2.
    exposure_time_s
        Exposure time, s.

    Returns
    -------
    ndarray, shape `shape`, float32, electron²
    """
    variance = np.zeros(shape, np.float32)
    if bias_variance is not None:
        for amp, factor in zip(amplifiers, gain, strict=True):
            x0, x1, y0, y1 = amp.data_section
            variance[y0:y1, x0:x1] += np.float32(factor**2) * bias_variance[y0:y1, x0:x1]
    if dark_variance is not None:
        variance += np.float32(exposure_time_s**2) * dark_variance
    return variance
