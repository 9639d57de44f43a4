"""CPU time and memory of bringing an exposure of 4096² to a common PSF.

    python benchmarks/bench_psf_match.py [--size 4096]

Noise with 20,000 stars, cosmic rays and detected areas in the mask; a PSF of 4.2 to 5 pixels FWHM
whose model is a polynomial of degree 4, brought to a double Gaussian of 6.2 pixels. Prints the time
of each part, and beside it that of other ways to convolve the image alone with the same kernel
(measured on a quarter of the side, and scaled).
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy_psf_match import model_of
from scipy import ndimage, signal

from drpflow.algorithms.psf_match.basis import KernelBasis
from drpflow.algorithms.psf_match.convolve import (
    convolve,
    grow,
    missing_weight,
    squared,
)
from drpflow.algorithms.psf_match.match import match_models, match_psf
from drpflow.config.psf_match import PsfMatchConfig
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.spatial_kernel import SpatialKernel

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = 4


def make(size: int) -> Exposure:
    """Return an exposure of stars and noise."""
    rng = np.random.default_rng(3)
    image = rng.normal(0, 20, (size, size)).astype(np.float32)
    mask = Mask.zeros((size, size))
    stamp = DoubleGaussianPsf(2.0).compute_kernel_image(0, 0).astype(np.float32)
    half = stamp.shape[0] // 2
    for y, x in rng.integers(half, size - half - 1, (round(20000 * (size / 4096) ** 2), 2)):
        window = np.s_[y - half : y + half + 1, x - half : x + half + 1]
        image[window] += np.float32(10 ** rng.uniform(2.5, 5.5)) * stamp
        mask.set("DETECTED", np.s_[y - 7 : y + 8, x - 7 : x + 8])
    rows, columns = rng.integers(0, size, (2, round(60000 * (size / 4096) ** 2)))
    mask.array[rows, columns] |= mask.bit("CR")
    variance = (400 + np.maximum(image, 0)).astype(np.float32)
    components = {"psf": model_of(size)}
    return Exposure(image, mask, variance, unit="electron", components=components)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the shorter CPU time of two calls, and the result."""
    times = []
    for _ in range(2):
        start = time.process_time()
        found = function()
        times.append(time.process_time() - start)
    return min(times), found


def by_passes(image: np.ndarray, basis: KernelBasis) -> np.ndarray:
    """Convolve with all basis images as passes along rows and columns, without any weights."""
    profiles = basis._profiles
    along = {
        key: ndimage.convolve1d(image, profile.astype(np.float32), axis=1)
        for key, profile in profiles.items()
    }
    total = np.zeros_like(image)
    for g, p, q in basis._terms:
        total += ndimage.convolve1d(along[g, p], profiles[g, q].astype(np.float32), axis=0)
    return total


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    size = parser.parse_args().size
    exposure = make(size)
    target, config = DoubleGaussianPsf.from_fwhm(6.2), PsfMatchConfig()
    white = NoiseCovariance.white()
    match_psf(exposure.cutout((0, 400, 0, 400)), target)  # kernels compiled, or read from disk
    whole, made = timed(lambda: match_psf(exposure, target))
    psf, box = exposure.psf, exposure.box
    assert psf is not None
    kernel = made.kernel
    middle = np.abs(kernel.at([size / 2], [size / 2])[0])
    empty = exposure.mask.any("NO_DATA")
    fit, _ = timed(lambda: match_models(psf, target, box, config))
    of_image, _ = timed(lambda: convolve(exposure.image, kernel))
    square, _ = timed(lambda: squared(kernel, white))
    of_variance, _ = timed(lambda: convolve(exposure.variance, squared(kernel, white)))
    masks, _ = timed(lambda: (grow(exposure.mask, middle, 0.01), missing_weight(empty, middle)))
    print(f"kernel of {kernel.size_pix} pixels, {len(kernel.images)} images for the image and "
          f"{len(squared(kernel, white).images)} for the variance\n")  # fmt: skip
    print("| | CPU s |\n|---|---|")
    for name, spent in (
        ("all", whole), ("models, kernel, checks", fit), ("image", of_image),
        ("variance", of_variance), ("of it, the kernel of the variance", square), ("mask", masks),
    ):  # fmt: skip
        print(f"| {name} | {spent:.2f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory {peak:.0f} MB\n")
    rivals(exposure.image[: size // SMALL, : size // SMALL], kernel, made)


def rivals(image: np.ndarray, kernel: SpatialKernel, made: Any) -> None:
    """Print what other ways cost."""
    widths = tuple(float(w) for w in str(made.numbers["widths_pix"]).split())
    basis = KernelBasis(kernel.size_pix, widths, PsfMatchConfig().degrees)
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=(len(basis.images), kernel.basis.n_terms))
    uncompressed = SpatialKernel(kernel.basis, basis.images, coefficients)
    one = kernel.at([10.0], [10.0])[0].astype(np.float32)
    factor = SMALL**2
    print("| the image alone, other ways | CPU s |\n|---|---|")
    for name, function in (
        (f"tiles, all {len(basis.images)} images of the basis",
         lambda: convolve(image, uncompressed)),
        ("rows and columns for each image of the basis (scipy.ndimage)",
         lambda: by_passes(image, basis)),
        ("pixel by pixel, one constant kernel (scipy.ndimage)",
         lambda: ndimage.convolve(image, one)),
        (f"scipy.signal.oaconvolve for each of {len(kernel.images)} images",
         lambda: [signal.oaconvolve(image, k, mode="same")
                  for k in kernel.images.astype(np.float32)]),
    ):  # fmt: skip
        print(f"| {name} | {factor * timed(function)[0]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
