"""CPU time and memory of makeWarp: one detector of 4096² onto its patches, beside swarp.

    apt-get install swarp
    python benchmarks/bench_warp.py [--size 4096] [--patch 4000] [--no-swarp] [--no-matching]

The detector, with a PSF that varies and stars, lies across the corner of four patches of a tract,
turned by 12 degrees and distorted. Pixels are in memory: the time is that of the task alone, after
one run that loads its kernels. swarp reads and writes files, and makes no matched image.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import TYPE_CHECKING

import numpy as np
from warp_scenes import SKY_VARIANCE, by_drpflow, by_swarp, draw_stars, header, out_header, out_size

from drpflow.config.make_warp import MakeWarpConfig
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.visit_info import VisitInfo
from drpflow.tasks.make_warp import WarpOf, make_warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

FWHM_PIX, TARGET_FWHM_PIX, BORDER_PIX = 4.0, 7.0, 100


def varying_psf(size: int) -> PixelGridPsf:
    """Return Gaussians whose size grows by 20 % over the detector."""
    offsets = np.arange(-20, 21)
    square = offsets**2 + offsets[:, None] ** 2
    images = [
        np.exp(-square / (2 * s**2)) / (2 * np.pi * s**2)
        for s in FWHM_PIX / 2.3548 * np.array([0.9, 1.0, 1.1])
    ]
    slope = (images[2] - images[0]) / 2
    basis = Basis2D(1, Domain(-0.5, size - 0.5, -0.5, size - 0.5))
    return PixelGridPsf(basis, np.stack([images[1], slope, 0.3 * slope]))


def detector(size: int) -> Exposure:
    """Return the exposure: stars, noise, and a mask in which a tenth of the pixels is detected."""
    rng = np.random.default_rng(2)
    image = draw_stars(size, FWHM_PIX, 100, rng)[0]
    mask = Mask.zeros(image.shape)
    mask.set("DETECTED", image > 1)
    rows, columns = rng.integers(0, size, (2, size * size // 5000))
    mask.array[rows, columns] |= mask.bit(["CR", "INTRP"])
    image += rng.standard_normal(image.shape, np.float32) * np.float32(SKY_VARIANCE**0.5)
    variance = np.full(image.shape, SKY_VARIANCE, np.float32)
    components = {
        "wcs": SkyWcs.from_fits_header(header(size)),
        "psf": varying_psf(size),
        "photo_calib": PhotoCalib.identity(),
    }
    return Exposure(image, mask, variance, unit="nJy", components=components)


def patches(size: int, inner: int) -> list[Box]:
    """Return the outer boxes of the patches about the tangent point that the detector touches."""
    middle, reach = out_size(size) // 2, int(0.6 * size)
    boxes = [
        Box(x, x + inner, y, y + inner).grow(BORDER_PIX)
        for x in (middle - inner, middle)
        for y in (middle - inner, middle)
    ]
    about = Box(middle - reach, middle + reach, middle - reach, middle + reach)
    return [box for box in boxes if not box.intersect(about).is_empty]


def run(exposure: Exposure, boxes: list[Box], *, matching: bool) -> tuple[float, float, int]:
    """Return CPU and wall time, and output pixels with a value."""
    size = exposure.shape[0]
    tract = SkyWcs.from_fits_header(out_header(out_size(size)))
    target = DoubleGaussianPsf.from_fwhm(TARGET_FWHM_PIX)
    cpu, wall, pixels = time.process_time(), time.monotonic(), 0
    for box in boxes:
        planned = {0: "" if matching else "it is not to be matched"}
        of = WarpOf(VisitInfo(visit=1), tract, box, planned, {}, target)
        made = make_warp(of, lambda _: exposure, MakeWarpConfig())
        pixels += int(np.isfinite(made.direct.image).sum())
    return time.process_time() - cpu, time.monotonic() - wall, pixels


def beside_swarp(image: NDArray, variance: NDArray) -> None:
    """Print the times of one image onto one grid."""
    by_drpflow(image, variance, FWHM_PIX, 5)
    for name, made in (
        ("drpflow, order 3", by_drpflow(image, variance, FWHM_PIX)),
        ("drpflow, order 5", by_drpflow(image, variance, FWHM_PIX, 5)),
        ("swarp LANCZOS3", by_swarp(image, variance)),
        ("swarp LANCZOS4", by_swarp(image, variance, "LANCZOS4")),
    ):
        print(f"{name:18s} one grid, CPU s {made.cpu_s:6.2f}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--patch", type=int, default=4000)
    parser.add_argument("--no-swarp", action="store_true")
    parser.add_argument("--no-matching", action="store_true")
    args = parser.parse_args()
    small = detector(512)
    run(small, patches(512, 400)[:1], matching=not args.no_matching)
    exposure = detector(args.size)
    boxes = patches(args.size, args.patch)
    for matching in (False, True)[: 1 if args.no_matching else 2]:
        cpu, wall, pixels = run(exposure, boxes, matching=matching)
        print(
            f"{'direct and matched' if matching else 'direct':18s} {len(boxes)} patches, "
            f"{pixels} pixels: CPU s {cpu:6.2f}, wall s {wall:6.2f}, "
            f"{1e9 * cpu / pixels:.0f} ns a pixel"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")
    if not args.no_swarp:
        beside_swarp(exposure.image, exposure.variance)


if __name__ == "__main__":
    main()
