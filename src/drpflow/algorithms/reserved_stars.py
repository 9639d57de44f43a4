"""Which stars are held back from every fit.

The sky itself is divided: small cells, chosen by a hash of their numbers, are reserved with all
stars in them. The choice therefore does not change with the pieces in which the sky is worked on,
with the visits that exist, or with a star's identifier; only a star whose mean position crosses
the border of a cell as visits are added can change sides: 0.2 % of them where positions change by
10 mas and cells are 26 arcsec wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.healpix import pixels_of_deg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.associate_isolated_stars import ReserveConfig


def is_reserved(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], config: ReserveConfig
) -> NDArray[np.bool_]:
    """Return which stars are reserved, by their places, shape (N,)."""
    cell = pixels_of_deg(config.cell_order, ra_deg, dec_deg).astype(np.uint64)
    mixed = _hash(_hash(np.uint64(config.seed)) ^ cell)
    # 53 bits fill the mantissa of a float.
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53 < config.fraction)


def _hash(number: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """Return numbers without any pattern: SplitMix64 (Steele et al. 2014, OOPSLA)."""
    value = np.atleast_1d(number) + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
