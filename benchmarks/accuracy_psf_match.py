"""How near stars come to the target when images are brought to a common PSF.

    python benchmarks/accuracy_psf_match.py [SURVEY ...] [--size 4096] [--visits 1 2 3]

Without surveys: a detector of 4096² with 400 stars of a Kolmogorov disc whose FWHM varies by 20 %
over it, drawn by GalSim at arbitrary sub-pixel places without noise, with wings that the PSF model
does not know. The model is a polynomial of degree 4 fitted to the true disc. Every star of the
convolved image is compared with the target at its own place; methods side by side.

With surveys of the simulator, processed: the kernels follow from the PSF models that the pipeline
found, and are applied to the true images of stars, so that errors of the models count. Where the
survey has psf_matched_warp, bright stars far from others are measured on these pixels as well.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import galsim
import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve
from scipy.spatial import cKDTree
from scoring import resampled, rms, robust_sigma

from drpflow.algorithms.psf_match.convolve import convolve
from drpflow.algorithms.psf_match.match import match_models
from drpflow.config.psf_match import PsfMatchConfig
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from drpflow.data.psf_moments import adaptive_moments
from drpflow.data.spatial_kernel import SpatialKernel
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from drpflow.data.exposure import Exposure
    from drpflow.data.psf import Psf

Floats = NDArray[np.float64]

FWHM_PIX, STAMP, HALF, WIDE = 4.6, 37, 24, 55
FLUX = 1e5
BRIGHT, APART_PIX = 150, 25
MARGINS = (1.05, 1.15, 1.5)
METHODS = {
    "default": PsfMatchConfig(),
    "widths 1, 2, 4.5 pixels": PsfMatchConfig(widths_pix=(1.0, 2.0, 4.5)),
    "the same, degree 2 over the image": PsfMatchConfig(widths_pix=(1.0, 2.0, 4.5), order=2),
    "kernel of 29 pixels": PsfMatchConfig(kernel_size_pix=29),
    "fourier": PsfMatchConfig(method="fourier"),
    "one Gaussian": None,
}


@dataclass
class Scores:
    """Of stars: relative errors of sizes, ellipticities, profiles [of the peak], fluxes [mmag]."""

    size: Floats
    ellipticity: Floats
    profile: Floats
    flux_mmag: Floats

    def row(self) -> str:
        """Return the largest and the rms of each, as a row of a table."""
        cells = []
        for values, factor, digits in (
            (self.size, 100, 3), (self.ellipticity, 1, 5), (self.profile, 100, 2),
            (self.flux_mmag, 1, 3),
        ):  # fmt: skip
            figure = resampled(values, rms)
            cells.append(
                f"{factor * np.abs(values).max():.{digits}f}; {figure.text(digits, factor)}"
            )
        return " | ".join(cells)


def disc(x: float, y: float, size: int) -> galsim.GSObject:
    """Return the true PSF, whose FWHM varies by 20 % and whose ellipticity turns."""
    u, v = 2 * x / size - 1, 2 * y / size - 1
    fwhm = FWHM_PIX * (1 + 0.06 * u + 0.04 * v * v + 0.03 * u * v)
    return galsim.Kolmogorov(fwhm=fwhm).shear(g1=0.04 * u + 0.02 * v * v, g2=0.02 - 0.05 * v)


def drawn(item: galsim.GSObject, n: int, dx: float = 0.0, dy: float = 0.0) -> Floats:
    """Return values at the centres of n² pixels."""
    image = galsim.ImageD(n, n, scale=1.0)
    item.drawImage(image, method="no_pixel", offset=(dx, dy))
    return np.asarray(image.array)


def model_of(size: int) -> PixelGridPsf:
    """Return polynomials of degree 4 through true images of 37 pixels."""
    basis = Basis2D(4, Domain(-0.5, size - 0.5, -0.5, size - 0.5))
    x, y = (v.ravel() for v in np.meshgrid(*[np.linspace(0, size - 1, 9)] * 2))
    images = np.array([drawn(disc(a, b, size), STAMP) for a, b in zip(x, y, strict=True)])
    images /= images.sum(axis=(1, 2), keepdims=True)
    coefficients = basis.fit(x, y, images.reshape(x.size, -1).T).T
    return PixelGridPsf(basis, coefficients.reshape(-1, STAMP, STAMP))


def field(size: int) -> tuple[NDArray[np.float32], Floats]:
    """Return an image with stars on a jittered grid, and their places, shape (N, 2)."""
    rng = np.random.default_rng(7)
    n = max(4, size // 205)
    step = (size - 2 * WIDE - 20) / (n - 1)
    grid = WIDE + 10 + step * np.arange(n)
    at = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2) + rng.uniform(-9, 9, (n * n, 2))
    image = np.zeros((size, size), np.float32)
    for x, y in at:
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        stamp = FLUX * drawn(disc(x, y, size), 2 * WIDE + 1, x - column, y - row)
        image[row - WIDE : row + WIDE + 1, column - WIDE : column + WIDE + 1] += stamp
    return image, at


def one_gaussian(psf: Psf, target: DoubleGaussianPsf, size: int) -> SpatialKernel:
    """Return the kernel of someone who takes both PSFs for Gaussians, the same everywhere."""
    x, y = (v.ravel() for v in np.meshgrid(*[np.linspace(0, size - 1, 7)] * 2))
    before = float(np.median(psf.compute_sigma(x, y)))
    after = float(target.compute_sigma(0.0, 0.0))
    sigma = np.sqrt(max(after**2 - before**2, 0.3))
    u = np.arange(-20, 21)
    along = np.exp(-(u**2) / 2 / sigma**2)
    kernel = np.outer(along, along) / along.sum() ** 2
    return SpatialKernel.constant(kernel, Basis2D(0, Domain(-0.5, size - 0.5, -0.5, size - 0.5)))


def stars_against(
    image: NDArray[np.float32], before: Floats, at: Floats, target: DoubleGaussianPsf
) -> Scores:
    """Compare the stars of an image with the target; `before` is their light at first."""
    target = replace(target, half_size=HALF)
    found, wanted, ratio = [], [], []
    for (x, y), flux in zip(at, before, strict=True):
        row, column = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
        middle = WIDE - 10
        window = np.s_[row - middle : row + middle + 1, column - middle : column + middle + 1]
        wide = image[window].astype(float)
        ratio.append(wide.sum() / flux)
        cut = slice(middle - HALF, middle + HALF + 1)
        found.append(wide[cut, cut])
        wanted.append(target.compute_image(x, y)[0])
    stars, targets = np.array(found), np.array(wanted)
    m, t = adaptive_moments(stars)[0], adaptive_moments(targets)[0]
    stars = stars / stars.sum(axis=(1, 2), keepdims=True)
    targets = targets / targets.sum(axis=(1, 2), keepdims=True)
    return Scores(
        m.determinant_radius / t.determinant_radius - 1,
        np.hypot(m.e1 - t.e1, m.e2 - t.e2),
        np.abs(stars - targets).max(axis=(1, 2)) / targets.max(axis=(1, 2)),
        2500 * np.log10(np.array(ratio)),
    )


def total_fluxes(image: NDArray[np.float32], at: Floats) -> Floats:
    """Return the light of each star within what is summed after the convolution."""
    half = WIDE - 10
    pixels = np.floor(at + 0.5).astype(int)
    return np.array(
        [
            image[y - half : y + half + 1, x - half : x + half + 1].sum(dtype=float)
            for x, y in pixels
        ]
    )


def simulated(size: int) -> None:
    """Print the table of the simulated detector."""
    image, at = field(size)
    psf = model_of(size)
    before = total_fluxes(image, at)
    x, y = (v.ravel() for v in np.meshgrid(*[np.linspace(0, size - 1, 9)] * 2))
    sizes = psf.compute_sigma(x, y)
    print(f"{len(at)} stars; PSF sigma {sizes.min():.3f} to {sizes.max():.3f} pixels\n")
    print("| target / widest PSF | method | size %, largest; rms | ellipticity | "
          "profile, % of peak | flux, mmag | Σ K² | condition | CPU s |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for margin in MARGINS:
        target = DoubleGaussianPsf.from_sigma(margin * sizes.max())
        for name, config in METHODS.items():
            start = time.process_time()
            condition = ""
            if config is None:
                kernel = one_gaussian(psf, target, size)
            else:
                matched = match_models(psf, target, Box(0, size, 0, size), config)
                kernel, condition = matched.kernel, f"{matched.numbers['condition']:.0e}"
            made = convolve(image, kernel)
            spent = time.process_time() - start
            scores = stars_against(made, before, at, target)
            gain = float(np.median(kernel.noise_gain_at(x, y)))
            print(
                f"| {margin} | {name} | {scores.row()} | {gain:.3f} | {condition} | {spent:.1f} |"
            )


def survey(folder: Path, visits: list[int] | None) -> None:
    """Print figures of the detectors of a survey, matched by the models that were found."""
    from final_psf_scores import star_image
    from truth_survey import TruthSurvey

    from drpflow import Store
    from drpflow.sim.sed import REFERENCE_TEMPERATURE_K

    store, truth = Store(folder / "results"), TruthSurvey(folder)
    psfs = {}
    for data_id in store.query("recalibrated_pvi"):
        if visits is None or data_id["visit"] in visits:
            exposure = store.get("recalibrated_pvi", **data_id)
            if exposure.psf is not None:
                psfs[data_id["visit"], data_id["detector"]] = exposure.psf, exposure.box
    largest = {key: _largest(psf, box) for key, (psf, box) in psfs.items()}
    target = DoubleGaussianPsf.from_sigma(1.05 * float(np.percentile(list(largest.values()), 95)))
    rows, own, left_out = [], [], 0
    for key, (psf, box) in psfs.items():
        try:
            matched = match_models(psf, target, box, PsfMatchConfig())
        except AlgorithmError:
            left_out += 1
            continue
        kernel = matched.kernel
        own.append(
            [matched.numbers[f"{name}_error"] for name in ("size", "ellipticity", "profile")]
        )
        frame = truth.frame(*key)
        along = np.linspace(0.06, 0.94, 4)
        x, y = (v.ravel() for v in np.meshgrid(along * box.width, along * box.height))
        pixels = zip(np.floor(x), np.floor(y), kernel.at(np.floor(x), np.floor(y)), strict=True)
        stars = [oaconvolve(star_image(frame, a, b, REFERENCE_TEMPERATURE_K), k)
                 for a, b, k in pixels]  # fmt: skip
        rows.append(_errors(np.array(stars), target))
    values = np.array(rows)
    print(f"\n{folder.name}: {len(rows)} detectors, target FWHM {target.fwhm_pix:.2f} pixels; "
          f"wider than it, left out: {left_out}\n")  # fmt: skip
    print("| | true stars, rms | largest | the models themselves, largest |\n|---|---|---|---|")
    for k, (name, factor, digits) in enumerate(
        (("size, %", 100, 3), ("ellipticity", 1, 5), ("profile, % of peak", 100, 2))
    ):
        per_detector = np.sqrt(np.mean(np.square(values[:, k]), axis=1))
        text = resampled(per_detector, rms).text(digits, factor)
        largest_of = np.abs(values[:, k]).max(), np.max(own, axis=0)[k]
        cells = " | ".join(f"{factor * value:.{digits}f}" for value in largest_of)
        print(f"| {name} | {text} | {cells} |")


def warps(folder: Path) -> None:
    """Print figures of bright stars measured on the matched warps of a survey."""
    from truth_survey import read_columns

    from drpflow import Store

    store, stars = Store(folder / "results"), read_columns(folder / "truth/stars.parquet")
    found, number = [], 0
    for data_id in store.query("psf_matched_warp"):
        warp = store.get("psf_matched_warp", **data_id)
        if warp.psf is not None:
            found += _stars_of_warp(warp, stars)
            number += 1
    if not found:
        return
    errors = np.array(found)
    print(f"\n{folder.name}: {len(errors)} stars of S/N above {BRIGHT} on {number} matched warps\n")
    print("| | median | scatter |\n|---|---|---|")
    for k, (name, factor, digits) in enumerate((("size, %", 100, 3), ("e1", 1, 5), ("e2", 1, 5))):
        center, scatter = (resampled(errors[:, k], f) for f in (np.median, robust_sigma))
        print(f"| {name} | {center.text(digits, factor)} | {scatter.text(digits, factor)} |")


def _stars_of_warp(warp: Exposure, stars: dict[str, Floats]) -> list[tuple[float, ...]]:
    """Return errors of size, e1 and e2 of bright stars far from others."""
    x, y = warp.wcs.world_to_pixel_values(stars["ra"], stars["dec"])
    (x0, y0), (ny, nx) = warp.xy0, warp.shape
    inside = (x > x0 + 30) & (x < x0 + nx - 30) & (y > y0 + 30) & (y < y0 + ny - 30)
    x, y = x[inside], y[inside]
    apart = cKDTree(np.column_stack([x, y])).query(np.column_stack([x, y]), 2)[0][:, 1] > APART_PIX
    unusable = warp.mask.any(["SAT", "NO_DATA"])
    psf, half, found = replace(warp.psf, half_size=20), 20, []
    for at_x, at_y in zip(x[apart], y[apart], strict=True):
        row, column = int(np.floor(at_y + 0.5)) - y0, int(np.floor(at_x + 0.5)) - x0
        window = np.s_[row - half : row + half + 1, column - half : column + half + 1]
        image, target = warp.image[window].astype(float), psf.compute_image(at_x, at_y)[0]
        if unusable[window].any() or not np.isfinite(image).all():
            continue
        flux = (image * target).sum() / np.square(target).sum()
        factor = warp.noise_covariance.factor(target)
        error = np.sqrt(factor * warp.variance[row, column] / np.square(target).sum())
        if flux > BRIGHT * error:
            m, t = (adaptive_moments(v)[0] for v in (image, target))
            size = m.determinant_radius / t.determinant_radius - 1
            found.append((size, m.e1 - t.e1, m.e2 - t.e2))
    return found


def _largest(psf: Psf, box: Box) -> float:
    x, y = np.meshgrid(np.linspace(0, box.width - 1, 5), np.linspace(0, box.height - 1, 5))
    return float(np.nanmax(psf.compute_sigma(x, y)))


def _errors(stars: Floats, target: DoubleGaussianPsf) -> Floats:
    """Return errors of size, ellipticity and profile of stars in the middle of images."""
    half = stars.shape[1] // 2
    image = target.compute_kernel_image(0.0, 0.0)
    reach = min(half, image.shape[0] // 2, HALF)
    cut, own = (slice(n - reach, n + reach + 1) for n in (half, image.shape[0] // 2))
    stars, image = stars[:, cut, cut], image[own, own]
    m, t = adaptive_moments(stars)[0], adaptive_moments(image)[0]
    stars, image = stars / stars.sum(axis=(1, 2), keepdims=True), image / image.sum()
    return np.array(
        [
            m.determinant_radius / t.determinant_radius - 1,
            np.hypot(m.e1 - t.e1, m.e2 - t.e2),
            np.abs(stars - image).max(axis=(1, 2)) / image.max(),
        ]
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surveys", type=Path, nargs="*")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--visits", type=int, nargs="+")
    args = parser.parse_args()
    if not args.surveys:
        simulated(args.size)
    for folder in args.surveys:
        survey(folder, args.visits)
        warps(folder)


if __name__ == "__main__":
    main()
