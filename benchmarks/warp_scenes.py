"""Frames with known stars on a distorted detector, resampled by drpflow and by swarp."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from drpflow.algorithms.warp.inverse_map import footprint
from drpflow.algorithms.warp.resample import warp_exposure
from drpflow.config.make_warp import ResamplingConfig
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RA_DEG, DEC_DEG, SCALE_ARCSEC = 150.0, 2.0, 0.2
TURN_DEG = 12.0
# Pixels grow by 0.5 % along x and shrink along y, over 4096 pixels.
DISTORTION = {"PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 0.02, "PV1_5": 0.01, "PV2_0": 0.0,
              "PV2_1": 1.0, "PV2_4": -0.015, "PV2_5": 0.01}  # fmt: skip
SKY_VARIANCE = 400.0


@dataclass(frozen=True)
class Resampled:
    """What a program made of a frame.

    Attributes
    ----------
    image, variance
        Planes of the output.
    xy0
        Pixel of its grid that the first one is.
    wcs
        Of that grid.
    cpu_s
        CPU time.
    """

    image: NDArray
    variance: NDArray
    xy0: tuple[int, int]
    wcs: SkyWcs
    cpu_s: float


def header(size: int) -> fits.Header:
    """Return the cards of the detector: TPV, turned."""
    t, step = np.radians(TURN_DEG), SCALE_ARCSEC / 3600
    cards = {
        "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CRVAL1": RA_DEG, "CRVAL2": DEC_DEG,
        "CRPIX1": size / 2 + 0.87, "CRPIX2": size / 2 + 0.34, "CUNIT1": "deg", "CUNIT2": "deg",
        "CD1_1": -step * np.cos(t), "CD1_2": step * np.sin(t),
        "CD2_1": step * np.sin(t), "CD2_2": step * np.cos(t), **DISTORTION,
    }  # fmt: skip
    return fits.Header(list(cards.items()))


def out_header(size: int) -> fits.Header:
    """Return the cards of the tract: TAN, north up, east to the left."""
    step = SCALE_ARCSEC / 3600
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": RA_DEG, "CRVAL2": DEC_DEG,
        "CRPIX1": size / 2 + 0.5, "CRPIX2": size / 2 + 0.5, "CUNIT1": "deg", "CUNIT2": "deg",
        "CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step,
    }  # fmt: skip
    return fits.Header(list(cards.items()))


def draw_stars(
    size: int, fwhm_pix: float, spacing: int, rng: np.random.Generator
) -> tuple[NDArray, Floats, Floats, Floats]:
    """Return an image of Gaussians on a jittered lattice, their places and fluxes."""
    sigma, reach = fwhm_pix / 2.3548, int(np.ceil(3 * fwhm_pix))
    at = np.arange(60, size - 60, spacing, dtype=float)
    x, y = (v.ravel() + rng.uniform(-4, 4, at.size**2) for v in np.meshgrid(at, at))
    flux = np.full(x.size, 1e6)
    image = np.zeros((size, size))
    for u, v, f in zip(x, y, flux, strict=True):
        box = Box.around(u, v, reach)
        along = [np.exp(-((a - c) ** 2) / (2 * sigma**2)) for a, c in ((box.x, u), (box.y, v))]
        image[box.slices()] += f * along[1][:, None] * along[0] / (2 * np.pi * sigma**2)
    return image.astype(np.float32), x, y, flux


def by_drpflow(image: NDArray, variance: NDArray, fwhm_pix: float, order: int = 3) -> Resampled:
    """Resample with drpflow, onto the box about the detector."""
    size = image.shape[0]
    wcs = SkyWcs.from_fits_header(header(size))
    tract = SkyWcs.from_fits_header(out_header(out_size(size)))
    components = {
        "wcs": wcs, "psf": GaussianPsf.from_fwhm(fwhm_pix), "photo_calib": PhotoCalib.identity()
    }  # fmt: skip
    exposure = Exposure(image, Mask.zeros(image.shape), variance, unit="nJy", components=components)
    box = footprint(tract, wcs, exposure.box)
    assert box is not None
    start = time.process_time()
    made = warp_exposure(
        exposure, tract, box, ResamplingConfig.model_validate({"kernel_order": order})
    )
    cpu = time.process_time() - start
    assert made is not None
    e = made.exposure
    return Resampled(e.image, e.variance, e.xy0, tract, cpu)


def by_swarp(image: NDArray, variance: NDArray, kernel: str = "LANCZOS3") -> Resampled:
    """Resample with swarp, one thread, weights propagated, pixel areas corrected one by one."""
    program = shutil.which("SWarp") or shutil.which("swarp")
    if program is None:
        raise SystemExit("apt-get install swarp")
    size = image.shape[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fits.writeto(folder / "in.fits", image, header(size))
        fits.writeto(folder / "in.weight.fits", (1 / variance).astype(np.float32), header(size))
        n = out_size(size)
        head = out_header(n)
        head["NAXIS1"], head["NAXIS2"] = n, n
        (folder / "out.head").write_text(head.tostring(sep="\n") + "\nEND\n")
        command = (
            program, "in.fits", "-c", "/dev/null", "-IMAGEOUT_NAME", "out.fits",
            "-WEIGHTOUT_NAME", "out.weight.fits", "-WEIGHT_TYPE", "MAP_WEIGHT",
            "-RESAMPLING_TYPE", kernel, "-SUBTRACT_BACK", "N", "-FSCALASTRO_TYPE", "VARIABLE",
            "-RESCALE_WEIGHTS", "N", "-COMBINE_TYPE", "WEIGHTED", "-NTHREADS", "1",
            "-PROJECTION_ERR", "0.001", "-WRITE_XML", "N", "-VERBOSE_TYPE", "QUIET",
        )  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = fits.getdata(folder / "out.fits")
        weight = fits.getdata(folder / "out.weight.fits")
        wcs = SkyWcs.from_fits_header(fits.getheader(folder / "out.fits"))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    with np.errstate(divide="ignore"):
        variance = np.where(weight > 0, 1 / weight, np.nan)
    return Resampled(np.where(weight > 0, out, np.nan), variance, (0, 0), wcs, cpu)


def out_size(size: int) -> int:
    """Return the side of a tract that holds the turned detector."""
    return int(1.25 * size) + 40


def measure(
    made: Resampled, x: Floats, y: Floats, fwhm_pix: float
) -> tuple[Floats, Floats, Floats]:
    """Return places, by centroids with a Gaussian weight, and fluxes, by sums, of stars.

    Parameters
    ----------
    made
        The image.
    x, y
        Where the stars should be, pixels of its grid.
    fwhm_pix
        Of the stars.
    """
    sigma, radius = fwhm_pix / 2.3548, int(np.ceil(2.6 * fwhm_pix))
    found = np.empty((3, x.size))
    for k, (u, v) in enumerate(zip(x, y, strict=True)):
        box = Box.around(u, v, radius)
        part = made.image[box.slices(made.xy0)].astype(np.float64)
        cu, cv = u, v
        for _ in range(20):
            weight = np.exp(-((box.x - cu) ** 2 + (box.y[:, None] - cv) ** 2) / (2 * sigma**2))
            total = (weight * part).sum()
            cu, cv = (
                cu + 2 * (weight * part * (box.x - cu)).sum() / total,
                cv + 2 * (weight * part * (box.y[:, None] - cv)).sum() / total,
            )
        found[:, k] = cu, cv, part.sum()
    return found[0], found[1], found[2]
