"""What the global astrometric solution found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]
    Float32: TypeAlias = NDArray[np.float32]
    Ints: TypeAlias = NDArray[np.int32]
    Bools: TypeAlias = NDArray[np.bool_]


class StarFlag(IntFlag):
    """What is special about a star."""

    RESERVED = 1
    """Kept out of the fit of the maps."""
    REFERENCE = 2
    """Tied to the catalogue."""
    REFERENCE_REJECTED = 4
    """In the catalogue, but elsewhere than the observations say."""
    NO_COLOR = 8
    """The median colour stands in for its own."""
    NO_MOTION = 16
    """Proper motion and parallax were not fitted."""
    VARIABLE = 32
    """Scatters more than its errors allow: a double star, a galaxy, a wrong match."""
    NO_OBSERVATION = 64
    """No observation was left."""


@dataclass(frozen=True, eq=False)
class SolvedStars:
    """The S stars of the input, rows alike.

    Parameters
    ----------
    ra_deg, dec_deg
        Barycentric position at `epoch_mjd`; the start where there is no observation.
    pm_ra, pm_dec
        Proper motion, mas/yr, cos dec included; NaN where it was not fitted.
    parallax
        mas; NaN where it was not fitted.
    covariance
        Of (east, north, pm_ra, pm_dec, parallax), mas and mas/yr, (S, 5, 5); NaN for what was not
        fitted. The errors of the maps are in it.
    epoch_mjd
        Time of all positions, MJD TAI.
    n_observations, n_rejected
        Observations that count, and those that were rejected.
    chi2
        Σ rᵀ C⁻¹ r of those that count; expected: 2 n less the parameters.
    dof
        That expectation, with what priors give taken into account.
    flag
        Bits of :class:`StarFlag`.
    """

    ra_deg: Floats
    dec_deg: Floats
    pm_ra: Floats
    pm_dec: Floats
    parallax: Floats
    covariance: Floats
    epoch_mjd: float
    n_observations: Ints
    n_rejected: Ints
    chi2: Floats
    dof: Floats
    flag: Ints


@dataclass(frozen=True, eq=False)
class SolvedVisits:
    """The V visits of the input, rows alike.

    Parameters
    ----------
    solved
        Whether the visit has a solution.
    reason
        Why not; empty if it has.
    group
        Visits that share stars, directly or through others, have one number; -1 without solution.
    floor_mas
        Scatter in each coordinate beside the errors of centroids; NaN without solution.
    dcr
        Shift of stars with colour, (east, north) at the middle of the field, mas/mag, (V, 2).
    dcr_error
        Its errors, (V, 2).
    order
        Of the visit's map.
    offset_arcsec
        How far the start was off at the middle of the field.
    n_observations, n_rejected
        Observations of the fit that count, and those that were rejected.
    """

    solved: Bools
    reason: tuple[str, ...]
    group: Ints
    floor_mas: Floats
    dcr: Floats
    dcr_error: Floats
    order: Ints
    offset_arcsec: Floats
    n_observations: Ints
    n_rejected: Ints


@dataclass(frozen=True, eq=False)
class SolvedImages:
    """Every detector of every visit that has a solution, M rows by visit and then by detector.

    Parameters
    ----------
    visit, detector
        Rows of the input tables.
    error_arcsec
        Expected error of the WCS, rms over the detector and both coordinates together, without
        turbulence that the maps can not follow; where no catalogue ties the visits, relative to the
        frame that they and their stars make together.
    n_stars, n_reserved
        Observations that count in the fit, and those of reserved stars.
    rms_mas, reserved_rms_mas
        Their residuals in each coordinate, rms; NaN without.
    """

    visit: Ints
    detector: Ints
    error_arcsec: Floats
    n_stars: Ints
    n_reserved: Ints
    rms_mas: Floats
    reserved_rms_mas: Floats


@dataclass(frozen=True, eq=False)
class Residuals:
    """Measured less expected places of the N observations of the input, rows alike.

    Parameters
    ----------
    x_deg, y_deg
        Place in the field of the camera, deg; NaN in visits without solution.
    dx_mas, dy_mas
        Residuals along the axes of that field, mas; NaN likewise, and for stars without solution.
    xx, xy, yy
        Covariance of the centroid alone in the same axes, mas².
    used
        Counts: in the fit, or for a reserved star in its own position.
    rejected
        Outlier.
    """

    x_deg: Float32
    y_deg: Float32
    dx_mas: Float32
    dy_mas: Float32
    xx: Float32
    xy: Float32
    yy: Float32
    used: Bools
    rejected: Bools


@dataclass(frozen=True)
class Pass:
    """A pass of the fit.

    Parameters
    ----------
    number
        From 1.
    change_mas
        Rms change of places on the sky.
    chi2_per_dof
        Of the observations that count.
    n_used, n_rejected
        Observations of the fit.
    floor_mas
        Median over the visits.
    iterations
        Of conjugate gradients.
    """

    number: int
    change_mas: float
    chi2_per_dof: float
    n_used: int
    n_rejected: int
    floor_mas: float
    iterations: int


@dataclass(frozen=True, eq=False)
class AstrometrySolution:
    """A global astrometric solution.

    Parameters
    ----------
    wcs
        By (visit, detector), rows of the input tables; for all of `images`.
    images, visits, stars, residuals
        Tables.
    detector_mas, visit_mas
        Size of the terms of each order, 0 to the highest, that the fit found, mas.
    notes
        What could not be done as usual, a sentence each.
    history
        The passes.
    held
        What the data leave open, and what holds it, a sentence each.
    converged
        Whether nothing changed any more in the end.
    """

    wcs: Mapping[tuple[int, int], SkyWcs]
    images: SolvedImages
    visits: SolvedVisits
    stars: SolvedStars
    residuals: Residuals
    detector_mas: Floats
    visit_mas: Floats
    notes: tuple[str, ...]
    history: tuple[Pass, ...]
    held: tuple[str, ...] = ()
    converged: bool = True
