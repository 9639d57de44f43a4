"""Camera files: finding and reading ``config/cameras/<name>.yaml``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow import paths
from drpflow.config.base import validate
from drpflow.data.camera import Camera, Filter
from drpflow.errors import InputError
from drpflow.io.strict_yaml import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Curve: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

LOCAL = Path("config/cameras")
"""Where cameras of one's own stand, below the folder in which drpflow runs."""


def load_camera(name_or_path: str | Path) -> Camera:
    """Read and validate a camera file.

    Parameters
    ----------
    name_or_path
        The path of a file (``*.yaml``), or a camera's name, which is looked for in
        ``config/cameras`` of the current folder and then among those that come with drpflow.

    Returns
    -------
    Camera
        Its throughput files as paths that open from here; in the file they are relative to it.

    Raises
    ------
    InputError
        If there is no such camera, the file is no YAML or has a key twice, or a value is not
        valid; naming the file, the key, the value and the remedy.
    """
    path = find_camera(name_or_path)
    camera = validate(Camera, _read_values(path), path)
    filters = tuple(_located(item, path.parent) for item in camera.filters)
    return camera.model_copy(update={"filters": filters})


def _located(item: Filter, folder: Path) -> Filter:
    """Return a filter whose throughput files open from here."""
    update = {}
    if item.throughput:
        update["throughput"] = str(folder / item.throughput)
    if item.detector_throughput:
        literal = str(folder).replace("{", "{{").replace("}", "}}")
        update["detector_throughput"] = str(Path(literal) / item.detector_throughput)
    return item.model_copy(update=update)


def find_camera(name_or_path: str | Path) -> Path:
    """Return the file of a camera given by name or path.

    Raises
    ------
    InputError
        If there is none, naming the nearest known.
    """
    local = LOCAL / f"{name_or_path}.yaml"
    return local if local.is_file() else paths.camera_file(name_or_path)


def camera_names() -> dict[str, Path]:
    """Return every camera that is known by name, with its file."""
    shared = paths.share_root() / "config" / "cameras"
    found = {path.stem: path for path in sorted(shared.glob("*.yaml"))}
    found |= {path.stem: path for path in sorted(LOCAL.glob("*.yaml"))}
    return dict(sorted(found.items()))


def read_throughput(path: str | Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a throughput file: CSV with the columns wavelength_nm and throughput.

    Returns
    -------
    wavelength_nm, throughput : ndarray of float64, shape (n,)
        Wavelengths rising, nm; throughput from 0 to 1.

    Raises
    ------
    InputError
        If the file is absent, lacks a column, holds a value that is no number, has wavelengths
        that do not rise, or values outside 0 to 1.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(line for line in stream if not line.startswith("#")))
        wavelength = np.array([float(row["wavelength_nm"]) for row in rows])
        throughput = np.array([float(row["throughput"]) for row in rows])
    except (OSError, KeyError, TypeError, ValueError) as fault:
        raise InputError(
            path,
            f"the throughput cannot be read ({fault})",
            "It is a CSV file with the columns wavelength_nm and throughput",
        ) from None
    if wavelength.size < 2 or not (np.diff(wavelength) > 0).all():
        raise InputError(
            path, "the wavelengths do not rise from row to row", "Sort the rows by wavelength_nm"
        )
    if not ((throughput >= 0) & (throughput <= 1)).all():
        worst = throughput[np.argmax(np.abs(throughput - 0.5))]
        raise InputError(path, f"a throughput is {worst}", "Give fractions from 0 to 1")
    return wavelength, throughput


def read_filter_throughputs(item: Filter, detectors: Iterable[int]) -> dict[int, Curve]:
    """Return the throughput curve of a filter on each detector.

    Parameters
    ----------
    item
        A filter of a camera that `load_camera` gave.
    detectors
        Ids of the detectors.

    Returns
    -------
    dict
        Wavelengths and throughputs by detector; detectors that share a file share the arrays.
        Empty if the camera file tells no throughput of this filter.

    Raises
    ------
    InputError
        If a file is faulty, or a detector has none while others have.
    """
    curves: dict[Path, Curve] = {}
    found: dict[int, Curve] = {}
    lacking = []
    for detector in detectors:
        path = throughput_file(item, detector)
        if path is None:
            lacking.append(detector)
            continue
        if path not in curves:
            curves[path] = read_throughput(path)
        found[detector] = curves[path]
    if found and lacking:
        raise InputError(
            str(item.detector_throughput),
            f"there is no such file for detectors {lacking}",
            "Add them, or give `throughput` for all detectors that have none of their own",
        )
    return found


def throughput_file(item: Filter, detector: int) -> Path | None:
    """Return the throughput file of a filter for a detector, None if there is none."""
    if item.detector_throughput is not None:
        own = Path(item.detector_throughput.format(detector=detector))
        if own.is_file():
            return own
    return Path(item.throughput) if item.throughput is not None else None


def _read_values(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise InputError(path, "it holds no 'key: value' lines", "See docs/cameras.md")
    return values
