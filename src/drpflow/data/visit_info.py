"""What is known of a visit as a whole: time, pointing, filter, place, weather."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from drpflow.data.record import Record, StoredComponent, component
from drpflow.data.sky_geometry import (
    airmass_young,
    horizontal_deg,
    mean_place_deg,
    parallactic_angle_deg,
    pole_of_date_angle_deg,
    sidereal_time_deg,
)
from drpflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.data.camera import Camera

_DAY_S = 86400.0
# Columns of the visit sheet that hold numbers, with the field that takes each.
_NUMBERS = {
    "exposure_time_s": "exposure_time_s",
    "mjd": "mjd",
    "ra_deg": "ra_deg",
    "dec_deg": "dec_deg",
    "rotation_deg": "rotation_deg",
    "airmass": "recorded_airmass",
    "hour_angle_deg": "recorded_hour_angle_deg",
    "temperature_c": "temperature_c",
    "pressure_hpa": "pressure_hpa",
    "humidity_percent": "humidity_percent",
}
# Columns that hold text, named as the fields that take it.
_LABELS = ("physical_filter", "band", "night", "target")


@component
@dataclass(frozen=True, eq=False)
class VisitInfo(StoredComponent):
    """Metadata of a visit, the same for all its detectors. None stands for unknown.

    Parameters
    ----------
    visit
        Number of the visit.
    instrument
        Name of the camera.
    physical_filter, band
        Filter as in headers, and the short name that alike filters share.
    night
        Observing night, e.g. ``"2026-03-14"``; any label.
    exposure_time_s
        Shutter open, s.
    mjd
        Middle of the exposure, MJD TAI.
    ra_deg, dec_deg
        Boresight, ICRS.
    rotation_deg
        Position angle of focal-plane +y, east of north.
    recorded_airmass, recorded_hour_angle_deg
        What the header says; :attr:`airmass` and :attr:`hour_angle_deg` use them where they are
        known and compute them otherwise.
    temperature_c, pressure_hpa, humidity_percent
        Weather at the telescope.
    observatory, longitude_deg, latitude_deg, elevation_m
        Where the telescope stands; longitude east positive.
    target
        Name of the field.

    Raises
    ------
    ValueError
        If a number is not finite, or an exposure time, declination or latitude is impossible.
    """

    KIND: ClassVar[str] = "visit_info"
    visit: int
    instrument: str = ""
    physical_filter: str = ""
    band: str = ""
    night: str = ""
    exposure_time_s: float | None = None
    mjd: float | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    rotation_deg: float | None = None
    recorded_airmass: float | None = None
    recorded_hour_angle_deg: float | None = None
    temperature_c: float | None = None
    pressure_hpa: float | None = None
    humidity_percent: float | None = None
    observatory: str = ""
    longitude_deg: float | None = None
    latitude_deg: float | None = None
    elevation_m: float | None = None
    target: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "visit", index(self.visit))
        for item in fields(self):
            value = getattr(self, item.name)
            if "float" in str(item.type) and value is not None:
                if not np.isfinite(value):
                    raise ValueError(f"{item.name} is {value}; leave out what is unknown")
                object.__setattr__(self, item.name, float(value))
        for name, low, high in (
            ("exposure_time_s", 0.0, np.inf),
            ("dec_deg", -90.0, 90.0),
            ("latitude_deg", -90.0, 90.0),
            ("recorded_airmass", 1.0 - 1e-3, np.inf),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name} is {value}, outside [{low:g}, {high:g}]")

    @classmethod
    def from_sheet_row(
        cls, row: Mapping[str, str], camera: Camera, source: str = "the visit sheet"
    ) -> Self:
        """Return the visit that one row of the visit sheet describes.

        Parameters
        ----------
        row
            Column to text; empty text or no column for what is unknown.
        camera
            Gives the name of the instrument and the observatory.
        source
            File name for error messages.

        Raises
        ------
        InputError
            If the visit is missing, or a value is no number or an impossible one.
        """
        text = {key: (value or "").strip() for key, value in row.items() if key is not None}
        try:
            visit = int(text.get("visit", ""))
        except ValueError:
            raise InputError(
                source, f"visit {text.get('visit', '')!r} is no whole number", "Give its number"
            ) from None
        numbers: dict[str, Any] = {
            field: _parse(text.get(column, ""), column, visit, source)
            for column, field in _NUMBERS.items()
        }
        site = camera.observatory
        labels: dict[str, Any] = {key: text.get(key, "") for key in _LABELS}
        try:
            return cls(
                visit=visit,
                instrument=camera.name,
                observatory=site.name,
                longitude_deg=site.longitude_deg,
                latitude_deg=site.latitude_deg,
                elevation_m=site.elevation_m if site.latitude_deg is not None else None,
                **labels,
                **numbers,
            )
        except ValueError as error:
            remedy = "Correct the row, or leave the value empty"
            raise InputError(source, f"visit {visit}: {error}", remedy) from None

    @property
    def begin_mjd(self) -> float | None:
        """Shutter opens, MJD TAI; None unless the time and the exposure time are known."""
        if self.mjd is None or self.exposure_time_s is None:
            return None
        return self.mjd - 0.5 * self.exposure_time_s / _DAY_S

    @property
    def end_mjd(self) -> float | None:
        """Shutter closes, MJD TAI; None unless the time and the exposure time are known."""
        if self.mjd is None or self.exposure_time_s is None:
            return None
        return self.mjd + 0.5 * self.exposure_time_s / _DAY_S

    @property
    def sidereal_time_deg(self) -> float | None:
        """Local mean sidereal time, [0, 360)."""
        if self.mjd is None or self.longitude_deg is None:
            return None
        return float(sidereal_time_deg(self.mjd, self.longitude_deg))

    @property
    def hour_angle_deg(self) -> float | None:
        """Hour angle of the boresight, (-180, 180]: as recorded, or from time and place."""
        if self.recorded_hour_angle_deg is not None:
            return _wrap(self.recorded_hour_angle_deg)
        sidereal_deg, place = self.sidereal_time_deg, self._mean_place
        if sidereal_deg is None or place is None:
            return None
        return _wrap(sidereal_deg - place[0])

    @property
    def altitude_deg(self) -> float | None:
        """Altitude of the boresight, without refraction."""
        horizontal = self._horizontal
        return None if horizontal is None else horizontal[0]

    @property
    def azimuth_deg(self) -> float | None:
        """Azimuth of the boresight, north through east, [0, 360)."""
        horizontal = self._horizontal
        return None if horizontal is None else horizontal[1]

    @property
    def zenith_distance_deg(self) -> float | None:
        """Zenith distance of the boresight, without refraction."""
        horizontal = self._horizontal
        return None if horizontal is None else 90.0 - horizontal[0]

    @property
    def parallactic_angle_deg(self) -> float | None:
        """Position angle of the zenith at the boresight, east of ICRS north, (-180, 180]."""
        hour_angle_deg, place = self.hour_angle_deg, self._mean_place
        if hour_angle_deg is None or place is None or self.latitude_deg is None:
            return None
        angle_deg = float(parallactic_angle_deg(hour_angle_deg, place[1], self.latitude_deg))
        if self.mjd is None or self.ra_deg is None or self.dec_deg is None:
            return angle_deg
        turn_deg = float(pole_of_date_angle_deg(self.ra_deg, self.dec_deg, self.mjd))
        return _wrap(angle_deg + turn_deg)

    @property
    def airmass(self) -> float | None:
        """Airmass as recorded, or of the boresight by Young (1994); None below the horizon."""
        if self.recorded_airmass is not None:
            return self.recorded_airmass
        zenith_distance_deg = self.zenith_distance_deg
        if zenith_distance_deg is None or zenith_distance_deg > 90:
            return None
        return float(airmass_young(zenith_distance_deg))

    def with_pointing(
        self, ra_deg: float, dec_deg: float, rotation_deg: float | None = None
    ) -> VisitInfo:
        """Return the visit with another boresight; the rotation stays unless it is given."""
        rotation = self.rotation_deg if rotation_deg is None else rotation_deg
        return replace(self, ra_deg=ra_deg, dec_deg=dec_deg, rotation_deg=rotation)

    @property
    def _mean_place(self) -> tuple[float, float] | None:
        """Boresight at the equator of date; as it is where the time is unknown."""
        if self.ra_deg is None or self.dec_deg is None:
            return None
        if self.mjd is None:
            return self.ra_deg, self.dec_deg
        ra_deg, dec_deg = mean_place_deg(self.ra_deg, self.dec_deg, self.mjd)
        return float(ra_deg), float(dec_deg)

    @property
    def _horizontal(self) -> tuple[float, float] | None:
        hour_angle_deg, place = self.hour_angle_deg, self._mean_place
        if hour_angle_deg is None or place is None or self.latitude_deg is None:
            return None
        altitude_deg, azimuth_deg = horizontal_deg(hour_angle_deg, place[1], self.latitude_deg)
        return float(altitude_deg), float(azimuth_deg)

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record(asdict(self))

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the visit from its stored form."""
        return cls(**record.meta)


def _wrap(angle_deg: float) -> float:
    """Return the angle in (-180, 180]."""
    return float(180.0 - (180.0 - angle_deg) % 360.0)


def _parse(text: str, column: str, visit: int, source: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(
            source, f"visit {visit}: {column} is {text!r}", "Give a number, or leave it empty"
        ) from None
