"""What is known of a frame besides its pixels: source, unit, first WCS, companions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from drpflow.data.sky_wcs import SkyWcs
from drpflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.camera import Camera, Detector
    from drpflow.data.visit_info import VisitInfo

    Image = NDArray[np.float32]


@dataclass(frozen=True)
class FrameContext:
    """What is known of a frame besides its pixels.

    Parameters
    ----------
    source
        Where it came from, for messages.
    unit
        Unit of its pixels; raw frames are in adu.
    pedestal
        Level of a detrended frame where no light fell, in its unit.
    unit_per_adu
        Of a calibrated frame: what one adu was, in its unit; None if unknown.
    wcs, missing
        First WCS, and why there is none; attached to the exposure.
    weight
        Of a detrended frame: inverse variance, unit-2, shape (ny, nx).
    mask
        Of a detrended frame: flags of its own kind, shape (ny, nx).
    """

    source: str = "the raw frame"
    unit: str = "adu"
    wcs: SkyWcs | None = None
    missing: Mapping[str, str] | None = None
    weight: Image | None = None
    mask: NDArray[np.integer] | None = None
    pedestal: float = 0.0
    unit_per_adu: float | None = None


def first_wcs(
    camera: Camera,
    detector: Detector,
    visit_info: VisitInfo,
    header: Mapping[str, Any],
    source: str = "the raw frame",
) -> tuple[SkyWcs | None, dict[str, str]]:
    """Return the WCS to start from, or why there is none.

    Parameters
    ----------
    camera, detector
        The camera says whether its own geometry, placed at the boresight, or the frame's header
        holds the WCS.
    visit_info
        Boresight and position angle; an unknown position angle is taken as 0.
    header
        Cards of the frame.
    source
        The frame, for the reason.

    Returns
    -------
    wcs : SkyWcs or None
    missing : dict
        ``{"wcs": reason}`` if there is none, else empty.
    """
    if camera.wcs_from == "header":
        try:
            wcs = SkyWcs.from_fits_header(header, source)
        except InputError as error:
            return None, {"wcs": error.problem}
        # Where reference stars are looked for follows from the size.
        return replace(wcs, pixel_shape=detector.size_pix), {}
    ra_deg, dec_deg = visit_info.ra_deg, visit_info.dec_deg
    if ra_deg is None or dec_deg is None:
        return None, {"wcs": "the visit sheet gives no boresight"}
    rotation_deg = visit_info.rotation_deg or 0.0
    return SkyWcs.from_camera(camera, detector, ra_deg, dec_deg, rotation_deg), {}


def frame_context(
    camera: Camera,
    detector: Detector,
    visit_info: VisitInfo,
    header: Mapping[str, Any],
    source: str,
    **companions: Any,
) -> FrameContext:
    """Return what camera, visit and header tell of a frame.

    Parameters
    ----------
    camera, detector, visit_info, header, source
        As for :func:`first_wcs`.
    **companions
        ``weight`` and ``mask`` of a detrended frame.

    Raises
    ------
    InputError
        If the header lacks the card with the unit of one adu, or that is no positive number.
    """
    wcs, missing = first_wcs(camera, detector, visit_info, header, source)
    return FrameContext(
        source,
        camera.raw_unit,
        wcs,
        missing,
        pedestal=camera.pedestal,
        unit_per_adu=_unit_per_adu(camera.unit_per_adu_card, header, source),
        **companions,
    )


def _unit_per_adu(card: str | None, header: Mapping[str, Any], source: str) -> float | None:
    if card is None:
        return None
    value = header.get(card)
    if isinstance(value, int | float) and 0 < value < float("inf"):
        return float(value)
    remedy = "Correct `unit_per_adu_card` in the camera file, or the header"
    raise InputError(source, f"{card} is {value!r}, not the unit of one adu", remedy)
