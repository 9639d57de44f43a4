"""Errors of the positions of extended sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]
    Float64 = NDArray[np.float64]

# A size that exceeds the PSF's by less than this many standard deviations is the PSF's.
_SIGNIFICANT = 2.0
# A measured response below this share of the PSF's is noise.
_LEAST_RESPONSE = 0.2


def extended_position_errors(columns: Mapping[str, NDArray[Any]], response: Float64) -> Columns:
    """Return the errors of positions with the size of the sources taken into account.

    A source that is broader than the PSF answers less to a shift of the PSF model than a point
    source of the same PSF flux does: its position is less certain by the ratio of the responses.
    Without this the pulls of galaxies are 1.5 to 2 wide.

    Parameters
    ----------
    columns
        Errors of positions for point sources, and moments; columns of the star table.
    response
        Response of each source over that of a point source of its PSF flux, shape (n,).

    Returns
    -------
    dict
        ``xErr``, ``yErr``, ``x_y_Cov``, larger where the size exceeds that of the PSF.
    """
    size, of_psf = columns["ixx"] + columns["iyy"], columns["ixxPSF"] + columns["iyyPSF"]
    error = np.hypot(columns["ixxErr"], columns["iyyErr"])
    with np.errstate(invalid="ignore"):
        broad = ~columns["shape_flag"] & (size - of_psf > _SIGNIFICANT * error)
    factor = np.ones(size.size)
    factor[broad] = 1 / np.clip(np.nan_to_num(response[broad], nan=1.0), _LEAST_RESPONSE, 1)
    return {
        "xErr": (columns["xErr"] * factor).astype(np.float32),
        "yErr": (columns["yErr"] * factor).astype(np.float32),
        "x_y_Cov": (columns["x_y_Cov"] * factor**2).astype(np.float32),
    }
