"""The files of isr: what its script reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow import __version__
from drpflow.data.calibrations import Calibrations
from drpflow.data.camera import HeaderValue
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.provenance import Provenance
from drpflow.errors import InputError
from drpflow.io.calibrations import read_calibrations
from drpflow.io.exposure_write import write_exposure
from drpflow.io.frame_geometry import Geometry, read_geometry
from drpflow.io.raw import read_detector, read_raw
from drpflow.io.schemas import load_schema
from drpflow.io.tables import write_table
from drpflow.io.units import check_unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera, Detector
    from drpflow.data.exposure import Exposure
    from drpflow.io.raw import RawFrame

__all__ = ["Geometry", "Pixels", "input_files", "read_geometry", "read_pixels", "write_outputs"]

_COMPANIONS = ("weight", "mask")


@dataclass(frozen=True)
class Pixels:
    """What was read for one frame.

    Parameters
    ----------
    of
        Whose frame it is; a cut-out's where it is one.
    frame
        Raw pixels and header.
    calibrations
        Of its detector and filter.
    weight, mask
        Inverse variance and flags that came along with a detrended frame.
    """

    of: Geometry
    frame: RawFrame
    calibrations: Calibrations
    weight: NDArray[np.float32] | None
    mask: NDArray[np.int64] | None


def read_pixels(geometry: Geometry, options: Mapping[str, Any]) -> Pixels:
    """Read a frame, its calibrations and companions.

    Parameters
    ----------
    geometry
        Whose frame it is.
    options
        ``raw`` and ``hdu``: the frame. For each kind of calibration, ``weight`` and ``mask``: its
        path or None, and under ``<kind>_hdu`` its HDU or None. Without one, that of the kind's
        name is taken, for weight and mask the frame's.

    Raises
    ------
    InputError
        If a file is unreadable, or does not fit the detector.
    """
    files = input_files(options)
    raw, place = files.pop("raw"), _place(options["hdu"])
    frame = read_detector(raw, place, geometry.detector)
    check_unit(_stated_unit(geometry.camera, frame.header), geometry.camera.raw_unit, raw)
    if isinstance(frame.data, np.ndarray):
        geometry = geometry.of_shape(frame.data.shape)
    weight, mask = (
        _companion(files[kind], options.get(f"{kind}_hdu"), place, geometry.detector)
        if kind in files
        else None
        for kind in _COMPANIONS
    )
    calibrations = {
        kind: (path, options.get(f"{kind}_hdu"))
        for kind, path in files.items()
        if kind not in _COMPANIONS
    }
    return Pixels(
        geometry,
        frame,
        read_calibrations(calibrations, geometry.detector, geometry.visit_info.physical_filter),
        weight,
        # float32 holds flags of up to 24 bits exactly.
        None if mask is None else np.nan_to_num(mask, nan=1.0).astype(np.int64),
    )


def input_files(options: Mapping[str, Any]) -> dict[str, Path]:
    """Return the files that are given, by kind."""
    kinds = ("raw", *_COMPANIONS, *Calibrations.kinds())
    return {kind: options[kind] for kind in kinds if options.get(kind)}


def _place(hdu: str) -> int | str:
    return int(hdu) if hdu.isdecimal() else hdu


def _stated_unit(camera: Camera, header: Mapping[str, Any]) -> str | None:
    """Return the unit that a header states, unless the camera file overrules headers."""
    entry = camera.header.get("unit", HeaderValue(key="BUNIT"))
    if entry.constant is not None:
        return str(entry.constant)
    keys = [entry.key] if isinstance(entry.key, str) else list(entry.key or ())
    stated = next((str(header[key]).strip() for key in keys if key in header), None)
    return None if stated is None else str(entry.values.get(stated, stated))


def _companion(
    path: Path, hdu: str | None, place: int | str, detector: Detector
) -> NDArray[np.float32]:
    array = read_raw(path, _place(hdu) if hdu else place).data
    assert isinstance(array, np.ndarray)  # one HDU was asked for
    if array.shape != detector.shape:
        raise InputError(
            path,
            f"it is {array.shape[1]} x {array.shape[0]} pixels, but detector {detector.id} has "
            f"{detector.size_pix[0]} x {detector.size_pix[1]}",
            "Weight and mask cover the assembled detector",
        )
    return array


def write_outputs(
    geometry: Geometry,
    exposure: Exposure,
    thumbnail: Exposure,
    statistics: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> None:
    """Write the exposure, its thumbnail and the table.

    Parameters
    ----------
    geometry
        Gives the data ID.
    exposure, thumbnail
        Linked to the visit's metadata, not holding it.
    statistics
        Columns; None for a table without rows.
    options
        ``post_isr_image``, ``post_isr_thumbnail`` and ``isr_statistics``: files to write. For the
        provenance ``config`` (the section), ``code`` (fingerprint) and the input files.
    """
    inputs = input_files(options)
    provenance = Provenance(
        version=__version__,
        task="isr",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code", ""),
        inputs=tuple({"name": kind, "path": str(path)} for kind, path in inputs.items()),
    )
    for name, image in (("post_isr_image", exposure), ("post_isr_thumbnail", thumbnail)):
        write_exposure(
            options[name],
            image.replace(provenance=provenance),
            dataset=name,
            data_id=geometry.data_id,
            links={"visit_info": DatasetRef("visit_info", {"visit": geometry.visit_info.visit})},
        )
    schema = load_schema("isr_statistics")
    if statistics is None:
        inner = schema.without(set(geometry.data_id))
        statistics = {c.name: np.zeros(0, np.dtype(c.type)) for c in inner.columns}
    write_table(
        options["isr_statistics"],
        dict(statistics),
        schema,
        dataset="isr_statistics",
        data_id=geometry.data_id,
    )
