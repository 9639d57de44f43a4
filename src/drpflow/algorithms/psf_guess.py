"""A first guess of the PSF's width, from an image of which nothing is known yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.kernels.cosmic_rays import peak_widths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.cosmic_rays import PsfGuessConfig


def guess_psf_sigma(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    bad: NDArray[np.bool_],
    config: PsfGuessConfig,
) -> float | None:
    """Guess the width of the PSF from the most common curvature of bright peaks.

    The curvature of the logarithm at a peak does not depend on where in the pixel the source
    lies. Stars share one width; galaxies are wider and cosmic rays sharper, each by another
    factor, so that the stars are where the widths, on a logarithmic scale, lie closest.

    Parameters
    ----------
    image, variance
        Image without its sky, electron, and its variance, electron², float32, shape (ny, nx).
    bad
        Pixels without a usable value, shape (ny, nx).
    config
        Limits.

    Returns
    -------
    float or None
        Standard deviation of the Gaussian with the curvature of the stars' cores, pixels; None
        if there are too few peaks.

    Notes
    -----
    Costs 4 ns a pixel for each of some three distances at which the curvature is measured.
    """
    # Noise bends the logarithm as well, less so over a distance of the order of the width. Each
    # distance gives a width that is rather too small, and the next distance.
    step, sigma = 1, _common_width(image, variance, bad, 1, config)
    while sigma is not None and round(sigma) > step:
        step = round(sigma)
        sigma = _common_width(image, variance, bad, step, config)
    return sigma


def _common_width(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    bad: NDArray[np.bool_],
    step: int,
    config: PsfGuessConfig,
) -> float | None:
    """Return the most common width of peaks by their curvature over a distance."""
    widths = np.empty(config.max_peaks)
    count = peak_widths(image, variance, bad, config.min_significance, step, widths)
    logs = np.sort(np.log(widths[:count][widths[:count] >= config.min_sigma_pix]))
    if logs.size < config.min_peaks:
        return None
    end = np.searchsorted(logs, logs + config.window, side="right")
    start = int(np.argmax(end - np.arange(logs.size)))
    cluster = logs[start : end[start]]
    return float(np.exp(np.median(cluster))) if cluster.size >= config.min_peaks else None
