"""What lossy compression does to size, noise, fluxes and errors, beside other ways to compress.

Run ``python benchmarks/accuracy_compression.py RESULTS [--images visit,detector …]``, RESULTS the
output root of a run that keeps ``pvi``, or with ``--dataset recalibrated_pvi`` any run. Each
image is compressed in several ways and read back; the sources are found, separated and measured
on the original and on what came back, with the same PSF and the same random numbers, and compared
one by one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from scipy.spatial import cKDTree

from drpflow import Store
from drpflow.algorithms.calibrate_image.frame import Frame
from drpflow.algorithms.compression.quantize import SOURCES, UNUSABLE, compress_pixels
from drpflow.algorithms.source_catalog import find_sources, measure_found
from drpflow.config.calibrate_image import CalibrateImageConfig
from drpflow.config.compress_image import CompressImageConfig
from drpflow.data.mask import Mask
from drpflow.io.tiled_fits import tiled_hdu

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure

    Planes = tuple[NDArray[np.float32], NDArray[np.float32]]

BINS = {5: (4.5, 6.5), 10: (8, 13), 30: (20, 45), 100: (70, 200)}
FLUXES = ("psfFlux", "gaussianFlux", "ap12Flux")
MATCH_PIX = 1.0


@dataclass(frozen=True)
class Stored:
    """Two planes as they come back, the bytes that they took, and the CPU seconds of both ways."""

    planes: Planes
    n_bytes: tuple[int, int]
    seconds: tuple[float, float]


def library(options: dict[str, Any]) -> Callable[[Exposure], list[Any]]:
    """The FITS library's own compression, noise and all."""

    def make(exposure: Exposure) -> list[Any]:
        planes = exposure.image, exposure.variance
        return [fits.CompImageHDU(plane, **options) for plane in planes]

    return make


def ours(**options: Any) -> Callable[[Exposure], list[Any]]:
    """Steps of the noise of tiles, sources left out; of the variance, of its own size."""
    config = CompressImageConfig(**options)

    def make(exposure: Exposure) -> list[Any]:
        pixels = compress_pixels(exposure, {"image": 71, "variance": 4711}, config)
        return [tiled_hdu(p, fits.Header(), n) for n, p in pixels.planes.items()]

    return make


RICE = {"compression_type": "RICE_1", "quantize_method": 2, "dither_seed": 71}
METHODS: dict[str, Callable[[Exposure], list[Any]]] = {
    "gzip of bytes sorted by significance, lossless": library(
        {"compression_type": "GZIP_2", "quantize_level": 0}
    ),
    "as fpack by default: rows, q = 4": library({**RICE, "quantize_level": 4}),
    "rows, both planes at q = 16": library({**RICE, "quantize_level": 16}),
    "compressImage, q = 4": ours(quantize_level=4),
    "compressImage, q = 8": ours(quantize_level=8),
    "compressImage, q = 12": ours(quantize_level=12),
    "compressImage, variance in steps of 1 %": ours(variance_step=0.01),
    "compressImage, variance in steps of 10 %": ours(variance_step=0.1),
    "**compressImage** (q = 16, variance 3 %)": ours(),
}


def store(make: Callable[[Exposure], list[Any]], exposure: Exposure, folder: Path) -> Stored:
    """Compress image and variance, write, read back."""
    start = time.process_time()
    path = folder / "planes.fits"
    fits.HDUList([fits.PrimaryHDU(), *make(exposure)]).writeto(path, overwrite=True)
    middle = time.process_time()
    with fits.open(path) as hdus:
        image, variance = (np.asarray(hdu.data, np.float32) for hdu in hdus[1:])
    end = time.process_time()
    with fits.open(path, disable_image_compression=True) as hdus:
        sizes = [h.header["NAXIS1"] * h.header["NAXIS2"] + h.header["PCOUNT"] for h in hdus[1:]]
    return Stored((image, variance), (sizes[0], sizes[1]), (middle - start, end - middle))


def catalog(exposure: Exposure, planes: Planes, visit: int, detector: int) -> dict[str, Any]:
    """Find, separate and measure the sources of an image."""
    mask = Mask(exposure.mask.array.copy(), exposure.mask.planes)
    for plane in ("DETECTED", "NOT_DEBLENDED"):
        mask.clear(plane)
    frame = Frame(planes[0].copy(), planes[1].copy(), mask, visit, detector)
    config = CalibrateImageConfig()
    found = find_sources(frame, exposure.psf, config)
    nowhere = np.zeros(exposure.shape, bool)
    measured = measure_found(frame, found, nowhere, exposure.psf, config)
    return {k: v[: measured.n_sources] for k, v in measured.columns.items()}


def flux_changes(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Changes of fluxes over their errors, of sources that both catalogues have."""
    places = [np.column_stack([c["x"], c["y"]]) for c in (one, two)]
    good = [np.isfinite(p).all(axis=1) for p in places]
    tree = cKDTree(places[1][good[1]])
    distance, nearest = tree.query(places[0][good[0]], distance_upper_bound=MATCH_PIX)
    there = np.isfinite(distance)
    a = np.flatnonzero(good[0])[there]
    b = np.flatnonzero(good[1])[nearest[there]]
    flags = one["psfFlux_flag"][a] | two["psfFlux_flag"][b]
    a, b = a[~flags], b[~flags]
    psf, psf_error = "psfFlux_instFlux", "psfFlux_instFluxErr"
    changes: dict[str, Any] = {"snr": one[psf][a] / one[psf_error][a]}
    for name in FLUXES:
        flux, error = f"{name}_instFlux", f"{name}_instFluxErr"
        changes[name] = (two[flux][b] - one[flux][a]) / one[error][a]
    changes["error"] = two[psf_error][b] / one[psf_error][a] - 1
    changes["x"] = (two["x"][b] - one["x"][a]) / one["xErr"][a]
    changes["lost"] = np.array([1 - there.mean()])
    return changes


def noise_growth(exposure: Exposure, planes: Planes) -> tuple[float, float, float]:
    """Growth of the noise of empty pixels; bias and rms error of their variance. Fractions."""
    mask = exposure.mask
    empty = ~mask.any(SOURCES) & ~mask.any(UNUSABLE) & np.isfinite(exposure.image)
    sigma = np.sqrt(exposure.variance[empty].astype(float))
    error = (planes[0][empty].astype(float) - exposure.image[empty]) / sigma
    pull = exposure.image[empty] / sigma
    growth = np.mean(error**2) / np.mean(pull**2) / 2
    relative = planes[1][empty].astype(float) / exposure.variance[empty] - 1
    return float(growth), float(relative.mean()), float(relative.std())


def measure(
    survey: Store, dataset: str, images: list[tuple[int, int]]
) -> dict[str, dict[str, Any]]:
    """Return all figures of all ways, over all images."""
    found: dict[str, dict[str, Any]] = {name: defaultdict(list) for name in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        for visit, detector in images:
            exposure = survey.get(dataset, visit=visit, detector=detector)
            planes = exposure.image, exposure.variance
            before = catalog(exposure, planes, visit, detector)
            for name, make in METHODS.items():
                back = store(make, exposure, Path(folder))
                figures = found[name]
                bits = [8 * n / exposure.image.size for n in back.n_bytes]
                figures["bits"].append(bits)
                figures["ns"].append([1e9 * s / exposure.image.size / 2 for s in back.seconds])
                figures["noise"].append(noise_growth(exposure, back.planes))
                after = catalog(exposure, back.planes, visit, detector)
                for key, values in flux_changes(before, after).items():
                    figures[key].append(values)
    return found


def table(found: dict[str, dict[str, Any]]) -> None:
    """Print sizes and errors, a row a way."""
    print(
        "| | factor | image, variance: bits a pixel | noise grows by | variance: bias, rms "
        "| CPU ns a pixel: write, read |"
    )
    print("|---|---|---|---|---|---|")
    for name, figures in found.items():
        image, variance = np.mean(figures["bits"], axis=0)
        growth, bias, rms = np.mean(figures["noise"], axis=0)
        write, read = np.mean(figures["ns"], axis=0)
        print(
            f"| {name} | {64 / (image + variance):.2f} | {image:.2f}, {variance:.2f} "
            f"| {100 * growth:.3f} % | {100 * bias:+.4f} %, {100 * rms:.2f} % "
            f"| {write:.0f}, {read:.0f} |"
        )
    for flux in (*FLUXES, "x"):
        print(f"\n{flux}: 90th percentile of |change| / error (mean change / error)\n")
        print("| |" + "".join(f" S/N {snr} |" for snr in BINS))
        print("|---|" + "---|" * len(BINS))
        for name, figures in found.items():
            print(f"| {name} |" + "".join(f" {cell(figures, flux, b)} |" for b in BINS.values()))
    print("\n| | error of psfFlux: median change, rms | sources not found again |\n|---|---|---|")
    for name, figures in found.items():
        low, middle, high = np.nanpercentile(np.concatenate(figures["error"]), [16, 50, 84])
        lost = np.mean(figures["lost"])
        print(f"| {name} | {100 * middle:+.3f} %, {50 * (high - low):.3f} % | {100 * lost:.2f} % |")


def cell(figures: dict[str, Any], flux: str, limits: tuple[float, float]) -> str:
    """Percentile, mean and its error in a range of S/N."""
    snr, change = np.concatenate(figures["snr"]), np.concatenate(figures[flux])
    here = change[(snr >= limits[0]) & (snr < limits[1]) & np.isfinite(change)]
    if here.size < 5:
        return "–"
    low, high = np.percentile(here, [5, 95])
    core = here[(here >= low) & (here <= high)]
    error = core.std() / core.size**0.5
    return f"{np.percentile(np.abs(here), 90):.3f} ({core.mean():+.4f} ± {error:.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="output root of a run")
    parser.add_argument("--images", nargs="+", help="visit,detector; by default every ninth")
    parser.add_argument("--dataset", default="pvi", help="what is compressed")
    args = parser.parse_args()
    survey = Store(args.results)
    ids = [(d["visit"], d["detector"]) for d in survey.query(args.dataset)]
    images = ids[::9] if args.images is None else [pair(text) for text in args.images]
    table(measure(survey, args.dataset, images))


def pair(text: str) -> tuple[int, int]:
    """Return visit and detector of ``"12,3"``."""
    visit, detector = text.split(",")
    return int(visit), int(detector)


if __name__ == "__main__":
    main()
