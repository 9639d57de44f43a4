"""A smooth profile through the mean star, and the directions in which stars differ from it.

The profile is Moffat's, p(d) ∝ (1 + dᵀ C⁻¹ d)^-β. Its derivatives by size, ellipticity and β, and
its third derivatives in space, are the ways in which blur, focus, astigmatism, coma and trefoil
change an image to first order: a change of blur by the covariance δΣ changes p by
½ ∇ᵀ δΣ ∇ p, a third cumulant by third derivatives. Eight numbers a star hold what free pixels
would need hundreds for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.psf import sinc_matrix
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.stamps import Stamps
    from drpflow.algorithms.psf_fit.stars import Places

    Floats: TypeAlias = NDArray[np.float64]

MODE_NAMES = ("size", "e1", "e2", "beta", "coma1", "coma2", "trefoil1", "trefoil2")
"""What the images of :func:`mode_images` change."""

_MIN_BETA, _MAX_BETA = 1.3, 30.0


@dataclass(frozen=True)
class Moffat:
    """Moffat's profile of unit flux.

    Parameters
    ----------
    log_size
        Logarithm of the core radius √(det C)^½, pixels.
    e1, e2
        Shear of the core: C ∝ [[1 + e1, e2], [e2, 1 - e1]].
    beta
        Slope of the wings, above 1.
    """

    log_size: float
    e1: float
    e2: float
    beta: float

    def __call__(self, x: Floats, y: Floats) -> Floats:
        """Return values at offsets from the centre, pixels."""
        determinant = 1 - self.e1**2 - self.e2**2
        radius2 = np.exp(2 * self.log_size)
        q = (1 - self.e1) * x * x + (1 + self.e1) * y * y - 2 * self.e2 * x * y
        q /= radius2 * np.sqrt(determinant)
        return (self.beta - 1) / (np.pi * radius2) * (1 + q) ** -self.beta

    @property
    def fwhm_pix(self) -> float:
        """Full width at half maximum of the round profile."""
        return float(2 * np.exp(self.log_size) * np.sqrt(2 ** (1 / self.beta) - 1))


def fit_moffat(image: Floats, weight: Floats, fwhm_pix: float) -> Moffat:
    """Fit the profile, with free centre, flux and pedestal, to a mean star.

    Parameters
    ----------
    image, weight
        Shape (n, n), the star near the middle; inverse standard deviations, any scale.
    fwhm_pix
        Guess.

    Raises
    ------
    AlgorithmError
        If the fit does not converge to a star.
    """
    from scipy.optimize import least_squares

    half = image.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    scale = max(float(image.max()), 1e-30) * fwhm_pix**2

    def profile(p: Floats) -> Moffat:
        e = np.hypot(p[1], p[2])
        squeeze = 1.0 if e == 0 else np.tanh(e) / e
        beta = _MIN_BETA + (_MAX_BETA - _MIN_BETA) / (1 + np.exp(-p[3]))
        return Moffat(p[0], p[1] * squeeze, p[2] * squeeze, beta)

    def residual(p: Floats) -> Floats:
        model = p[4] * scale * profile(p)(x - p[5], y - p[6]) + p[7] * image.max()
        return ((image - model) * weight).ravel()

    beta = 3.5
    start = np.log(fwhm_pix / 2 / np.sqrt(2 ** (1 / beta) - 1))
    logit = -np.log((_MAX_BETA - _MIN_BETA) / (beta - _MIN_BETA) - 1)
    result = least_squares(residual, [start, 0, 0, logit, 1, 0, 0, 0], method="lm", max_nfev=400)
    found = profile(result.x)
    if not np.isfinite(result.x).all() or not 0.2 < found.fwhm_pix / fwhm_pix < 5:
        raise AlgorithmError(
            f"the mean of the PSF stars is no star: FWHM {found.fwhm_pix:.3g} pix",
            {"fwhm_pix": found.fwhm_pix, "guess_pix": float(fwhm_pix)},
            "Too few of the selected sources are stars; look at star_selection.",
        )
    return found


def mean_star(stamps: Stamps, places: Places, kernel_order: int) -> tuple[Floats, Floats]:
    """Return the median of the stars, shifted and scaled to unit flux, and its weights."""
    n = stamps.data.shape[1]
    lattice = np.arange(n)[None, :]
    along = [
        sinc_matrix((lattice + shift[:, None]).ravel(), n, kernel_order).reshape(len(stamps), n, n)
        for shift in (places.dx, places.dy)
    ]
    flux = np.where(places.flux > 0, places.flux, np.nan)[:, None, None]
    shifted = along[1] @ stamps.data @ along[0].transpose(0, 2, 1) / flux
    valid = along[1] @ (~stamps.good).astype(float) @ along[0].transpose(0, 2, 1)
    shifted[(np.abs(valid) > 0.02) | ~np.isfinite(shifted)] = np.nan
    # The median star, but the weight of each pixel follows the noise that a mean would have.
    some = np.isfinite(shifted).any(axis=0)
    mean = np.zeros((n, n))
    mean[some] = np.nanmedian(shifted[:, some], axis=0)
    noise = stamps.model_variance(np.where(flux > 0, flux, 1.0) * np.maximum(mean, 0), 0.02)
    relative = np.sqrt(np.nanmedian(noise / flux**2, axis=0))
    return mean, np.where(some, 1 / relative, 0.0)


def grid_offsets(n_grid: int, step_pix: float) -> tuple[Floats, Floats]:
    """Return x and y of the points of a model grid, pixels from the centre, (n_grid, n_grid)."""
    offsets = (np.arange(n_grid) - n_grid // 2) * step_pix
    y, x = np.meshgrid(offsets, offsets, indexing="ij")
    return x, y


def mode_images(profile: Moffat, x: Floats, y: Floats) -> Floats:
    """Return the derivatives of the profile, shape (8, ...), in the order of `MODE_NAMES`.

    The first four are by `log_size`, `e1`, `e2` and ``log beta`` (at constant width of the core);
    the others are third derivatives in units of the core's radius. All are central differences
    of an analytic function: relative errors of 1e-6 and, for the third ones, 1e-3.
    """
    small = 1e-3
    modes = [
        (
            replace(profile, **{name: getattr(profile, name) + small})(x, y)
            - replace(profile, **{name: getattr(profile, name) - small})(x, y)
        )
        / (2 * small)
        for name in ("log_size", "e1", "e2")
    ]
    modes.append((_steeper(profile, small)(x, y) - _steeper(profile, -small)(x, y)) / (2 * small))
    h = 0.1 * np.exp(profile.log_size)
    f = {(i, j): profile(x + i * h, y + j * h) for i in range(-2, 3) for j in range(-2, 3)}
    scale = (np.exp(profile.log_size) / h) ** 3 / 6
    xxx = scale * (f[2, 0] - 2 * f[1, 0] + 2 * f[-1, 0] - f[-2, 0]) / 2
    yyy = scale * (f[0, 2] - 2 * f[0, 1] + 2 * f[0, -1] - f[0, -2]) / 2
    xxy = scale * (f[1, 1] - 2 * f[0, 1] + f[-1, 1] - f[1, -1] + 2 * f[0, -1] - f[-1, -1]) / 2
    xyy = scale * (f[1, 1] - 2 * f[1, 0] + f[1, -1] - f[-1, 1] + 2 * f[-1, 0] - f[-1, -1]) / 2
    modes += [xxx + xyy, yyy + xxy, xxx - 3 * xyy, 3 * xxy - yyy]
    return np.array(modes)


def _steeper(profile: Moffat, change: float) -> Moffat:
    """Return the profile with log β changed, at the same FWHM."""
    beta = max(profile.beta * np.exp(change), 1.05)
    width = np.log(np.sqrt(2 ** (1 / profile.beta) - 1) / np.sqrt(2 ** (1 / beta) - 1))
    return replace(profile, beta=beta, log_size=profile.log_size + width)
