"""What a run has measured of positions about a piece of the sky, and what was made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.astrometric_tables import Observations, Stars
    from drpflow.data.camera import Camera
    from drpflow.data.component_table import ComponentTable
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.solved_instrument import HeldMap
    from drpflow.data.star_color import ColorMeaning
    from drpflow.data.visit_info import VisitInfo

    Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class VisitInput:
    """What is known of a visit.

    Parameters
    ----------
    info
        Its metadata.
    boresight_deg
        Right ascension, declination and rotation as its first WCSs tell; NaN where they do not.
    wcs
        First WCS of each detector that was read out; None where there is none.
    """

    info: VisitInfo
    boresight_deg: tuple[float, float, float]
    wcs: Mapping[int, SkyWcs | None]

    @property
    def pointing_deg(self) -> tuple[float, float, float]:
        """Right ascension, declination and rotation: as fitted, else as recorded; else NaN."""
        if np.isfinite(self.boresight_deg).all():
            return self.boresight_deg
        recorded = (self.info.ra_deg, self.info.dec_deg, self.info.rotation_deg)
        ra, dec, rotation = (float("nan") if v is None else float(v) for v in recorded)
        return ra, dec, rotation

    @property
    def lacks(self) -> str:
        """What is missing for an astrometric solution, or an empty text."""
        if self.info.mjd is None:
            return "its time is unknown"
        if not np.isfinite(self.pointing_deg).all():
            return "none of its detectors has a WCS, and its pointing or rotation is not recorded"
        return ""


@dataclass(frozen=True, eq=False)
class AstrometricSurvey:
    """What a run has measured about a piece of the sky: all that solveAstrometry is given.

    Parameters
    ----------
    camera
        The camera.
    visits
        What is known of each visit, by number.
    unreadable
        Why other visits could not be read.
    observations
        Detections; ``visit`` counts `visits`, ``detector`` the detectors of the camera.
    stars
        Isolated stars on these visits, without reference.
    owned
        Which of them the piece holds, shape (S,); the others are those of its neighbours.
    color
        What the stars' colours are.
    references
        Reference stars, None without a catalogue.
    maps
        Static maps of the earlier solution of which the reference stars are; none with another
        catalogue.
    """

    camera: Camera
    visits: Sequence[VisitInput]
    unreadable: Mapping[int, str]
    observations: Observations
    stars: Stars
    owned: NDArray[np.bool_]
    color: ColorMeaning
    references: ReferenceStars | None
    maps: tuple[HeldMap, ...] = ()


@dataclass(frozen=True, eq=False)
class SolvedPiece:
    """The astrometric solution of a piece of the sky, as either fit of it stores it.

    Parameters
    ----------
    wcs
        ``solved_astrometry_wcs`` or ``final_astrometry_wcs`` by visit.
    stars, visits, residuals
        Columns of ``solved_astrometry_stars``, ``…_visits`` and ``…_residuals``, or of those that
        begin with ``final``, of what the piece holds; none stand for what is missing.
    notes
        What could not be done as usual, a sentence each.
    held
        What the data leave open, and what holds it, a sentence each.
    reference_color
        Colour of the star for which the WCSs hold, mag; NaN where there is no solution.
    color_bands
        Bands between which it is; none if that is not known.
    method
        How it was made, as the configuration names it; empty if that is not known.
    """

    wcs: Mapping[int, ComponentTable]
    stars: Columns
    visits: Columns
    residuals: Columns
    notes: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    reference_color: float = float("nan")
    color_bands: tuple[str, ...] = ()
    method: str = ""


@dataclass(frozen=True, eq=False)
class SecondSurvey:
    """What finalizeAstrometry is given.

    Parameters
    ----------
    survey
        The survey with final centroids; first WCSs are those of the first solution.
    first_centroids
        The same detections, row by row, with the centroids of the first solution.
    n_lost
        Detections of the first solution without a final centroid.
    solved
        The first solution.
    without
        Why visits have no final centroid; theirs are those of the first solution.
    """

    survey: AstrometricSurvey
    first_centroids: Observations
    n_lost: int
    solved: SolvedPiece
    without: Mapping[int, str] = field(default_factory=dict)
