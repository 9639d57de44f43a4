"""makeVisitInfo: a row of the visit sheet becomes the visit-wide metadata of its exposures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.data.visit_info import VisitInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.data.camera import Camera


def make_visit_info(
    row: Mapping[str, str], camera: Camera
) -> tuple[VisitInfo, dict[str, float | int | str]]:
    """Return what is known of a visit as a whole.

    Parameters
    ----------
    row
        Column of the visit sheet to text; no column for what is unknown.
    camera
        Gives the name of the instrument and the observatory.

    Returns
    -------
    visit_info : VisitInfo
        The metadata.
    numbers : dict
        Figures for the status file: airmass and parallactic angle where they are known, and how
        far the recorded airmass is from that of time, place and boresight. A difference of more
        than about 0.05 tells of a wrong clock, site or pointing.

    Raises
    ------
    InputError
        If a value of the row is impossible.
    """
    info = VisitInfo.from_sheet_row(row, camera)
    computed = VisitInfo.from_sheet_row({k: v for k, v in row.items() if k != "airmass"}, camera)
    numbers: dict[str, float | int | str] = {}
    if info.airmass is not None:
        numbers["airmass"] = round(info.airmass, 4)
    if info.parallactic_angle_deg is not None:
        numbers["parallactic_angle_deg"] = round(info.parallactic_angle_deg, 3)
    if info.recorded_airmass is not None and computed.airmass is not None:
        difference = info.recorded_airmass - computed.airmass
        numbers["airmass_recorded_minus_computed"] = round(difference, 4)
    return info, numbers


def stub_visit_info(row: Mapping[str, str], camera: Camera) -> VisitInfo:
    """Return the least that is known of a visit whose row is faulty."""
    return VisitInfo(
        visit=int(row["visit"]),
        instrument=camera.name,
        physical_filter=row.get("physical_filter", ""),
        band=row.get("band", ""),
        night=row.get("night", ""),
        target=row.get("target", ""),
    )
