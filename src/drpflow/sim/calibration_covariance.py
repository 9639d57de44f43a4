"""The brighter-fatter kernel from the covariances of flat pairs.

Charge in one pixel makes its neighbours larger and itself smaller, so that the fluctuations of a
flat are correlated. With C the covariance of pixels at lag r and μ the mean, electrons, and no
other cause of correlations, each spatial frequency of the fluctuations grows as dP/dt = λ + 2 λ â P
with the flux λ, where â is the transform of the relative change of area a(r) by one electron. Hence

    P(k) = (exp(2 â(k) μ) - 1) / (2 â(k)),      C(r) = μ δ(r) + a(r) μ² + …

(Astier et al. 2019, A&A 629 A36). The scalar correction of Coulton et al. (2018, AJ 155 258),
I_true = I + ½ ∇·(I ∇(K ⊗ I)), does the same to a flat in the first order if ∇²K = -a, with the
five-point Laplacian that belongs to differences between neighbouring pixels. It is solved on the
kernel's own grid with K = 0 outside, that is with the boundary ring of a Poisson problem with
Dirichlet conditions: then the Laplacian of K as it is stored, zeros beyond its edge, equals -a at
every lag within.

Beyond some pixels single covariances are but noise, though together they matter: they make up a
fifth of the charge that a pixel loses. A power law takes their place, which is fitted to them and
to the condition that charge is conserved: a(0), known from the variance, plus all other a(r),
the power law's continuation beyond the grid included, is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.calibration_reduction import cosmic_rays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KERNEL_REACH_PIX = 8
# The power law replaces lags from the first distance on, and is fitted from the second.
MODEL_FROM_PIX = 2.9
FIT_FROM_PIX = 1.9
TAIL_REACH_PIX = 40
# How well charge conservation binds the sum, relative to a(0): the error of the gain enters.
SUM_ERROR = 0.015
EDGE_PIX = 4
# A pixel that loses less than this of its area to an electron shows no effect at full well.
LEAST_LOSS_PER_ELECTRON = 1e-7


@dataclass(frozen=True)
class Covariances:
    """Sums over flat pairs, which can be added.

    Attributes
    ----------
    products
        Σ of products of pixels at lags (dy, dx), electron², shape (R+1, 2R+1): dy from 0 to R,
        dx from -R to R. At lag 0 without Poisson's and the read noise's part.
    squares
        Σ of μ² over the same pairs of pixels, electron².
    weight
        Σ of μ·μ², for the mean level of the measurement, electron³; shape ().
    """

    products: NDArray[np.float64]
    squares: NDArray[np.float64]
    weight: float


def sum_covariances(parts: Sequence[Covariances]) -> Covariances:
    """Add the sums of several pairs, or of several detectors."""
    return Covariances(
        np.sum([p.products for p in parts], axis=0),
        np.sum([p.squares for p in parts], axis=0),
        float(sum(p.weight for p in parts)),
    )


def pair_covariances(
    first: NDArray[np.float32], second: NDArray[np.float32], noise_electron: float
) -> Covariances:
    """Correlate the difference of two flats with itself.

    Parameters
    ----------
    first, second
        Reduced flats of one level, electrons, linear, charge transfer corrected.
    noise_electron
        Read noise, rms over the amplifiers.

    Returns
    -------
    Covariances
        Of one exposure (half of those of the difference), pixels of odd level left out.
    """
    from scipy import fft

    level_a, level_b = (float(np.median(f)) for f in (first, second))
    mean_level = (level_a + level_b) / 2
    mean = (first + second) / 2
    difference = first * np.float32(mean_level / level_a) - second * np.float32(
        mean_level / level_b
    )
    use = np.abs(mean / mean_level - 1) < 0.15
    use &= ~cosmic_rays(difference)
    for edge in (slice(0, EDGE_PIX), slice(-EDGE_PIX, None)):
        use[edge] = False
        use[:, edge] = False
    difference = np.where(use, difference - difference[use].mean(), 0).astype(np.float32)
    size = tuple(fft.next_fast_len(n + KERNEL_REACH_PIX, real=True) for n in mean.shape)
    level = np.where(use, mean, 0).astype(np.float32)
    products = _lag_sums(difference, size) / 2
    products[0, KERNEL_REACH_PIX] -= (mean[use] + np.float64(noise_electron) ** 2).sum()
    return Covariances(
        products=products,
        squares=_lag_sums(level, size),
        weight=float((level.astype(np.float64) ** 3).sum()),
    )


def _lag_sums(image: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return Σ of products of an image with itself, shifted by 0…R rows and -R…R columns."""
    from scipy import fft

    reach = KERNEL_REACH_PIX
    power = np.abs(fft.rfft2(image.astype(np.float64), size)) ** 2
    sums = fft.irfft2(power, size)
    return np.concatenate([sums[: reach + 1, -reach:], sums[: reach + 1, : reach + 1]], axis=1)


def area_changes(covariances: Covariances) -> tuple[NDArray[np.float64], float]:
    """Return C(r)/μ² of one quadrant of lags, electron-1, and the level that it holds for.

    Opposite lags are equal by definition; left and right by the symmetry of pixels, so that they
    are averaged. The element at lag 0 is at last the negative sum of all others, those beyond
    the grid included.
    """
    reach = KERNEL_REACH_PIX
    ratio = covariances.products / covariances.squares
    quadrant = _with_tail((ratio[:, reach:] + ratio[:, reach::-1]) / 2)
    level = covariances.weight / covariances.squares[0, reach]
    return quadrant, float(level)


def _with_tail(quadrant: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace far lags by a power law that conserves charge, and lag 0 by what then closes."""
    from scipy.optimize import curve_fit

    radius = np.hypot(*np.indices(quadrant.shape))
    fitted = (radius >= FIT_FROM_PIX) & (radius <= KERNEL_REACH_PIX)
    far = np.hypot(*np.indices((TAIL_REACH_PIX + 1, TAIL_REACH_PIX + 1)))
    # Lags on an axis stand for two of all lags, others for four.
    copies = np.where(far >= MODEL_FROM_PIX, 4.0, 0.0)
    copies[0] /= 2
    copies[:, 0] /= 2
    near = np.where((radius > 0) & (radius < MODEL_FROM_PIX), quadrant, 0)
    near_sum, loss = float(unfold(near).sum()), -float(quadrant[0, 0])
    if loss < LEAST_LOSS_PER_ELECTRON:
        return near

    def law(r: NDArray, amplitude: float, slope: float) -> NDArray:
        return amplitude * (np.maximum(r, 1) / 2) ** -slope

    def observed(_: NDArray, amplitude: float, slope: float) -> NDArray:
        total = (law(far, amplitude, slope) * copies).sum()
        return np.append(law(radius[fitted], amplitude, slope), total)

    values = np.append(quadrant[fitted], loss - near_sum) / loss
    # The scatter of lags far out, where the effect is all but gone, is the noise of every lag.
    noise = quadrant[radius > 0.6 * KERNEL_REACH_PIX].std() / loss
    errors = np.append(np.full(values.size - 1, noise), SUM_ERROR)
    (amplitude, slope), _ = curve_fit(
        observed, values, values, (0.012, 3.0), sigma=errors, bounds=([0, 2.2], [0.1, 5])
    )
    result = np.where(radius >= MODEL_FROM_PIX, loss * law(radius, amplitude, slope), near)
    result[0, 0] = -near_sum - loss * (law(far, amplitude, slope) * copies).sum()
    return result


def unfold(quadrant: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mirror a quadrant of lags to all lags, shape (2R+1, 2R+1)."""
    half = np.concatenate([quadrant[:, :0:-1], quadrant], axis=1)
    return np.concatenate([half[:0:-1], half], axis=0)


def first_order(change: NDArray[np.float64], level_electron: float) -> NDArray[np.float64]:
    """Take the growth of the effect during the exposure out of C/μ².

    Solves (exp(2 â μ) - 1) / (2 â μ) = 1 + μ FT[C/μ² - δ/μ] for â at each frequency by Newton's
    method, and transforms back.

    Parameters
    ----------
    change
        C/μ² without Poisson's term, all lags, electron-1.
    level_electron
        μ.
    """
    target = 1 + level_electron * np.fft.fft2(np.fft.ifftshift(change)).real
    z = target - 1
    for _ in range(20):
        safe = np.where(np.abs(z) < 1e-9, 1e-9, z)
        value = np.expm1(2 * safe) / (2 * safe)
        slope = (np.exp(2 * safe) - value) / safe
        z = safe - (value - target) / slope
    return np.fft.fftshift(np.fft.ifft2(z / level_electron).real)


def solve_kernel(change: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve ∇²K = -a on the grid of lags, with K = 0 outside; electron-1, shape of `change`."""
    from scipy import fft

    n = change.shape[0]
    wave = 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1)) - 2
    spectrum = fft.dstn(-change, type=1) / (wave[:, None] + wave[None, :])
    return fft.idstn(spectrum, type=1)


def brighter_fatter_kernel(covariances: Covariances) -> NDArray[np.float64]:
    """Return the scalar kernel of a type of sensor from the flat pairs of all its detectors.

    Returns
    -------
    ndarray of float64, shape (17, 17)
        Kernel K, electron-1; zero if there is no effect worth the name.
    """
    quadrant, level = area_changes(covariances)
    if -quadrant[0, 0] < LEAST_LOSS_PER_ELECTRON:
        return np.zeros((2 * KERNEL_REACH_PIX + 1,) * 2)
    return solve_kernel(first_order(unfold(quadrant), level))


def correct(image: NDArray[np.float32], kernel: NDArray[np.float64]) -> NDArray[np.float32]:
    """Undo the brighter-fatter effect of a flat in the first order, electrons.

    Differences between neighbouring pixels at their common boundary; charge is conserved.
    """
    from scipy.signal import fftconvolve

    reach = kernel.shape[0] // 2
    padded = np.pad(image.astype(np.float64), reach, mode="symmetric")
    potential = fftconvolve(padded, kernel, mode="valid")
    result = image.astype(np.float64)
    for axis in (0, 1):
        value, field = np.moveaxis(result, axis, 0), np.moveaxis(potential, axis, 0)
        light = np.moveaxis(image, axis, 0)
        moved = 0.25 * (light[1:] + light[:-1]) * (field[1:] - field[:-1])
        value[:-1] += moved
        value[1:] -= moved
    return result.astype(np.float32)
