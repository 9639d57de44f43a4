"""From frames to visits: one row a visit, one row a detector image, no contradictions."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drpflow.data.visit_info import VisitInfo
from drpflow.ingest.header_map import RejectedError
from drpflow.io.sheets import ExposureRow, VisitRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drpflow.data.camera import Camera
    from drpflow.ingest.frame import Frame
    from drpflow.ingest.scan import Scan

# How far detectors of one visit may disagree. Shutters open a detector at a time, and some
# instruments write the time or pointing of each; beyond these they are not one visit.
MAX_EXPOSURE_TIME_RATIO: Final = 1.02
MAX_TIME_APART_S: Final = 30.0
MAX_POINTING_APART_DEG: Final = 0.02


@dataclass(frozen=True)
class Survey:
    """The rows of the visit and exposure sheets."""

    visits: Sequence[VisitRow] = ()
    exposures: Sequence[ExposureRow] = ()


def assemble(scan: Scan, kept: Survey, camera: Camera) -> Survey:
    """Group accepted frames into visits, beside the rows that earlier ingests left.

    A frame whose visit and detector are taken already, or that contradicts the rest of its
    visit, moves from the accepted to the rejected ones.

    Parameters
    ----------
    scan
        What was found; changed.
    kept
        Rows of frames in other folders. They stay as they are, and new frames must agree.
    camera
        The camera.

    Returns
    -------
    Survey
        All rows, old and new.
    """
    kept_visits = {row.visit: row for row in kept.visits}
    taken = {(row.visit, row.detector): row.path for row in kept.exposures}
    by_visit: dict[int, list[Frame]] = defaultdict(list)
    for frame in _without_duplicates(scan, taken):
        by_visit[frame.visit.visit].append(frame)
    visits, accepted = dict(kept_visits), []
    for number, frames in by_visit.items():
        reference = kept_visits.get(number) or _reference(frames)
        agreeing = _agreeing(scan, frames, reference)
        accepted += agreeing
        if number not in kept_visits:
            first = min(agreeing, key=lambda f: f.detector)
            visits[number] = _completed(scan, first.visit, camera)
    scan.frames = accepted
    new = (
        ExposureRow(f.visit.visit, f.detector, f.path, f.hdu, f.weight_path, f.mask_path)
        for f in accepted
    )
    return Survey(tuple(visits.values()), (*kept.exposures, *new))


def _without_duplicates(scan: Scan, taken: dict[tuple[int, int], str]) -> Iterable[Frame]:
    for frame in scan.frames:
        key = frame.visit.visit, frame.detector
        if key in taken:
            problem = f"visit {key[0]} detector {key[1]} is given by {taken[key]} already"
            _reject(scan, frame, "duplicate", problem, "Take one of the two files away")
        else:
            taken[key] = frame.path
            yield frame


def _reference(frames: Sequence[Frame]) -> VisitRow:
    """Return the row that most frames of a visit agree with in filter and exposure time."""
    votes = Counter((f.visit.physical_filter, round(f.visit.exposure_time_s, 1)) for f in frames)
    # Counter.most_common keeps the order of first sight among equals, and frames come by path.
    winner = votes.most_common(1)[0][0]
    return next(
        f.visit
        for f in frames
        if (f.visit.physical_filter, round(f.visit.exposure_time_s, 1)) == winner
    )


def _agreeing(scan: Scan, frames: Sequence[Frame], reference: VisitRow) -> list[Frame]:
    agreeing = []
    for frame in frames:
        fault = disagreement(frame.visit, reference)
        if fault:
            problem = f"it disagrees with the other detectors of visit {reference.visit}: {fault}"
            remedy = "Correct the headers, or the way in which 'header: visit:' is read"
            _reject(scan, frame, "contradicts its visit", problem, remedy)
        else:
            agreeing.append(frame)
    return agreeing


def disagreement(row: VisitRow, other: VisitRow) -> str:
    """Return in what two rows cannot be of one visit, or ``""``."""
    if row.physical_filter != other.physical_filter:
        return f"filter {row.physical_filter}, not {other.physical_filter}"
    times = sorted((row.exposure_time_s, other.exposure_time_s))
    if times[1] > MAX_EXPOSURE_TIME_RATIO * times[0]:
        return f"exposure time {row.exposure_time_s:g} s, not {other.exposure_time_s:g} s"
    apart_s = abs(row.mjd - other.mjd) * 86_400.0
    if apart_s > MAX_TIME_APART_S:
        return f"its time is {apart_s:.0f} s away"
    apart_deg = _separation_deg(row, other)
    if apart_deg > MAX_POINTING_APART_DEG:
        return f"its pointing is {apart_deg:.3f} degrees away"
    return ""


def _separation_deg(row: VisitRow, other: VisitRow) -> float:
    """Return the angle between two boresights (haversine formula)."""
    from math import asin, cos, degrees, radians, sin, sqrt

    dec, dec2 = radians(row.dec_deg), radians(other.dec_deg)
    half_ra = radians(row.ra_deg - other.ra_deg) / 2
    squared = sin((dec - dec2) / 2) ** 2 + cos(dec) * cos(dec2) * sin(half_ra) ** 2
    return degrees(2 * asin(min(1.0, sqrt(squared))))


def _completed(scan: Scan, row: VisitRow, camera: Camera) -> VisitRow:
    """Compute airmass and hour angle where headers lack them and the place is known."""
    site = camera.observatory
    if None not in {row.airmass, row.hour_angle_deg} or site.latitude_deg is None:
        return row
    info = VisitInfo(
        row.visit,
        mjd=row.mjd,
        ra_deg=row.ra_deg,
        dec_deg=row.dec_deg,
        recorded_airmass=row.airmass,
        recorded_hour_angle_deg=row.hour_angle_deg,
        longitude_deg=site.longitude_deg,
        latitude_deg=site.latitude_deg,
    )
    if info.altitude_deg is not None and info.altitude_deg < 0:
        scan.notes[
            f"airmass: the pointing is below the horizon of {site.name or 'the observatory'}; "
            "check mjd, pointing and observatory in the camera file"
        ] += 1
    return row._replace(airmass=info.airmass, hour_angle_deg=info.hour_angle_deg)


def _reject(scan: Scan, frame: Frame, category: str, problem: str, remedy: str) -> None:
    scan.reject(frame.path, frame.hdu, RejectedError(category, Path(frame.path), problem, remedy))
