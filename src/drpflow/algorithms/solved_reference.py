"""A reference catalogue of the stars that the global fits of a run have solved, and its instrument.

With it, later visits are tied to that solution, which stays as it is: their zero points to its
standard magnitudes, with the errors of these, and their maps to the places and motions of its stars
with their covariances. What the stars of the solution have in common (its frame, its scale) is
common to the later visits as well, and is in no error of the catalogue. With the stars goes what
the solution has found of the instrument: star flats, passbands, static maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.astrometric_fit.result import StarFlag
from drpflow.algorithms.astrometric_fit.solution import STATIC
from drpflow.algorithms.fgcm.parameters import PASSBAND_SHIFT, SENSITIVITY, STAR_FLAT
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.data.plane_maps import PolynomialMap
from drpflow.data.reference_stars import CORRELATION_COLUMNS, OPTIONAL_COLUMNS, ReferenceStars
from drpflow.data.solved_instrument import HeldMap, HeldParameter
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.data.sky_wcs import SkyWcs

    Columns = Mapping[str, NDArray[Any]]

ASTROMETRY_COLUMNS = (
    *("isolated_star_id", "ra", "dec", "epoch", "flag"),
    *OPTIONAL_COLUMNS,
    *CORRELATION_COLUMNS,
)
"""Columns of ``final_astrometry_stars`` (or ``solved_astrometry_stars``) that are used."""
PHOTOMETRY_COLUMNS = ("isolated_star_id", "band", "mag_std", "mag_err", "variable")
"""Columns of ``fgcm_standard_stars`` that are used."""
# A place that its own observations contradict is no reference, nor is one without any.
_UNFIT = StarFlag.VARIABLE | StarFlag.NO_OBSERVATION


def solved_reference(astrometry: Columns, photometry: Columns) -> ReferenceStars:
    """Return the stars of a solution as a catalogue.

    Parameters
    ----------
    astrometry
        `ASTROMETRY_COLUMNS` of all pieces of the sky.
    photometry
        `PHOTOMETRY_COLUMNS` of all pieces of the sky: a row a star and band.

    Returns
    -------
    ReferenceStars
        Of the stars with a place; fluxes are NaN where there is no standard magnitude, and of
        variable stars. Reserved stars are among them: a fit keeps the same ones out.

    Raises
    ------
    AlgorithmError
        If no star has a place.
    """
    flag = np.asarray(astrometry["flag"], np.int64)
    placed = np.isfinite(astrometry["ra"]) & np.isfinite(astrometry["dec"])
    rows = np.flatnonzero(placed & ((flag & int(_UNFIT)) == 0))
    if not rows.size:
        raise AlgorithmError("no star has a place", {"n_stars": len(flag)})
    stars, first = np.unique(np.asarray(astrometry["isolated_star_id"])[rows], return_index=True)
    rows = rows[first]
    columns: dict[str, Any] = {"id": stars}
    columns |= {n: np.asarray(astrometry[n])[rows] for n in ASTROMETRY_COLUMNS[1:] if n != "flag"}
    bands = np.asarray(photometry["band"], np.str_)
    for band in np.unique(bands).tolist():
        columns |= _fluxes(stars, photometry, np.flatnonzero(bands == band), band)
    return ReferenceStars.from_columns(columns)


def _fluxes(
    stars: NDArray[np.int64], photometry: Columns, rows: NDArray[np.intp], band: str
) -> dict[str, NDArray[np.float64]]:
    """Return flux and error of all stars in a band, nJy."""
    numbers = np.asarray(photometry["isolated_star_id"])[rows]
    at = np.searchsorted(stars, numbers)
    known = at < stars.size
    known[known] = stars[at[known]] == numbers[known]
    known &= ~np.asarray(photometry["variable"], np.bool_)[rows]
    rows, at = rows[known], at[known]
    flux, error = np.full(stars.size, np.nan), np.full(stars.size, np.nan)
    flux[at] = 10 ** (0.4 * (NJY_ZERO_POINT_MAG - np.asarray(photometry["mag_std"], float)[rows]))
    error[at] = flux[at] * np.asarray(photometry["mag_err"], float)[rows] * np.log(10) / 2.5
    return {f"flux_{band}": flux, f"flux_{band}_err": error}


def held_parameters(parameters: Columns) -> tuple[HeldParameter, ...]:
    """Return the parameters of the photometric model that belong to the instrument.

    Throughput and its drift are not among them: dust settles, and stars tell them well.

    Parameters
    ----------
    parameters
        Columns of ``fgcm_parameters``.
    """
    names = np.asarray(parameters["name"], np.str_)
    rows = np.isin(names, (SENSITIVITY, PASSBAND_SHIFT)) | np.char.startswith(names, STAR_FLAT)
    return tuple(
        HeldParameter(
            str(names[row]),
            float(parameters["value"][row]),
            float(parameters["error"][row]),
            str(parameters["physical_filter"][row]),
            int(parameters["epoch"][row]),
            int(parameters["detector"][row]),
            str(parameters["band"][row]),
        )
        for row in np.flatnonzero(rows).tolist()
    )


def held_maps(images: Iterable[tuple[int, float, float, SkyWcs]]) -> tuple[HeldMap, ...]:
    """Return the static maps in WCSs of a solution.

    Parameters
    ----------
    images
        Detector, time (MJD TAI) and WCS of an image, with the error of that [arcsec], which is of
        both coordinates together; in part that of the visit's own map, it is no less than that of
        the static one.
    """
    return tuple(
        HeldMap(detector, mjd, 1e3 * error_arcsec / np.sqrt(2.0), item)
        for detector, mjd, error_arcsec, wcs in images
        for name, item in wcs.stages
        if name == STATIC and isinstance(item, PolynomialMap)
    )
