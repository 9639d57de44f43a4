"""The files of fgcmMakeLookUpTable, and how its table is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from drpflow.data.look_up_table import LookUpTable
from drpflow.errors import InputError
from drpflow.io.camera_yaml import load_camera, read_filter_throughputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drpflow.data.camera import Camera

    Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_throughputs(name_or_path: str | Path) -> tuple[Camera, dict[str, dict[int, Curve]]]:
    """Read a camera file and the throughput files that it names.

    Returns
    -------
    camera : Camera
    curves : dict
        Wavelengths [nm] and throughputs by physical filter and detector; filters of which the file
        tells no throughput have no curves.

    Raises
    ------
    InputError
        If a file is faulty, or there is none for a detector while others have theirs.
    """
    camera = load_camera(name_or_path)
    detectors = [detector.id for detector in camera.detectors]
    curves = {
        item.physical_filter: read_filter_throughputs(item, detectors) for item in camera.filters
    }
    return camera, curves


def write_look_up_table(path: str | Path, table: LookUpTable) -> None:
    """Write ``fgcm_look_up_table``, atomically."""
    from drpflow.io.exposure_write import write_part

    write_part(path, table.KIND, table, base="")


def read_look_up_table(path: str | Path) -> LookUpTable:
    """Read ``fgcm_look_up_table``.

    Raises
    ------
    InputError
        If the file is faulty or holds something else.
    """
    from drpflow.io.cache import ComponentCache
    from drpflow.io.exposure_fits import read_component
    from drpflow.io.fits_index import FitsIndex

    found = read_component(FitsIndex(Path(path)), LookUpTable.KIND, ComponentCache())
    if not isinstance(found, LookUpTable):
        problem = f"it holds a {type(found).__name__}, no look-up table"
        raise InputError(path, problem, "Give the file that fgcmMakeLookUpTable wrote")
    return found
