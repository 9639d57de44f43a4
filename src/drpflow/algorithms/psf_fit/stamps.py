"""Images of stars cut out for the fit, with a noise model that does not follow their noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drpflow.algorithms.psf_fit.neighbors import Neighbors

    Floats: TypeAlias = NDArray[np.float64]
    Bools: TypeAlias = NDArray[np.bool_]
    Ints: TypeAlias = NDArray[np.int64]
    Float32: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stamps:
    """N squares of pixels about stars.

    Parameters
    ----------
    column, row
        Central pixel of each, shape (N,).
    data
        Sky-subtracted values, 0 where not usable, shape (N, n, n) [electron].
    good
        Usable pixels.
    sky_variance
        Variance of a pixel without the star, shape (N,) [electron²].
    per_flux
        Variance per unit of signal [electron]: 1 for electrons at unit response.
    """

    column: Ints
    row: Ints
    data: Floats
    good: Bools
    sky_variance: Floats
    per_flux: float

    def __len__(self) -> int:
        return len(self.column)

    @property
    def half_size(self) -> int:
        """Half the size of the squares, pixels."""
        return self.data.shape[1] // 2

    def model_variance(self, model: Floats, relative_error: float) -> Floats:
        """Return the variance of pixels that hold `model`, (N, n, n).

        Sky noise, photon noise of the *model*, and a relative error of the model. Noise taken
        from the pixels themselves would give those that happen to be low more weight.
        """
        photons = self.per_flux * np.maximum(model, 0)
        return self.sky_variance[:, None, None] + photons + (relative_error * model) ** 2

    def select(self, rows: Bools) -> Stamps:
        """Return some of the stamps."""
        return Stamps(
            self.column[rows],
            self.row[rows],
            self.data[rows],
            self.good[rows],
            self.sky_variance[rows],
            self.per_flux,
        )

    @classmethod
    def joined(cls, parts: Sequence[Stamps]) -> Stamps:
        """Return stamps of one size together; the variance per flux is their mean."""
        column, row, data, good, sky = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("column", "row", "data", "good", "sky_variance")
        )
        per_flux = float(np.mean([part.per_flux for part in parts]))
        return cls(column, row, data, good, sky, per_flux)


def cut(
    image: Float32,
    variance: Float32,
    bad: Bools,
    x: Floats,
    y: Floats,
    half_size: int,
    neighbors: Neighbors | None = None,
) -> Stamps:
    """Cut squares of ``2 half_size + 1`` pixels about the pixels that hold (x, y).

    The light of neighbours is taken off. What lies off the image is not good, nor where the
    neighbours' light is so bright that what is left of it exceeds the noise.
    """
    column, row = (np.floor(np.asarray(v) + 0.5).astype(np.int64) for v in (x, y))
    offsets = np.arange(-half_size, half_size + 1)
    rows, columns = row[:, None] + offsets, column[:, None] + offsets
    ny, nx = image.shape
    inside = ((rows >= 0) & (rows < ny))[:, :, None] & ((columns >= 0) & (columns < nx))[:, None, :]
    index = np.clip(rows, 0, ny - 1)[:, :, None], np.clip(columns, 0, nx - 1)[:, None, :]
    data, noise = image[index].astype(np.float64), variance[index].astype(np.float64)
    good = inside & ~bad[index] & np.isfinite(data) & np.isfinite(noise) & (noise > 0)
    if neighbors is not None:
        light = neighbors.around(x, y, index[0][:, :, 0], index[1][:, 0, :])
        data -= light
        good &= np.square(neighbors.error * light) < noise
    data = np.where(good, data, 0.0)
    noise = np.where(good, noise, np.nan)
    per_flux = _variance_slope(data, noise, good)
    sky = _median(noise - per_flux * data)
    fallback = np.nanmedian(sky) if np.isfinite(sky).any() else 1.0
    sky = np.where(np.isfinite(sky) & (sky > 0), sky, fallback)
    return Stamps(column, row, data, good, np.maximum(sky, 1e-30), per_flux)


def _variance_slope(data: Floats, noise: Floats, good: Bools) -> float:
    """Return d variance / d signal, from the brightest pixels against the rest of each stamp."""
    floor = _median(noise)
    excess = np.where(good, noise - floor[:, None, None], 0.0)
    signal = np.where(good & (data > 0), data, 0.0)
    power = np.square(signal).sum()
    slope = float((excess * signal).sum() / power) if power > 0 else 0.0
    return slope if np.isfinite(slope) and slope > 0 else 0.0


def _median(values: Floats) -> Floats:
    """Return the median of each stamp's numbers, NaN where it has none."""
    flat = values.reshape(len(values), values.shape[1] * values.shape[2])
    found = np.full(len(flat), np.nan)
    some = np.isfinite(flat).any(axis=1)
    if some.any():
        found[some] = np.nanmedian(flat[some], axis=1)
    return found
