"""Where the astrometric solution says that stars are, and how well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.final_psf import PlacePriorConfig
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]

_NORMAL = 1.4826


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predicted places, N of them; NaN where there is none.

    Parameters
    ----------
    x, y
        Pixels.
    sigma
        Their standard deviation along each axis, pixels.
    """

    x: Floats
    y: Floats
    sigma: Floats

    @classmethod
    def nowhere(cls, number: int) -> Predicted:
        """Return the answer where there is no solution."""
        unknown = np.full(number, np.nan)
        return cls(unknown, unknown, unknown)


def predict(
    ra_deg: Floats, dec_deg: Floats, error_mas: Floats, wcs: SkyWcs | None, wcs_error_arcsec: float
) -> Predicted:
    """Return the pixels of stars.

    Parameters
    ----------
    ra_deg, dec_deg
        Their places at the time of the exposure, NaN if unknown, shape (N,).
    error_mas
        Standard deviation of each coordinate.
    wcs
        Of the detector, from the astrometric solution; None without.
    wcs_error_arcsec
        Its error, both coordinates together.
    """
    if wcs is None:
        return Predicted.nowhere(len(ra_deg))
    x, y = (np.array(v, float, ndmin=1) for v in wcs.world_to_pixel_values(ra_deg, dec_deg))
    known = np.isfinite(x) & np.isfinite(y)
    error = wcs_error_arcsec / np.sqrt(2) if np.isfinite(wcs_error_arcsec) else 0.0
    sigma = np.full(x.shape, np.nan)
    if known.any():
        scale = wcs.pixel_scale_arcsec(np.median(x[known]), np.median(y[known]))
        sigma = np.hypot(np.nan_to_num(error_mas) / 1e3, error) / scale
    return Predicted(x, y, np.where(known, sigma, np.nan))


def with_own_error(
    predicted: Mapping[int, Predicted],
    measured: Mapping[int, tuple[Floats, Floats, Floats]],
    config: PlacePriorConfig,
) -> dict[int, Predicted]:
    """Return predictions with the error that they are seen to have, offsets taken off.

    Turbulence, refraction by colour and faults of the solution are in what centroids of the
    better half of the stars scatter beyond their noise, the same in the whole visit. A constant
    offset of a detector is taken off.

    Parameters
    ----------
    predicted
        By detector.
    measured
        x, y and their standard deviation, from the first look, pixels.
    config
        Limits.
    """
    shifted, off, noise = {}, [], []
    for key, p in predicted.items():
        x, y, sigma = measured[key]
        dx, dy = x - p.x, y - p.y
        known = np.isfinite(dx) & np.isfinite(dy) & np.isfinite(sigma)
        if not known.any():
            continue
        good = known & (sigma <= np.median(sigma[known]))
        shift = np.median(dx[good]), np.median(dy[good])
        if np.hypot(*shift) > config.max_offset_pix:
            continue
        shifted[key] = Predicted(p.x + shift[0], p.y + shift[1], p.sigma)
        off += [dx[good] - shift[0], dy[good] - shift[1]]
        noise += [np.square(sigma[good]), np.square(sigma[good])]
    number = sum(map(len, off)) // 2
    if number < config.min_stars:
        return {key: Predicted.nowhere(len(p.x)) for key, p in predicted.items()}
    spread = _NORMAL * float(np.median(np.abs(np.concatenate(off))))
    excess = spread**2 - float(np.median(np.concatenate(noise)))
    floor = max(config.floor_pix, float(np.sqrt(max(excess, 0.0))))
    return {
        key: Predicted(s.x, s.y, np.hypot(s.sigma, floor))
        if (s := shifted.get(key)) is not None
        else Predicted.nowhere(len(p.x))
        for key, p in predicted.items()
    }
