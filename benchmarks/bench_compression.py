"""Time compressImage and rebuildImage on one detector, and reading what they leave.

Run ``python benchmarks/bench_compression.py [--size 4096] [--folder DIR]``. The detrended and the
final image are made here, from noise and 5,000 stars. The scripts run as the workflow calls them,
twice: the first run compiles the kernels (if that has not been done on this machine), the second
counts. Then the compressed image is read in this process, whole and in parts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from drpflow import Store
from drpflow.algorithms.final_image.pixels import fill_cosmic_rays, final_pixels
from drpflow.data.background import Background, MeshLayer
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.recalibration import PixelCalibration
from drpflow.data.visit_info import VisitInfo

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPTS = Path(__file__).parents[1] / "scripts"
ID = {"visit": 12, "detector": 0}
SKY, READ_NOISE, NJY, STARS = 800.0, 6.0, 2.5, 5000


def make_run(folder: Path, size: int) -> Store:
    """Write a camera of one detector and what both scripts read."""
    rng = np.random.default_rng(1)
    image = rng.poisson(SKY, (size, size)).astype(np.float32)
    mask = Mask.zeros(image.shape)
    y, x = np.mgrid[-15:16, -15:16]
    star = np.exp(-(x**2 + y**2) / 2 / 1.9**2) / (2 * np.pi * 1.9**2)
    for flux in 10 ** rng.uniform(2.5, 6.6, round(STARS * (size / 4096) ** 2)):
        y0, x0 = rng.integers(15, size - 16, 2)
        box = slice(y0 - 15, y0 + 16), slice(x0 - 15, x0 + 16)
        image[box] += rng.poisson(flux * star)
        mask.array[box] |= np.where(x**2 + y**2 < 100, mask.bit("DETECTED"), 0).astype(np.int32)
    variance = image + np.float32(READ_NOISE**2)
    image += rng.normal(0, READ_NOISE, image.shape).astype(np.float32)
    hits = rng.integers(2, size - 8, (round(400 * (size / 4096) ** 2), 2))
    for row, column in hits:
        mask.array[row, column : column + 6] |= mask.bit("CR")
    level = MeshLayer.on_box(Box(0, size, 0, size), np.full((32, 32), SKY))
    wanted = PixelCalibration(PhotoCalib(NJY), Background((("sky", level),)))
    none = PixelCalibration(None, None)
    final, final_variance = final_pixels(image, variance, none, wanted)
    fill_cosmic_rays(final, final_variance, mask)
    parts: dict[str, Any] = {
        "photo_calib": wanted.photo_calib,
        "background": wanted.background,
        "visit_info": VisitInfo(12, instrument="bench", physical_filter="r", band="r"),
    }
    store = Store(folder / "results")
    pvi = Exposure(final, mask, final_variance, unit="nJy", components=parts)
    store.put(pvi, "pvi", **ID)
    seen = {"visit_info": parts["visit_info"]}
    detrended = Exposure(image, Mask.zeros(image.shape), variance, unit="electron", components=seen)
    store.put(detrended, "post_isr_image", **ID)
    columns = {"level": np.array([SKY]), "used_fraction": np.ones(1), "n_stars": np.zeros(1, "i4")}
    row = ComponentRow({"background": wanted.background})
    store.put(ComponentTable({0: row}, columns), "visit_background", visit=12)
    (folder / "camera.yaml").write_text(yaml.safe_dump(camera(size)))
    return store


def camera(size: int) -> dict[str, Any]:
    """A camera of one detector with one amplifier."""
    whole = [0, size, 0, size]
    amplifier = {
        "name": "A", "data_section": whole, "raw_data_section": whole, "gain": 1.0,
        "read_noise": READ_NOISE, "saturation": 1e5,
    }  # fmt: skip
    detector = {
        "id": 0, "name": "B0", "size_pix": [size, size], "pixel_size_mm": 0.01,
        "amplifiers": [amplifier],
    }  # fmt: skip
    return {
        "name": "bench",
        "optics": {"plate_scale_arcsec_per_mm": 20.0},
        "detectors": [detector],
        "filters": [{"physical_filter": "r", "band": "r"}],
    }


def run_script(name: str, store: Store, folder: Path, datasets: tuple[str, ...]) -> None:
    """Run a script twice; print CPU seconds and peak memory of the second run."""
    task = {"compress_image": "compressImage", "rebuild_image": "rebuildImage"}[name]
    status = folder / f"results/status/{task}/visit=12/detector=0.json"
    words = [sys.executable, str(SCRIPTS / f"{name}.py"), "--detector", "0"]
    words += ["--camera", str(folder / "camera.yaml"), "--status", str(status)]
    for dataset in ("visit_info", *datasets):
        data_id = {"visit": 12} if dataset.startswith("visit_") else ID
        words += [f"--{dataset.replace('_', '-')}", str(store.path(dataset, **data_id))]
    for _ in range(2):
        process = subprocess.Popen(words)
        _, code, usage = os.wait4(process.pid, 0)
        if code:
            raise SystemExit(f"{name} failed")
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20
    print(f"| {task}: read, work, write, start of Python | {cpu:.2f} CPU s, {peak:.2f} GB |")


def timed(label: str, action: Callable[[], Any]) -> None:
    """Print the shortest CPU time of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    print(f"| {label} | {1e3 * min(times):.0f} CPU ms |")


def read(root: Path, box: tuple[int, int, int, int] | None = None) -> None:
    """Read image, mask and variance of the compressed image."""
    exposure = Store(root).get("compressed_pvi", box=box, **ID)
    _ = exposure.image, exposure.mask, exposure.variance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="pixels along a side")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        store = make_run(folder, args.size)
        print(f"| {args.size} x {args.size} | |\n|---|---|")
        run_script("compress_image", store, folder, ("pvi", "compressed_pvi"))
        inputs = "post_isr_image", "visit_background", "compressed_pvi", "rebuilt_pvi"
        run_script("rebuild_image", store, folder, inputs)
        root, middle = store.roots[0], args.size // 2
        timed("read all of compressed_pvi", lambda: read(root))
        cut = (middle, middle + 100, middle, middle + 100)
        timed("cut-out of 100 x 100 pixels, all planes", lambda: read(root, cut))
        timed(
            "WCS or another component", lambda: Store(root).get("compressed_pvi.photo_calib", **ID)
        )
        sizes = {d: store.path(d, **ID).stat().st_size for d in ("pvi", "compressed_pvi")}
        print(f"| pvi, compressed_pvi | {', '.join(f'{s / 1e6:.1f} MB' for s in sizes.values())} |")


if __name__ == "__main__":
    main()
