"""What stars have beside the model of their PSF, in the mean of many: a picture of its errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.psf import Psf

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]

HALF_SIZE_PIX = 10
# Of the peak of the PSF: a star is known no better, so that no bright one is all there is.
_FLOOR = 0.01
_DIGITS = 4


@dataclass(frozen=True, eq=False)
class ResidualStack:
    """The mean of stars less their PSFs, fluxes being one.

    Parameters
    ----------
    stars
        How many.
    mean
        Star over its flux less the model, about the pixel that holds the star, shape (n, n).
        Stars lie anywhere in that pixel, which blurs the picture by a pixel.
    error
        Its standard deviation; infinite where no star has a usable pixel.
    peak
        Brightest pixel of the model, in the mean over the stars.
    """

    stars: int
    mean: Floats
    error: Floats
    peak: float

    @classmethod
    def added(cls, stacks: Iterable[ResidualStack]) -> ResidualStack:
        """Return the mean of several, weighted by their errors; of none, that of no star."""
        given = [s for s in stacks if s.stars]
        if not given:
            return cls.empty()
        mean, error = (np.array([getattr(s, n) for s in given]) for n in ("mean", "error"))
        weight = np.where(np.isfinite(error), error, np.inf) ** -2.0
        stars = np.array([s.stars for s in given])
        total = weight.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            together = (weight * mean).sum(axis=0) / total
            peak = float(np.average([s.peak for s in given], weights=stars))
            return cls(int(stars.sum()), np.where(total > 0, together, 0.0), total**-0.5, peak)

    @classmethod
    def empty(cls) -> Self:
        """Return that of no star."""
        n = 2 * HALF_SIZE_PIX + 1
        return cls(0, np.zeros((n, n)), np.full((n, n), np.inf), float("nan"))

    def to_meta(self) -> dict[str, Any]:
        """Return numbers and lists, of four digits, for the metadata of a table."""
        return {
            "stars": self.stars,
            "size_pix": len(self.mean),
            "peak": _rounded([self.peak])[0],
            "mean": _rounded(self.mean.ravel()),
            "error": _rounded(self.error.ravel()),
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Self:
        """Return what `to_meta` gave."""
        shape = (int(meta["size_pix"]),) * 2
        unknown = {"mean": 0.0, "error": np.inf}
        mean, error = (
            np.array([none if v is None else v for v in meta[name]], float).reshape(shape)
            for name, none in unknown.items()
        )
        peak = float("nan") if meta["peak"] is None else float(meta["peak"])
        return cls(int(meta["stars"]), mean, error, peak)


def joined_meta(parts: Iterable[Mapping[str, ResidualStack]]) -> dict[str, dict[str, Any]]:
    """Return the metadata of stacks by name, added over detectors; none of those without stars."""
    by_name: dict[str, list[ResidualStack]] = {}
    for part in parts:
        for name, stack in part.items():
            by_name.setdefault(name, []).append(stack)
    joined = {name: ResidualStack.added(stacks) for name, stacks in by_name.items()}
    return {name: stack.to_meta() for name, stack in joined.items() if stack.stars}


def _rounded(values: Iterable[float]) -> list[float | None]:
    """Return numbers with few digits, None for what JSON cannot hold."""
    return [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in values]


def stack_residuals(
    image: NDArray[np.float32],
    variance: NDArray[np.float32],
    spoiled: Bools,
    psf: Psf,
    x: ArrayLike,
    y: ArrayLike,
    color: ArrayLike,
    flux: ArrayLike,
) -> ResidualStack:
    """Return the mean of stars less their PSFs on one detector.

    Parameters
    ----------
    image, variance
        Pixels without background and without the neighbours of the stars, shape (ny, nx).
    spoiled
        Pixels that do not count.
    psf
        The model.
    x, y
        Centroids, pixels, shape (N,). Stars whose place or flux is not finite, whose flux is not
        positive or that have no usable pixel are left out.
    color
        Mag; NaN for the model's own colour.
    flux
        By the same model, without aperture correction, in the unit of the image.

    Notes
    -----
    A star weighs by the median noise about it, not by that of each pixel: the latter follows the
    pixel's own light, and would draw the mean below the truth where stars are bright.
    """
    x, y, color, flux = (np.asarray(v, np.float64) for v in (x, y, color, flux))
    rows = np.isfinite(x) & np.isfinite(y) & np.isfinite(flux) & (flux > 0)
    x, y, color, flux = (v[rows] for v in (x, y, color, flux))
    stamps = _stamps(image, variance, spoiled, x, y)
    seen = stamps[2].any(axis=(1, 2))
    if not seen.any():
        return ResidualStack.empty()
    x, y, color, flux, data, noise, good = (v[seen] for v in (x, y, color, flux, *stamps))
    reference = psf.color_ref
    of_color = None if reference is None else np.where(np.isfinite(color), color, reference)
    model = _resized(psf.compute_images(x, y, of_color)[0])
    scale = flux[:, None, None]
    residual = np.where(good, data / scale - model, 0.0)
    peaks = model.max(axis=(1, 2))
    typical = np.nanmedian(np.where(good, noise, np.nan), axis=(1, 2), keepdims=True)
    weight = good / (typical / scale**2 + (_FLOOR * peaks[:, None, None]) ** 2)
    total = weight.sum(axis=0)
    spread = (np.square(weight) * np.where(good, noise, 0.0) / scale**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(total > 0, (weight * residual).sum(axis=0) / total, 0.0)
        error = np.where(total > 0, np.sqrt(spread) / total, np.inf)
    return ResidualStack(len(x), mean, error, float(peaks.mean()))


def _stamps(
    image: NDArray[np.float32], variance: NDArray[np.float32], spoiled: Bools, x: Floats, y: Floats
) -> tuple[Floats, Floats, Bools]:
    """Return values, variances and usability of the pixels about stars, shape (N, n, n)."""
    offsets = np.arange(-HALF_SIZE_PIX, HALF_SIZE_PIX + 1)
    ny, nx = image.shape
    # As in Box.around: halves belong to the next pixel.
    rows, columns = (np.floor(v + 0.5).astype(np.int64)[:, None] + offsets for v in (y, x))
    inside = ((rows >= 0) & (rows < ny))[:, :, None] & ((columns >= 0) & (columns < nx))[:, None, :]
    at = np.clip(rows, 0, ny - 1)[:, :, None], np.clip(columns, 0, nx - 1)[:, None, :]
    data, noise = image[at].astype(np.float64), variance[at].astype(np.float64)
    good = inside & ~spoiled[at] & np.isfinite(data) & np.isfinite(noise) & (noise > 0)
    return np.where(good, data, 0.0), noise, good


def _resized(images: Floats) -> Floats:
    """Return the middle of images of the PSF, or what lies in the middle of zeros."""
    half = images.shape[1] // 2
    if half >= HALF_SIZE_PIX:
        cut = slice(half - HALF_SIZE_PIX, half + HALF_SIZE_PIX + 1)
        return images[:, cut, cut]
    add = HALF_SIZE_PIX - half
    return np.pad(images, ((0, 0), (add, add), (add, add)))
