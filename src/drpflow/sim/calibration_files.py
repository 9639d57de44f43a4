"""Calibrations as FITS files, one a kind and detector.

Every file has the cards CALTYPE, INSTRUME, CCDNUM, and FILTER where it depends on one; NCOMBINE
says how many frames were combined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.io.atomic import atomic_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

    from drpflow.sim.calibration_frames import DetectorCalibrations
    from drpflow.sim.calibration_stacks import Master

TABLE_KINDS = ("defects", "ptc", "linearizer", "crosstalk", "brighter_fatter", "cti")


def calibration_paths(
    folder: Path, instrument: str, detector: int, filters: tuple[str, ...]
) -> dict[str, Path]:
    """Return the files of a detector by kind; flats by ``flat_<filter>``."""
    kinds = ("bias", "dark", *(f"flat_{name}" for name in filters), *TABLE_KINDS)
    return {kind: folder / f"{instrument}_{kind}_{detector:02d}.fits" for kind in kinds}


def write_calibrations(folder: Path, instrument: str, measured: DetectorCalibrations) -> None:
    """Write all calibrations of one detector."""
    paths = calibration_paths(folder, instrument, measured.detector_id, tuple(measured.flats))
    common = {"INSTRUME": instrument, "CCDNUM": measured.detector_id}
    _write_master(paths["bias"], "bias", measured.bias, "adu", common)
    _write_master(paths["dark"], "dark", measured.dark, "electron s-1", common)
    for name, flat in measured.flats.items():
        _write_master(paths[f"flat_{name}"], "flat", flat, "", {**common, "FILTER": name})
    for kind, hdu in (
        ("defects", _defects(measured)),
        ("ptc", _photon_transfer(measured)),
        ("linearizer", _linearizer(measured)),
        ("crosstalk", _crosstalk(measured)),
        ("brighter_fatter", _kernel(measured)),
        ("cti", _cti(measured)),
    ):
        _write(paths[kind], kind, [hdu], common)


def _write_master(
    path: Path, kind: str, master: Master, unit: str, cards: Mapping[str, Any]
) -> None:
    from astropy.io import fits

    image = fits.ImageHDU(np.asarray(master.image, np.float32), name=kind.upper())
    variance = fits.ImageHDU(np.asarray(master.variance, np.float32), name="VARIANCE")
    if unit:
        image.header["BUNIT"] = unit
        variance.header["BUNIT"] = f"({unit})2" if " " in unit else f"{unit}2"
    _write(path, kind, [image, variance], {**cards, "NCOMBINE": master.frames})


def _write(path: Path, kind: str, hdus: list[Any], cards: Mapping[str, Any]) -> None:
    from astropy.io import fits

    primary = fits.PrimaryHDU()
    for hdu in (primary, hdus[0]):
        hdu.header["CALTYPE"] = kind
        hdu.header.update(cards)
    with atomic_path(path) as temporary:
        fits.HDUList([primary, *hdus]).writeto(temporary, overwrite=True)


def _table(name: str, columns: Mapping[str, tuple[str, NDArray[Any], str]]) -> fits.BinTableHDU:
    """Make a table from format, values and unit by column."""
    from astropy.io import fits

    return fits.BinTableHDU.from_columns(
        [
            fits.Column(name=key, format=form, array=values, unit=unit or None)
            for key, (form, values, unit) in columns.items()
        ],
        name=name,
    )


def _amplifier_names(measured: DetectorCalibrations) -> tuple[str, NDArray[Any], str]:
    names = np.array(measured.amplifiers)
    return f"{names.dtype.itemsize // 4}A", names, ""


def _defects(measured: DetectorCalibrations) -> fits.BinTableHDU:
    boxes = np.array([d.box for d in measured.defects], np.int32).reshape(-1, 4)
    columns = {name: ("J", boxes[:, i], "pix") for i, name in enumerate(("x0", "x1", "y0", "y1"))}
    kinds = np.array([d.kind for d in measured.defects], "U8")
    return _table("DEFECTS", {**columns, "kind": ("8A", kinds, "")})


def _photon_transfer(measured: DetectorCalibrations) -> fits.BinTableHDU:
    ptc = measured.photon_transfer
    return _table(
        "PTC",
        {
            "amplifier": _amplifier_names(measured),
            "gain": ("D", ptc.gain, "electron adu-1"),
            "gain_err": ("D", ptc.gain_error, "electron adu-1"),
            "read_noise": ("D", ptc.read_noise, "electron"),
            "saturation": ("D", measured.saturation_adu, "adu"),
        },
    )


def _linearizer(measured: DetectorCalibrations) -> fits.BinTableHDU:
    nodes = np.array([item.node_adu for item in measured.linearizers])
    corrections = np.array([item.correction_adu for item in measured.linearizers])
    vector = f"{nodes.shape[1]}D"
    return _table(
        "LINEARIZER",
        {
            "amplifier": _amplifier_names(measured),
            "node_adu": (vector, nodes, "adu"),
            "correction_adu": (vector, corrections, "adu"),
        },
    )


def _crosstalk(measured: DetectorCalibrations) -> fits.ImageHDU:
    from astropy.io import fits

    hdu = fits.ImageHDU(measured.crosstalk.astype(np.float64), name="CROSSTALK")
    for i, name in enumerate(measured.amplifiers):
        hdu.header[f"AMP{i}"] = (name, "amplifier of this row and column")
    return hdu


def _kernel(measured: DetectorCalibrations) -> fits.ImageHDU:
    from astropy.io import fits

    hdu = fits.ImageHDU(np.asarray(measured.kernel, np.float64), name="KERNEL")
    hdu.header["BUNIT"] = "electron-1"
    return hdu


def _cti(measured: DetectorCalibrations) -> fits.BinTableHDU:
    return _table(
        "CTI",
        {"amplifier": _amplifier_names(measured), "serial_cti": ("D", measured.serial_cti, "")},
    )
