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
from unittest import mock

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
from drpflow.data.resampling_kernel import N_PHASES, resampling_kernel
from drpflow.data.sky_wcs import SkyWcs
from drpflow.kernels.warp import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RA_DEG, DEC_DEG, SCALE_ARCSEC = 150.0, 2.0, 0.2
# Pixels grow by 0.5 % along x and shrink along y, over 4096 pixels.
DISTORTION = {"PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 0.02, "PV1_5": 0.01, "PV2_0": 0.0,
              "PV2_1": 1.0, "PV2_4": -0.015, "PV2_5": 0.01}  # fmt: skip
SKY_VARIANCE = 400.0


@dataclass(frozen=True)
class Grid:
    """How a detector lies on the tract.

    Attributes
    ----------
    turn_deg
        Its rotation.
    scale
        Side of its pixels, in pixels of the tract.
    distorted
        Whether they vary.
    """

    turn_deg: float
    scale: float
    distorted: bool


GRIDS = {"turned": Grid(12.0, 1.0, distorted=True), "along": Grid(0.0, 1.005, distorted=False)}
"""A camera that is turned; and one that is not, whose pixels have nearly the size of the tract's,
so that a whole star is resampled at one phase."""


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


def header(size: int, grid: str = "turned") -> fits.Header:
    """Return the cards of the detector: TPV."""
    of = GRIDS[grid]
    t, step = np.radians(of.turn_deg), of.scale * SCALE_ARCSEC / 3600
    distortion = DISTORTION if of.distorted else {"PV1_1": 1.0, "PV2_1": 1.0}
    cards = {
        "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CRVAL1": RA_DEG, "CRVAL2": DEC_DEG,
        "CRPIX1": size / 2 + 0.87, "CRPIX2": size / 2 + 0.34, "CUNIT1": "deg", "CUNIT2": "deg",
        "CD1_1": -step * np.cos(t), "CD1_2": step * np.sin(t),
        "CD2_1": step * np.sin(t), "CD2_2": step * np.cos(t), **distortion,
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


def by_drpflow(
    image: NDArray,
    variance: NDArray,
    fwhm_pix: float,
    order: int = 3,
    grid: str = "turned",
    kernel: Callable[[int], Kernel] = resampling_kernel,
) -> Resampled:
    """Resample with drpflow, or with other weights, onto the box about the detector."""
    size = image.shape[0]
    wcs = SkyWcs.from_fits_header(header(size, grid))
    tract = SkyWcs.from_fits_header(out_header(out_size(size)))
    components = {
        "wcs": wcs, "psf": GaussianPsf.from_fwhm(fwhm_pix), "photo_calib": PhotoCalib.identity()
    }  # fmt: skip
    exposure = Exposure(image, Mask.zeros(image.shape), variance, unit="nJy", components=components)
    box = footprint(tract, wcs, exposure.box)
    assert box is not None
    start = time.process_time()
    with mock.patch("drpflow.algorithms.warp.resample.resampling_kernel", kernel):
        made = warp_exposure(
            exposure, tract, box, ResamplingConfig.model_validate({"kernel_order": order})
        )
    cpu = time.process_time() - start
    assert made is not None
    e = made.exposure
    return Resampled(e.image, e.variance, e.xy0, tract, cpu)


def lanczos_kernel(order: int) -> Kernel:
    """Return Lanczos weights, brought to sum 1 at each phase, in place of drpflow's."""
    phase = np.arange(N_PHASES + 1)[:, None] / N_PHASES
    t = np.arange(1 - order, order + 1) - phase
    table = np.where(np.abs(t) < order, np.sinc(t) * np.sinc(t / order), 0.0)
    return Kernel(table / table.sum(axis=1, keepdims=True), (0,) * (2 * order))


def by_swarp(
    image: NDArray, variance: NDArray, kernel: str = "LANCZOS3", grid: str = "turned"
) -> Resampled:
    """Resample with swarp, one thread, weights propagated, pixel areas corrected one by one."""
    program = shutil.which("SWarp") or shutil.which("swarp")
    if program is None:
        raise SystemExit("apt-get install swarp")
    size = image.shape[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fits.writeto(folder / "in.fits", image, header(size, grid))
        fits.writeto(
            folder / "in.weight.fits", (1 / variance).astype(np.float32), header(size, grid)
        )
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
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return places, by centroids with a Gaussian weight, and fluxes of stars: sums, PSF fluxes.

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
    found = np.empty((4, x.size))
    for k, (u, v) in enumerate(zip(x, y, strict=True)):
        box = Box.around(u, v, radius)
        part = made.image[box.slices(made.xy0)].astype(np.float64)
        psf = _gaussian(box, u, v, sigma)
        cu, cv = u, v
        for _ in range(20):
            weight = _gaussian(box, cu, cv, sigma)
            total = (weight * part).sum()
            cu, cv = (
                cu + 2 * (weight * part * (box.x - cu)).sum() / total,
                cv + 2 * (weight * part * (box.y[:, None] - cv)).sum() / total,
            )
        flux = (psf * part).sum() / (psf**2).sum() * 2 * np.pi * sigma**2
        found[:, k] = cu, cv, part.sum(), flux
    return found[0], found[1], found[2], found[3]


def _gaussian(box: Box, x: float, y: float, sigma: float) -> Floats:
    square = (box.x - x) ** 2 + (box.y[:, None] - y) ** 2
    return np.asarray(np.exp(-square / (2 * sigma**2)))
