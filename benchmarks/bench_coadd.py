"""CPU time and memory of compareWarpAssembleCoadd on a large patch.

    python benchmarks/bench_coadd.py [--side 4000] [--visits 10 20 30] [--folder FOLDER]

Warps of a patch with its border and margin are written: noise correlated as resampling leaves it,
20,000 stars, trails, cosmic rays. Two different visits are drawn, and read under as many names as
there are visits, so that 30 visits need no 15 GB of disk; each name is read as a file of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter
from warp_stacks import TARGET_FWHM_PIX, lanczos_taps

from drpflow.config.sky_map import SkyMapConfig
from drpflow.data.coadd_inputs import CoaddInput, CoaddInputs
from drpflow.data.coadd_psf import CoaddPsf, CoaddPsfInput
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_map import build_sky_map
from drpflow.io.exposure_write import write_exposure

DRAWN, STARS, RAYS, NOISE = 2, 20_000, 300, 10.0
SCALE_ARCSEC, BORDER, MARGIN = 0.2, 100, 208


def sky_map_config(side: int) -> SkyMapConfig:
    """Return a tract of one patch."""
    width = side * SCALE_ARCSEC / 3600
    field = {"ra_deg": 150.0, "dec_deg": -10.0, "width_deg": width, "height_deg": width}
    return SkyMapConfig.model_validate(
        {"layout": "field", "field": field, "pixel_scale_arcsec": SCALE_ARCSEC,
         "patch_inner_pix": side + 10, "patch_border_pix": BORDER, "warp_margin_pix": MARGIN}
    )  # fmt: skip


def draw(seed: int, shape: tuple[int, int], places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a direct and a matched image."""
    rng = np.random.default_rng(seed)
    sigma = TARGET_FWHM_PIX / 2.3548
    own = rng.uniform(1.5, 2.3)
    points = np.zeros(shape, np.float32)
    x, y = places[:, :2].T.astype(int)
    np.add.at(points, (y, x), places[:, 2].astype(np.float32))
    light = gaussian_filter(points, own)
    light += rng.normal(0, NOISE, shape).astype(np.float32)
    for row, column in rng.integers(10, min(shape) - 20, (RAYS, 2)):
        light[row, column : column + rng.integers(1, 8)] += 10 * NOISE
    start = rng.uniform(0, shape[0])
    across = np.arange(shape[0])[:, None] - 0.3 * np.arange(shape[1])[None, :] - start
    light += (3 * NOISE * np.exp(-0.5 * (across / 3.0) ** 2)).astype(np.float32)
    for axis in (0, 1):
        light = correlate1d(light, lanczos_taps(0.4).astype(np.float32), axis, origin=-1)
    return light, gaussian_filter(light, np.sqrt(sigma**2 - own**2))


def write_warps(folder: Path, side: int) -> SkyMapConfig:
    """Write the warps that are read."""
    config = sky_map_config(side)
    tract = build_sky_map(config).tract(0)
    box = tract.patch(0).warp
    rng = np.random.default_rng(0)
    places = np.column_stack([
        rng.uniform(20, box.width - 20, STARS), rng.uniform(20, box.height - 20, STARS),
        10 ** rng.uniform(2, 5, STARS),
    ])  # fmt: skip
    polygon = ValidPolygon.from_box(box)
    for k in range(DRAWN):
        psf = CoaddPsf(tract.wcs, (CoaddPsfInput(GaussianPsf(2.0), tract.wcs, polygon, 1.0, k, 0),))
        for name, image, own in zip(
            ("direct", "matched"),
            draw(k, box.shape, places),
            (psf, DoubleGaussianPsf.from_fwhm(TARGET_FWHM_PIX)),
            strict=True,
        ):
            empty = np.median(np.abs(image - np.median(image))) * 1.4826
            variance = np.full(box.shape, empty**2, np.float32)
            components = {
                "wcs": tract.wcs, "psf": own, "photo_calib": PhotoCalib.identity(),
                "valid_polygon": polygon, "noise_covariance": NoiseCovariance.white(),
                "coadd_inputs": CoaddInputs(
                    (CoaddInput("recalibrated_pvi", {"visit": k, "detector": 0}),)
                ),
            }  # fmt: skip
            exposure = Exposure(
                image, Mask.zeros(box.shape), variance, unit="nJy", xy0=box.xy0,
                components=components,
            )  # fmt: skip
            write_exposure(folder / f"{name}_{k}.fits", exposure)
    return config


def assemble(folder: Path, side: int, visits: int) -> None:
    """Coadd so many visits in this process and print the cost."""
    from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
    from drpflow.data.warps import Warp
    from drpflow.io.exposure_fits import open_exposure
    from drpflow.memory import keep_freed_memory
    from drpflow.tasks.compare_warp_assemble_coadd import CoaddOf, compare_warp_assemble_coadd

    keep_freed_memory()  # as every job does
    tract = build_sky_map(sky_map_config(side)).tract(0)
    warps = []
    for k in range(visits):
        direct, matched = (
            open_exposure(folder / f"{name}_{k % DRAWN}.fits") for name in ("direct", "matched")
        )
        warps.append(Warp(k, 1 / NOISE**2, direct, matched, 4 * np.pi * 2.0**2))
    box = tract.patch(0).outer
    of = CoaddOf(tract.wcs, box, warps, list(range(visits)), TARGET_FWHM_PIX)
    begin = time.process_time()
    made = compare_warp_assemble_coadd(of, CompareWarpAssembleCoaddConfig())
    print(json.dumps({
        "visits": visits,
        "pixels": box.area,
        "cpu_s": round(time.process_time() - begin, 1),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "masked_fraction": round(float(made.numbers["masked_fraction"]), 5),
    }))  # fmt: skip


def main() -> int:
    """Draw the warps, and coadd them in a process of its own for each number of visits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4000)
    parser.add_argument("--visits", type=int, nargs="+", default=[10, 20, 30])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--assemble", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.assemble:
        assemble(args.folder, args.side, args.visits[0])
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "matched_1.fits").exists():
            write_warps(folder, args.side)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        for visits in args.visits:
            command = [sys.executable, __file__, "--assemble", "--folder", str(folder),
                       "--side", str(args.side), "--visits", str(visits)]  # fmt: skip
            subprocess.run(command, env=environment, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
