"""CPU time and memory of finalizeImage on one detector of 4096², and of each of its parts.

    python benchmarks/bench_finalize_image.py [--sources 8000 30000] [--size 4096] [--runs 3]

The detector is drawn and written with all that the script reads: a PSF of degree 2 on stamps of
41², a background of 64 x 64 nodes, stars and galaxies (a fourth of them) with a steep luminosity
function down to below the limit, so that about as many as asked for are above 5 sigma, cosmic rays,
two trails. ``scripts/finalize_image.py`` runs as the workflow calls it; the first run loads or
compiles the kernels, the best of the others counts: start of Python, reading and writing included.
Last, the same in this process with a clock about each function.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import bench_calibrate_image as calibrate
import numpy as np
import yaml

from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.background import Background, MeshLayer
from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Optics
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import PixelGridPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.summary_stats import SummaryStats
from drpflow.data.transmission import TransmissionCurve
from drpflow.data.visit_info import VisitInfo
from drpflow.data.warp_masks import WarpMask
from drpflow.io.component_tables import write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.io.tables import write_table
from drpflow.workflow.task_runner import main as run_task
from drpflow.workflow.task_runner import start_process

SCRIPT = Path(__file__).parents[1] / "scripts/finalize_image.py"
VISIT, DETECTOR, BAND = 12, 3, "r"
FWHM_PIX, SKY, READ_NOISE2, NJY_PER_ELECTRON = 4.0, 800.0, 50.0, 2.0
SUMMARY = (
    "psf", "wcs", "photo_calib", "ap_corr", "transmission", "valid_polygon", "summary_stats",
)  # fmt: skip
TABLE = DatasetTable.load()


def camera(size: int) -> Camera:
    """Return a camera of one detector."""
    section = (0, size, 0, size)
    amplifier = Amplifier(
        name="A", data_section=section, raw_data_section=section, gain=1.0, read_noise=7.0,
        saturation=1e5,
    )  # fmt: skip
    detector = Detector(
        id=DETECTOR, name="CCD3", size_pix=(size, size), pixel_size_mm=0.015,
        amplifiers=(amplifier,),
    )  # fmt: skip
    return Camera(
        name="benchcam",
        optics=Optics(plate_scale_arcsec_per_mm=13.3),
        filters=(Filter(physical_filter="r", band="r"),),
        detectors=(detector,),
    )


def psf(size: int, scale: float = 1.0) -> PixelGridPsf:
    """Return Moffat images whose width changes by some per cent over the detector."""
    offsets = np.arange(-20, 21)
    square = offsets**2 + offsets[:, None] ** 2
    images = []
    for change in (0.97, 1.0, 1.03):
        alpha2 = (scale * change * FWHM_PIX / 2) ** 2 / (2 ** (1 / 3.0) - 1)
        image = (1 + square / alpha2) ** -3.0
        images.append(image / image.sum())
    slope = (images[2] - images[0]) / 2
    basis = Basis2D(2, Domain(-0.5, size - 0.5, -0.5, size - 0.5))
    terms = [images[1], slope, -0.5 * slope, 0.2 * slope, 0.1 * slope, 0.3 * slope]
    return PixelGridPsf(basis, np.stack(terms))


def draw(n: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of sources, electrons, and the places of the brightest."""
    total = int(2.4 * n)
    error = np.sqrt(SKY + READ_NOISE2) * np.sqrt(4 * np.pi) * FWHM_PIX / 2.3548
    flux = np.sort(3 * error * rng.uniform(1e-4, 1, total) ** -0.9)[::-1].clip(0, 2e6)
    x, y = rng.uniform(0, size - 1, (2, total))
    image = np.zeros((size, size))
    galaxy = np.arange(total) % 4 == 3
    for model, which in ((psf(size), ~galaxy), (psf(size, 1.5), galaxy)):
        rows = np.flatnonzero(which)
        for first in range(0, rows.size, 512):
            part = rows[first : first + 512]
            stamps, x0, y0 = model.compute_images(x[part], y[part])
            for stamp, u, v, f in zip(stamps, x0, y0, flux[part], strict=True):
                ys, xs = slice(max(v, 0), v + 41), slice(max(u, 0), u + 41)
                target = image[ys, xs]
                inner = stamp[ys.start - v :, xs.start - u :]
                target += f * inner[: target.shape[0], : target.shape[1]]
    stars = np.flatnonzero(~galaxy)[:400]
    return image, np.column_stack([x[stars], y[stars]])


def background(size: int) -> Background:
    """Return a sky that slopes."""
    nodes = np.linspace(0, size - 1, 64)
    values = SKY * (1 + 0.03 * nodes[None, :] / size - 0.02 * nodes[:, None] / size)
    layer = MeshLayer(values, np.ones_like(values), nodes, nodes, "spline")
    return Background((("sky", layer),))


def write_run(root: Path, n: int, size: int) -> None:
    """Write all that the script reads."""
    rng = np.random.default_rng(n)
    root.mkdir(parents=True)
    cam = camera(size)
    (root / "camera.yaml").write_text(yaml.safe_dump(cam.model_dump(mode="json")))
    light, stars = draw(n, size, rng)
    box, sky = Box(0, size, 0, size), background(size)
    electrons = sky.image(box) + light
    variance = (electrons + READ_NOISE2).astype(np.float32)
    image = electrons + rng.standard_normal(light.shape, np.float32) * np.sqrt(variance)
    mask = Mask.zeros(image.shape)
    for column, row in rng.integers(10, size - 10, (1000, 2)):
        image[row, column : column + 4] += 2000.0
        if column % 2:
            mask.array[row, column : column + 4] |= mask.bit(["CR", "INTRP"])
    first = PhotoCalib(1.01 * NJY_PER_ELECTRON)
    pixels, scaled = first.calibrate_image(sky.subtract(image.astype(np.float32)), variance)
    store, frame = Store(root), {"visit": VISIT, "detector": DETECTOR}
    info = VisitInfo(
        visit=VISIT, physical_filter="r", band=BAND, exposure_time_s=30.0, mjd=60000.0,
        ra_deg=150.0, dec_deg=-20.0, rotation_deg=0.0, instrument="benchcam",
    )  # fmt: skip
    store.put(info, "visit_info", visit=VISIT)
    detector = DetectorInfo(cam.detector(DETECTOR), "benchcam")
    parts = {"photo_calib": first, "background": sky, "detector": detector}
    exposure = Exposure(pixels, mask, scaled, unit="nJy", components=parts)
    store.put(exposure, "initial_pvi", **frame)
    write_tables(root, size, cam, stars)


def write_tables(root: Path, size: int, cam: Camera, stars: np.ndarray) -> None:
    """Write components, stars of the PSF, and trails."""
    domain = Domain(-0.5, size - 0.5, -0.5, size - 0.5)
    one = Polynomial2D.constant(1.0, domain)
    names = ("normCompTophatFlux", "psfFlux", "gaussianFlux", "compGaussianFlux3")
    ap_corr = ApCorrMap({name: ApCorr(one, 0.002) for name in (*names, "compGaussianFlux5")})
    slope = Polynomial2D(Basis2D(1, domain), np.array([1.0, 0.02, -0.01]))
    components = {
        "psf": psf(size), "wcs": SkyWcs.from_camera(cam, DETECTOR, 150.0, -20.0, 0.0),
        "photo_calib": PhotoCalib(NJY_PER_ELECTRON, 0.005, slope), "ap_corr": ap_corr,
        "transmission": TransmissionCurve.from_table([300.0, 1100.0], [0.8, 0.8]),
        "valid_polygon": ValidPolygon.from_box(Box(0, size, 0, size)),
        "summary_stats": SummaryStats({"psfSigma": FWHM_PIX / 2.3548}),
    }  # fmt: skip
    held = {
        "final_visit_summary": (components, SUMMARY),
        "initial_visit_summary": ({"ap_corr": ap_corr}, ("ap_corr",)),
        "visit_background": ({"background": background(size)}, ("background",)),
    }
    for name, (given, members) in held.items():
        path = TABLE.path(root, name, visit=VISIT)
        rows = ComponentTable({DETECTOR: ComponentRow(given)}, {"wcs_error": np.array([0.004])})
        write_component_table(
            path, rows, members, "detector", dataset=name, data_id={"visit": VISIT}
        )
    flags = ("calib_psf_candidate", "calib_psf_used", "calib_psf_reserved", "calib_apcorr_used")
    columns = {"detector": np.full(len(stars), DETECTOR), "x": stars[:, 0], "y": stars[:, 1]}
    columns |= {name: np.full(len(stars), "reserved" not in name) for name in flags}
    write_table(TABLE.path(root, "final_characterization_stars", visit=VISIT), columns)
    y = np.tile(np.arange(size), 2)
    middle = np.r_[0.2 * size + 0.3 * np.arange(size), 0.9 * size - 0.5 * np.arange(size)]
    x0 = np.rint(middle).astype(int) - 12
    trail = np.repeat([0, 1], size)
    frame = np.full(2 * size, DETECTOR)
    artifacts = WarpMask(("streak", "streak"), np.ones(2), frame, trail, y, x0, x0 + 25)
    data_id = {"tract": 0, "patch": 0, "band": BAND, "visit": VISIT}
    path = TABLE.path(root, "warp_mask", **data_id)
    write_table(path, artifacts.columns(), load_schema("warp_mask"), data_id=data_id)


def arguments(root: Path, output: Path) -> list[str]:
    """Return the arguments of the script."""
    frame = {"visit": VISIT, "detector": DETECTOR}
    words = ["--camera", str(root / "camera.yaml"), "--detector", str(DETECTOR)]
    words += ["--initial-pvi", str(TABLE.path(root, "initial_pvi", **frame))]
    for name in (
        "visit_info", "visit_background", "final_visit_summary", "initial_visit_summary",
        "final_characterization_stars",
    ):  # fmt: skip
        words += [f"--{name.replace('_', '-')}", str(TABLE.path(root, name, visit=VISIT))]
    template = TABLE.path_template("warp_mask")
    template = template.format(tract="{tract}", patch="{patch}", band=BAND, visit=VISIT)
    words += ["--warp-mask", str(root / template), "--patches", "0:0"]
    for name in ("pvi", "final_source_detector"):
        words += [f"--{name.replace('_', '-')}", str(TABLE.path(output, name, **frame))]
    status = f"{output}/{TABLE.status_template('finalizeImage')}".format(**frame)
    return [*words, "--status", status]


def measure(root: Path, output: Path, runs: int) -> None:
    """Print times, memory and where the time goes."""
    words = arguments(root, output)
    costs = [calibrate.run_script(words, SCRIPT) for _ in range(1 + runs)]
    best = min(costs[1:], key=lambda cost: cost.cpu_s)
    for label, cost in (("first run (may compile)", costs[0]), ("best of the others", best)):
        print(f"{label:28s} {cost.wall_s:6.1f} s {cost.cpu_s:7.2f} CPU s {cost.memory_mb:6.0f} MB")
    numbers = json.loads(Path(words[words.index("--status") + 1]).read_text())
    print(numbers["outcome"], numbers["reason"], numbers["numbers"])
    task = calibrate.load_task(SCRIPT)
    run_task(task, list(words))
    clock = calibrate.Clock()
    clock.watch("finalize_image", "final_image")
    started = time.process_time()
    run_task(task, list(words))
    whole_s = time.process_time() - started
    print(f"{'the same within a process':62s} {whole_s:7.2f} CPU s")
    for name, cpu_s in sorted(clock.cpu_s.items(), key=lambda item: -item[1]):
        if cpu_s > 0.005 * whole_s:
            print(f"{name:62s} {cpu_s:7.2f}")


def main() -> None:
    """Print the figures."""
    calibrate.restart_with_one_thread()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sources", type=int, nargs="+", default=[8000, 30000])
    parser.add_argument("--size", type=int, default=4096, help="side of the detector, pixels")
    parser.add_argument("--runs", type=int, default=3, help="of which the best counts")
    parser.add_argument("--folder", type=Path, help="where to work, kept; else a temporary folder")
    args = parser.parse_args()
    start_process()
    with tempfile.TemporaryDirectory() as name:
        folder = (args.folder or Path(name)).resolve()
        for n in args.sources:
            root = folder / f"{n}"
            if not root.exists():
                write_run(root, n, args.size)
            print(f"\n{n} sources on {args.size}²")
            measure(root, Path(name) / "products", args.runs)


if __name__ == "__main__":
    sys.exit(main())
