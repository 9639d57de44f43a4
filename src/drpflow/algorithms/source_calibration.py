"""Columns of sources that follow from a WCS or a zero point: sky positions and fluxes in nJy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs

    Columns = Mapping[str, NDArray[Any]]

POSITIONS = ("ra", "dec", "raErr", "decErr", "ra_dec_Cov")
"""Columns that :func:`calibrate_positions` makes."""
FLUXES = {"psfFlux": "psfFlux", "calibFlux": "normCompTophatFlux"}
"""Calibrated fluxes and the instrumental ones that they are from."""


def calibrate_positions(columns: Columns, wcs: SkyWcs | None) -> dict[str, NDArray[Any]]:
    """Return positions on the sky with errors, NaN without a WCS.

    The covariance of a position is J C Jᵀ, C that of the centroid and J the Jacobian of the WCS;
    the error of the WCS itself is not in it. ``raErr`` and ``ra_dec_Cov`` hold cos dec.
    """
    x, y = columns["x"], columns["y"]
    if wcs is None:
        return {name: np.full(len(x), np.nan) for name in POSITIONS}
    ra, dec = wcs.pixel_to_world_values(x, y)
    jacobian = wcs.linearize(x, y) / 3600.0
    covariance = np.empty((len(x), 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = columns["xErr"] ** 2, columns["yErr"] ** 2
    covariance[:, 0, 1] = covariance[:, 1, 0] = columns["x_y_Cov"]
    on_sky = jacobian @ covariance @ jacobian.swapaxes(1, 2)
    return {
        "ra": ra,
        "dec": dec,
        "raErr": np.sqrt(on_sky[:, 0, 0]),
        "decErr": np.sqrt(on_sky[:, 1, 1]),
        "ra_dec_Cov": on_sky[:, 0, 1],
    }


def calibrate_fluxes(columns: Columns, photo_calib: PhotoCalib | None) -> dict[str, NDArray[Any]]:
    """Return fluxes in nJy with errors, NaN without a zero point; its own error is not in them."""
    found = {}
    for name, instrumental in FLUXES.items():
        for suffix in ("", "Err"):
            flux = columns[f"{instrumental}_instFlux{suffix}"]
            found[name + suffix] = (
                np.full(len(flux), np.nan)
                if photo_calib is None
                else photo_calib.flux_to_njy(flux, columns["x"], columns["y"])
            )
    return found


def reference_offsets(
    columns: Columns, reference: ReferenceStars | None
) -> dict[str, NDArray[np.float32]]:
    """Return how far sources lie from the reference stars that they were matched with, arcsec.

    Parameters
    ----------
    columns
        Sources with ``ra``, ``dec`` and ``reference_id``, 0 for none.
    reference
        Stars at the epoch of the exposure; those that are not among them give NaN.
    """
    east, north = (np.full(len(columns["ra"]), np.nan, np.float32) for _ in range(2))
    if reference is not None and len(reference):
        order = np.argsort(reference.id, kind="stable")
        wanted = np.asarray(columns["reference_id"])
        place = np.minimum(np.searchsorted(reference.id[order], wanted), len(order) - 1)
        found = order[place]
        known = (reference.id[found] == wanted) & (wanted != 0)
        turn = (columns["ra"] - reference.ra[found] + 180.0) % 360.0 - 180.0
        cosine = np.cos(np.radians(reference.dec[found]))
        east[known] = (3600.0 * turn * cosine)[known]
        north[known] = (3600.0 * (columns["dec"] - reference.dec[found]))[known]
    return {"reference_offset_ra": east, "reference_offset_dec": north}
