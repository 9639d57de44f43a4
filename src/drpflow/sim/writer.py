"""Raw frames with ordinary headers, and the true images behind them, as FITS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.io.atomic import atomic_path
from drpflow.sim.amplifiers import channels, nominal_amplifiers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.sim.amplifiers import Box, Channel
    from drpflow.sim.detector_config import DetectorEffects
    from drpflow.sim.instrument import Instrument, SimDetector
    from drpflow.sim.pointing import VisitTruth
    from drpflow.sim.readout import RawExposure

Card = tuple[str, Any, str]

FLAGS = {"SATURATED": 1, "DEFECT": 2, "TRAIL": 4, "GHOST": 8}
"""Bits of the image FLAGS in the files of the truth."""


def raw_path(folder: Path, instrument: str, night: str, visit: int, detector: int) -> Path:
    """Return where a raw frame lies: ``<night>/<instrument>_<visit>_<detector>.fits``."""
    return folder / night / f"{instrument}_{visit:06d}_{detector:02d}.fits"


def truth_path(folder: Path, visit: int, detector: int) -> Path:
    """Return where the true images of a frame lie."""
    return folder / "electrons" / f"visit={visit}" / f"electrons_{visit}_{detector}.fits"


def write_raw(
    path: Path,
    exposure: RawExposure,
    visit: VisitTruth,
    detector: SimDetector,
    instrument: Instrument,
    effects: DetectorEffects,
) -> None:
    """Write a raw science frame: one HDU, uint16 (BZERO 32768)."""
    cards = [
        *visit_cards(visit, instrument),
        ("CCDNUM", detector.id, "detector number"),
        ("CCDNAME", detector.name, "detector name"),
        ("BUNIT", "adu", "unit of the pixels"),
        *section_cards(detector, effects),
    ]
    write_image(path, exposure.adu, cards)


def visit_cards(visit: VisitTruth, instrument: Instrument) -> list[Card]:
    """Return the header cards that all detectors of a visit share."""
    return [
        ("TELESCOP", instrument.telescope, "telescope"),
        ("INSTRUME", instrument.name, "camera"),
        ("OBSTYPE", "OBJECT", "kind of exposure"),
        ("OBJECT", visit.target, "field"),
        ("EXPNUM", visit.visit, "number of the exposure"),
        ("NIGHT", visit.night, "date of the evening"),
        ("FILTER", visit.physical_filter, "filter"),
        ("EXPTIME", visit.exposure_time_s, "[s] exposure time"),
        ("TIMESYS", "UTC", "time scale"),
        ("DATE-OBS", visit.date_obs, "start of the exposure, UTC"),
        ("MJD-OBS", round(visit.mjd_utc_start, 8), "[d] start of the exposure, UTC"),
        ("RADESYS", "ICRS", "frame of the pointing"),
        ("RA", sexagesimal(visit.header_ra_deg / 15, 3), "[h] boresight, as the telescope says"),
        ("DEC", sexagesimal(visit.header_dec_deg, 2, sign=True), "[deg] boresight"),
        ("ROTPA", round(visit.header_rotation_deg, 5), "[deg] position angle of +y"),
        ("AIRMASS", round(visit.airmass, 4), "airmass of the boresight"),
        ("HA", round(visit.hour_angle_deg, 4), "[deg] hour angle, west positive"),
        ("TEMP", round(visit.temperature_c, 2), "[C] outside temperature"),
        ("PRES", round(visit.pressure_hpa, 2), "[hPa] air pressure"),
        ("HUMID", round(visit.humidity_percent, 1), "[%] relative humidity"),
    ]


def section_cards(detector: SimDetector, effects: DetectorEffects) -> Iterable[Card]:
    """Yield where each amplifier's pixels are, and its nominal properties.

    Sections count from 1, ends included; a DETSEC that runs backwards means a flip.
    """
    layout = channels(detector.size_pix, effects.electronics)
    nominal = nominal_amplifiers(effects, detector.id)
    yield ("DETSIZE", section((0, detector.size_pix[0], 0, detector.size_pix[1])), "detector")
    yield ("NAMPS", len(layout), "amplifiers")
    for i, channel in enumerate(layout, 1):
        yield (f"AMPNAM{i}", channel.name, f"name of amplifier {i}")
        yield (f"DATASEC{i}", section(channel.raw_data_section), "image pixels")
        yield (f"BIASSEC{i}", section(channel.raw_serial_overscan), "serial overscan")
        yield (f"DETSEC{i}", _oriented_section(channel), "place in the detector")
        yield (f"GAIN{i}", float(nominal.gain[i - 1]), "[electron/adu] nominal")
        yield (f"RDNOISE{i}", float(nominal.read_noise[i - 1]), "[electron] nominal")
        yield (f"SATURAT{i}", float(nominal.saturation[i - 1]), "[adu] above bias, nominal")


def section(box: Box) -> str:
    """Return a half-open box counting from 0 as FITS section: ``[x0+1:x1,y0+1:y1]``."""
    x0, x1, y0, y1 = box
    return f"[{x0 + 1}:{x1},{y0 + 1}:{y1}]"


def _oriented_section(channel: Channel) -> str:
    x0, x1, y0, y1 = channel.data_section
    columns = f"{x1}:{x0 + 1}" if channel.flip_x else f"{x0 + 1}:{x1}"
    rows = f"{y1}:{y0 + 1}" if channel.flip_y else f"{y0 + 1}:{y1}"
    return f"[{columns},{rows}]"


def sexagesimal(value: float, decimals: int, *, sign: bool = False) -> str:
    """Write degrees or hours as ``dd:mm:ss.ss``."""
    units = round(abs(value) * 3600 * 10**decimals)
    seconds, fraction = divmod(units, 10**decimals)
    minutes, second = divmod(seconds, 60)
    whole, minute = divmod(minutes, 60)
    prefix = ("-" if value < 0 else "+") if sign else ""
    return f"{prefix}{whole:02d}:{minute:02d}:{second:02d}.{fraction:0{decimals}d}"


def write_image(path: Path, image: NDArray[Any], cards: Iterable[Card]) -> None:
    """Write one image as the primary HDU of a file, atomically."""
    from astropy.io import fits

    hdu = fits.PrimaryHDU(image)
    for card in cards:
        hdu.header.append(card)
    with atomic_path(path) as temporary:
        hdu.writeto(temporary, overwrite=True)


def write_truth_images(
    path: Path,
    incident: NDArray[np.float64],
    exposure: RawExposure,
    flags: dict[str, NDArray[np.bool_]],
) -> None:
    """Write the true images of a frame.

    Parameters
    ----------
    path
        The file.
    incident
        Expected photo-electrons at unit efficiency.
    exposure
        What the detector made of it.
    flags
        Maps by the names of :data:`FLAGS`.

    Notes
    -----
    HDUs: ELECTRONS, the expectation, float32; PHOTO_ELECTRONS, those that pixels of perfect
    boundaries would have collected, with their noise and after the efficiency; COSMIC_RAYS,
    electrons; FLAGS. The last three are whole numbers, compressed without loss.
    """
    from astropy.io import fits

    bits = np.zeros(incident.shape, np.uint8)
    for name, where in flags.items():
        bits |= np.where(where, np.uint8(FLAGS[name]), np.uint8(0))
    images = {
        "PHOTO_ELECTRONS": np.rint(exposure.truth["photo_electrons"]).astype(np.int32),
        "COSMIC_RAYS": np.rint(exposure.truth["cosmic_ray"]).astype(np.int32),
        "FLAGS": bits,
    }
    hdus = fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(incident.astype(np.float32), name="ELECTRONS")]
    )
    for name, image in images.items():
        hdus.append(fits.CompImageHDU(image, name=name, compression_type="RICE_1"))
    for hdu in hdus[1:4]:
        hdu.header["BUNIT"] = "electron"
    for name, bit in FLAGS.items():
        hdus["FLAGS"].header[f"HIERARCH FLAG {name}"] = bit
    with atomic_path(path) as temporary:
        hdus.writeto(temporary, overwrite=True)
