"""A coadd beside the warps that it was made of: photometry, PSF, noise, depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.psf_moments import adaptive_moments
from drpflow.qa.truth.coadds import psf_flux as truth_psf_flux

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.data.noise_covariance import NoiseCovariance

    Floats = NDArray[np.float64]

_RADII_PIX = (2.0, 4.0, 8.0)
_BAD = ("SAT", "BAD", "CR", "SUSPECT", "NO_DATA", "CROSSTALK", "EDGE")


def psf_flux(exposure: Exposure, x: float, y: float) -> tuple[float, float]:
    """Return the flux of a source by the PSF and its error; NaN unless all its pixels are good."""
    return truth_psf_flux(exposure, x, y, _BAD, None)


def photometry_error_mmag(
    coadd: Exposure, warps: Sequence[tuple[float, Exposure]], x: Floats, y: Floats
) -> Floats:
    """Return coadd less weighted mean of the warps for stars, mmag.

    Parameters
    ----------
    coadd
        The coadd.
    warps
        Weights and direct warps.
    x, y
        Places of isolated constant stars. Those at pixels whose PSF is inexact are left out, NaN.
    """
    inexact = coadd.mask.any("INEXACT_PSF")
    found = np.full(x.size, np.nan)
    for k, (u, v) in enumerate(zip(x, y, strict=True)):
        box = Box.around(u, v, 8)
        if not coadd.box.covers(box) or inexact[box.slices(coadd.xy0)].any():
            continue
        one, error = psf_flux(coadd, u, v)
        each = [(w, psf_flux(e, u, v)[0]) for w, e in warps]
        seen = coadd.components["psf"].contributing(u, v).sum()
        good = [(w, f) for w, f in each if np.isfinite(f)]
        if len(good) == seen and one > 50 * error:
            mean = np.average([f for _, f in good], weights=[w for w, _ in good])
            found[k] = -2500 * np.log10(one / mean)
    return found


def size_error(coadd: Exposure, x: Floats, y: Floats) -> Floats:
    """Return the size of stars over that of the PSF there, less one."""
    inexact = coadd.mask.any("INEXACT_PSF")
    found = np.full(x.size, np.nan)
    for k, (u, v) in enumerate(zip(x, y, strict=True)):
        flux, error = psf_flux(coadd, u, v)
        box = Box.around(u, v, 12)
        if not flux > 100 * error or inexact[box.slices(coadd.xy0)].any():
            continue
        model, wide = coadd.components["psf"].compute_image(u, v)
        star = coadd.image[wide.slices(coadd.xy0)].astype(float)
        moments = adaptive_moments(np.array([star, model]))[0]
        sizes = moments.determinant_radius
        found[k] = sizes[0] / sizes[1] - 1
    return found


def noise_ratios(coadd: Exposure, empty: NDArray[np.bool_], seed: int = 1) -> dict[str, float]:
    """Return the scatter of empty sky in apertures over what variance and covariance say.

    Parameters
    ----------
    coadd
        The coadd.
    empty
        Pixels without sources, shape of the coadd.
    seed
        Of the places.
    """
    covariance = coadd.components["noise_covariance"]
    parts = [(1.0, coadd.image, coadd.variance, covariance)]
    return _aperture_ratios(parts, empty, seed)


def half_difference_ratios(
    warps: Sequence[tuple[float, Exposure]], box: Box, empty: NDArray[np.bool_], seed: int = 1
) -> dict[str, float]:
    """Return the same of one half of the visits less the other: what stays in the sky is gone.

    Parameters
    ----------
    warps
        Weights and direct warps.
    box
        Pixels of the coadd.
    empty
        Pixels without sources or artifacts, shape of the box.
    seed
        Of the places.
    """
    order = np.argsort([-w for w, _ in warps])
    signs = np.where(np.arange(len(warps)) % 4 % 3 == 0, 1.0, -1.0)
    totals = {s: sum(warps[k][0] for k, t in zip(order, signs, strict=True) if t == s)
              for s in (1.0, -1.0)}  # fmt: skip
    parts, there = [], empty.copy()
    for k, sign in zip(order, signs, strict=True):
        weight, exposure = warps[k]
        window = box.slices(exposure.xy0)
        there &= np.isfinite(exposure.image[window]) & ~exposure.mask.any(_BAD)[window]
        parts.append((
            sign * weight / totals[sign], exposure.image[window], exposure.variance[window],
            exposure.components["noise_covariance"],
        ))  # fmt: skip
    return _aperture_ratios(parts, there, seed)


def _aperture_ratios(
    parts: Sequence[tuple[float, Floats, Floats, NoiseCovariance]],
    empty: NDArray[np.bool_],
    seed: int,
) -> dict[str, float]:
    """Return the scatter of Σ f I in apertures over √(Σ f² V c), c the factor of a covariance."""
    rng = np.random.default_rng(seed)
    ny, nx = empty.shape
    ratios = {}
    for radius in _RADII_PIX:
        n = int(radius) + 1
        y, x = np.mgrid[-n : n + 1, -n : n + 1]
        inside = np.hypot(x, y) <= radius
        factors = [covariance.factor(inside.astype(float)) for *_, covariance in parts]
        sums = []
        for _ in range(20000):
            j, i = rng.integers(n + 1, ny - n - 1), rng.integers(n + 1, nx - n - 1)
            window = np.s_[j - n : j + n + 1, i - n : i + n + 1]
            if empty[window][inside].all():
                light, variance = 0.0, 0.0
                for (share, image, plane, _), factor in zip(parts, factors, strict=True):
                    light += share * image[window][inside].sum(dtype=float)
                    variance += share**2 * factor * plane[window][inside].sum(dtype=float)
                sums.append(light / np.sqrt(variance))
        values = np.array(sums)
        wide = np.subtract(*np.percentile(values, [75, 25])) / 1.349 if values.size > 50 else np.nan
        ratios[f"radius {radius:.0f} pix ({values.size})"] = round(float(wide), 4)
    return ratios


def depth_share(
    coadd: Exposure, warps: Mapping[int, tuple[float, Exposure]], n: int = 4000, seed: int = 2
) -> Floats:
    """Return the S/N of a faint point source over that of the mean of all pixels that have data."""
    rng = np.random.default_rng(seed)
    box = coadd.box
    x, y = rng.integers(box.x0, box.x1, n), rng.integers(box.y0, box.y1, n)
    signal, noise = np.zeros(n), np.zeros(n)
    for weight, exposure in warps.values():
        value = exposure.variance[y - exposure.xy0[1], x - exposure.xy0[0]].astype(float)
        there = np.isfinite(value) & (value > 0)
        signal += np.where(there, weight, 0)
        noise += np.where(there, weight**2 * np.nan_to_num(value), 0)
    best = signal / np.sqrt(np.where(noise > 0, noise, np.nan))
    own = 1 / np.sqrt(coadd.variance[y - box.y0, x - box.x0].astype(float))
    return own / best


def as_dict(values: Floats, unit: float = 1.0) -> dict[str, Any]:
    """Return median, its error and the number of values."""
    good = values[np.isfinite(values)] * unit
    if not good.size:
        return {"n": 0}
    scatter = np.subtract(*np.percentile(good, [75, 25])) / 1.349
    return {
        "n": good.size,
        "median": round(float(np.median(good)), 3),
        "error": round(float(1.25 * scatter / np.sqrt(good.size)), 3),
        "scatter": round(float(scatter), 3),
    }
