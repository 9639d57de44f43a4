"""Time isr on one raw detector of 4096² pixels with 16 amplifiers, and each of its steps.

Run ``python benchmarks/bench_isr.py [--size 4096] [--folder DIR]``. The frame and all nine
calibrations are made here, from noise and 5,000 stars, some of them saturated. First
``scripts/isr.py`` runs as the workflow calls it, twice: the first run compiles the kernels (if
that has not been done on this machine), the second counts. Its CPU time includes the start of
Python, reading and writing. Then the task runs in this process with a clock about each step.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from astropy.io import fits

from drpflow.config.isr import IsrConfig
from drpflow.data.visit_info import VisitInfo
from drpflow.io.records import write_component_json

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = Path(__file__).parents[1] / "scripts/isr.py"
COLUMNS, ROWS, PRESCAN, OVERSCAN = 8, 2, 3, 64
GAIN, READ_NOISE, BIAS_ADU, SKY = 1.6, 6.0, 1000.0, 800.0
KINDS = (
    "bias", "dark", "flat", "defects", "ptc", "linearizer", "crosstalk", "brighter_fatter", "cti",
)  # fmt: skip


def camera(size: int) -> dict[str, Any]:
    """A camera of one detector; amplifiers in 8 columns, read down and up."""
    nx, ny, width = size // COLUMNS, size // ROWS, PRESCAN + size // COLUMNS + OVERSCAN
    amplifiers = []
    for i in range(COLUMNS * ROWS):
        column, row = i % COLUMNS, i // COLUMNS
        left = column * width + PRESCAN
        amplifiers.append(
            {
                "name": f"A{i:02d}",
                "data_section": [column * nx, column * nx + nx, row * ny, row * ny + ny],
                "raw_data_section": [left, left + nx, row * ny, row * ny + ny],
                "raw_serial_overscan": [left + nx, left + nx + OVERSCAN, row * ny, row * ny + ny],
                "flip_x": bool(row),
                "flip_y": bool(row),
                "gain": GAIN,
                "read_noise": READ_NOISE,
                "saturation": 58000.0,
            }
        )
    detector = {
        "id": 0, "name": "B0", "size_pix": [size, size], "pixel_size_mm": 0.01,
        "amplifiers": amplifiers,
    }  # fmt: skip
    return {
        "name": "bench",
        "optics": {"plate_scale_arcsec_per_mm": 20.0, "radius_mm": 30.0, "radial": [1e-3]},
        "detectors": [detector],
        "filters": [{"physical_filter": "r", "band": "r"}],
    }


def make_raw(path: Path, description: dict[str, Any], size: int, rng: np.random.Generator) -> None:
    """A field of stars above a sky, in adu, with a wandering bias."""
    image = rng.poisson(SKY, (size, size)).astype(np.float32)
    y, x = np.mgrid[-15:16, -15:16]
    star = np.exp(-(x**2 + y**2) / 2 / 1.9**2) / (2 * np.pi * 1.9**2)
    for flux in 10 ** rng.uniform(2.5, 6.6, round(5000 * (size / 4096) ** 2)):
        y0, x0 = rng.integers(15, size - 16, 2)
        image[y0 - 15 : y0 + 16, x0 - 15 : x0 + 16] += (flux * star).astype(np.float32)
    width = PRESCAN + size // COLUMNS + OVERSCAN
    raw = rng.normal(BIAS_ADU, READ_NOISE / GAIN, (size, COLUMNS * width)).astype(np.float32)
    raw += np.cumsum(rng.normal(0, 0.05, (size, 1)), axis=0).astype(np.float32)
    for amp in description["detectors"][0]["amplifiers"]:
        x0, x1, y0, y1 = amp["data_section"]
        u0, u1, v0, v1 = amp["raw_data_section"]
        step = -1 if amp["flip_x"] else 1
        raw[v0:v1, u0:u1] += image[y0:y1, x0:x1][::step, ::step] / GAIN
    fits.PrimaryHDU(np.clip(np.rint(raw), 0, 65535).astype(np.uint16)).writeto(path)


def make_calibrations(folder: Path, names: list[str], size: int, rng: np.random.Generator) -> None:
    """All kinds, images with their variances."""
    shape, n = (size, size), len(names)

    def image(kind: str, mean: float, rms: float) -> list[fits.ImageHDU]:
        pixels = rng.normal(mean, rms, shape).astype(np.float32)
        noise = np.full(shape, (0.1 * rms) ** 2, np.float32)
        return [fits.ImageHDU(pixels, name=kind), fits.ImageHDU(noise, name="VARIANCE")]

    def table(kind: str, **columns: Any) -> list[fits.BinTableHDU]:
        made = [
            fits.Column(k, "8A" if k == "amplifier" else f"{np.size(v[0])}D", array=v)
            for k, v in columns.items()
        ]
        return [fits.BinTableHDU.from_columns(made, name=kind)]

    corner = rng.integers(0, size - 2, (400, 2))
    boxes = np.column_stack([corner[:, 0], corner[:, 0] + 2, corner[:, 1], corner[:, 1] + 2])
    columns = rng.integers(0, size, 20)
    boxes = np.vstack(
        [boxes, np.column_stack([columns, columns + 1, 0 * columns, 0 * columns + size])]
    )
    lag = np.hypot(*np.mgrid[-8:9, -8:9])
    node = np.linspace(0, 60000, 15)
    crosstalk = rng.normal(0, 2e-4, (n, n)) * (1 - np.eye(n))
    content = {
        "bias": image("BIAS", 0, 1.0),
        "dark": image("DARK", 0.05, 0.01),
        "flat": image("FLAT", 1, 0.01),
        "defects": table("DEFECTS", x0=boxes[:, 0], x1=boxes[:, 1], y0=boxes[:, 2], y1=boxes[:, 3]),
        "ptc": table("PTC", amplifier=names, gain=np.full(n, GAIN), gain_err=np.full(n, 1e-3),
                     read_noise=np.full(n, READ_NOISE), saturation=np.full(n, 58000.0)),
        "linearizer": table("LINEARIZER", amplifier=names, node_adu=np.tile(node, (n, 1)),
                            correction_adu=np.tile(-0.01 * node**2 / 6e4, (n, 1))),
        "crosstalk": [fits.ImageHDU(crosstalk, name="CROSSTALK")],
        "brighter_fatter": [fits.ImageHDU(-4e-7 / (1 + lag) ** 2, name="KERNEL")],
        "cti": table("CTI", amplifier=names, serial_cti=np.full(n, 1e-6)),
    }  # fmt: skip
    for kind, hdus in content.items():
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / f"{kind}.fits")


def make_inputs(folder: Path, size: int) -> list[str]:
    """Write all inputs; return the command line of the script."""
    rng = np.random.default_rng(1)
    description = camera(size)
    (folder / "camera.yaml").write_text(yaml.safe_dump(description))
    make_raw(folder / "raw.fits", description, size, rng)
    names = [amp["name"] for amp in description["detectors"][0]["amplifiers"]]
    make_calibrations(folder, names, size, rng)
    visit = VisitInfo(visit=1, physical_filter="r", exposure_time_s=30.0, ra_deg=10.0, dec_deg=-5.0)
    write_component_json(folder / "visit_info.json", visit)
    command = ["--raw", folder / "raw.fits", "--camera", folder / "camera.yaml", "--detector", 0]
    command += ["--visit-info", folder / "visit_info.json"]
    for kind in KINDS:
        command += [f"--{kind.replace('_', '-')}", folder / f"{kind}.fits"]
    command += ["--post-isr-image", folder / "post_isr_image.fits"]
    command += ["--post-isr-thumbnail", folder / "post_isr_thumbnail.fits"]
    command += ["--isr-statistics", folder / "isr_statistics.parquet"]
    return [str(word) for word in [*command, "--status", folder / "status.json"]]


def run_script(arguments: list[str]) -> tuple[float, float, float]:
    """Run the script; return wall s, CPU s and peak MB of its process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"scripts/isr.py ended with {process.returncode}")
    wall = time.perf_counter() - started
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


STEPS = {
    "read_amplifier": "overscan, saturation flags, bias",
    "remove_crosstalk": "crosstalk",
    "ghosts_of_saturation": "ghosts of saturated pixels",
    "linearize": "linearity and gain",
    "restore_serial_charge": "serial charge transfer",
    "assemble": "assembly of pixels and flags",
    "calibration_variance": "variance of bias and dark",
    "subtract_dark": "dark current",
    "mark_defects": "defects",
    "correct_brighter_fatter": "brighter-fatter",
    "poisson_and_read_noise": "variance",
    "divide_flat": "flat",
    "grow": "growth of saturated areas",
    "mark_unusable": "unusable pixels",
    "match_amplifiers": "amplifier offsets (off by default)",
    "interpolate": "interpolation",
    "amplifier_statistics": "statistics",
}
"""Functions of ``drpflow.tasks.isr`` that are timed, in their order."""


def profile(arguments: list[str], size: int) -> None:
    """Run reading, the task and writing in this process; print what each step costs."""
    from drpflow.io.isr_files import read_geometry, read_pixels, write_outputs
    from drpflow.tasks import isr as task

    words = (word.removeprefix("--").replace("-", "_") for word in arguments[::2])
    options: dict[str, Any] = dict(zip(words, map(Path, arguments[1::2]), strict=True))
    config = IsrConfig.model_validate({"amp_offset": {"enabled": True}})
    options |= {"config": config, "hdu": "0"}
    geometry = read_geometry(str(options["camera"]), 0, options["visit_info"])
    cpu: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            result = function(*args, **kwargs)
            cpu[name] += time.process_time() - started
            return result

        return wrapper

    for name in STEPS:
        setattr(task, name, timed(name, getattr(task, name)))
    for _ in range(2):  # the first pass compiles
        cpu.clear()
        pixels = timed("read", read_pixels)(geometry, options)
        result = timed("isr", task.isr)(
            pixels.frame.data, geometry.detector, geometry.visit_info, pixels.calibrations, config
        )
        thumbnail = timed("thumbnail", task.make_thumbnail)(result.exposure)
        outputs = result.exposure, thumbnail, result.statistics
        timed("write", write_outputs)(geometry, *outputs, options)
    rows = {"read": "reading", **STEPS}
    rest = cpu["isr"] - sum(cpu[name] for name in STEPS)
    print(f"\n{'step':42s} {'CPU s':>7s} {'ms per Mpixel':>14s}")
    for label, value in (
        *((rows[name], cpu[name]) for name in rows),
        ("the rest of the task", rest),
        ("thumbnail", cpu["thumbnail"]),
        ("writing", cpu["write"]),
    ):
        print(f"{label:42s} {value:7.2f} {1e9 * value / size**2:14.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="pixels along a side")
    parser.add_argument(
        "--folder", type=Path, help="where to write; a temporary folder if not given"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        arguments = make_inputs(Path(name), args.size)
        print(f"isr of {args.size} x {args.size} pixels, {COLUMNS * ROWS} amplifiers")
        for label in ("first run (may compile)", "second run"):
            wall, cpu, memory = run_script(arguments)
            print(f"{label:24s} {wall:6.1f} s, {cpu:6.1f} CPU s, {memory:6.0f} MB")
        print(json.loads((Path(name) / "status.json").read_text()))
        profile(arguments, args.size)


if __name__ == "__main__":
    main()
