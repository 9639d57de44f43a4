"""Calibration masters: FITS files whose header has CALTYPE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, get_args

from drpflow.config.isr import CalibrationKind
from drpflow.errors import suggest
from drpflow.ingest.formats import read_number
from drpflow.ingest.header_map import HeaderReader, RejectedError
from drpflow.io.headers import card
from drpflow.io.sheets import CalibrationRow

if TYPE_CHECKING:
    from drpflow.data.camera import Camera
    from drpflow.io.headers import FileHeaders, Hdu

KINDS: Final[tuple[str, ...]] = get_args(CalibrationKind)
# These are of one detector; the others may hold for all detectors of a kind.
_OF_ONE_DETECTOR: Final = frozenset({"bias", "dark", "flat", "defects", "ptc"})
_REMEDY: Final = "Correct the header of the calibration"


def calibration_row(file: FileHeaders, camera: Camera) -> CalibrationRow | None:
    """Return the sheet row of a calibration master, or None if the file is none.

    The header cards are CALTYPE (the kind), CCDNUM (the detector, else as the camera's header
    map says), FILTER (flats), MJD-FROM and MJD-END (validity, may be absent), each in the HDU
    of the data or in the primary.

    Raises
    ------
    RejectedError
        If the kind, the detector or the filter is unknown, or the validity is no span of time.
    """
    hdu = next((h for h in file.hdus if "CALTYPE" in h.header), None)
    if hdu is None:
        return None
    data = next((h for h in file.hdus if h.kind != "empty"), hdu)
    kind = str(_card(file, hdu, "CALTYPE")).strip().lower()
    if kind not in KINDS:
        raise _fault(
            file, f"CALTYPE is {kind!r}, which is no kind of calibration{suggest(kind, KINDS)}",
            f"Known kinds: {', '.join(KINDS)}",
        )  # fmt: skip
    start, end = _mjd(file, hdu, "MJD-FROM"), _mjd(file, hdu, "MJD-END")
    if start is not None and end is not None and start >= end:
        raise _fault(file, f"it is valid from MJD {start} until {end}: no span of time", _REMEDY)
    return CalibrationRow(
        kind=kind,
        detector=_detector(file, camera, hdu, kind),
        physical_filter=_filter(file, camera, hdu, kind),
        mjd_from=start,
        mjd_until=end,
        path=str(file.path),
        hdu=data.name or data.index,
    )


def _detector(file: FileHeaders, camera: Camera, hdu: Hdu, kind: str) -> int | None:
    value = _card(file, hdu, "CCDNUM")
    if value is None and "detector" in camera.header:
        value = HeaderReader(camera, file, hdu).value("detector")
    text = "" if value is None else str(value).strip()
    for detector in camera.detectors:
        if text.casefold() == detector.name.casefold() or (
            text.isdigit() and int(text) == detector.id
        ):
            return detector.id
    if text:
        raise _fault(file, f"its detector is {text!r}, which camera {camera.name} lacks", _REMEDY)
    if kind in _OF_ONE_DETECTOR:
        if len(camera.detectors) == 1:
            return camera.detectors[0].id
        raise _fault(file, "it does not say which detector it is for", "Add the card CCDNUM")
    return None


def _filter(file: FileHeaders, camera: Camera, hdu: Hdu, kind: str) -> str:
    if kind != "flat":
        return ""
    given = _card(file, hdu, "FILTER")
    names = [item.physical_filter for item in camera.filters]
    mapped = (
        HeaderReader(camera, file, hdu).text("physical_filter")
        if "physical_filter" in camera.header
        else ""
    )
    for name in (str(given or "").strip(), mapped):
        if name in names:
            return name
    if given is None and len(names) == 1:
        return names[0]
    shown = str(given or "").strip()
    problem = f"its filter is {shown!r}, which camera {camera.name} lacks{suggest(shown, names)}"
    raise _fault(file, problem, f"Correct FILTER in the header; known: {', '.join(names)}")


def _mjd(file: FileHeaders, hdu: Hdu, key: str) -> float | None:
    value = _card(file, hdu, key)
    try:
        return None if value is None else read_number(value)
    except ValueError as fault:
        raise _fault(file, f"{key}: {fault}", _REMEDY) from None


def _card(file: FileHeaders, hdu: Hdu, key: str) -> Any:
    try:
        value = card(hdu.header, key)
        return card(file.primary, key) if value is None else value
    except ValueError as fault:
        raise _fault(file, str(fault), _REMEDY) from None


def _fault(file: FileHeaders, problem: str, remedy: str) -> RejectedError:
    return RejectedError("faulty calibration", file.path, problem, remedy)
