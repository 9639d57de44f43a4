"""The files of calibrateImage: what its script reads and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow import __version__
from drpflow.data.background import Background
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.geometry import Box
from drpflow.data.provenance import Provenance
from drpflow.errors import AlgorithmError, InputError
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_write import write_exposure, write_part
from drpflow.io.schemas import load_schema
from drpflow.io.tables import write_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drpflow.data.exposure import Exposure
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.io.frame_geometry import Geometry

_TABLES = ("initial_stars_detector", "initial_stars_footprints_detector")
_EXPOSURES = ("initial_pvi", "initial_thumbnail")


def read_exposure(path: Path, of: Geometry) -> Exposure:
    """Return a detrended exposure; a cut-out where the camera has some.

    Raises
    ------
    MissingDatasetError
        If the file does not exist.
    InputError
        If it does not fit the detector or is not in electrons.
    AlgorithmError
        If isr left no pixel, with its reason.
    """
    exposure = open_exposure(path)
    if exposure.shape != of.of_shape(exposure.shape).detector.shape:
        raise InputError(
            path,
            f"it is {exposure.shape[1]} x {exposure.shape[0]} pixels, but detector "
            f"{of.detector.id} has {of.detector.size_pix[0]} x {of.detector.size_pix[1]}",
            "Check the camera file, and run isr again",
        )
    if exposure.unit != "electron":
        raise InputError(path, f"its unit is {exposure.unit}", "Give what isr wrote, in electrons")
    if exposure.mask.any("NO_DATA").all():
        reason = exposure.missing.get("wcs", "every pixel is NO_DATA")
        raise AlgorithmError(f"there is no detrended image: {reason}", hint="See the task isr")
    return exposure


def read_references(
    path: Path | None, wcs: SkyWcs | None, margin_pix: float
) -> ReferenceStars | None:
    """Return the reference stars that may fall on an image, or None without a catalogue or WCS.

    Parameters
    ----------
    path
        The reference catalogue.
    wcs
        First guess.
    margin_pix
        How far the guess may be off.
    """
    if path is None or wcs is None:
        return None
    from drpflow.io.reference_stars import read_reference_stars

    return read_reference_stars(path, *search_circle(wcs, margin_pix))


def search_circle(wcs: SkyWcs, margin_pix: float) -> tuple[float, float, float]:
    """Return centre and radius, degrees, of the circle about an image and a margin around it."""
    assert wcs.pixel_shape is not None
    nx, ny = wcs.pixel_shape
    x, y = Box(0, nx, 0, ny).center
    ra_deg, dec_deg = wcs.pixel_to_world_values(x, y)
    radius_pix = np.hypot(nx, ny) / 2 + margin_pix
    return float(ra_deg), float(dec_deg), float(radius_pix * wcs.pixel_scale_arcsec(x, y) / 3600)


def write_outputs(
    of: Geometry,
    images: tuple[Exposure, Exposure],
    background: Background | None,
    tables: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None],
    options: Mapping[str, Any],
) -> None:
    """Write the exposure, its thumbnail, the background and the two tables.

    Parameters
    ----------
    of
        Gives the data ID.
    images
        ``initial_pvi`` and ``initial_thumbnail``, linked to the visit's metadata, not holding it.
    background
        What was subtracted, in electrons; None for nothing.
    tables
        Columns of the sources and of their footprints; None for a table without rows.
    options
        The files to write, by dataset type. For the provenance ``config`` (the section), ``code``
        (fingerprint) and the input files.
    """
    provenance = _provenance(options)
    links = {"visit_info": DatasetRef("visit_info", {"visit": of.visit_info.visit})}
    for name, image in zip(_EXPOSURES, images, strict=True):
        write_exposure(
            options[name],
            image.replace(provenance=provenance),
            dataset=name,
            data_id=of.data_id,
            links=links,
        )
    layers = background or Background()
    write_part(options["initial_background"], layers.KIND, layers, base="")
    for name, columns in zip(_TABLES, tables, strict=True):
        _write_table(options[name], name, columns, of.data_id)


def _write_table(
    path: Path, name: str, columns: Mapping[str, Any] | None, data_id: Mapping[str, int]
) -> None:
    schema = load_schema(name)
    if columns is None:
        inner = schema.without(set(data_id))
        columns = {c.name: np.zeros(0, np.dtype(c.type)) for c in inner.columns}
    write_table(path, dict(columns), schema, dataset=name, data_id=data_id)


def _provenance(options: Mapping[str, Any]) -> Provenance:
    inputs = ("post_isr_image", "reference_stars")
    return Provenance(
        version=__version__,
        task="calibrateImage",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple(
            {"name": name, "path": str(options[name])} for name in inputs if options.get(name)
        ),
    )
