"""The detections of stars, and what is told of the visits that they are from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MotionVisits:
    """Visits, V rows: a row for each astrometric solution that a visit has a part in.

    Parameters
    ----------
    visit
        Number of the visit.
    mjd
        Middle of the exposure, TAI.
    band
        Row of the bands.
    floor_mas
        Scatter of positions beside the errors of their centroids.
    refraction_mas
        How much farther east and north a star is seen for each magnitude that it is redder, (V, 2).
    refraction_err_mas
        Its errors, (V, 2).
    """

    visit: Integers
    mjd: Floats
    band: Integers
    floor_mas: Floats
    refraction_mas: Floats
    refraction_err_mas: Floats

    def __len__(self) -> int:
        return self.visit.size


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections sorted by star, N rows.

    Parameters
    ----------
    star, visit
        Rows of the stars and of the visits.
    ra, dec
        Where they are, degrees.
    covariance_mas2
        Of the centroid on the sky: east-east, east-north, north-north, (N, 3).
    wcs_mas
        Error of a coordinate by the WCS.
    flux_njy, flux_err_njy
        PSF flux.
    """

    star: Integers
    visit: Integers
    ra: Floats
    dec: Floats
    covariance_mas2: Floats
    wcs_mas: Floats
    flux_njy: Floats
    flux_err_njy: Floats

    def __len__(self) -> int:
        return self.star.size

    def select(self, rows: NDArray[np.bool_]) -> Detections:
        """Return some of the rows."""
        return Detections(*(getattr(self, f.name)[rows] for f in fields(self)))


def sky_covariance(
    x_err_pix: Floats, y_err_pix: Floats, xy_cov_pix2: Floats, matrix_deg: Floats
) -> Floats:
    """Return covariances of centroids on the sky, mas², shape (N, 3).

    Parameters
    ----------
    x_err_pix, y_err_pix, xy_cov_pix2
        Of the centroids, shape (N,).
    matrix_deg
        East and north of a pixel along x and y, shape (N, 2, 2).
    """
    m = matrix_deg * 3.6e6
    xx, yy = np.square(x_err_pix, dtype=float), np.square(y_err_pix, dtype=float)
    pairs = ((0, 0), (0, 1), (1, 1))
    return np.stack(
        [
            m[:, i, 0] * m[:, j, 0] * xx
            + (m[:, i, 0] * m[:, j, 1] + m[:, i, 1] * m[:, j, 0]) * xy_cov_pix2
            + m[:, i, 1] * m[:, j, 1] * yy
            for i, j in pairs
        ],
        axis=1,
    )
