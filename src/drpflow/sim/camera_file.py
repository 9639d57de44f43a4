"""The camera file of the simulated camera: what its makers would document, no truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drpflow.sim.amplifiers import channels, nominal_amplifiers, raw_shape

if TYPE_CHECKING:
    from drpflow.sim.detector_config import DetectorEffects
    from drpflow.sim.instrument import Instrument, SimDetector

THROUGHPUT_FOLDER = "throughputs"

_COMMENT = """\
# The simulated camera, as `drpflow simulate demo` writes it beside its raw frames. Gains, read
# noises and distortion are the nominal ones, from which the simulated hardware deviates.
"""

HEADER_MAP: dict[str, dict[str, Any]] = {
    "instrument": {"key": "INSTRUME"},
    "observation_type": {"key": "OBSTYPE"},
    "visit": {"key": "EXPNUM"},
    "detector": {"key": "CCDNUM"},
    "physical_filter": {"key": "FILTER"},
    "exposure_time_s": {"key": "EXPTIME"},
    "mjd": {"key": "MJD-OBS", "format": "mjd"},
    "time_scale": {"constant": "utc"},
    "time_reference": {"constant": "start"},
    "ra_deg": {"key": "RA", "format": "hms"},
    "dec_deg": {"key": "DEC", "format": "dms"},
    "rotation_deg": {"key": "ROTPA"},
    "airmass": {"key": "AIRMASS"},
    "hour_angle_deg": {"key": "HA"},
    "temperature_c": {"key": "TEMP"},
    "pressure_hpa": {"key": "PRES"},
    "humidity_percent": {"key": "HUMID"},
    "night": {"key": "NIGHT"},
    "target": {"key": "OBJECT"},
    "unit": {"key": "BUNIT"},
}
"""Where the raw headers of :mod:`drpflow.sim.writer` hold what an ingest needs."""


def camera_text(instrument: Instrument, effects: DetectorEffects) -> str:
    """Return the camera file as YAML."""
    import yaml

    body = yaml.safe_dump(
        camera_description(instrument, effects), sort_keys=False, default_flow_style=None, width=98
    )
    return _COMMENT + body


def camera_description(instrument: Instrument, effects: DetectorEffects) -> dict[str, Any]:
    """Return the camera in the terms of the camera file's schema."""
    site, optics = instrument.observatory, instrument.optics
    return {
        "name": instrument.name,
        "description": f"simulated camera, {len(instrument.detectors)} detectors",
        "observatory": {
            "name": site.name,
            "longitude_deg": site.longitude_deg,
            "latitude_deg": site.latitude_deg,
            "elevation_m": site.elevation_m,
        },
        "optics": {
            "plate_scale_arcsec_per_mm": optics.plate_scale_arcsec_per_mm,
            "radius_mm": optics.radius_mm,
            "radial": list(optics.radial),
            "x_axis": "west",
        },
        "filters": [
            {
                "physical_filter": item.physical_filter,
                "band": item.band,
                "effective_wavelength_nm": item.effective_wavelength_nm,
                "throughput": f"{THROUGHPUT_FOLDER}/{item.physical_filter}.csv",
                "detector_throughput": (
                    f"{THROUGHPUT_FOLDER}/{item.physical_filter}_{{detector:02d}}.csv"
                ),
            }
            for item in instrument.filters
        ],
        "header": HEADER_MAP,
        "raw_unit": "adu",
        "detectors": [_detector(item, effects) for item in instrument.detectors],
    }


def _detector(detector: SimDetector, effects: DetectorEffects) -> dict[str, Any]:
    layout = channels(detector.size_pix, effects.electronics)
    nominal = nominal_amplifiers(effects, detector.id)
    amplifiers = []
    for i, channel in enumerate(layout):
        amplifiers.append(
            {
                "name": channel.name,
                "data_section": list(channel.data_section),
                "raw_data_section": list(channel.raw_data_section),
                "raw_serial_overscan": list(channel.raw_serial_overscan),
                **_parallel(channel.raw_parallel_overscan),
                "flip_x": channel.flip_x,
                "flip_y": channel.flip_y,
                "gain": float(nominal.gain[i]),
                "read_noise": float(nominal.read_noise[i]),
                "saturation": float(nominal.saturation[i]),
            }
        )
    rows, columns = raw_shape(layout)
    return {
        "id": detector.id,
        "name": detector.name,
        "size_pix": list(detector.size_pix),
        "center_mm": [round(v, 6) for v in detector.center_mm],
        "rotation_deg": detector.rotation_deg,
        "pixel_size_mm": detector.pixel_size_mm,
        "raw_size_pix": [columns, rows],
        "amplifiers": amplifiers,
    }


def _parallel(section: tuple[int, int, int, int] | None) -> dict[str, list[int]]:
    return {} if section is None else {"raw_parallel_overscan": list(section)}
