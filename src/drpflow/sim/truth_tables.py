"""The truth folder: Parquet tables that say what a perfect pipeline would find.

========================  ==================================================================
``stars``, ``galaxies``,  the truth catalogues, fixed to the sky
``supernovae``,
``flares``, ``asteroids``
``reference``             which star of the truth catalogue each reference star is
``visits``                the observing log with its hidden parts
``detectors``             zero point (in the camera's own passband and in the reference
                          catalogue's), cloud, sky, image size, usable stars of each frame
``wcs``                   pixels and sky on a grid of each frame, for a reference star
``psf``                   cumulants of the blur on a grid of each frame, for a reference star
``illumination``          light of the sky and of the dome on a grid of each detector
``atmosphere``            transmission of the clear air of each visit
``sources/visit=<v>``     every source on every detector: place, flux, S/N, use
========================  ==================================================================
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.sim.astrometry import pixel_to_sky
from drpflow.sim.earth import ra_dec_deg
from drpflow.sim.photometry import band_flux, reference_curve, standard_curve
from drpflow.sim.placement import pixel_arcsec, reference_ratio
from drpflow.sim.psf_image import central_fwhm_pix, star_blur
from drpflow.sim.reference import reference_table
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K, WAVELENGTH_NM, SedLibrary
from drpflow.sim.tables import structured_columns, write_curve, write_table
from drpflow.sim.truth import FrameStars, frame_stars

if TYPE_CHECKING:
    from pathlib import Path

    from drpflow.sim.pointing import VisitTruth
    from drpflow.sim.survey import Survey
    from drpflow.sim.visit_model import VisitModel

Row = dict[str, Any]

GRID_NODES = 17
_UNITS = {
    "ra": "deg",
    "dec": "deg",
    "mag": "mag",
    "pm_ra": "mas yr-1",
    "pm_dec": "mas yr-1",
    "parallax": "mas",
    "x": "pix",
    "y": "pix",
    "flux_electron": "electron",
    "sky_electron": "electron",
    "seeing_arcsec": "arcsec",
    "fwhm_arcsec": "arcsec",
    "cloud_mag": "mag",
    "mjd_tai": "d",
    "mjd_utc_start": "d",
    "exposure_time_s": "s",
    "electron_per_njy": "electron nJy-1",
    "electron_per_reference_njy": "electron nJy-1",
    "wavelength_nm": "nm",
}


def write_truth(survey: Survey, folder: Path) -> None:
    """Write all truth tables (1.5 s for 16 visits of 4 detectors)."""
    _write_catalogs(survey, folder)
    _, reference_ids = reference_table(survey)
    collected: dict[str, list[Row]] = {"visits": [], "detectors": []}
    grids: dict[str, list[dict[str, np.ndarray]]] = {"wcs": [], "psf": [], "atmosphere": []}
    for visit in survey.visits:
        model, sources = survey.model(visit.visit), survey.sources(visit.visit)
        collected["visits"].append(_visit_row(visit, model))
        grids["atmosphere"].append(_atmosphere(visit, model))
        tables = []
        for detector in survey.instrument.detectors:
            stars = frame_stars(model, detector.id, sources)
            collected["detectors"].append(_frame_row(model, detector.id, stars, reference_ids))
            grids["wcs"].append(_wcs_grid(model, detector.id))
            grids["psf"].append(_psf_grid(model, detector.id))
            tables.append(_source_columns(model, detector.id, stars, reference_ids))
        path = folder / "sources" / f"visit={visit.visit}" / "sources.parquet"
        write_table(path, _stack(tables), _UNITS)
    for name, rows in collected.items():
        write_table(folder / f"{name}.parquet", _columns(rows), _UNITS)
    for name, parts in grids.items():
        write_table(folder / f"{name}.parquet", _stack(parts), _UNITS)
    write_table(folder / "illumination.parquet", _stack(_illumination(survey)), _UNITS)


def write_throughputs(survey: Survey, folder: Path) -> None:
    """Write ``<filter>.csv``, the camera's mean, and ``<filter>_<detector>.csv``, no air."""
    for item in survey.instrument.filters:
        name = item.physical_filter
        write_curve(folder / f"{name}.csv", WAVELENGTH_NM, survey.throughputs.mean_system(name))
        for detector in survey.instrument.detectors:
            curve = survey.throughputs.system(name, detector.id)
            write_curve(folder / f"{name}_{detector.id:02d}.csv", WAVELENGTH_NM, curve)


def _write_catalogs(survey: Survey, folder: Path) -> None:
    for name, rows in (
        ("stars", survey.catalog.stars),
        ("galaxies", survey.catalog.galaxies),
        ("supernovae", survey.transients.supernovae),
        ("flares", survey.transients.flares),
        ("asteroids", survey.transients.asteroids),
    ):
        columns = structured_columns(rows)
        if name in ("stars", "galaxies"):
            columns.update(_standard_magnitudes(survey, rows))
        write_table(folder / f"{name}.parquet", columns, _UNITS)
    reference, truth_ids = reference_table(survey)
    pairs = {"reference_id": reference["id"], "id": truth_ids}
    write_table(folder / "reference.parquet", pairs, {})


def _standard_magnitudes(survey: Survey, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return standard AB magnitudes in the camera's bands."""
    found = {}
    for item in survey.instrument.filters:
        curve = standard_curve(survey.throughputs, item.physical_filter)
        ratio = SedLibrary.interpolate(band_flux(survey.sed_library, curve), rows["sed"])
        found[f"mag_{item.band}"] = rows["mag"] - 2.5 * np.log10(ratio)
    return found


def _visit_row(visit: VisitTruth, model: VisitModel) -> Row:
    row: Row = {}
    for item in fields(visit):
        if item.name not in ("air", "empty_detectors"):
            row[item.name] = getattr(visit, item.name)
    row.update({item.name: getattr(visit.air, item.name) for item in fields(visit.air)})
    row["turbulence_mas"] = model.geometry.turbulence_mas
    row["zenith_field_angle_deg"] = model.geometry.zenith_field_angle_deg()
    row["fwhm_arcsec"] = float(model.psf.fwhm_arcsec(model.geometry.wavelength_nm))
    return row


def electron_per_njy(model: VisitModel, detector: int, curve: np.ndarray) -> float:
    """Return the electrons in the exposure for 1 nJy of a reference star in some passband.

    At the centre of the detector, through air and cloud, vignetting included; before the
    response of the pixels.

    Parameters
    ----------
    model, detector
        The frame.
    curve
        The passband in which the star's flux is given.
    """
    index = SedLibrary.star_index(np.array([REFERENCE_TEMPERATURE_K]))
    per_brightness = float(SedLibrary.interpolate(band_flux(model.sed_library, curve), index)[0])
    rate = float(model.response(detector).at(index).electron_per_s_njy[0])
    x_mm, y_mm = (np.array(v) for v in model.optics.detectors[detector].place.center_mm)
    light = float(model.optics.illumination(x_mm, y_mm))
    light *= float(10.0 ** (-0.4 * model.cloud_extinction_mag(x_mm, y_mm)))
    return rate * model.truth.exposure_time_s * light / per_brightness


def _frame_row(
    model: VisitModel, detector: int, stars: FrameStars, reference_ids: np.ndarray
) -> Row:
    scale = pixel_arcsec(model, detector)
    x_mm, y_mm = (np.array(v) for v in model.optics.detectors[detector].place.center_mm)
    own = standard_curve(model.throughputs, model.truth.physical_filter)
    catalog = reference_curve(model.config, model.throughputs, model.truth.band)
    return {
        "visit": model.truth.visit,
        "detector": detector,
        "band": model.truth.band,
        "electron_per_njy": electron_per_njy(model, detector, own),
        "electron_per_reference_njy": electron_per_njy(model, detector, catalog),
        "cloud_mag": float(model.cloud_extinction_mag(x_mm, y_mm)),
        "sky_electron": stars.sky_electron,
        "fwhm_arcsec": central_fwhm_pix(model, detector) * scale,
        "effective_area_pix": stars.effective_area_pix,
        "psf_stars": int(stars.psf_star.sum()),
        "bright_reference_stars": int(stars.bright_reference_star(reference_ids).sum()),
    }


def _grid(model: VisitModel, detector: int) -> tuple[np.ndarray, np.ndarray]:
    nx, ny = model.optics.detectors[detector].place.size_pix
    x, y = np.meshgrid(np.linspace(0, nx - 1, GRID_NODES), np.linspace(0, ny - 1, GRID_NODES))
    return x.ravel(), y.ravel()


def _label(model: VisitModel, detector: int, number: int) -> dict[str, np.ndarray]:
    return {
        "visit": np.full(number, model.truth.visit, np.int64),
        "detector": np.full(number, detector, np.int64),
    }


def _wcs_grid(model: VisitModel, detector: int) -> dict[str, np.ndarray]:
    x, y = _grid(model, detector)
    ratio = reference_ratio(model, detector)
    ra, dec = pixel_to_sky(model.optics, detector, model.geometry, x, y, ratio)
    return {**_label(model, detector, len(x)), "x": x, "y": y, "ra": ra, "dec": dec}


def _psf_grid(model: VisitModel, detector: int) -> dict[str, np.ndarray]:
    x, y = _grid(model, detector)
    blurs = star_blur(model, detector, x, y)
    return {
        **_label(model, detector, len(x)),
        "x": x,
        "y": y,
        "turbulence": blurs.turbulence,
        "covariance_xx": blurs.covariance[:, 0],
        "covariance_xy": blurs.covariance[:, 1],
        "covariance_yy": blurs.covariance[:, 2],
        "coma_x": blurs.coma[:, 0],
        "coma_y": blurs.coma[:, 1],
    }


def _atmosphere(visit: VisitTruth, model: VisitModel) -> dict[str, np.ndarray]:
    return {
        "visit": np.full(len(WAVELENGTH_NM), visit.visit, np.int64),
        "wavelength_nm": WAVELENGTH_NM,
        "transmission": model.air_transmission,
    }


def _illumination(survey: Survey) -> list[dict[str, np.ndarray]]:
    """Return, by detector and filter, what the sky's and the dome's light give on a grid."""
    parts = []
    for item in survey.instrument.filters:
        curve = survey.throughputs
        camera = float(curve.mean_system(item.physical_filter).sum())
        for key, true in survey.optics.detectors.items():
            nx, ny = true.place.size_pix
            columns = np.linspace(0, nx - 1, GRID_NODES).round().astype(int)
            rows = np.linspace(0, ny - 1, GRID_NODES).round().astype(int)
            dome = survey.dome_illumination(key, item.physical_filter)[np.ix_(rows, columns)]
            x, y = np.meshgrid(columns.astype(float), rows.astype(float))
            efficiency = float(curve.system(item.physical_filter, key).sum()) / camera
            star = efficiency * survey.optics.illumination(*true.to_focal(x, y))
            parts.append(
                {
                    "detector": np.full(x.size, key, np.int64),
                    "physical_filter": np.full(x.size, item.physical_filter),
                    "x": x.ravel(),
                    "y": y.ravel(),
                    "star": star.ravel(),
                    "dome": dome.ravel(),
                }
            )
    return parts


def _source_columns(
    model: VisitModel, detector: int, stars: FrameStars, reference_ids: np.ndarray
) -> dict[str, np.ndarray]:
    placed = stars.placed
    ra, dec = ra_dec_deg(placed.sources["direction"])
    curve = standard_curve(model.throughputs, model.truth.physical_filter)
    ratio = SedLibrary.interpolate(band_flux(model.sed_library, curve), placed.sources["sed"])
    return {
        "detector": np.full(len(placed.x), detector, np.int64),
        "id": placed.sources["id"],
        "kind": placed.sources["kind"],
        "x": placed.x,
        "y": placed.y,
        "ra": ra,
        "dec": dec,
        "flux_electron": placed.flux_electron,
        "mag": placed.sources["mag"] - 2.5 * np.log10(ratio),
        "snr": stars.snr,
        "saturated": stars.saturated,
        "isolated": stars.isolated,
        "psf_star": stars.psf_star,
        "bright_reference_star": stars.bright_reference_star(reference_ids),
    }


def _columns(rows: list[Row]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _stack(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
