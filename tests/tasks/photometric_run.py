"""A simulated survey of photometry as the files that fgcm reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from drpflow.algorithms.fgcm.look_up_table import FilterThroughput, build_look_up_table
from drpflow.data.air import AirState
from drpflow.data.camera import Camera
from drpflow.data.look_up_table import LookUpTable
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.visit_info import VisitInfo
from drpflow.io.absorption import read_absorption
from drpflow.io.look_up_table_files import write_look_up_table
from drpflow.io.records import write_component_json
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.tables import write_table
from drpflow.sim.photometric_config import PhotometricConfig
from drpflow.sim.photometric_survey import (
    PhotometricSurvey,
    detector_directions,
    simulate_photometry,
)
from drpflow.sim.sed import WAVELENGTH_NM

PIXELS = (31, 32)
SIZE_PIX = 1000
SCALE_ARCSEC = 0.72
"""0.2 degrees a detector."""
AIR = AirState(pressure_hpa=743.0)
FLUX = "normCompTophatFlux_instFlux"
SECOND_FLUX_MAG = 0.3
_PIXEL_MM = 0.015
_SIDE_MM = SIZE_PIX * _PIXEL_MM


def small_survey(**sections: dict[str, object]) -> PhotometricSurvey:
    """Return 24 visits of four detectors on three nights."""
    values: dict[str, dict[str, object]] = {
        "camera": {"columns": 2, "rows": 2, "gap_deg": 0.0},
        "field": {"stars_per_detector": 60, "dither_deg": 0.3},
        "nights": {"days": (0, 2, 5), "visits_per_night": 8},
        "reference": {"fraction": 0.4},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    air = read_absorption()
    shine = np.interp(WAVELENGTH_NM, air.wavelength_nm, air.transmission(*AIR.values()))
    return simulate_photometry(PhotometricConfig.model_validate({"seed": 8, **values}), shine)


def camera_of(survey: PhotometricSurvey) -> dict[str, object]:
    """Return the camera file: detector ids from 10, +x east."""
    amplifier = {
        "name": "A",
        "data_section": [0, SIZE_PIX, 0, SIZE_PIX],
        "raw_data_section": [0, SIZE_PIX, 0, SIZE_PIX],
        "gain": 1.0,
        "read_noise": 5.0,
        "saturation": 60000,
    }
    per_deg = _SIDE_MM / survey.config.camera.detector_deg
    centers = zip(survey.camera.x_deg, survey.camera.y_deg, strict=True)
    detectors = [
        {
            "id": 10 + k,
            "name": f"D{k}",
            "size_pix": [SIZE_PIX, SIZE_PIX],
            "center_mm": [float(x * per_deg), float(y * per_deg)],
            "pixel_size_mm": _PIXEL_MM,
            "amplifiers": [amplifier],
        }
        for k, (x, y) in enumerate(centers)
    ]
    filters = [
        {"physical_filter": f.physical_filter, "band": f.band} for f in survey.config.camera.filters
    ]
    optics = {"plate_scale_arcsec_per_mm": 3600 / per_deg, "x_axis": "east"}
    site = {"latitude_deg": survey.config.nights.latitude_deg, "longitude_deg": 0.0}
    return {
        "name": "small",
        "optics": optics,
        "observatory": site,
        "detectors": detectors,
        "filters": filters,
    }


def table_of(survey: PhotometricSurvey) -> LookUpTable:
    """Return the look-up table from the documented throughputs."""
    number = survey.camera.x_deg.size
    throughputs = [
        FilterThroughput(
            item.physical_filter,
            item.band,
            tuple((WAVELENGTH_NM, curve) for curve in curves),
            np.arange(number, dtype=np.int32),
        )
        for item, curves in zip(survey.config.camera.filters, survey.camera.documented, strict=True)
    ]
    ids = [10 + k for k in range(number)]
    return build_look_up_table(throughputs, ids, read_absorption(), AIR)


def visit_info(survey: PhotometricSurvey, number: int) -> VisitInfo:
    """Return the metadata of a visit; airmass as recorded, night as a date."""
    e = survey.exposures[number]
    airmass = e.airmass(detector_directions(survey.camera, e))
    item = survey.config.camera.filters[e.band]
    return VisitInfo(
        visit=100 + number,
        physical_filter=item.physical_filter,
        band=item.band,
        night=f"2025-02-{e.night + 1:02d}",
        exposure_time_s=survey.config.nights.exposure_time_s,
        mjd=e.mjd,
        ra_deg=e.ra_deg,
        dec_deg=e.dec_deg,
        rotation_deg=e.rotation_deg,
        recorded_airmass=float(airmass.mean()),
        pressure_hpa=e.air.pressure_hpa,
    )


def write_survey(folder: Path, survey: PhotometricSurvey, *, references: bool = True) -> list[str]:
    """Write all inputs; return the arguments of the script that name them."""
    for number in range(len(survey.exposures)):
        _write_visit(folder, survey, number)
    _write_stars(folder, survey)
    (folder / "camera.yaml").write_text(yaml.safe_dump(camera_of(survey)))
    write_look_up_table(folder / "table.fits", table_of(survey))
    Camera.model_validate(camera_of(survey))
    words = ["--camera", "camera.yaml", "--fgcm-look-up-table", "table.fits"]
    words += ["--visit-info", "info/{visit}.json"]
    words += ["--initial-visit-summary", "summary/{visit}.parquet"]
    words += ["--isolated-stars", "stars/{skypix}.parquet"]
    words += ["--isolated-stars-source", "sources/{skypix}.parquet"]
    words += ["--visits", f"100-{99 + len(survey.exposures)}", "--skypix", "31-32"]
    if references:
        _write_references(folder / "reference.parquet", survey)
        words += ["--reference-stars", "reference.parquet"]
    return [str(folder / w) if "." in w and not w.startswith("--") else w for w in words]


def _write_visit(folder: Path, survey: PhotometricSurvey, number: int) -> None:
    info = visit_info(survey, number)
    write_component_json(folder / f"info/{info.visit}.json", info)
    e = survey.exposures[number]
    airmass = e.airmass(detector_directions(survey.camera, e))
    columns = {
        "detector": 10 + np.arange(airmass.size, dtype=np.int32),
        "psfSigma": np.full(airmass.size, e.seeing_arcsec / 2.35482 / SCALE_ARCSEC),
        "pixelScale": np.full(airmass.size, SCALE_ARCSEC),
        "zenithDistance": np.degrees(np.arccos(1 / airmass)),
    }
    write_table(folder / f"summary/{info.visit}.parquet", columns)


def _write_stars(folder: Path, survey: PhotometricSurvey) -> None:
    m, s = survey.measurements, survey.stars
    exposure_time_s = survey.config.nights.exposure_time_s
    flux = 10 ** (-0.4 * m.mag) * exposure_time_s
    for k, pixel in enumerate(PIXELS):
        mine = s.id % 2 == k
        where = {"skypix": pixel}
        stars = {"isolated_star_id": s.id, "ra": s.ra, "dec": s.dec, "reserved": s.reserved}
        write_table(
            folder / f"stars/{pixel}.parquet",
            {name: values[mine] for name, values in stars.items()},
            data_id=where,
        )
        rows = mine[m.star]
        sources = {
            "isolated_star_id": s.id[m.star],
            "visit": 100 + m.visit.astype(np.int64),
            "detector": 10 + m.detector,
            "x": (m.u.astype(float) + 1) * SIZE_PIX / 2 - 0.5,
            "y": (m.v.astype(float) + 1) * SIZE_PIX / 2 - 0.5,
            FLUX: flux,
            f"{FLUX}Err": flux * m.mag_err * np.log(10) / 2.5,
            "normCompTophatFlux_flag": np.zeros(len(m), bool),
            **_second_flux(survey, flux),
        }
        columns = {name: values[rows] for name, values in sources.items()}
        write_table(folder / f"sources/{pixel}.parquet", columns, data_id=where)


def _second_flux(survey: PhotometricSurvey, flux: np.ndarray) -> dict[str, np.ndarray]:
    """Return fluxes with half the noise, on a scale of their own on each detector image."""
    m = survey.measurements
    noiseless = survey.stars.standard_mag[m.star, _bands(survey)] - m.correction
    rng = np.random.default_rng(4)
    scale = rng.normal(0, 0.02, (len(survey.exposures), survey.camera.x_deg.size))
    off = 0.5 * (m.mag - noiseless) + SECOND_FLUX_MAG + scale[m.visit, m.detector]
    second = flux * 10 ** (0.4 * (m.mag - noiseless - off))
    return {
        "psfFlux_instFlux": second,
        "psfFlux_instFluxErr": 0.5 * second * m.mag_err * np.log(10) / 2.5,
        "psfFlux_flag": np.zeros(len(m), bool),
    }


def _bands(survey: PhotometricSurvey) -> np.ndarray:
    return np.array([e.band for e in survey.exposures])[survey.measurements.visit]


def _write_references(path: Path, survey: PhotometricSurvey) -> None:
    s = survey.stars
    listed = np.flatnonzero(np.isfinite(s.reference_mag).all(axis=1))
    columns = {
        "id": s.id[listed] + 5_000_000,
        "ra": s.ra[listed],
        "dec": s.dec[listed],
        "epoch": np.full(listed.size, survey.config.nights.first_mjd),
    }
    for k, band in enumerate(survey.bands):
        flux = 10 ** (-0.4 * (s.reference_mag[listed, k] - 31.4))
        columns[f"flux_{band}"] = flux
        columns[f"flux_{band}_err"] = flux * s.reference_err[listed, k] * np.log(10) / 2.5
    write_reference_stars(path, ReferenceStars.from_columns(columns))
