"""One image of one detector: everything that its headers tell, checked against the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from drpflow.errors import suggest
from drpflow.ingest.formats import SECONDS_PER_DAY, night_of, tai_minus_utc_s, to_tai_middle
from drpflow.ingest.header_map import HeaderReader, RejectedError
from drpflow.io.sheets import VisitRow
from drpflow.io.units import normalize_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.data.camera import Amplifier, Camera, Detector, Section
    from drpflow.io.headers import FileHeaders, Hdu

# Words that headers use for frames of the sky.
_SCIENCE: Final = frozenset({"", "science", "object", "light", "light frame", "sky", "target",
                             "standard", "survey"})  # fmt: skip
# Derived visit numbers count seconds from here, 2000 January 1: they stay below 2³¹ until 2068.
_FIRST_VISIT_MJD: Final = 51_544.0
# A raw array may be this much larger than the sections that the camera file names (prescans).
_UNNAMED_PIXELS: Final = 1.05
_MJD_RANGE: Final = (15_000.0, 100_000.0)


@dataclass(frozen=True)
class Frame:
    """One accepted science frame.

    Parameters
    ----------
    path, hdu
        Where it lies, as for the sheet.
    detector
        Detector id.
    visit
        What its headers tell about the visit, as a row of the visit sheet.
    weight_path, mask_path
        Its companion files, or ``""``.
    """

    path: str
    hdu: int
    detector: int
    visit: VisitRow
    weight_path: str = ""
    mask_path: str = ""


def read_frame(reader: HeaderReader, shown_path: str, detector: Detector) -> Frame:
    """Return the science frame that a reader's HDU holds.

    Parameters
    ----------
    reader
        The headers of the frame.
    shown_path
        Its path as the sheet shall have it.
    detector
        Its detector, see `find_detector`.

    Raises
    ------
    RejectedError
        Naming what is missing, unreadable, or at odds with the camera file.
    """
    _check_unit(reader)
    physical_filter, band = _filter(reader)
    exposure_time_s = reader.number("exposure_time_s")
    if exposure_time_s <= 0:
        raise _bad_value(reader, "exposure_time_s", exposure_time_s, "a positive number of seconds")
    mjd = _tai_middle(reader, exposure_time_s)
    ra_deg, dec_deg = _pointing(reader)
    row = VisitRow(
        visit=_visit(reader, mjd),
        night=reader.text("night") or _night(reader.camera, mjd),
        physical_filter=physical_filter,
        band=band,
        exposure_time_s=exposure_time_s,
        mjd=mjd,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        rotation_deg=reader.optional_number("rotation_deg"),
        airmass=reader.optional_number("airmass"),
        hour_angle_deg=_wrap(reader.optional_number("hour_angle_deg")),
        temperature_c=reader.optional_number("temperature_c"),
        pressure_hpa=reader.optional_number("pressure_hpa"),
        humidity_percent=reader.optional_number("humidity_percent"),
        target=reader.text("target"),
    )
    return Frame(shown_path, reader.hdu.index, detector.id, row)


def check_instrument(reader: HeaderReader) -> None:
    """Refuse a frame of another camera, where the header map tells the instrument.

    Raises
    ------
    RejectedError
        If `instrument` does not come out as the camera's name.
    """
    name = reader.text("instrument")
    if name and name != reader.camera.name:
        raise RejectedError(
            "other instrument",
            reader.file.path,
            f"its instrument is {name!r}, not {reader.camera.name}",
            "Ingest it with the file of its own camera",
        )


def check_is_science(reader: HeaderReader) -> None:
    """Refuse bias, dark, flat and other frames that are not of the sky.

    Raises
    ------
    RejectedError
        Saying what the frame is and what to do with it.
    """
    kind = reader.text("observation_type")
    if kind.lower() in _SCIENCE:
        return
    exposure = reader.optional_number("exposure_time_s")
    length = f" of {exposure:g} s" if exposure else ""
    raise RejectedError(
        "not a science frame",
        reader.file.path,
        f"not a science frame: observation type {kind!r}{length}",
        "It can go into a calibration: combine such frames into a master whose header has "
        "CALTYPE, and give its folder with --calibrations",
    )


def find_detector(reader: HeaderReader) -> Detector:
    """Return the detector that a frame belongs to.

    Raises
    ------
    RejectedError
        If the header has no detector, or one that the camera lacks.
    """
    camera = reader.camera
    if "detector" not in camera.header:
        return _detector_by_hdu(reader)
    value = reader.text("detector")
    if not value:
        raise reader.missing("detector")
    for detector in camera.detectors:
        # astropy writes EXTNAME in capitals, whatever the camera calls its detectors.
        if value.casefold() == detector.name.casefold() or _is_number(value, detector.id):
            return detector
    names = [d.name for d in camera.detectors]
    raise RejectedError(
        "unknown detector",
        reader.file.path,
        f"detector {value!r} is not in camera {camera.name}{suggest(value, names)}",
        f"Add it to 'detectors:', translate it under 'header: detector: values:', or pass it "
        f"over with 'ignore_hdus:'; known: {_some(names)}",
    )


def _is_number(text: str, number: int) -> bool:
    return text.isdigit() and int(text) == number


def _detector_by_hdu(reader: HeaderReader) -> Detector:
    """Return the camera's only detector, or the one that names the HDU as an amplifier's."""
    camera, hdu = reader.camera, reader.hdu
    if len(camera.detectors) == 1:
        return camera.detectors[0]
    for detector in camera.detectors:
        if any(is_amplifier_hdu(amp, hdu) for amp in detector.amplifiers):
            return detector
    raise reader.missing("detector")


def is_amplifier_hdu(amplifier: Amplifier, hdu: Hdu) -> bool:
    """Tell whether an HDU is the one that an amplifier states as its own."""
    own = amplifier.raw_hdu
    if isinstance(own, int):
        return own == hdu.index
    return own is not None and own.upper() == hdu.name.upper()


def check_shape(camera: Camera, detector: Detector, file: FileHeaders, hdus: Sequence[Hdu]) -> None:
    """Compare the size of a frame with what the camera file says.

    Parameters
    ----------
    camera, detector
        The camera and the detector.
    file
        The file.
    hdus
        The image; or those of all amplifiers, where each has its own.

    Raises
    ------
    RejectedError
        If the size fits neither the raw nor the assembled detector.
    """
    for hdu in hdus:
        ny, nx = hdu.shape
        amps = [a for a in detector.amplifiers if a.raw_hdu is None or is_amplifier_hdu(a, hdu)]
        raw = _raw_extent(amps)
        whole = detector.size_pix
        if detector.raw_size_pix is not None:
            fits = (nx, ny) == detector.raw_size_pix
        elif raw == whole:
            fits = (nx, ny) == whole
        else:
            fits = all(b <= n <= b * _UNNAMED_PIXELS for b, n in zip(raw, (nx, ny), strict=True))
        assembled = (nx, ny) == whole and len(hdus) == 1
        cutout = camera.allow_cutouts and nx <= whole[0] and ny <= whole[1]
        if not (fits or assembled or cutout):
            raw = detector.raw_size_pix or raw
            raise RejectedError(
                "wrong shape",
                file.path,
                f"{hdu.describe()} does not fit detector {detector.name}, which is "
                f"{whole[0]} x {whole[1]} pixels assembled and {raw[0]} x {raw[1]} raw",
                "Correct size_pix and the amplifiers' sections in the camera file; for cut-outs "
                "set 'allow_cutouts: true'",
            )


def _raw_extent(amplifiers: Sequence[Amplifier]) -> tuple[int, int]:
    """Return columns and rows up to the last pixel that any section names."""
    sections: list[Section] = [
        section
        for amp in amplifiers
        for section in (amp.raw_data_section, amp.raw_serial_overscan, amp.raw_parallel_overscan)
        if section is not None
    ]
    return max(s[1] for s in sections), max(s[3] for s in sections)


def _check_unit(reader: HeaderReader) -> None:
    expected = reader.camera.raw_unit
    found = reader.text("unit")
    if not found or normalize_unit(found) == expected:
        return
    raise RejectedError(
        "wrong unit",
        reader.file.path,
        f"its pixels are in {found!r}, camera {reader.camera.name} states {expected!r}",
        "Use a camera file whose raw_unit is that of the frame; if the header is wrong, state "
        f"'header: {{unit: {{constant: {expected}}}}}'",
    )


def _filter(reader: HeaderReader) -> tuple[str, str]:
    """Return the physical filter and its band."""
    camera = reader.camera
    if "physical_filter" not in camera.header and len(camera.filters) == 1:
        return camera.filters[0].physical_filter, camera.filters[0].band
    name = reader.text("physical_filter")
    if not name:
        raise reader.missing("physical_filter")
    for item in camera.filters:
        if item.physical_filter == name:
            return name, item.band
    known = [item.physical_filter for item in camera.filters]
    raise RejectedError(
        "unknown filter",
        reader.file.path,
        f"filter {name!r} is not in camera {camera.name}{suggest(name, known)}",
        "Add it to 'filters:', or translate it under 'header: physical_filter: values:'; known: "
        f"{_some(known)}",
    )


def _tai_middle(reader: HeaderReader, exposure_time_s: float) -> float:
    mjd = reader.number("mjd")
    if not _MJD_RANGE[0] < mjd < _MJD_RANGE[1]:
        raise _bad_value(reader, "mjd", mjd, "a Modified Julian Date (check 'format:')")
    try:
        return to_tai_middle(
            mjd,
            reader.text("time_scale") or "utc",
            reader.text("time_reference") or "start",
            exposure_time_s,
        )
    except ValueError as fault:
        raise RejectedError(
            "unreadable header value",
            reader.file.path,
            str(fault),
            "Correct 'header: time_scale:' or 'time_reference:' in the camera file",
        ) from None


def _pointing(reader: HeaderReader) -> tuple[float, float]:
    ra_deg, dec_deg = reader.number("ra_deg"), reader.number("dec_deg")
    if not -360 <= ra_deg <= 360:
        raise _bad_value(reader, "ra_deg", ra_deg, "from 0 to 360 (check 'format:')")
    if not -90 <= dec_deg <= 90:
        raise _bad_value(reader, "dec_deg", dec_deg, "from -90 to 90 (check 'format:')")
    return ra_deg % 360.0, dec_deg


def _visit(reader: HeaderReader, mjd: float) -> int:
    if "visit" not in reader.camera.header:
        if mjd < _FIRST_VISIT_MJD:
            raise _bad_value(
                reader, "visit", f"missing and MJD {mjd:.5f} before 2000",
                "a number: say where under 'header: visit:'",
            )  # fmt: skip
        return round((mjd - _FIRST_VISIT_MJD) * SECONDS_PER_DAY)
    value = reader.text("visit")
    if not value:
        raise reader.missing("visit")
    digits = value.removesuffix(".0")
    if not digits.isdigit():
        raise _bad_value(reader, "visit", repr(value), "a whole number: use 'pattern:'")
    return int(digits)


def _night(camera: Camera, mjd_tai: float) -> str:
    mjd_utc = mjd_tai - tai_minus_utc_s(int(mjd_tai)) / SECONDS_PER_DAY
    return night_of(mjd_utc, camera.observatory.longitude_deg or 0.0)


def _wrap(angle_deg: float | None) -> float | None:
    """Return an hour angle within ±180 degrees."""
    return None if angle_deg is None else (angle_deg + 180.0) % 360.0 - 180.0


def _bad_value(reader: HeaderReader, name: str, value: object, wanted: str) -> RejectedError:
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return RejectedError(
        "impossible header value",
        reader.file.path,
        f"{name} is {shown}",
        f"It has to be {wanted}: correct 'header: {name}:' in the camera file, or the header",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
