"""Bring an exposure to another PSF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.psf_match import checks
from drpflow.algorithms.psf_match.basis import KernelBasis, scaled_widths
from drpflow.algorithms.psf_match.cells import Cells, realise, reference_images
from drpflow.algorithms.psf_match.convolve import Planes, convolve_planes
from drpflow.algorithms.psf_match.kernel_size import choose_size
from drpflow.algorithms.psf_match.solve import Solution, solve_fourier, solve_least_squares
from drpflow.config.psf_match import PsfMatchConfig
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from drpflow.data.spatial_kernel import SpatialKernel
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_match.cells import Target
    from drpflow.data.exposure import Exposure
    from drpflow.data.geometry import Box
    from drpflow.data.psf import Psf

    Floats: TypeAlias = NDArray[np.float64]

# Polynomials are trusted where the equations of their coefficients are no worse than this.
_MAX_CONDITION = 1e4
# The realised PSF is stored as far as the target exceeds this fraction of its peak.
_PSF_EDGE = 1e-5
# Parts along a side from which the mean covariance is found.
_COVARIANCES = 6
_DROPPED = {
    "ap_corr": "aperture corrections hold for the PSF before matching",
    "summary_stats": "they describe the image before matching",
}


@dataclass(frozen=True, eq=False)
class MatchedKernel:
    """What brings one PSF model to another.

    Parameters
    ----------
    kernel
        The kernel.
    cells
        The PSF model at the places that were compared.
    reference
        The target there as it was used, padded: (N or 1, s + n - 1, s + n - 1).
    psf
        The PSF model convolved with the kernel: what images have after it.
    numbers
        Sizes, condition of the equations, what remains of differences.
    notes
        Sentences about what is not as it should be.
    """

    kernel: SpatialKernel
    cells: Cells
    reference: Floats
    psf: PixelGridPsf
    numbers: dict[str, float | int | str]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class MatchedPsf:
    """An exposure with another PSF.

    Parameters
    ----------
    exposure
        Same WCS, calibration and filter; its `psf` is the realised one.
    matched
        The kernel, and all that belongs to it.
    """

    exposure: Exposure
    matched: MatchedKernel

    @property
    def kernel(self) -> SpatialKernel:
        """The kernel."""
        return self.matched.kernel

    @property
    def cells(self) -> Cells:
        """The PSF model at the places that were compared."""
        return self.matched.cells

    @property
    def reference(self) -> Floats:
        """The target as it was used, padded."""
        return self.matched.reference

    @property
    def numbers(self) -> dict[str, float | int | str]:
        """What the match is like."""
        return self.matched.numbers

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it should be."""
        return self.matched.notes


def match_psf(
    exposure: Exposure,
    target: Target,
    *,
    config: PsfMatchConfig | None = None,
    kernel_sum: float = 1.0,
    domain: Box | None = None,
) -> MatchedPsf:
    """Convolve an exposure such that its PSF becomes another.

    Parameters
    ----------
    exposure
        With a PSF; it is not changed.
    target
        A PSF model in the pixel coordinates of the exposure, or one image of a PSF.
    config
        The configuration; defaults without one.
    kernel_sum
        What the kernel sums to, everywhere: 1 keeps fluxes.
    domain
        Pixels over which the kernel is found, by default those of the exposure. Cut-outs of an
        image have one kernel if they are given one domain.

    Returns
    -------
    MatchedPsf
        With WCS, calibration and all else that the exposure had, but for what describes images of
        the old PSF (aperture corrections, summary statistics). Its `noise_covariance` is that of
        the exposure, or white noise, after the kernel; its variance that of single pixels.

    Raises
    ------
    MissingDatasetError
        If the exposure has no PSF.
    AlgorithmError
        If the PSF is wider than the target, the kernel too large for the images of the PSF, or a
        model has no images.
    """
    config = config or PsfMatchConfig()
    (psf,) = exposure.require("psf")
    matched = match_models(psf, target, domain or exposure.box, config, kernel_sum)
    return MatchedPsf(apply_kernel(exposure, matched, config), matched)


def match_models(
    psf: Psf, target: Target, domain: Box, config: PsfMatchConfig, kernel_sum: float = 1.0
) -> MatchedKernel:
    """Return the kernel that brings one PSF model to another; see :func:`match_psf`."""
    if not (np.isfinite(kernel_sum) and kernel_sum > 0):
        raise AlgorithmError(f"a kernel that sums to {kernel_sum} gives no image of the sky")
    cells = realise(psf, domain, config.cell_size_pix, config.max_cells)
    size, notes = choose_size(cells, target, config)
    n_with_psf = len(cells)
    cells, reference = reference_images(target, cells, cells.size_pix + size - 1)
    if len(cells) < n_with_psf:
        notes.append(f"the target has no PSF at {n_with_psf - len(cells)} of {n_with_psf} places")
    widths = checks.measure_widths(cells.images, reference)
    if config.deconvolution == "refuse":
        checks.refuse_wider(widths, cells, config.deconvolution_tolerance)
    polynomials = _polynomials(cells, domain, config.order)
    gaussians = _widths(widths, config)
    solution = _solve(cells, reference, size, gaussians, polynomials, config)
    kernel = solution.kernel.compressed(config.compression)
    made = checks.realised(cells, kernel)
    numbers: dict[str, float | int | str] = {
        "method": config.method,
        "kernel_size_pix": size,
        "psf_size_pix": cells.size_pix,
        "widths_pix": " ".join(f"{width:.3g}" for width in gaussians),
        "order": polynomials.order,
        "n_cells": len(cells),
        "n_cells_left_out": cells.n_left_out,
        "n_unknowns": solution.n_unknowns,
        "rank": solution.rank,
        "condition": solution.condition,
        "regularisation": config.regularisation,
        "n_convolutions": len(kernel.images),
        "kernel_sum": kernel_sum,
        **_kernel_numbers(kernel, cells),
        "width_ratio": float(np.nanmax(widths.axis_ratios())),
        **checks.quality(made, reference, widths),
    }
    if config.deconvolution == "refuse":
        limits = config.deconvolution_tolerance, config.max_noise_gain
        checks.refuse_deconvolution(numbers, *limits)
    if polynomials.order < config.order:
        notes.append(f"{len(cells)} places bear polynomials of degree {polynomials.order} only")
    notes += checks.shortcomings(numbers)
    realised = _stored(made, reference, cells, polynomials)
    scaled = SpatialKernel(kernel.basis, kernel_sum * kernel.images, kernel.coefficients)
    return MatchedKernel(scaled, cells, reference, realised, numbers, tuple(notes))


def apply_kernel(exposure: Exposure, matched: MatchedKernel, config: PsfMatchConfig) -> Exposure:
    """Return an exposure convolved with a kernel, with what is known of the result."""
    kernel = matched.kernel
    noise = exposure.noise_covariance or NoiseCovariance.white()
    planes = convolve_planes(
        Planes(exposure.image, exposure.variance, exposure.mask),
        kernel,
        exposure.xy0,
        noise,
        no_data_weight=config.no_data_weight,
        mask_threshold=config.mask_threshold,
    )
    present = {name: None for name in _DROPPED if name in exposure.components}
    components: dict[str, Any] = {
        **present,
        "psf": matched.psf,
        "noise_covariance": _mean_covariance(noise, kernel, matched.cells),
    }
    return exposure.replace(
        image=planes.image,
        mask=planes.mask,
        variance=planes.variance,
        missing={name: _DROPPED[name] for name in present},
        **components,
    )


def _mean_covariance(
    noise: NoiseCovariance, kernel: SpatialKernel, cells: Cells
) -> NoiseCovariance:
    """Return the mean covariance over the image divided by the mean variance."""
    domain = kernel.basis.domain
    (xc, yc), (xh, yh) = domain.center, domain.half_size
    along = (2 * np.arange(_COVARIANCES) + 1) / _COVARIANCES - 1
    x, y = (v.ravel() for v in np.meshgrid(xc + xh * along, yc + yh * along))
    # Only parts in which there are cells: elsewhere the kernel is extrapolated.
    steps_x = np.abs(x[:, None] - cells.x) * _COVARIANCES / (2 * xh)
    steps_y = np.abs(y[:, None] - cells.y) * _COVARIANCES / (2 * yh)
    near = np.maximum(steps_x, steps_y).min(axis=1) <= 1
    kernels = kernel.at(x[near], y[near])
    return NoiseCovariance.combine(
        (noise.convolved(one), noise.factor(one) * float(np.square(one).sum())) for one in kernels
    )


def _polynomials(cells: Cells, domain: Box, order: int) -> Basis2D:
    """Return polynomials of the highest degree up to `order` that the places determine well."""
    region = Domain.of_box(domain)
    for degree in range(order, 0, -1):
        basis = Basis2D(degree, region)
        strengths = np.linalg.svd(basis.design(cells.x, cells.y), compute_uv=False)
        enough = len(cells) > basis.n_terms
        if enough and strengths[-1] * _MAX_CONDITION > strengths[0]:
            return basis
    return Basis2D(0, region)


def _widths(widths: checks.Widths, config: PsfMatchConfig) -> tuple[float, ...]:
    if config.widths_pix is not None:
        return config.widths_pix
    sizes = widths.sigma_pix, widths.target_sigma_pix
    return scaled_widths(*sizes, config.width_factors, config.min_width)


def _solve(
    cells: Cells,
    reference: Floats,
    size_pix: int,
    widths_pix: tuple[float, ...],
    polynomials: Basis2D,
    config: PsfMatchConfig,
) -> Solution:
    penalty = config.regularisation
    if config.method == "fourier":
        return solve_fourier(cells, reference, size_pix, polynomials, penalty)
    kernels = KernelBasis(size_pix, widths_pix, config.degrees)
    return solve_least_squares(cells, reference, kernels, polynomials, penalty)


def _kernel_numbers(kernel: SpatialKernel, cells: Cells) -> dict[str, float]:
    gains = kernel.noise_gain_at(cells.x, cells.y)
    return {
        "sum_error": float(np.abs(kernel.sum_at(cells.x, cells.y) - 1).max()),
        "noise_gain": float(np.median(gains)),
        "max_noise_gain": float(gains.max()),
        "edge_fraction": checks.edge_fraction(kernel.at(cells.x, cells.y)),
    }


def _stored(made: Floats, reference: Floats, cells: Cells, polynomials: Basis2D) -> PixelGridPsf:
    """Return the realised PSF as polynomials, as far as the target reaches."""
    middle = made.shape[1] // 2
    wide = (reference > _PSF_EDGE * reference.max()).any(axis=0)
    reach = np.abs(np.argwhere(wide) - middle).max()
    half = int(np.clip(reach, 2, middle))
    window = slice(middle - half, middle + half + 1)
    cut = made[:, window, window]
    n = 2 * half + 1
    images = polynomials.fit(cells.x, cells.y, cut.reshape(len(cut), -1).T).T
    return PixelGridPsf(polynomials, images.reshape(-1, n, n))
