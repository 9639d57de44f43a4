"""What calibrateImage's and the visit's backgrounds take of a galaxy of 300 pixels (half-light).

    python benchmarks/accuracy_large_galaxy.py demo --visits 2 3 7

An exponential disc is put on the middle of one detector of each visit, on the pixels and without
noise of its own; both backgrounds are made anew with and without it, and the difference is what
they take of it. The visit's sky frame is that of the survey, made without this galaxy. The last
rows are means over the visits with their 95 % intervals: in one visit photon noise moves the
backgrounds by about as much as the outskirts have light.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scoring import resampled

from drpflow import Store
from drpflow.algorithms.background import remodel_background
from drpflow.algorithms.measurement.psf_fit import typical_sigma
from drpflow.algorithms.visit_background.samples import detrended_pixels, measure_sky
from drpflow.config.calibrate_image import CalibrateImageConfig
from drpflow.config.measure_sky import MeasureSkyConfig
from drpflow.config.model_visit_background import ModelVisitBackgroundConfig
from drpflow.data.sky_wcs import detector_map
from drpflow.io.camera_yaml import load_camera
from drpflow.io.visit_background_files import read_frame_stars, read_frames, read_visit
from drpflow.tasks.make_sky_frame import VisitSky
from drpflow.tasks.model_visit_background import model_visit_background

if TYPE_CHECKING:
    from drpflow.data.camera import Camera

RADIUS_PIX = 300.0
ELECTRONS = 2e6
RINGS = ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 3.0))


def galaxy_light(camera: Camera, host: int, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Return light and radius of a galaxy in the middle of one detector on another one."""
    host_detector, detector = camera.detector(host), camera.detector(key)
    nx, ny = detector.size_pix
    u0, v0 = detector_map(host_detector).forward(*(np.array((n - 1) / 2) for n in (nx, ny)))
    columns, rows = np.meshgrid(np.arange(nx), np.arange(ny))
    u, v = detector_map(detector).forward(columns, rows)
    r = np.hypot(u - u0, v - v0) / detector.pixel_size_mm
    scale = RADIUS_PIX / 1.678
    return ELECTRONS / (2 * np.pi * scale**2) * np.exp(-r / scale), r


class VisitTest:
    """Backgrounds of a visit with and without the galaxy."""

    def __init__(
        self, results: Store, backgrounds: Store, camera, visit: int, references: Path
    ) -> None:
        self.results, self.camera, self.visit = results, camera, visit
        self.host = visit % len(camera.detectors)
        names = ("visit_info", "initial_visit_summary", "initial_stars", "fgcm_photo_calib")
        options = {n: results.path(n, visit=visit) for n in names}
        options["sky_samples"] = results.path("sky_samples", visit=visit)
        options["reference_stars"] = references
        self.parts, self.detectors = read_visit(options, camera, visit, 0.05)
        key = {"physical_filter": self.parts.info.physical_filter}
        self.frames = read_frames(backgrounds.path("sky_frame", **key))
        self.stars = read_frame_stars(backgrounds.path("sky_frame_stars", **key))
        self.exposures = {
            k: results.get("initial_pvi", visit=visit, detector=k) for k in self.parts.samples
        }

    def initial(self, key: int, light: np.ndarray | float) -> np.ndarray:
        """Return calibrateImage's background of a detector."""
        exposure = self.exposures[key]
        image, variance = detrended_pixels(exposure)
        model = remodel_background(
            (image + light).astype(np.float32), variance, exposure.mask,
            typical_sigma(exposure.psf, exposure.shape), CalibrateImageConfig().background,
        )  # fmt: skip
        return model.background.image(exposure.box)

    def final(self, lights: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Return the visit's background by detector."""
        samples = {}
        for key, exposure in self.exposures.items():
            shifted = _with_light(exposure, lights[key])
            sigma = typical_sigma(exposure.psf, exposure.shape)
            samples[key] = measure_sky(shifted, sigma, MeasureSkyConfig())
        given = VisitSky(*self.parts._replace(samples=samples))
        made = model_visit_background(
            given, self.frames, self.detectors, self.camera, ModelVisitBackgroundConfig(),
            self.stars,
        )  # fmt: skip
        return {
            k: made.table.component("background", k).image(self.exposures[k].box) for k in samples
        }

    def run(self) -> dict[str, np.ndarray]:
        """Return the share of the galaxy's light in each ring that either background takes."""
        lights, radii = {}, {}
        for key in self.exposures:
            lights[key], radii[key] = galaxy_light(self.camera, self.host, key)
        nothing = {k: 0 * v for k, v in lights.items()}
        taken = {
            "initial": {k: self.initial(k, lights[k]) - self.initial(k, 0.0) for k in lights},
            "final": {},
        }
        with_galaxy, without = self.final(lights), self.final(nothing)
        taken["final"] = {k: with_galaxy[k] - without[k] for k in lights}
        found = {}
        for name, images in taken.items():
            found[name] = np.array([_share(images, lights, radii, ring) for ring in RINGS])
        return found


def _with_light(exposure, light: np.ndarray):
    """Return an exposure with more light on its pixels."""
    factor = exposure.photo_calib.mean if exposure.unit == "nJy" else 1.0
    image = (exposure.image + factor * light).astype(np.float32)
    return exposure.replace(image=image)


def _share(images, lights, radii, ring: tuple[float, float]) -> float:
    """Return light taken over light there is in a ring, both in electrons a pixel."""
    taken, total = 0.0, 0.0
    for key, image in images.items():
        r = radii[key] / RADIUS_PIX
        there = (r >= ring[0]) & (r < ring[1])
        taken += float(image[there].sum())
        total += float(lights[key][there].sum())
    return taken / total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument(
        "--backgrounds", type=Path, help="root of sky_frame and sky_frame_stars, if another"
    )
    parser.add_argument("--visits", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    results = Store(arguments.results or arguments.survey / "results")
    backgrounds = Store(arguments.backgrounds) if arguments.backgrounds else results
    camera = load_camera(str(arguments.survey / "camera.yaml"))
    references = arguments.survey / "reference/reference_stars.parquet"
    print("| visit | background | " + " | ".join(f"{a:g} to {b:g} r_e" for a, b in RINGS) + " |")
    print("|---|---|" + "---|" * len(RINGS))
    found: dict[str, list[np.ndarray]] = {}
    for visit in arguments.visits:
        test = VisitTest(results, backgrounds, camera, visit, references)
        for name, shares in test.run().items():
            found.setdefault(name, []).append(shares)
            cells = " | ".join(f"{100 * s:.1f} %" for s in shares)
            print(f"| {visit} | {name} | {cells} |", flush=True)
    for name, rows in found.items():
        means = [resampled(column, np.mean).text(1, 100) for column in np.transpose(rows)]
        print(f"| mean of {len(rows)} | {name} | {' | '.join(means)} |")


if __name__ == "__main__":
    main()
