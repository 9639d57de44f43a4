"""Camera files: finding and reading ``config/cameras/<name>.yaml``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow import paths
from drpflow.config.base import validate
from drpflow.data.camera import Camera
from drpflow.errors import InputError
from drpflow.io.strict_yaml import strict_loader

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    camera = validate(Camera, _read_yaml(path), path)
    filters = tuple(
        item.model_copy(update={"throughput": str(path.parent / item.throughput)})
        if item.throughput
        else item
        for item in camera.filters
    )
    return camera.model_copy(update={"filters": filters})


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


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.load(path.read_text(), Loader=strict_loader())  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise InputError(path, f"{where}no YAML: {problem}", "Mend the line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"the file cannot be read ({error})", "Check the file") from None
    if not isinstance(values, dict):
        raise InputError(path, "it holds no 'key: value' lines", "See docs/cameras.md")
    return values
