"""What the stars of a detector image have in common beyond the model, told from all images.

Calibrated magnitudes of image g are off by a number b_g that its stars share: errors of the scale
of an aperture, of the flat field, of the background, patches of the air. It is expected to be
N(0, s²), s² itself to be drawn from an exponential of the mean s_0², and found by restricted
likelihood (Patterson & Thompson 1971, Biometrika 58, 545). With W' the weights of the fit, lowered
for what images share, R what it leaves of magnitudes y, Z the matrix that gives each row the number
of its image and H = Z'W'RZ, the derivative of the logarithm and its expected second derivative are

    ½ (|Z'W'Ry|² - tr H) - 1/s_0² ,    -½ tr H² ,

which makes a step of Fisher's scoring. Z'W'Ry are the weighted sums of the residuals of the images;
the traces are means over vectors c of random signs (Hutchinson 1990), of c'Hc and of |Hc|², with
RZc what a fit leaves of numbers c that are added to the images. So counted are the stars' own
magnitudes, which follow an image by one over the number of their visits, clouds, star flats and all
else that follows single images. Where these follow all, nothing is told of s², and it is zero.
Weights of single rows stand for correlated ones, by which s comes out low: by a seventh where stars
are seen three times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]

# Images behind the traces, counted with repetitions: each has its part of them to 1/√n.
_PROBED = 400
_MOST_PROBES = 12
# Size of the probes [mag]; what the air answers to it is linear.
_STEP_MAG = 1e-3
_SEED = 58545


@dataclass(frozen=True, eq=False)
class Shared:
    """What the stars of an image have in common.

    Parameters
    ----------
    variance
        s² [mag²].
    offset
        Most probable b of the images under the weights of the fit, 0 for those not chosen [mag],
        (G,).
    left
        Part of s² that is left in the variance of the model and b together, with the noise of the
        probes: 1 - 2 h - s² H_gg with h = ∂z/∂b, by which the model follows b; NaN for images that
        were not chosen, (G,).
    """

    variance: float
    offset: Floats
    left: Floats


def shared_variance(
    residual: Floats,
    weight: Floats,
    group: Ints,
    answer: Callable[[Floats], tuple[Floats, Floats]],
    chosen: Bools,
    before: float,
    expected: float,
) -> Shared:
    """Return s² after one step, and what it leaves in zero points.

    It grows by half of a step: the widths of all else are found beside it.

    Parameters
    ----------
    residual, weight
        Of the fit [mag, 1/mag²], (N,).
    group
        Image of each row, (N,).
    answer
        From numbers that are added to magnitudes, (N,), to what a fit leaves of them, (N,), and to
        the change of the zero points, (G,) [mag].
    chosen
        The images that count, (G,).
    before
        s² with which the weights of the fit were made [mag²].
    expected
        s_0² [mag²]; 0: s² stays as it is.
    """
    images = np.flatnonzero(chosen)
    offset, of_images = np.zeros(chosen.size), np.full(chosen.size, np.nan)
    if images.size == 0:
        return Shared(before, offset, of_images)

    def sums(values: Floats) -> Floats:
        return np.asarray(np.bincount(group, weight * values, chosen.size)[images], np.float64)

    rng = np.random.default_rng(_SEED)
    number = int(np.clip(np.ceil(_PROBED / images.size), 1, _MOST_PROBES))
    score = sums(np.nan_to_num(residual))
    offset[images] = before * score
    trace, square, of_images[images] = 0.0, 0.0, 1.0
    for _ in range(number):
        sign = rng.choice((-1.0, 1.0), images.size)
        added = np.zeros(chosen.size)
        added[images] = _STEP_MAG * sign
        left, change = answer(added[group])
        told = sums(left) / _STEP_MAG
        follows = -change[images] / _STEP_MAG
        of_images[images] -= sign * (2 * follows + before * told) / number
        trace += float(sign @ told) / number
        square += float(told @ told) / number
    if expected == 0 or square <= 0:
        return Shared(before, offset, of_images)
    step = (float(score @ score) - trace - 2 / expected) / square
    found = max(before + (step / 2 if step > 0 else step), 0.0)
    return Shared(found, offset, of_images)
