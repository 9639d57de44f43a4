"""Guessing a camera's header map from sample frames by well-known keys."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from math import atan2, degrees, hypot
from typing import TYPE_CHECKING, Any, Final

from drpflow.ingest.draft_layout import detector_key, value
from drpflow.ingest.formats import read_angle, read_number, read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from drpflow.io.headers import FileHeaders, Hdu

# Keys by what they hold, the more telling first.
_PLAIN: Final = {
    "instrument": ("INSTRUME", "INSTRUMENT", "DETNAM", "CAMERA"),
    "observation_type": ("OBSTYPE", "IMAGETYP", "IMGTYPE", "VIMTYPE", "EXPTYPE"),
    "physical_filter": ("FILTER", "FILTERS", "FILTER1", "FILTNAM", "FILTERID", "INSFLNAM"),
    "exposure_time_s": ("EXPTIME", "EXPOSURE", "ITIME", "EXP_TIME", "TELAPSE"),
    "airmass": ("AIRMASS", "SECZ", "AMSTART"),
    "temperature_c": ("TEMP", "OUTTEMP", "AMBTEMP", "AIRTEMP", "TEMPOUT"),
    "pressure_hpa": ("PRES", "PRESSURE", "PRESS", "BAROM"),
    "humidity_percent": ("HUMID", "HUMIDITY", "RELHUM", "RHUM"),
    "target": ("OBJECT", "OBJNAME", "TARGET", "FIELD"),
}
_VISIT: Final = ("EXPNUM", "EXPID", "VISIT", "OBSNUM", "FRAMENUM", "FRAMENO", "RUN-ID", "IMGNUM")
_START: Final = ("MJD-OBS", "MJD_OBS", "MJD-BEG", "MJDSTART", "MJD")
_MIDDLE: Final = ("MJD-AVG", "MJD-MID", "MJDMID")
_DATES: Final = ("DATE-OBS", "DATE-BEG", "DATEOBS", "UTDATE")
_TIMES: Final = ("UTC-OBS", "TIME-OBS", "UTSTART", "UT", "UTC", "TIME-BEG")
_JULIAN: Final = ("JD", "JULIAN", "JD-OBS")
_SECONDS: Final = ("TAI",)
_RA: Final = ("TELRA", "RA", "OBJCTRA", "RA_OBS", "CRVAL1")
_DEC: Final = ("TELDEC", "DEC", "OBJCTDEC", "DEC_OBS", "CRVAL2")
_ROTATION: Final = ("ROTPA", "POSANGLE", "POSANG", "ROTANGLE", "SPA")
_HOUR_ANGLE: Final = ("HA", "HOURANG", "TELHA")
_LONGITUDE: Final = ("OBS-LONG", "SITELONG", "LONGITUD", "LONG-OBS", "OBSGEO-L")
_LATITUDE: Final = ("OBS-LAT", "SITELAT", "LATITUDE", "LAT-OBS", "OBSGEO-B")
_ELEVATION: Final = ("OBS-ELEV", "SITEELEV", "ALTITUDE", "ALT-OBS", "OBSGEO-H")
_PIXEL_SCALE: Final = ("PIXSCALE", "SECPIX", "SECPIX1", "PIXSCAL1", "SCALE", "PLTSCALE")
_PIXEL_SIZE_UM: Final = ("XPIXSZ", "PIXSIZE1", "PIXSIZE", "PIXSIZE2")


@dataclass(frozen=True)
class Entry:
    """One line of a drafted camera file: a key, its YAML value, and what it was guessed from."""

    key: str
    yaml: str
    comment: str = ""


class Samples:
    """Sample frames, asked for cards.

    Parameters
    ----------
    files
        Headers of the samples; each has at least one image.
    """

    def __init__(self, files: Sequence[FileHeaders]) -> None:
        self.files = files
        self.images: list[tuple[FileHeaders, Hdu]] = [
            (file, hdu) for file in files for hdu in file.frames()
        ]

    def first(self, key: str) -> Any:
        """Return the value of a card in the first image that has it."""
        return next(self.values(key), None)

    def values(self, key: str) -> Iterator[Any]:
        """Yield the values of a card, one for each image that has it."""
        for file, hdu in self.images:
            found = value(file, hdu, key)
            if found is not None:
                yield found

    def remark(self, key: str) -> str:
        """Return the comment of a card in the first image that has it, or ``""``."""
        for file, hdu in self.images:
            for header in (hdu.header, file.primary):
                if key and key in header:
                    return str(header.comments[key])
        return ""

    def find(self, keys: Sequence[str], accept: Callable[[Any], Any] = str) -> str | None:
        """Return the first key that has a value which `accept` does not raise ValueError for."""
        for key in keys:
            for found in self.values(key):
                try:
                    accept(found)
                except ValueError:
                    continue
                return key
        return None


def draft_header_map(samples: Samples, camera_name: str, several_detectors: bool) -> list[Entry]:
    """Return the entries of the section ``header:``; a key that is not found is a TODO.

    Parameters
    ----------
    samples
        The sample frames.
    camera_name
        What `instrument` shall come out as.
    several_detectors
        Whether the camera has more than one detector.
    """
    entries = [*_instrument(samples, camera_name), *_plain(samples, "observation_type")]
    entries += _visit(samples)
    if several_detectors:
        entries += _detector(samples)
    entries += _plain(samples, "physical_filter", todo="{constant: unknown}")
    entries += _plain(samples, "exposure_time_s", read_number, todo="{constant: 1.0}")
    entries += _time(samples)
    entries += _angle(samples, "ra_deg", _RA, "hms", todo="{constant: 0.0}")
    entries += _angle(samples, "dec_deg", _DEC, "dms", todo="{constant: 0.0}")
    entries += _rotation(samples)
    entries += _plain(samples, "airmass", read_number)
    entries += _angle(samples, "hour_angle_deg", _HOUR_ANGLE, "hms")
    for name in ("temperature_c", "pressure_hpa", "humidity_percent"):
        entries += _plain(samples, name, read_number)
    return entries + _plain(samples, "target")


def draft_observatory(samples: Samples) -> list[Entry]:
    """Return the entries of the section ``observatory:``."""
    entries = []
    name = samples.first("OBSERVAT") or samples.first("TELESCOP")
    if name:
        entries.append(Entry("name", quote(str(name)), "guessed from OBSERVAT or TELESCOP"))
    for key, keys in (("longitude_deg", _LONGITUDE), ("latitude_deg", _LATITUDE)):
        found = samples.find(keys, partial(read_angle, form="dms"))
        if found:
            number = read_angle(samples.first(found), "dms")
            check = "; east is positive: check the sign" if key == "longitude_deg" else ""
            entries.append(Entry(key, f"{number:.6g}", f"guessed from {found}{check}"))
    found = samples.find(_ELEVATION, read_number)
    if found:
        elevation = f"{read_number(samples.first(found)):g}"
        entries.append(Entry("elevation_m", elevation, f"guessed from {found}"))
    return entries or [
        Entry("name", '""', "TODO name, longitude_deg (east positive), latitude_deg")
    ]


def pixel_scale_arcsec(samples: Samples) -> tuple[float, str] | None:
    """Return the pixel scale and the keys that tell it: the WCS, else a card of its own."""
    for file, hdu in samples.images:
        matrix = _cd_matrix(file, hdu)
        if matrix is not None:
            return 3600 * abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) ** 0.5, "the WCS"
    key = samples.find(_PIXEL_SCALE, _positive)
    return (read_number(samples.first(key)), key) if key else None


def pixel_size_mm(samples: Samples) -> tuple[float, str] | None:
    """Return the pixel pitch and the key that tells it, in micrometres, in FITS of all sorts."""
    key = samples.find(_PIXEL_SIZE_UM, _positive)
    return (read_number(samples.first(key)) / 1000, key) if key else None


def sky_orientation(samples: Samples) -> tuple[float, str] | None:
    """Return the position angle of +y and which way +x points where +y is north, from a WCS."""
    for file, hdu in samples.images:
        matrix = _cd_matrix(file, hdu)
        if matrix is not None:
            cd11, cd12, cd21, cd22 = matrix
            # The matrix gives (east, north); a right-handed image has east to the left.
            return degrees(atan2(cd12, cd22)), "west" if cd11 * cd22 - cd12 * cd21 < 0 else "east"
    return None


def has_sky_wcs(samples: Samples) -> bool:
    """Tell whether every image has a celestial WCS."""
    kinds = [str(value(file, hdu, "CTYPE1") or "") for file, hdu in samples.images]
    return all(kind[:4] in {"RA--", "DEC-"} for kind in kinds)


def quote(text: str) -> str:
    """Return text as a YAML scalar: bare where that is safe, else with JSON's quotes."""
    safe = re.fullmatch(r"[A-Za-z][\w .+-]*", text) and text.lower() not in {
        "true", "false", "yes", "no", "on", "off", "null", "y", "n",
    }  # fmt: skip
    return text if safe else json.dumps(text, ensure_ascii=False)


def _positive(found: Any) -> float:
    number = read_number(found)
    if number <= 0:
        raise ValueError(f"{found!r} is not positive")
    return number


def _cd_matrix(file: FileHeaders, hdu: Hdu) -> tuple[float, float, float, float] | None:
    """Return CD1_1, CD1_2, CD2_1, CD2_2 in degrees a pixel, from CD, or CDELT and PC or CROTA2."""
    from math import cos, radians, sin

    def number(key: str, default: float) -> float:
        found = value(file, hdu, key)
        return default if found is None else read_number(found)

    if not str(value(file, hdu, "CTYPE1") or "").startswith("RA--"):
        return None
    try:
        if value(file, hdu, "CD1_1") is not None or value(file, hdu, "CD1_2") is not None:
            a, b, c, d = (number(f"CD{i}_{j}", 0.0) for i in (1, 2) for j in (1, 2))
        elif value(file, hdu, "CDELT1") is not None:
            turn = radians(number("CROTA2", 0.0))
            sx, sy = number("CDELT1", 1.0), number("CDELT2", 1.0)
            a, b = sx * number("PC1_1", cos(turn)), sx * number("PC1_2", -sin(turn) * sy / sx)
            c, d = sy * number("PC2_1", sin(turn) * sx / sy), sy * number("PC2_2", cos(turn))
        else:
            return None
    except (ValueError, ZeroDivisionError):
        return None
    return (a, b, c, d) if hypot(a, c) > 0 and hypot(b, d) > 0 else None


def _plain(
    samples: Samples, name: str, accept: Callable[[Any], Any] = str, todo: str = ""
) -> list[Entry]:
    key = samples.find(_PLAIN[name], accept)
    if key:
        return [Entry(name, f"{{key: {key}}}", f"guessed from {key} = {samples.first(key)!r}")]
    return [Entry(name, todo, "TODO no key was recognised")] if todo else []


def _instrument(samples: Samples, camera_name: str) -> list[Entry]:
    key = samples.find(_PLAIN["instrument"])
    if key is None:
        return []
    name = quote(str(samples.first(key)))
    rule = f"{{key: {key}, values: {{{name}: {camera_name}}}}}"
    return [Entry("instrument", rule, f"guessed from {key}")]


def _visit(samples: Samples) -> list[Entry]:
    def whole(found: Any) -> None:
        if not str(found).isdigit():
            raise ValueError(found)

    detector = detector_key(samples.files)
    for key in _VISIT:
        if samples.find((key,), whole) and _tells_visits(samples, key, detector):
            return [Entry("visit", f"{{key: {key}}}", f"guessed from {key}")]
    note = "no key was recognised: visit numbers will be made from the time of the exposure"
    return [Entry("# visit", "{key: …}", note)]


def _tells_visits(samples: Samples, key: str, detector: str | None) -> bool:
    """Tell whether a key gives every file and detector of the samples a visit of its own."""
    files, visits = set(), set()
    for file, hdu in samples.images:
        name = value(file, hdu, detector) if detector else hdu.name
        files.add((file.path, name))
        visits.add((value(file, hdu, key), name))
    return len(visits) == len(files)


def _detector(samples: Samples) -> list[Entry]:
    key = detector_key(samples.files)
    if key:
        return [Entry("detector", f"{{key: {key}}}", f"guessed from {key}")]
    if all(hdu.name for _, hdu in samples.images):
        return [Entry("detector", "{hdu_name: true}", "guessed from the names of the HDUs")]
    return [Entry("detector", "{key: CCDNUM}", "TODO no key was recognised")]


def _time(samples: Samples) -> list[Entry]:
    key, rule, comment = _time_rule(samples)
    entries = [Entry("mjd", rule, comment)]
    if samples.first("TIMESYS"):
        entries.append(Entry("time_scale", "{key: TIMESYS}", "guessed from TIMESYS"))
    remark = samples.remark(key).lower()
    middle = key in _MIDDLE or "mid" in remark
    told = middle or "start" in remark or "begin" in remark
    note = f"guessed from {key} and its comment" if told else "TODO check: start, middle or end"
    entries.append(
        Entry("time_reference", f"{{constant: {'middle' if middle else 'start'}}}", note)
    )
    return entries


def _time_rule(samples: Samples) -> tuple[str, str, str]:
    """Return the key, rule and comment of the time of exposure."""
    for keys, form in ((_MIDDLE, "mjd"), (_START, "mjd"), (_DATES, "isot")):
        key = samples.find(keys, partial(read_time, form=form))
        if key:
            return key, f"{{key: {key}, format: {form}}}", f"guessed from {key}"
    day, clock = samples.find(_DATES), samples.find(_TIMES)
    if day and clock:
        rule = f"{{key: {day}, format: date, time_key: {clock}}}"
        return day, rule, f"guessed from {day} and {clock}"
    key = samples.find(_JULIAN, partial(read_time, form="jd"))
    if key:
        return key, f"{{key: {key}, format: jd}}", f"guessed from {key}"
    key = samples.find(_SECONDS, _positive)
    if key:
        return key, f"{{key: {key}, format: seconds}}", f"guessed from {key}, seconds since MJD 0"
    return "", "{constant: 51544.0}", "TODO no key was recognised"


def _angle(
    samples: Samples, name: str, keys: Sequence[str], sexagesimal: str, todo: str = ""
) -> list[Entry]:
    """Guess an angle: text with colons is sexagesimal, a number is degrees."""
    for form in (sexagesimal, "deg"):
        for key in keys:
            found = samples.first(key)
            if found is None or isinstance(found, str) != (form == sexagesimal):
                continue
            if samples.find((key,), partial(read_angle, form=form)):
                comment = f"guessed from {key} = {found!r}"
                return [Entry(name, f"{{key: {key}, format: {form}}}", comment)]
    return [Entry(name, todo, "TODO no key was recognised")] if todo else []


def _rotation(samples: Samples) -> list[Entry]:
    orientation = sky_orientation(samples)
    key = samples.find(_ROTATION, read_number)
    if key:
        return [
            Entry("rotation_deg", f"{{key: {key}}}", f"guessed from {key}; TODO check its sense")
        ]
    if orientation:
        angle = f"{round(orientation[0], 2) + 0.0:g}"
        return [Entry("rotation_deg", f"{{constant: {angle}}}", "guessed from the WCS")]
    note = "TODO position angle of +y, east of north"
    return [Entry("rotation_deg", "{constant: 0.0}", note)]
