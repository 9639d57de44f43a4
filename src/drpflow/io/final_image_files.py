"""The files of finalizeImage: what its script reads and writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drpflow import __version__
from drpflow.data.ap_corr import ApCorrMap
from drpflow.data.background import Background
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.flux_ratios import FluxRatios
from drpflow.data.geometry import ValidPolygon
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.provenance import Provenance
from drpflow.data.psf import Psf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.star_wings import StarWingsLayer
from drpflow.data.summary_stats import SummaryStats
from drpflow.data.table import Table
from drpflow.data.transmission import TransmissionCurve
from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.cache import ComponentCache
from drpflow.io.coadd_files import read_warp_mask
from drpflow.io.component_tables import ComponentRows
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_write import write_exposure
from drpflow.io.schemas import load_schema
from drpflow.io.tables import read_table, write_table
from drpflow.io.visit_info_files import path_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.data.visit_info import VisitInfo
    from drpflow.data.warp_masks import WarpMask
    from drpflow.io.frame_geometry import Geometry

    Columns = dict[str, NDArray[Any]]

SOURCES = "final_source_detector"
# What is read by name is imported here by statement, so that its code counts.
_KINDS = (ApCorrMap, Background, PhotoCalib, Psf, SkyWcs, SummaryStats, TransmissionCurve)
_LAYERS = (StarWingsLayer, ValidPolygon)
_OF_SUMMARY = (
    "psf", "wcs", "photo_calib", "ap_corr", "transmission", "valid_polygon", "summary_stats",
)  # fmt: skip
_INPUTS = (
    "initial_pvi", "visit_background", "final_visit_summary", "initial_visit_summary",
    "visit_info", "final_characterization_stars", "isolated_stars_source",
    "fgcm_standard_stars", "final_astrometry_residuals", "warp_mask",
)  # fmt: skip
_PSF_STARS = (
    "x", "y", "calib_psf_candidate", "calib_psf_used", "calib_psf_reserved", "calib_apcorr_used",
)  # fmt: skip
_DETECTIONS = ("isolated_star_id", "visit", "detector", "x", "y", "reserved")
_REFERENCE = "normCompTophatFlux"
# Of stars whose apertures are compared from visit to visit.
_LEAST_SNR = 10.0
_STANDARDS = (
    "isolated_star_id", "band", "n_good", "variable", "reserved", "color", "color_assumed",
)  # fmt: skip
_RESIDUALS = ("isolated_star_id", "visit", "detector", "used", "rejected", "reserved")


class FirstImageParts(NamedTuple):
    """See :class:`drpflow.tasks.finalize_image.FirstImage`, its stars as two tables."""

    exposure: Exposure
    visit_info: VisitInfo
    components: dict[str, Any]
    missing: dict[str, str]
    wcs_error_arcsec: float
    offset_error_mag: float
    psf_of_others: bool
    first_ap_corr: dict[int, ApCorrMap]
    final_ap_corr: dict[int, ApCorrMap]
    artifacts: tuple[WarpMask, ...]
    psf_stars: Columns | None
    fit_stars: Columns | None
    calibrated_flux: str
    flux_ratios: FluxRatios | None


def read_inputs(
    of: Geometry,
    options: Mapping[str, Any],
    patches: Mapping[int, Iterable[int]],
    pieces: Sequence[int],
    solved: Sequence[int],
) -> FirstImageParts:
    """Read all that is known of a detector.

    Parameters
    ----------
    of
        Camera, detector and visit.
    options
        Paths ``initial_pvi``, ``visit_background``, ``final_visit_summary``,
        ``initial_visit_summary``; if they are known ``final_characterization_stars``,
        ``warp_mask`` with ``{tract}`` and ``{patch}``, ``isolated_stars_source``,
        ``fgcm_standard_stars`` and ``final_astrometry_residuals`` with ``{skypix}``.
    patches
        Patches by tract that the detector may touch.
    pieces, solved
        Pieces of the sky that the visit touches: of the association, of the astrometric solution.

    Raises
    ------
    InputError
        If a file is faulty.
    MissingDatasetError
        If one does not exist.
    """
    detector, cache = of.detector.id, ComponentCache()
    summary = ComponentRows(Path(options["final_visit_summary"]), "detector", cache)
    components, missing = {}, {}
    for name in _OF_SUMMARY:
        components[name], missing[name] = _component(summary, name, detector)
    background = ComponentRows(Path(options["visit_background"]), "detector", cache)
    components["background"], missing["background"] = _component(background, "background", detector)
    first = ComponentRows(Path(options["initial_visit_summary"]), "detector", cache)
    flux = _calibrated_flux(options.get("fgcm_standard_stars"), pieces)
    return FirstImageParts(
        _exposure(Path(options["initial_pvi"]), of),
        of.visit_info,
        {name: found for name, found in components.items() if found is not None},
        {name: reason for name, reason in missing.items() if reason},
        *_labels(options["final_visit_summary"], detector),
        _ap_corrs(first, options["initial_visit_summary"]),
        _ap_corrs(summary, options["final_visit_summary"]),
        _artifacts(options.get("warp_mask"), patches),
        _psf_stars(options.get("final_characterization_stars"), detector),
        _fit_stars(options, of, pieces, solved, flux),
        flux,
        _flux_ratios(options.get("isolated_stars_source"), of, pieces, flux),
    )


def _labels(path: str | Path, detector: int) -> tuple[float, float, bool]:
    """Return errors of WCS [arcsec] and common scale [mag], and whether the PSF is of others.

    A detector without a row has neither error, and no PSF.
    """
    table = read_table(path, ["detector", "wcs_error", "offset_err", "psf_source"])
    (rows,) = np.nonzero(np.asarray(table["detector"]) == detector)
    if not rows.size:
        return float("nan"), float("nan"), False
    row = rows[0]
    of_others = table["psf_source"][row] == "neighbors"
    return float(table["wcs_error"][row]), float(table["offset_err"][row]), bool(of_others)


def _component(rows: ComponentRows, name: str, detector: int) -> tuple[Any, str]:
    """Return a component, or None and why it is missing."""
    try:
        return rows.component(name, detector), ""
    except MissingDatasetError as fault:
        try:
            return None, rows.missing(name, detector) or str(fault)
        except MissingDatasetError:
            return None, str(fault)


def _exposure(path: Path, of: Geometry) -> Exposure:
    exposure = open_exposure(path)
    shape = of.of_shape(exposure.shape).detector.shape
    if exposure.shape != shape:
        raise InputError(
            path,
            f"it is {exposure.shape[1]} x {exposure.shape[0]} pixels, but detector "
            f"{of.detector.id} has {shape[1]} x {shape[0]}",
            "Check the camera file, and run isr again",
        )
    return exposure


def _ap_corrs(rows: ComponentRows, path: str | Path) -> dict[int, ApCorrMap]:
    """Return the aperture corrections of a visit's detectors, of those that have some."""
    detectors = [int(d) for d in read_table(path, ["detector"])["detector"]]
    found = {d: _component(rows, "ap_corr", d)[0] for d in detectors}
    return {d: ap_corr for d, ap_corr in found.items() if ap_corr is not None}


def _artifacts(
    pattern: str | Path | None, patches: Mapping[int, Iterable[int]]
) -> tuple[WarpMask, ...]:
    if pattern is None:
        return ()
    return tuple(
        read_warp_mask(path_of(str(pattern), tract=tract, patch=patch))
        for tract in sorted(patches)
        for patch in patches[tract]
    )


def _psf_stars(path: Path | None, detector: int) -> Columns | None:
    if path is None:
        return None
    table = read_table(path, ["detector", *_PSF_STARS])
    here = np.asarray(table["detector"]) == detector
    return {name: np.asarray(table[name])[here] for name in _PSF_STARS}


def _fit_stars(
    options: Mapping[str, Any],
    of: Geometry,
    pieces: Sequence[int],
    solved: Sequence[int],
    flux: str,
) -> Columns | None:
    """Return detections of isolated stars on the detector, and which fits they took part in."""
    if not (options.get("isolated_stars_source") and pieces):
        return None
    visit, detector = of.visit_info.visit, of.detector.id
    names = tuple(dict.fromkeys((*_DETECTIONS, *_measured(flux), *_measured(_REFERENCE))))
    pattern = options["isolated_stars_source"]
    parts = [_rows(pattern, piece, names, visit, detector) for piece in pieces]
    stars = {name: np.concatenate([part[name] for part in parts]) for name in names}
    ids, reserved = stars["isolated_star_id"], stars["reserved"].astype(bool)
    photometric, color = _photometry(options.get("fgcm_standard_stars"), pieces, ids, of)
    astrometric = np.zeros(len(ids), bool)
    if options.get("final_astrometry_residuals"):
        for piece in solved:
            rows = _rows(options["final_astrometry_residuals"], piece, _RESIDUALS, visit, detector)
            good = rows["used"] & ~rows["rejected"] & ~rows["reserved"]
            astrometric |= np.isin(ids, rows["isolated_star_id"][good])
    first = _usable_flux(stars, flux)
    usable = np.isfinite(first)
    return {
        "x": stars["x"],
        "y": stars["y"],
        "calib_astrometry_used": astrometric,
        "calib_photometry_used": photometric & usable & ~reserved,
        "calib_photometry_reserved": reserved,
        "color": color,
        "first_flux": first,
        "first_reference": _usable_flux(stars, _REFERENCE),
    }


def _measured(flux: str) -> tuple[str, str]:
    return f"{flux}_instFlux", f"{flux}_flag"


def _usable_flux(columns: Mapping[str, NDArray[Any]], flux: str) -> NDArray[np.float64]:
    """Return a flux, NaN where it is flagged or not positive."""
    values, flagged = (columns[name] for name in _measured(flux))
    with np.errstate(invalid="ignore"):
        return np.where((values > 0) & ~flagged.astype(bool), values, np.nan)


def _flux_ratios(
    pattern: str | None, of: Geometry, pieces: Sequence[int], flux: str
) -> FluxRatios | None:
    """Return ratios of two first fluxes of the detector's isolated stars, in all visits."""
    if not (pattern and pieces) or flux == _REFERENCE:
        return None
    error = f"{_REFERENCE}_instFluxErr"
    names = ("isolated_star_id", "visit", "detector", "band", *_measured(flux),
             *_measured(_REFERENCE), error)  # fmt: skip
    tables = [read_table(path_of(pattern, skypix=piece), list(names)) for piece in pieces]
    rows = {name: np.concatenate([np.asarray(table[name]) for table in tables]) for name in names}
    star, visit, detector = (rows[name].astype(np.int64) for name in names[:3])
    here = (visit == of.visit_info.visit) & (detector == of.detector.id)
    mine = np.isin(star, star[here]) & (rows["band"] == of.visit_info.band)
    reference = _usable_flux(rows, _REFERENCE)
    with np.errstate(invalid="ignore"):
        sure = reference > _LEAST_SNR * rows[error]
    log_ratio = np.log(np.where(sure, reference, np.nan) / _usable_flux(rows, flux))
    image = np.unique(np.stack([visit, detector]), axis=1, return_inverse=True)[1].ravel()
    return FluxRatios(star[mine], image[mine], here[mine], log_ratio[mine])


def _calibrated_flux(pattern: str | None, pieces: Sequence[int]) -> str:
    """Return the flux that fgcm has calibrated, as the configuration in its products says."""
    if not (pattern and pieces):
        return _REFERENCE
    meta = read_table(path_of(pattern, skypix=pieces[0]), ["band"]).meta
    sources = meta.get("provenance", {}).get("config", {}).get("sources", {})
    return str(sources.get("flux", _REFERENCE))


def _photometry(
    pattern: str | None, pieces: Sequence[int], ids: NDArray[np.int64], of: Geometry
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which stars made the photometric calibration, and their colours, NaN for none."""
    used, color = np.zeros(len(ids), bool), np.full(len(ids), np.nan)
    if not pattern:
        return used, color
    for piece in pieces:
        table = read_table(path_of(pattern, skypix=piece), list(_STANDARDS)).to_dict()
        flags = {name: table[name].astype(bool) for name in ("variable", "reserved")}
        good = (table["band"] == of.visit_info.band) & (table["n_good"] > 0)
        good &= ~flags["variable"] & ~flags["reserved"]
        used |= np.isin(ids, table["isolated_star_id"][good])
        measured = np.flatnonzero(~table["color_assumed"].astype(bool))
        known, first = np.unique(table["isolated_star_id"][measured], return_index=True)
        if known.size:
            place = np.minimum(np.searchsorted(known, ids), known.size - 1)
            here = known[place] == ids
            color[here] = table["color"][measured][first[place[here]]]
    return used, color


def _rows(pattern: str, piece: int, names: Sequence[str], visit: int, detector: int) -> Columns:
    """Return the rows of a detector of a visit in the table of a piece of the sky."""
    table = read_table(path_of(pattern, skypix=piece), list(names))
    here = (np.asarray(table["visit"]) == visit) & (np.asarray(table["detector"]) == detector)
    return {name: np.asarray(table[name])[here] for name in names}


def write_outputs(
    of: Geometry,
    image: Exposure,
    columns: Columns | None,
    options: Mapping[str, Any],
    lost: str = "",
) -> None:
    """Write the exposure and the table.

    Parameters
    ----------
    of
        Gives the data ID.
    image
        ``pvi``; it is linked to the visit's metadata and does not hold it.
    columns
        Columns of the sources, of which those of the schema are written; None for no rows.
    options
        The files to write, by dataset type. For the provenance ``config`` (the section), ``code``
        (fingerprint) and the input files.
    lost
        Why there is nothing, for the metadata of the table.
    """
    provenance = _provenance(options)
    write_exposure(
        options["pvi"],
        image.replace(provenance=provenance),
        dataset="pvi",
        data_id=of.data_id,
        links={"visit_info": DatasetRef("visit_info", {"visit": of.visit_info.visit})},
    )
    schema = load_schema(SOURCES)
    inner = schema.without(set(of.data_id))
    if columns is None:
        columns = {c.name: np.zeros(0, _dtype(c.type)) for c in inner.columns}
    write_table(
        options[SOURCES],
        Table.from_columns(
            {c.name: columns[c.name] for c in inner.columns},
            inner,
            meta={"lost": lost} if lost else {},
        ),
        schema,
        dataset=SOURCES,
        data_id=of.data_id,
        provenance=provenance,
    )


def _dtype(name: str) -> Any:
    return np.str_ if name == "str" else np.dtype(name)


def _provenance(options: Mapping[str, Any]) -> Provenance:
    files = [{"name": name, "path": str(options[name])} for name in _INPUTS if options.get(name)]
    stages = dict.fromkeys(_OF_SUMMARY, "final_visit_summary")
    return Provenance(
        version=__version__,
        task="finalizeImage",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(files),
        stages={**stages, "background": "visit_background"},
    )
