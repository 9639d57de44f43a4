"""The camera: detectors, amplifiers, filters, optics and where headers keep what is needed.

Frames and senses (see ``docs/conventions.md``):

* *raw* pixels: the array as it stands in the raw HDU;
* *detector* pixels: amplifier data sections assembled, trimmed and flipped; (0, 0) is the
  centre of the first pixel;
* *focal plane*, mm: ``centre + R(rotation) · (pixel - pixel centre) · pixel_size``;
* *field*, degrees: the gnomonic tangent plane about the boresight, before the rotator, from
  the focal plane through plate scale and radial distortion;
* *sky*: the field turned by the position angle of the focal-plane +y axis, east of north.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from drpflow.config.base import StrictModel, param
from drpflow.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

Section: TypeAlias = tuple[int, int, int, int]
"""A half-open box ``(x0, x1, y0, y1)`` in pixels."""

HEADER_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "instrument": "must come out as the camera's name; guards against foreign frames",
        "observation_type": "science (object, light), bias, dark, flat …; absent: all are science",
        "visit": "whole number; absent: made from the time of the exposure",
        "detector": "id or name of a detector; absent: the camera's only one",
        "physical_filter": "name of a filter of the camera",
        "exposure_time_s": "exposure time, s",
        "mjd": "time of the exposure, days",
        "time_scale": "scale of `mjd`: utc (assumed where absent), tai or tt",
        "time_reference": "what `mjd` marks: start (assumed where absent), middle or end",
        "ra_deg": "right ascension of the boresight, ICRS, deg",
        "dec_deg": "declination of the boresight, ICRS, deg",
        "rotation_deg": "position angle of the focal plane's +y axis, east of north, deg",
        "airmass": "airmass; absent: computed where the observatory's place is known",
        "hour_angle_deg": "hour angle, west positive, deg; absent: computed likewise",
        "temperature_c": "air temperature, C",
        "pressure_hpa": "air pressure, hPa",
        "humidity_percent": "relative humidity, %",
        "night": "name of the night; absent: local date of the evening, YYYYMMDD",
        "target": "name of the field",
        "unit": "unit of the pixels; absent: BUNIT; must agree with `raw_unit`",
    }
)
"""What a camera's header map may state, with its meaning and unit."""

HEADER_FORMATS = ("deg", "hourangle", "hms", "dms", "mjd", "jd", "isot", "date", "seconds")
"""How a header value may be written; see :class:`HeaderValue`."""


def _check_section(section: Section) -> Section:
    x0, x1, y0, y1 = section
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise ValueError("a section is [x0, x1, y0, y1] with 0 <= x0 < x1 and 0 <= y0 < y1")
    return section


class Amplifier(StrictModel):
    """One readout channel of a detector."""

    name: str = param(..., "name, unique within the detector")
    data_section: Section = param(..., "where its pixels go in the assembled detector", unit="pix")
    raw_data_section: Section = param(..., "its imaging pixels in the raw HDU", unit="pix")
    raw_serial_overscan: Section | None = param(
        None, "columns read after the last imaging pixel of each row", unit="pix"
    )
    raw_parallel_overscan: Section | None = param(
        None, "rows read after the last imaging row", unit="pix"
    )
    raw_hdu: int | str | None = param(
        None, "HDU of this amplifier, where each amplifier has its own; else the sheet's HDU"
    )
    flip_x: bool = param(False, "raw columns run against detector columns")
    flip_y: bool = param(False, "raw rows run against detector rows")
    gain: float = param(..., "nominal gain", unit="electron adu-1", gt=0)
    read_noise: float = param(..., "nominal read noise", unit="electron", ge=0)
    saturation: float = param(
        ..., "level above the bias from which a pixel counts as saturated", unit="adu", gt=0
    )

    @field_validator(
        "data_section", "raw_data_section", "raw_serial_overscan", "raw_parallel_overscan"
    )
    @classmethod
    def _sections(cls, section: Section | None) -> Section | None:
        return None if section is None else _check_section(section)

    @model_validator(mode="after")
    def _same_size(self) -> Amplifier:
        x0, x1, y0, y1 = self.data_section
        u0, u1, v0, v1 = self.raw_data_section
        if (x1 - x0, y1 - y0) != (u1 - u0, v1 - v0):
            raise ValueError(
                f"amplifier {self.name}: data_section is {x1 - x0} x {y1 - y0}, "
                f"raw_data_section {u1 - u0} x {v1 - v0}; they must be of one size"
            )
        return self


class Detector(StrictModel):
    """One CCD."""

    id: int = param(..., "number used in data IDs", ge=0)
    name: str = param(..., "name, as in headers")
    size_pix: tuple[int, int] = param(..., "columns and rows once assembled", unit="pix")
    center_mm: tuple[float, float] = param((0.0, 0.0), "focal-plane position", unit="mm")
    rotation_deg: float = param(0.0, "turn of the detector, +x towards +y", unit="deg")
    pixel_size_mm: float = param(..., "pixel pitch", unit="mm", gt=0)
    raw_size_pix: tuple[int, int] | None = param(
        None, "columns and rows of the raw HDU, where ingest shall insist on them", unit="pix"
    )
    amplifiers: tuple[Amplifier, ...] = param(..., "readout channels, in calibration order")

    @property
    def shape(self) -> tuple[int, int]:
        """Array shape of the assembled detector, rows first."""
        return self.size_pix[1], self.size_pix[0]

    def cut_to(self, nx: int, ny: int) -> Detector:
        """Return what is known of a cut-out of nx columns and ny rows.

        Which part of the detector it shows is not known. It counts as one amplifier with the mean
        gain, the highest read noise and the lowest saturation of the detector's.
        """
        amplifiers = self.amplifiers
        whole = (0, nx, 0, ny)
        one = Amplifier(
            name="cut-out",
            data_section=whole,
            raw_data_section=whole,
            gain=sum(a.gain for a in amplifiers) / len(amplifiers),
            read_noise=max(a.read_noise for a in amplifiers),
            saturation=min(a.saturation for a in amplifiers),
        )
        update = {"size_pix": (nx, ny), "raw_size_pix": None, "amplifiers": (one,)}
        return self.model_copy(update=update)

    @model_validator(mode="after")
    def _tiled(self) -> Detector:
        nx, ny = self.size_pix
        area = 0
        for amp in self.amplifiers:
            x0, x1, y0, y1 = amp.data_section
            if x1 > nx or y1 > ny:
                raise ValueError(f"amplifier {amp.name} reaches beyond the detector ({nx} x {ny})")
            area += (x1 - x0) * (y1 - y0)
        if area != nx * ny:
            raise ValueError(f"amplifiers cover {area} pixels of {nx * ny}")
        return self


class Filter(StrictModel):
    """A physical filter."""

    physical_filter: str = param(..., "name, as in headers")
    band: str = param(..., "short band name shared by alike filters", pattern=r"^[A-Za-z0-9_]+$")
    effective_wavelength_nm: float | None = param(None, "for refraction and slopes", unit="nm")
    throughput: str | None = param(
        None, "CSV of wavelength_nm, throughput (telescope, filter and CCD; no atmosphere)"
    )
    detector_throughput: str | None = param(
        None,
        "the same for each detector: a name in which {detector} stands for its id, as in "
        "g_{detector:02d}.csv; a detector without such a file takes `throughput`",
    )

    @field_validator("detector_throughput")
    @classmethod
    def _names_the_detector(cls, template: str | None) -> str | None:
        if template is not None:
            try:
                distinct = template.format(detector=0) != template.format(detector=1)
            except (KeyError, IndexError, ValueError) as fault:
                raise ValueError(f"not a name with {{detector}} in it ({fault})") from None
            if not distinct:
                raise ValueError("the name needs {detector}, which stands for the detector's id")
        return template


class Optics(StrictModel):
    """From the focal plane to the tangent plane of the sky.

    ``field_radius_deg = plate_scale/3600 · r_mm · (1 + Σ_k radial[k] · (r_mm/radius_mm)^(2k+2))``
    """

    plate_scale_arcsec_per_mm: float = param(..., "at the centre", unit="arcsec mm-1", gt=0)
    radius_mm: float = param(1.0, "normalising radius of the distortion", unit="mm", gt=0)
    radial: tuple[float, ...] = param((), "distortion coefficients k3, k5, …")
    x_axis: Literal["west", "east"] = param(
        "west", "sky direction of focal-plane +x where +y is north (mirror images: east)"
    )
    boresight_mm: tuple[float, float] = param((0.0, 0.0), "where the optical axis falls", unit="mm")


class Observatory(StrictModel):
    """Where the telescope stands."""

    name: str = param("", "name")
    longitude_deg: float | None = param(None, "east positive", unit="deg")
    latitude_deg: float | None = param(None, "north positive", unit="deg")
    elevation_m: float = param(0.0, "height", unit="m")


class HeaderValue(StrictModel):
    """How one property of a frame is read from its headers.

    Exactly one of `key`, `template`, `constant`, `filename` or `hdu_name` says where the value
    comes from; only a `template` may have a `filename` beside it, for its named groups.
    `pattern`, `values`, `format`, `scale` and `offset` then apply in this order; `default`
    stands in where the headers have no value.
    """

    key: str | tuple[str, ...] | None = param(
        None, "header key, or several tried in order; the image HDU first, then the primary"
    )
    template: str | None = param(
        None,
        "several header keys in one value, as in Python formats: '{RUN}{FRAME:04d}'; also "
        "named groups of `filename`",
    )
    constant: Any = param(None, "the same value for all frames")
    filename: str | None = param(
        None, "regular expression on the path; its groups, joined, are the value"
    )
    hdu_name: bool = param(False, "the name of the HDU")
    pattern: str | None = param(
        None, "regular expression on the value; its groups, joined, replace it"
    )
    values: dict[str, Any] = Field(
        default_factory=dict, description="translation of values", json_schema_extra={"unit": ""}
    )
    format: str | None = param(
        None,
        "how to read it: deg, hourangle, hms, dms, mjd, jd, isot, date (needs time_key), seconds",
    )
    time_key: str | None = param(None, "header key of the time of day, where `key` is a date only")
    scale: float = param(1.0, "factor to the unit wanted")
    offset: float = param(0.0, "added after scaling")
    default: Any = param(None, "value where the header has none")

    @field_validator("values", mode="before")
    @classmethod
    def _text_keys(cls, values: Any) -> Any:
        return {str(k): v for k, v in values.items()} if isinstance(values, dict) else values

    @field_validator("filename", "pattern")
    @classmethod
    def _one_group(cls, expression: str | None) -> str | None:
        if expression is not None:
            try:
                groups = re.compile(expression).groups
            except re.error as fault:
                raise ValueError(f"not a regular expression ({fault})") from None
            if not groups:
                raise ValueError("the expression needs a group, such as (\\d+)")
        return expression

    @field_validator("format")
    @classmethod
    def _known_format(cls, name: str | None) -> str | None:
        if name is not None and name not in HEADER_FORMATS:
            known = ", ".join(HEADER_FORMATS)
            raise ValueError(f"formats are {known}{suggest(name, HEADER_FORMATS)}")
        return name

    @model_validator(mode="after")
    def _one_source(self) -> HeaderValue:
        given = [
            name
            for name in ("key", "template", "constant", "filename")
            if getattr(self, name) is not None
        ] + ["hdu_name"] * self.hdu_name
        if len(given) != 1 and given != ["template", "filename"]:
            stand = " and ".join(given) or "none"
            raise ValueError(
                f"give one of key, template, constant, filename, hdu_name; here: {stand}"
            )
        if self.format == "date" and self.time_key is None:
            raise ValueError("the format date needs time_key, the header key of the time of day")
        return self


class Companions(StrictModel):
    r"""Files that stand beside a science frame and belong to it.

    ``science`` is a regular expression on the file's name; ``weight`` and ``mask`` are what to
    replace its match with (``\1`` stands for its first group).
    """

    science: str = param(..., "what in a file's name marks a science frame")
    weight: str | None = param(None, "replacement that names the inverse-variance map")
    mask: str | None = param(None, "replacement that names the mask")

    @field_validator("science")
    @classmethod
    def _expression(cls, expression: str) -> str:
        try:
            re.compile(expression)
        except re.error as fault:
            raise ValueError(f"not a regular expression ({fault})") from None
        return expression


class Camera(StrictModel):
    """A camera file, ``config/cameras/<name>.yaml``."""

    name: str = param(..., "short name, as in the file name", pattern=r"^[a-z0-9_]+$")
    description: str = param("", "one line")
    observatory: Observatory = Field(default_factory=Observatory)
    optics: Optics = param(..., "plate scale and distortion")
    detectors: tuple[Detector, ...] = param(..., "the CCDs")
    filters: tuple[Filter, ...] = param(..., "the filters")
    header: dict[str, HeaderValue] = Field(
        default_factory=dict,
        description="how visit, detector, time, pointing … are read from headers",
        json_schema_extra={"unit": ""},
    )
    raw_unit: Literal["adu", "electron", "adu s-1", "electron s-1", "nJy", "nanomaggy"] = param(
        "adu", "unit of the frames' pixels"
    )
    detrended: bool = param(
        False, "the frames were detrended elsewhere; `drpflow init` then sets isr.input so"
    )
    unit_per_adu_card: str | None = param(
        None,
        "header card of calibrated frames that holds what one adu was in `raw_unit`; the factor "
        "to electrons is the gain over it",
    )
    pedestal: float = param(
        0.0, "constant that detrended frames carry on top of the signal, in `raw_unit`"
    )
    allow_cutouts: bool = param(False, "take frames that are smaller than their detector")
    ignore_hdus: str | None = param(
        None, "regular expression; image HDUs whose whole name matches are passed over"
    )
    companions: Companions | None = param(
        None, "weight and mask files beside each science frame, known by their names"
    )
    wcs_from: Literal["camera", "header"] = param(
        "camera", "first WCS: this file's geometry with the boresight, or the frame's own"
    )
    config: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="sections of the configuration, by task, with which `drpflow init` starts",
        json_schema_extra={"unit": ""},
    )

    @field_validator("header")
    @classmethod
    def _known_properties(cls, header: dict[str, HeaderValue]) -> dict[str, HeaderValue]:
        for name in header:
            if name not in HEADER_PROPERTIES:
                hint = suggest(name, HEADER_PROPERTIES)
                known = ", ".join(HEADER_PROPERTIES)
                raise ValueError(f"{name!r} is no property of a frame{hint}; there are {known}")
        return header

    @model_validator(mode="after")
    def _unique(self) -> Camera:
        named: tuple[tuple[str, list[Any]], ...] = (
            ("detector id", [d.id for d in self.detectors]),
            ("detector name", [d.name for d in self.detectors]),
            ("physical_filter", [f.physical_filter for f in self.filters]),
        )
        for what, names in named:
            repeated = {n for n in names if names.count(n) > 1}
            if repeated:
                raise ValueError(f"{what} {repeated.pop()!r} stands twice")
        return self

    def detector(self, detector_id: int) -> Detector:
        """Return the detector with this id.

        Raises
        ------
        KeyError
            If the camera has none.
        """
        for detector in self.detectors:
            if detector.id == detector_id:
                return detector
        raise KeyError(f"camera {self.name} has no detector {detector_id}")

    def filter(self, physical_filter: str) -> Filter:
        """Return the filter with this name.

        Raises
        ------
        KeyError
            If the camera has none.
        """
        for item in self.filters:
            if item.physical_filter == physical_filter:
                return item
        raise KeyError(f"camera {self.name} has no filter {physical_filter!r}")
