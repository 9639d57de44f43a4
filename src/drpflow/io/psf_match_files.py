"""Files about the matching of PSFs: the kernel that was used, and PSFs that images are brought to.

A kernel file has the HDUs ``SPATIAL_KERNEL`` (a component), ``REFERENCE`` (the target as it was
used), ``CELL_PSF`` (the PSF before, at the same places), ``CELLS`` (the places), and ``NUMBERS``
(JSON: sizes, condition of the equations, what remains of differences).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from drpflow.data.record import from_record
from drpflow.errors import InputError
from drpflow.io.atomic import atomic_path
from drpflow.io.components_fits import (
    binary_table,
    record_from_hdu,
    record_to_hdu,
    text_column,
)
from drpflow.io.records import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.spatial_kernel import SpatialKernel

    Floats = NDArray[np.float64]

_KERNEL = "SPATIAL_KERNEL"


def write_kernel(
    path: str | Path,
    kernel: SpatialKernel,
    cells: tuple[Floats, Floats, Floats],
    reference: Floats,
    numbers: Mapping[str, Any],
) -> None:
    """Write a kernel and what it was made from, atomically.

    Parameters
    ----------
    path
        The file.
    kernel
        The kernel.
    cells
        Places x and y, shape (N,), and the images of the PSF there, (N, s, s).
    reference
        The target, shape (N or 1, m, m).
    numbers
        What is to be said about it.
    """
    x, y, images = cells
    columns = [fits.Column(name, "D", "pix", array=v) for name, v in (("x", x), ("y", y))]
    hdus = [
        fits.PrimaryHDU(),
        record_to_hdu(kernel.to_record(), _KERNEL.lower()),
        fits.ImageHDU(reference.astype(np.float32), name="REFERENCE"),
        fits.ImageHDU(images.astype(np.float32), name="CELL_PSF"),
        binary_table(columns, "CELLS"),
        binary_table([text_column("JSON", [dumps(dict(numbers))])], "NUMBERS"),
    ]
    hdus[0].header["ORIGIN"] = ("drpflow", "program")
    with atomic_path(path) as temporary:
        fits.HDUList(hdus).writeto(temporary)


def read_kernel(path: str | Path) -> SpatialKernel:
    """Return the kernel of a file.

    Raises
    ------
    InputError
        If there is none in it.
    """
    with _opened(path) as hdus:
        if _KERNEL not in hdus:
            raise InputError(path, "it holds no kernel", "Give a file that drpflow match-psf wrote")
        kernel: SpatialKernel = from_record(record_from_hdu(hdus[_KERNEL]))
    return kernel


def is_exposure(path: str | Path) -> bool:
    """Return whether a file is one of drpflow's exposures.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with _opened(path) as hdus:
        return "DRPFMT" in hdus[0].header and "IMAGE" in hdus


def read_psf_image(path: str | Path) -> Floats:
    """Return the first image of a FITS file, as the image of a PSF.

    Raises
    ------
    InputError
        If there is no image of two axes in it.
    """
    with _opened(path) as hdus:
        for hdu in hdus:
            if getattr(hdu, "is_image", False) and hdu.data is not None and hdu.data.ndim == 2:
                return np.asarray(hdu.data, np.float64)
    problem = "it holds no image of two axes"
    raise InputError(path, problem, "Give an exposure, or the image of a PSF")


def _opened(path: str | Path) -> fits.HDUList:
    if not Path(path).is_file():
        raise InputError(path, "it does not exist", "Name a file that does")
    try:
        return fits.open(path, memmap=False)
    except OSError as error:
        raise InputError(path, f"it cannot be read ({error})", "Give a FITS file") from None
