"""Reading the properties of a frame from its headers, as the camera file says."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final

from drpflow.data.camera import HeaderValue
from drpflow.errors import InputError
from drpflow.ingest.formats import read_angle, read_number, read_time
from drpflow.io.headers import card

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from drpflow.data.camera import Camera
    from drpflow.io.headers import FileHeaders, Hdu

# What a frame cannot do without. `detector` and `physical_filter` are in demand where the
# camera leaves a choice.
_MANDATORY: Final = ("exposure_time_s", "mjd", "ra_deg", "dec_deg")
# Where a property stands if the camera file does not say.
_IMPLIED: Final = {"unit": HeaderValue(key="BUNIT")}
_ANGLES: Final = frozenset({"ra_deg", "dec_deg", "rotation_deg", "hour_angle_deg"})
# What an optional number can be on Earth; others are placeholders or in another unit.
_PLAUSIBLE: Final = {
    "airmass": (0.999, 40.0),
    "temperature_c": (-90.0, 60.0),
    "pressure_hpa": (400.0, 1100.0),
    "humidity_percent": (0.0, 105.0),
}
_FORMATS_OF_TIME: Final = frozenset({"mjd", "jd", "isot", "date", "seconds"})


class RejectedError(InputError):
    """A frame that cannot be taken, with the kind of fault for the summary.

    Parameters
    ----------
    category
        A few words that are the same for faults of one kind.
    source, problem, remedy
        As in `InputError`.
    """

    def __init__(self, category: str, source: str | Path, problem: str, remedy: str) -> None:
        super().__init__(source, problem, remedy)
        self.category = category

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:  # type: ignore[override]
        return type(self), (self.category, self.source, self.problem, self.remedy)


@dataclass(frozen=True)
class HeaderReader:
    """The headers of one image, read through a camera's header map.

    Parameters
    ----------
    camera
        The camera.
    file
        The file and its headers.
    hdu
        The image.
    unread
        Filled with a sentence for each optional property that has a value which cannot be read.
    """

    camera: Camera
    file: FileHeaders
    hdu: Hdu
    unread: list[str] = field(default_factory=list)

    def value(self, name: str) -> Any:
        """Return a property as it stands, translated but not converted; None where unknown.

        Raises
        ------
        RejectedError
            If the header card is broken, or a pattern or template does not fit it.
        """
        rule = self._rule(name)
        if rule is None:
            return None
        try:
            value = self._source(rule)
            if value is not None:
                value = _translate(rule, value)
        except ValueError as fault:
            raise self._unreadable(name, fault) from None
        return rule.default if value is None else value

    def text(self, name: str) -> str:
        """Return a property as text, ``""`` where unknown."""
        value = self.value(name)
        return "" if value is None else str(value).strip()

    def number(self, name: str) -> float:
        """Return a numeric property in its unit.

        Raises
        ------
        RejectedError
            If the headers have no value, or none that can be read.
        """
        value = self.value(name)
        if value is None:
            raise self.missing(name)
        try:
            return self._convert(name, value)
        except ValueError as fault:
            raise self._unreadable(name, fault) from None

    def optional_number(self, name: str) -> float | None:
        """Return a numeric property, or None where the headers have no readable value.

        Instruments write ``'NaN'``, ``'UNKNOWN'`` or -999 where a sensor was off, and a frame is
        not lost for want of its temperature; the fault goes to `unread`.
        """
        try:
            number = None if self.value(name) is None else self.number(name)
        except RejectedError as fault:
            self.unread.append(fault.problem)
            return None
        low, high = _PLAUSIBLE.get(name, (-inf, inf))
        if number is not None and not low <= number <= high:
            self.unread.append(f"{name} is {number:g}, outside {low:g} to {high:g}")
            return None
        return number

    def missing(self, name: str) -> RejectedError:
        """Return the rejection for a property that the headers do not tell."""
        where = f"camera {self.camera.name}"
        rule = self.camera.header.get(name)
        if rule is None:
            problem = f"{where} does not say where headers keep {name}"
            remedy = f"Add 'header: {{{name}: {{key: …}}}}' to the camera file, or a 'constant'"
        else:
            problem = f"{_source_name(rule)} is missing, which {where} reads as {name}"
            remedy = (
                f"Correct 'header: {name}:' in the camera file, or give it a 'default', or use "
                "'constant'"
            )
        return RejectedError("missing header key", self.file.path, problem, remedy)

    def _rule(self, name: str) -> HeaderValue | None:
        return self.camera.header.get(name) or _IMPLIED.get(name)

    def _convert(self, name: str, value: Any) -> float:
        rule = self.camera.header[name]
        if name == "mjd":
            number = read_time(value, rule.format, self._time_of_day(rule))
        elif name in _ANGLES:
            number = read_angle(value, rule.format)
        elif rule.format in _FORMATS_OF_TIME:
            raise ValueError(f"format {rule.format} is for mjd")
        else:
            number = read_number(value)
        return number * rule.scale + rule.offset

    def _time_of_day(self, rule: HeaderValue) -> Any:
        if rule.time_key is None:
            return None
        clock = self._card(rule.time_key)
        if clock is None:
            raise ValueError(f"header key {rule.time_key} is missing")
        return clock

    def _source(self, rule: HeaderValue) -> Any:
        if rule.constant is not None:
            return rule.constant
        if rule.hdu_name:
            return self.hdu.name or None
        match = re.search(rule.filename or "", self.file.path.as_posix())
        if rule.template is not None:
            return self._fill(rule.template, match.groupdict() if match else {})
        if rule.filename is not None:
            return _joined(match) if match else None
        for key in (rule.key,) if isinstance(rule.key, str) else rule.key or ():
            value = self._card(key)
            if value is not None:
                return value
        return None

    def _card(self, key: str) -> Any:
        """Return a card of the image HDU, else of the primary; blank text counts as none."""
        for header in (self.hdu.header, self.file.primary):
            value = card(header, key)
            if isinstance(value, str):
                value = value.strip()
            if value not in {None, ""}:
                return value
        return None

    def _fill(self, template: str, groups: dict[str, str]) -> str | None:
        values = {key: groups.get(key) or self._card(key) for key in template_keys(template)}
        if None in values.values():
            return None
        return template.format_map(values)

    def _unreadable(self, name: str, fault: ValueError) -> RejectedError:
        rule = self._rule(name)
        assert rule is not None  # without one there is nothing to misread
        return RejectedError(
            "unreadable header value",
            self.file.path,
            f"{name} cannot be read from {_source_name(rule)}: {fault}",
            f"Correct 'header: {name}:' in the file of camera {self.camera.name}, or the header",
        )


def check_header_map(camera: Camera) -> list[str]:
    """Return what ingest needs and a camera's header map does not give, as sentences."""
    wanted = list(_MANDATORY)
    own_hdus = any(a.raw_hdu is not None for d in camera.detectors for a in d.amplifiers)
    if len(camera.detectors) > 1 and not own_hdus:
        wanted.append("detector")
    if len(camera.filters) > 1:
        wanted.append("physical_filter")
    return [
        f"'header:' does not say how {name} is read" for name in wanted if name not in camera.header
    ]


def template_keys(template: str) -> Iterator[str]:
    """Yield the header keys in a template such as ``{RUN}{FRAME:04d}``."""
    for _, name, _, _ in string.Formatter().parse(template):
        if name is not None:
            yield re.split(r"[.\[!]", name)[0]


def _translate(rule: HeaderValue, value: Any) -> Any:
    if rule.pattern is not None:
        match = re.search(rule.pattern, str(value))
        if match is None:
            raise ValueError(f"{value!r} does not match the pattern {rule.pattern!r}")
        value = _joined(match)
    return rule.values.get(str(value).strip(), value) if rule.values else value


def _joined(match: re.Match[str]) -> str:
    return "".join(group for group in match.groups() if group is not None)


def _source_name(rule: HeaderValue) -> str:
    """Name where a rule reads from: ``header key FILTER``, ``the file's name`` …."""
    if isinstance(rule.key, str):
        return f"header key {rule.key}"
    if rule.key:
        return f"header key {' or '.join(rule.key)}"
    if rule.template is not None:
        return f"one of the header keys {', '.join(template_keys(rule.template))}"
    if rule.filename is not None:
        return f"the part {rule.filename!r} of the file's name"
    return "the name of the HDU" if rule.hdu_name else f"the constant {rule.constant!r}"
