"""CPU time and memory of measureSky, makeSkyFrame and modelVisitBackground on large detectors.

    python benchmarks/bench_visit_background.py [--folder FOLDER]

Nine detectors of 4096² with a sky, 20,000 Gaussian sources, a galaxy and 60 bright stars each are
written as ``initial_pvi``, and measureSky is run on them as its rule runs it; the model and the
sky frame of two of the detectors (four noisy copies of the samples stand in for visits) are timed
in this process, and so is the layer of the wings of 500 stars.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Optics
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.psf import GaussianPsf
from drpflow.data.star_wings import StarWingsLayer
from drpflow.io.exposure_write import write_exposure
from drpflow.io.sky_files import read_samples

SIDE, SKY, SOURCES, STARS = 4096, 400.0, 20_000, 60
FRAME_DETECTORS, FRAME_VISITS, WING_STARS = 2, 4, 500
_SCRIPTS = Path(__file__).parents[1] / "scripts"


def camera() -> Camera:
    """Three by three detectors."""
    section = (0, SIDE, 0, SIDE)
    amplifier = Amplifier(
        name="A", data_section=section, raw_data_section=section, gain=1.0, read_noise=5.0,
        saturation=1e5,
    )  # fmt: skip
    places = [(62.5 * (i % 3 - 1), 62.5 * (i // 3 - 1)) for i in range(9)]
    return Camera(
        name="nine",
        optics=Optics(plate_scale_arcsec_per_mm=40 / 3, radius_mm=100.0, radial=()),
        detectors=tuple(
            Detector(id=i, name=f"c{i}", size_pix=(SIDE, SIDE), center_mm=place,
                     pixel_size_mm=0.015, amplifiers=(amplifier,))
            for i, place in enumerate(places)
        ),
        filters=(Filter(physical_filter="r", band="r"),),
    )  # fmt: skip


def draw(seed: int) -> np.ndarray:
    """Return electrons of a detector."""
    rng = np.random.default_rng(seed)
    image = rng.poisson(SKY, (SIDE, SIDE)).astype(np.float32)
    offset = np.arange(-12, 13)
    kernel = np.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / 4) / (8 * np.pi)
    x, y = rng.integers(15, SIDE - 15, (2, SOURCES))
    for u, v, flux in zip(x, y, 10 ** rng.uniform(2, 5, SOURCES), strict=True):
        image[v - 12 : v + 13, u - 12 : u + 13] += flux * kernel
    return image


def write_visit(folder: Path) -> list[Path]:
    """Write the exposures of a visit; return their paths."""
    found = []
    background = Background((("mesh", PolynomialLayer.constant(SKY)),))
    for detector in camera().detectors:
        path = folder / f"initial_pvi_1_{detector.id}.fits"
        found.append(path)
        if path.is_file():
            continue
        image = background.subtract(draw(detector.id))
        variance = np.full(image.shape, SKY, np.float32)
        components = {
            "background": background,
            "psf": GaussianPsf(2.0),
            "photo_calib": PhotoCalib(10.0),
            "detector": DetectorInfo(detector),
        }
        mask = Mask.zeros(image.shape)
        exposure = Exposure(image, mask, variance, unit="electron", components=components)
        write_exposure(path, exposure, dataset="initial_pvi",
                       data_id={"visit": 1, "detector": detector.id})  # fmt: skip
    return found


def run(name: str, *words: str) -> None:
    """Run a script and print what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, str(_SCRIPTS / name), *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.perf_counter() - started
    print(f"{name}: {cpu:.1f} CPU s ({cpu / 9:.2f} a detector), {wall:.1f} s, "
          f"peak {after.ru_maxrss / 1024:.0f} MB")  # fmt: skip


def model(folder: Path) -> None:
    """Fit the model of the visit in this process, and print what it took."""
    from drpflow.algorithms.visit_background.cells import detector_of, place_cells
    from drpflow.algorithms.visit_background.design import build_design
    from drpflow.algorithms.visit_background.layers import detector_background
    from drpflow.algorithms.visit_background.model import fit_visit
    from drpflow.algorithms.visit_background.stars import DetectorStars
    from drpflow.config.model_visit_background import ModelVisitBackgroundConfig

    config = ModelVisitBackgroundConfig()
    samples = read_samples(folder / "sky_samples.parquet")
    rng = np.random.default_rng(5)
    radii = np.geomspace(35, 900, config.wings.nodes)
    stars = {
        k: DetectorStars(*rng.uniform(0, SIDE, (2, STARS)), 10 ** rng.uniform(5, 7, STARS),
                         rng.integers(0, 3, STARS), radii)
        for k in samples
    }  # fmt: skip
    for label in ("first", "second"):
        started = time.process_time()
        cells = place_cells(samples, camera(), config.mask.min_count_fraction)
        design = build_design(cells, {}, stars, config.wings.regions, config.max_order)
        fit = fit_visit(design, config)
        for key, s in samples.items():
            detector_background(fit, detector_of(camera(), key, s), None, stars[key], config)
        cpu = time.process_time() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        number = sum(len(terms.rows) for terms in design.detectors.values())
        each = f"{cpu:.1f} CPU s ({cpu / 9:.2f} a detector)"
        print(f"model, {label} time: {each}, peak {peak:.0f} MB, {number} cells")


def sky_frame(folder: Path) -> None:
    """Make a sky frame of some detectors, and print what it and its smooth fields took."""
    from drpflow.algorithms.visit_background.cells import place_cells
    from drpflow.algorithms.visit_background.sky_frame import FrameVisit, make_sky_frame
    from drpflow.algorithms.visit_background.smooth_field import fit_smooth_field
    from drpflow.config.make_sky_frame import MakeSkyFrameConfig

    config, rng, visits = MakeSkyFrameConfig(), np.random.default_rng(6), {}
    samples = read_samples(folder / "sky_samples.parquet")
    chosen = {k: samples[k] for k in sorted(samples)[:FRAME_DETECTORS]}
    for visit in range(1, FRAME_VISITS + 1):
        cells = place_cells(chosen, camera(), config.sky.mask.min_count_fraction)
        noisy = {}
        for key, c in cells.items():
            sigma = 1 / np.sqrt(np.where(c.usable, c.weight, np.inf))
            level = c.level + sigma * rng.normal(size=c.level.shape)
            noisy[key] = replace(c, level=np.where(c.usable, level, 0.0))
        visits[visit] = FrameVisit(noisy, {})
    started = time.process_time()
    make_sky_frame(visits, config)
    cpu = time.process_time() - started
    print(f"sky frame: {cpu / FRAME_DETECTORS:.1f} CPU s a detector, {config.rounds} rounds")
    u, v = np.meshgrid(np.arange(24) * 170.0, np.arange(24) * 170.0)
    places = np.column_stack([u.ravel(), v.ravel()])
    values = 1 + 1e-3 * np.sin(places[:, 0] / 600) + 1e-4 * rng.normal(size=len(places))
    lengths = [share * SIDE for share in config.lengths]
    started = time.process_time()
    fit_smooth_field(places, values, np.full(len(places), 1e-8), lengths)
    print(f"smooth field of {len(places)} bins: {time.process_time() - started:.2f} CPU s")


def wings() -> None:
    """Evaluate the wings of stars on a detector, and print what it took."""
    rng, radii = np.random.default_rng(7), np.geomspace(35.0, 900.0, 9)
    x, y = rng.uniform(-900, SIDE + 900, (2, WING_STARS))
    flux = 10 ** (4.0 + 0.6 * rng.exponential(size=WING_STARS))
    profile = 1e-2 * np.array([[1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.3, 0.1, 0]])
    layer = StarWingsLayer(
        x, y, flux, np.zeros(WING_STARS, np.int64), radii, profile, 0.002 * np.sqrt(SKY)
    )
    image = np.zeros((SIDE, SIDE), np.float32)
    background = Background((("wings", layer),))
    background.subtract(image[:32, :32])
    started = time.process_time()
    background.subtract(image)
    print(f"wings of {WING_STARS} stars: {time.process_time() - started:.2f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where frames are written, and kept")
    given = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        folder = given or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = write_visit(folder)
        samples = folder / "sky_samples.parquet"
        for _ in range(2):
            run("measure_sky.py", "--visit", "1", "--initial-pvi", *map(str, paths),
                "--sky-samples", str(samples))  # fmt: skip
        model(folder)
        sky_frame(folder)
        wings()


if __name__ == "__main__":
    main()
