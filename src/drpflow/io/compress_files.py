"""The files of compressImage and rebuildImage: what their scripts read and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from drpflow import __version__
from drpflow.data.background import Background
from drpflow.data.dataset_ref import DatasetRef
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.provenance import Provenance
from drpflow.data.star_wings import StarWingsLayer
from drpflow.errors import AlgorithmError, InputError, MissingDatasetError
from drpflow.io.cache import ComponentCache
from drpflow.io.calibrate_files import read_exposure
from drpflow.io.component_tables import ComponentRows
from drpflow.io.exposure_fits import open_exposure
from drpflow.io.exposure_write import dither_seed, write_exposure
from drpflow.io.fits_index import FitsIndex
from drpflow.io.tiled_fits import read_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.data.tiled_plane import TiledMask, TiledPlane
    from drpflow.io.frame_geometry import Geometry

# What is read by name is imported here by statement, so that its code counts.
_KINDS = (Background, PhotoCalib, StarWingsLayer)
LOSSY = ("image", "variance")
"""Planes that are compressed with loss."""


class RebuildInputs(NamedTuple):
    """See :func:`drpflow.tasks.rebuild_image.rebuild_image`."""

    detrended: Exposure
    compressed: Exposure
    background: Background
    steps: dict[str, tuple[NDArray[np.float64], tuple[int, int]]]


def read_pvi(path: Path, of: Geometry) -> Exposure:
    """Return a final image, to be compressed.

    Raises
    ------
    MissingDatasetError
        If the file does not exist.
    InputError
        If it cannot be read or does not fit the detector.
    """
    exposure = open_exposure(path)
    wanted = of.of_shape(exposure.shape).detector.shape
    if exposure.shape != wanted:
        raise InputError(
            path,
            f"it has {exposure.shape[0]} rows and {exposure.shape[1]} columns, but detector "
            f"{of.detector.id} has {wanted[0]} and {wanted[1]}",
            "Check the camera file, and run finalizeImage again",
        )
    return exposure


def dither_seeds(dataset: str, data_id: Mapping[str, Any]) -> dict[str, int]:
    """Return the seed of each plane with loss: two runs give the same bytes.

    That of the image is :func:`drpflow.io.exposure_write.dither_seed`; the variance has one of
    its own, so that the errors of the two have nothing to do with each other.
    """
    return {
        "image": dither_seed(dataset, data_id),
        "variance": dither_seed(f"{dataset}.variance", data_id),
    }


def write_compressed(
    of: Geometry,
    exposure: Exposure,
    tiled: Mapping[str, TiledPlane | TiledMask] | None,
    options: Mapping[str, Any],
) -> None:
    """Write ``compressed_pvi``.

    Parameters
    ----------
    of
        Gives the data ID.
    exposure
        The final image.
    tiled
        Its planes in tiles; None for an image that is no image, which is compressed without loss.
    options
        ``compressed_pvi``: the file. For the provenance ``config``, ``code`` and ``pvi``, whose
        own provenance is kept within.
    """
    path = options["pvi"]
    source: dict[str, Any] = {"name": "pvi", "path": str(path)}
    if tiled is not None:
        source["content"] = FitsIndex(path).primary.header["CONTENT"]
        source["provenance"] = json.loads(exposure.provenance.to_json())
    provenance = Provenance(
        version=__version__,
        task="compressImage",
        config=options["config"].model_dump(mode="json"),
        code=options.get("code") or "",
        inputs=(source,),
        stages=exposure.provenance.stages,
    )
    write_exposure(
        options["compressed_pvi"],
        exposure.replace(provenance=provenance),
        dataset="compressed_pvi",
        data_id=of.data_id,
        links=_links(of),
        compression="lossless",
        tiled=tiled,
    )


def read_rebuild_inputs(of: Geometry, options: Mapping[str, Any]) -> RebuildInputs:
    """Return all that a final image is made of again.

    Parameters
    ----------
    of
        The detector.
    options
        ``post_isr_image``, ``visit_background``, ``compressed_pvi``: files.

    Raises
    ------
    MissingDatasetError
        If a file does not exist.
    InputError
        If one cannot be read.
    AlgorithmError
        If isr left no image, or the detector has no background.
    """
    path = options["compressed_pvi"]
    compressed = read_pvi(path, of)
    steps = {}
    if not compressed.mask.any("NO_DATA").all():
        index = FitsIndex(Path(path))
        steps = {name: read_steps(index, name.upper()) for name in LOSSY}
    rows = ComponentRows(Path(options["visit_background"]), "detector", ComponentCache())
    try:
        background = rows.component("background", of.detector.id)
    except MissingDatasetError as error:
        raise AlgorithmError(str(error), hint="See modelVisitBackground") from error
    detrended = read_exposure(options["post_isr_image"], of)
    return RebuildInputs(detrended, compressed, background, steps)


def write_rebuilt(of: Geometry, exposure: Exposure, options: Mapping[str, Any]) -> None:
    """Write ``rebuilt_pvi``, to which `options` gives the file and the inputs."""
    inputs = ("post_isr_image", "visit_background", "compressed_pvi")
    provenance = Provenance(
        version=__version__,
        task="rebuildImage",
        code=options.get("code") or "",
        inputs=tuple({"name": name, "path": str(options[name])} for name in inputs),
        stages=exposure.provenance.stages,
    )
    write_exposure(
        options["rebuilt_pvi"],
        exposure.replace(provenance=provenance),
        dataset="rebuilt_pvi",
        data_id=of.data_id,
        links=_links(of),
    )


def _links(of: Geometry) -> dict[str, DatasetRef]:
    return {"visit_info": DatasetRef("visit_info", {"visit": of.visit_info.visit})}
