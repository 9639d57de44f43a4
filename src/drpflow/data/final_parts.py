"""What the tasks of the second look have made of a visit, as updateVisitSummary is given it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.background import Background
    from drpflow.data.camera import Camera
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.transmission import TransmissionCurve
    from drpflow.data.visit_info import VisitInfo

    Columns: TypeAlias = Mapping[str, NDArray[Any]]
    Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class PieceWcs:
    """The WCS of a detector from one piece of the sky.

    Parameters
    ----------
    wcs
        None if that piece has none.
    reason
        Why not.
    error_arcsec
        As the solution states it.
    n_stars
        Observations on the detector that made the fit.
    """

    wcs: SkyWcs | None
    reason: str = ""
    error_arcsec: float = _NAN
    n_stars: int = 0


@dataclass(frozen=True, eq=False)
class FinalParts:
    """What the tasks before have made of a detector.

    Parameters
    ----------
    components
        ``psf``, ``ap_corr``, ``photo_calib``, ``valid_polygon``, ``detector``; by name.
    missing
        Why components are missing, also ``background``.
    pieces
        WCSs by piece of the sky.
    preliminary
        WCS of ``initial_visit_summary``, None if there is none.
    rescued_error_arcsec
        Its stated error where it is not the detector's own, else NaN.
    background
        The final one, None if there is none.
    stars
        Columns of ``final_characterization_stars`` of the detector, of no rows if it has none;
        no columns if they cannot be read.
    n_photom_star
        Stars behind the zero point.
    labels
        ``zero_point_err``, ``offset_err``, ``zero_point_flag``, ``psf_source``, ``ap_corr_source``.
    """

    components: Mapping[str, Any]
    missing: Mapping[str, str] = field(default_factory=dict)
    pieces: Mapping[int, PieceWcs] = field(default_factory=dict)
    preliminary: SkyWcs | None = None
    rescued_error_arcsec: float = _NAN
    background: Background | None = None
    stars: Columns = field(default_factory=dict)
    n_photom_star: int = 0
    labels: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FinalVisit:
    """A visit with its detectors.

    Parameters
    ----------
    info
        Metadata.
    camera
        Geometry and filters.
    detectors
        All detectors that were read out, by id.
    order
        HEALPix order of the pieces of the sky of the WCSs.
    atmosphere
        Transmission of the air, None if there is none.
    no_atmosphere
        Why not.
    curves
        Wavelengths [nm] and throughput by detector; empty if the camera file tells none.
    references
        Reference stars at the epoch of their catalogue, None without.
    """

    info: VisitInfo
    camera: Camera
    detectors: Mapping[int, FinalParts]
    order: int
    atmosphere: TransmissionCurve | None = None
    no_atmosphere: str = ""
    curves: Mapping[int, Curve] = field(default_factory=dict)
    references: ReferenceStars | None = None
