"""CPU time and memory of finalizeCharacterization on detectors of 4096² with 300 stars.

    python benchmarks/bench_final_psf.py [--detectors 1] [--stars 300] [--size 4096]

Detectors are drawn with Moffat stars whose size and shape change over the focal plane and with
colour, and kept in a temporary folder, so that memory is that of a task that reads them. Prints
the CPU time of the task alone, a detector, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.final_characterization.geometry import Place
from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Optics
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.tasks.finalize_characterization import (
    FirstLook,
    VisitStars,
    finalize_characterization,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SKY, READ_NOISE, PIXEL_MM, BETA, HALF = 400.0, 6.0, 0.01, 3.2, 30


def make_camera(number: int, size: int) -> Camera:
    """Return detectors in rows of three."""
    box = (0, size, 0, size)
    amplifier = Amplifier(
        name="A", data_section=box, raw_data_section=box, gain=1.0, read_noise=READ_NOISE,
        saturation=1e6,
    )  # fmt: skip
    step = (size + 50) * PIXEL_MM
    detectors = tuple(
        Detector(
            id=k, name=f"CCD{k}", size_pix=(size, size), pixel_size_mm=PIXEL_MM,
            center_mm=((k % 3 - 1) * step, (k // 3 - 1) * step), amplifiers=(amplifier,),
        )
        for k in range(number)
    )  # fmt: skip
    filters = (Filter(physical_filter="r", band="r"),)
    optics = Optics(plate_scale_arcsec_per_mm=20.0)
    return Camera(name="bench", optics=optics, filters=filters, detectors=detectors)


def draw(place: Place, number: int, size: int, seed: int) -> dict[str, NDArray]:
    """Return pixels and stars of a detector."""
    rng = np.random.default_rng([seed, place.detector])
    x, y = rng.uniform(HALF + 1, size - HALF - 2, (2, number))
    snr = 20 * 50 ** rng.uniform(0, 1, number)
    flux = snr**2 / 2 * (1 + np.sqrt(1 + 4 * SKY * 60 / snr**2))
    color = rng.uniform(0.3, 2.5, number)
    image = np.full((size, size), SKY, np.float32)
    x_mm, y_mm = place.to_focal.forward(x, y)
    radius = 2.6 * np.exp(0.02 * x_mm / 60 + 0.01 * (y_mm / 60) ** 2 + 0.01 * (color - 1))
    offsets = np.arange(-HALF, HALF + 1)
    for a, b, f, r, e in zip(x, y, flux, radius, 0.03 * x_mm / 60, strict=True):
        column, row = round(a), round(b)
        u, v = (offsets - (a - column)) / r * (1 - e), (offsets - (b - row)) / r * (1 + e)
        stamp = (BETA - 1) / np.pi / r**2 * (1 + u[None, :] ** 2 + v[:, None] ** 2) ** -BETA
        rows = slice(row - HALF, row + HALF + 1)
        image[rows, column - HALF : column + HALF + 1] += (f * stamp).astype(np.float32)
    variance = image + np.float32(READ_NOISE**2)
    noise = rng.standard_normal(image.shape, np.float32) * np.sqrt(variance)
    columns = {"x": x, "y": y, "flux": flux, "color": color}
    return {"image": image - np.float32(SKY) + noise, "variance": variance, **columns}


def sources_of(detector: int, star: dict[str, NDArray]) -> dict[str, NDArray]:
    """Return what the association tells of the stars of a detector."""
    n = len(star["x"])
    nowhere, no = np.full(n, np.nan), np.zeros(n, bool)
    error = np.sqrt(star["flux"] + SKY * 60)
    columns = {
        "isolated_star_id": 1000 * detector + np.arange(n), "sourceId": np.arange(n),
        "detector": np.full(n, detector), "reserved": np.arange(n) % 10 == 0,
        "x": star["x"], "y": star["y"], "xErr": np.full(n, 0.02), "yErr": np.full(n, 0.02),
        "ixx": np.full(n, 4.0), "iyy": np.full(n, 4.0), "ixy": np.zeros(n),
        "psfFlux_instFlux": star["flux"], "psfFlux_instFluxErr": error, "color": star["color"],
        "psfFlux_apCorr": np.ones(n), "psfFlux_apCorrErr": np.zeros(n),
    }  # fmt: skip
    columns |= dict.fromkeys(("shape_flag", "psfFlux_flag", "pixelFlags_suspect"), no)
    return columns | dict.fromkeys(("ra", "dec", "place_err"), nowhere)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detectors", type=int, default=1)
    parser.add_argument("--stars", type=int, default=300, help="a detector")
    parser.add_argument("--size", type=int, default=4096, help="pixels on a side")
    parser.add_argument("--method", default="focal_plane")
    arguments = parser.parse_args()
    camera = make_camera(arguments.detectors, arguments.size)
    psf = {"method": arguments.method, "detector_order": 4}
    config = FinalizeCharacterizationConfig.model_validate({"psf": psf})
    with tempfile.TemporaryDirectory() as name:
        folder, known, parts = Path(name), {}, []
        for detector in camera.detectors:
            star = draw(Place.of_detector(detector), arguments.stars, arguments.size, 1)
            for plane in ("image", "variance"):
                np.save(folder / f"{plane}_{detector.id}.npy", star.pop(plane))
            known[detector.id] = FirstLook(peaks=(star["x"], star["y"]))
            parts.append(sources_of(detector.id, star))
        sources = {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}

        def exposure(detector: int) -> Exposure:
            image, variance = (
                np.load(folder / f"{p}_{detector}.npy") for p in ("image", "variance")
            )
            components = {"photo_calib": PhotoCalib(1.0)}
            mask = Mask.zeros(image.shape)
            return Exposure(image, mask, variance, unit="nJy", components=components)

        visit = VisitStars(1, "r", camera, known, sources, "g-i")
        for attempt in ("with compilation", "again")[: 1 + (arguments.detectors == 1)]:
            start = time.process_time()
            made = finalize_characterization(visit, exposure, config)
            spent = (time.process_time() - start) / arguments.detectors
            print(f"{attempt}: {spent:.1f} CPU s a detector, {made.numbers}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
