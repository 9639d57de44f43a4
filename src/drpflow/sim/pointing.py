"""The observing log: when, where and through what air each visit is taken.

The log holds the truth beside what the headers say. Visits are spread over each night's range
of hour angles; the field is dithered and the camera turned from visit to visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drpflow.errors import InputError
from drpflow.sim.atmosphere import air_state
from drpflow.sim.earth import (
    hour_angle_deg,
    sidereal_time_deg,
    unit_vector,
    utc_to_tai,
    zenith_vector,
)
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.atmosphere import AirState
    from drpflow.sim.config import SpecialVisit, SurveyConfig
    from drpflow.sim.instrument import Instrument

MJD_UNIX = 40587.0
LONGEST_ZENITH_DISTANCE_DEG = 75.0


@dataclass(frozen=True)
class VisitTruth:
    """One visit as it was, and as its headers tell it.

    Parameters
    ----------
    visit, night, night_index
        Number; evening date ``YYYYMMDD``; index of the night.
    mjd_utc_start, mjd_tai
        Shutter opening, UTC; middle of the exposure, TAI.
    exposure_time_s, physical_filter, band, target
        What was asked for.
    true_ra_deg, true_dec_deg, true_rotation_deg
        ICRS boresight and position angle of focal-plane +y, east of north.
    header_ra_deg, header_dec_deg, header_rotation_deg
        What the headers say.
    airmass, zenith_distance_deg, hour_angle_deg
        Of the boresight at mid-exposure.
    seeing_arcsec
        Atmospheric FWHM at 500 nm at the zenith.
    air
        Water, aerosols, ozone, pressure, temperature, humidity.
    cloud_mag
        Mean extinction by cloud.
    sky_offset_mag
        Sky brightness relative to a dark sky at this airmass (negative: brighter).
    trails
        Number of satellite trails.
    empty_detectors
        Detectors on which no source is put.
    """

    visit: int
    night: str
    night_index: int
    mjd_utc_start: float
    mjd_tai: float
    exposure_time_s: float
    physical_filter: str
    band: str
    target: str
    true_ra_deg: float
    true_dec_deg: float
    true_rotation_deg: float
    header_ra_deg: float
    header_dec_deg: float
    header_rotation_deg: float
    airmass: float
    zenith_distance_deg: float
    hour_angle_deg: float
    seeing_arcsec: float
    air: AirState
    cloud_mag: float
    sky_offset_mag: float
    trails: int
    empty_detectors: tuple[int, ...]

    @property
    def temperature_c(self) -> float:
        """Air temperature."""
        return self.air.temperature_c

    @property
    def pressure_hpa(self) -> float:
        """Air pressure."""
        return self.air.pressure_hpa

    @property
    def humidity_percent(self) -> float:
        """Relative humidity."""
        return self.air.humidity_percent

    @property
    def date_obs(self) -> str:
        """Shutter opening, ISO 8601 with milliseconds, UTC."""
        start = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(
            milliseconds=round(self.mjd_utc_start * 86400e3)
        )
        return start.isoformat(timespec="milliseconds").removesuffix("+00:00")


@dataclass(frozen=True)
class _Slot:
    """Place of a visit in the plan."""

    visit: int
    night_index: int
    day: int
    place: int
    of: int
    band: str


def build_log(config: SurveyConfig, instrument: Instrument) -> tuple[VisitTruth, ...]:
    """Plan and draw all visits.

    Raises
    ------
    InputError
        If the first night is no date, or the field is too low in the sky.
    """
    return tuple(_observe(config, instrument, slot) for slot in _slots(config))


def _slots(config: SurveyConfig) -> list[_Slot]:
    slots: list[_Slot] = []
    for index, night in enumerate(config.observing.nights):
        for place, band in enumerate(night.bands):
            visit = config.observing.first_visit + len(slots)
            slots.append(_Slot(visit, index, night.day, place, len(night.bands), band))
    return slots


def _observe(config: SurveyConfig, instrument: Instrument, slot: _Slot) -> VisitTruth:
    """Draw one visit."""
    o = config.observing
    rng = generator(config.seed, SkyStage.POINTING, slot.visit)
    special = next((s for s in o.special if s.visit == slot.visit), None)
    exposure = _value(special, "exposure_time_s", o.exposure_time_s)
    ra, dec = _dither(config, rng)
    start, hours = _start(config, instrument, slot, rng)
    middle = round(start, 8) + exposure / 2 / 86400
    zenith_deg = _zenith_distance(instrument, middle, ra, dec)
    if zenith_deg > LONGEST_ZENITH_DISTANCE_DEG:
        raise InputError(
            f"simulation {config.name}",
            f"visit {slot.visit} would look {zenith_deg:.0f} degrees from the zenith",
            "Narrow observing.hour_angle_range_deg or move the field",
        )
    turn = o.rotations_deg[(slot.visit - o.first_visit) % len(o.rotations_deg)]
    turn += o.rotation_jitter_deg * rng.normal()
    header = _header_pointing(config, special, rng, (ra, dec, turn))
    met = _conditions(config, slot.visit)
    return VisitTruth(
        visit=slot.visit,
        night=_night_date(config, slot.day).strftime("%Y%m%d"),
        night_index=slot.night_index,
        mjd_utc_start=round(start, 8),
        mjd_tai=utc_to_tai(middle),
        exposure_time_s=exposure,
        physical_filter=instrument.filter_for_band(slot.band).physical_filter,
        band=slot.band,
        target=o.target,
        true_ra_deg=ra,
        true_dec_deg=dec,
        true_rotation_deg=float(turn % 360.0),
        header_ra_deg=header[0],
        header_dec_deg=header[1],
        header_rotation_deg=header[2],
        airmass=airmass(zenith_deg),
        zenith_distance_deg=zenith_deg,
        hour_angle_deg=hour_angle_deg(middle, instrument.observatory.longitude_deg, ra, dec),
        seeing_arcsec=_value(special, "seeing_arcsec", met.seeing_arcsec),
        air=air_state(config, slot.night_index, slot.visit, hours),
        cloud_mag=_value(special, "cloud_mag", 0.0),
        sky_offset_mag=met.sky_offset_mag,
        trails=int(_value(special, "trails", met.trails)),
        empty_detectors=special.empty_detectors if special else (),
    )


class _Conditions(NamedTuple):
    """What a visit meets unless the configuration says otherwise."""

    seeing_arcsec: float
    sky_offset_mag: float
    trails: int


def _conditions(config: SurveyConfig, visit: int) -> _Conditions:
    rng = generator(config.seed, SkyStage.VISIT_WEATHER, visit, 1)
    return _Conditions(
        seeing_arcsec=float(rng.uniform(*config.psf.seeing_arcsec)),
        sky_offset_mag=float(rng.normal(scale=config.sky.brightness_scatter_mag)),
        trails=int(rng.poisson(config.artifacts.trails_per_visit)),
    )


def airmass(zenith_deg: float) -> float:
    """Return the airmass (Kasten & Young 1989)."""
    altitude = 90.0 - zenith_deg
    return float(1 / (np.sin(np.deg2rad(altitude)) + 0.50572 * (altitude + 6.07995) ** -1.6364))


def visit_zenith(instrument: Instrument, visit: VisitTruth) -> np.ndarray:
    """Return the ICRS direction of the zenith at mid-exposure."""
    site = instrument.observatory
    middle = visit.mjd_utc_start + visit.exposure_time_s / 2 / 86400
    return zenith_vector(middle, site.longitude_deg, site.latitude_deg)


def _value(special: SpecialVisit | None, key: str, ordinary: float) -> float:
    found = getattr(special, key) if special is not None else None
    return ordinary if found is None else found


def _night_date(config: SurveyConfig, day: int) -> datetime:
    first = config.observing.first_night
    try:
        date = datetime.strptime(first, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InputError(
            f"simulation {config.name}",
            f"observing.first_night is {first!r}",
            "Write it as YYYY-MM-DD",
        ) from None
    return date + timedelta(days=day)


def _start(
    config: SurveyConfig, instrument: Instrument, slot: _Slot, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the start [MJD UTC] and the hours since local midnight."""
    longitude = instrument.observatory.longitude_deg
    evening = _night_date(config, slot.day)
    midnight = MJD_UNIX + evening.timestamp() / 86400 + 1.0 - longitude / 360.0
    low, high = config.observing.hour_angle_range_deg
    goal = low + (high - low) * (slot.place + rng.uniform(0.15, 0.85)) / slot.of
    meridian = sidereal_time_deg(midnight, longitude) - config.observing.ra_deg
    wait_deg = (goal - meridian + 180.0) % 360.0 - 180.0
    wait_day = wait_deg / 360.985647
    return midnight + wait_day, wait_day * 24.0


def _zenith_distance(instrument: Instrument, mjd_utc: float, ra: float, dec: float) -> float:
    site = instrument.observatory
    zenith = zenith_vector(mjd_utc, site.longitude_deg, site.latitude_deg)
    return float(np.rad2deg(np.arccos(np.clip(unit_vector(ra, dec) @ zenith, -1, 1))))


def _dither(config: SurveyConfig, rng: np.random.Generator) -> tuple[float, float]:
    """Return a boresight drawn evenly from a disc about the field."""
    o = config.observing
    radius = o.dither_arcsec / 3600 * np.sqrt(rng.uniform())
    angle = rng.uniform(0, 2 * np.pi)
    return _offset(o.ra_deg, o.dec_deg, radius * np.sin(angle), radius * np.cos(angle))


def _header_pointing(
    config: SurveyConfig,
    special: SpecialVisit | None,
    rng: np.random.Generator,
    true: tuple[float, float, float],
) -> tuple[float, float, float]:
    """Return what the headers say, with errors, to the digits that headers carry."""
    o = config.observing
    east, north = rng.normal(scale=o.pointing_error_arcsec, size=2)
    angle, turn_error = rng.uniform(0, 2 * np.pi), o.rotation_error_deg * rng.normal()
    if special is not None and special.pointing_error_arcsec is not None:
        east, north = special.pointing_error_arcsec * np.array([np.sin(angle), np.cos(angle)])
    turn_error = _value(special, "rotation_error_deg", turn_error)
    ra, dec = _offset(true[0], true[1], east / 3600, north / 3600)
    return round(ra, 6), round(dec, 6), round(float((true[2] + turn_error) % 360.0), 4)


def _offset(ra: float, dec: float, east_deg: float, north_deg: float) -> tuple[float, float]:
    """Move a position by small angles."""
    moved = dec + north_deg
    return float((ra + east_deg / np.cos(np.deg2rad(moved))) % 360.0), float(moved)
