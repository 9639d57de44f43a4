"""Whether a match can be made, and how well it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.psf_moments import Moments, adaptive_moments
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_match.cells import Cells
    from drpflow.data.spatial_kernel import SpatialKernel

    Floats: TypeAlias = NDArray[np.float64]

_FWHM = np.sqrt(8 * np.log(2))
# Above these a match is said to fall short.
GOOD_SIZE = 0.005
GOOD_ELLIPTICITY = 0.003
GOOD_PROFILE = 0.01
# A kernel whose border exceeds this part of its peak was cut off.
_CUT_OFF = 0.01


@dataclass(frozen=True, eq=False)
class Widths:
    """Sizes of both PSFs.

    Parameters
    ----------
    psf, target
        Their moments at the cells, pix².
    """

    psf: Moments
    target: Moments

    @property
    def sigma_pix(self) -> float:
        """Median determinant radius of the PSF."""
        return float(np.nanmedian(self.psf.determinant_radius))

    @property
    def target_sigma_pix(self) -> float:
        """Median determinant radius of the target."""
        return float(np.nanmedian(self.target.determinant_radius))

    def axis_ratios(self) -> Floats:
        """Return how wide the PSF is along the axis on which it is widest, the target being 1.

        This is the root of the larger eigenvalue of M(target)⁻¹ M(PSF): above 1 the kernel would
        have to be narrower than nothing along that axis.
        """
        p, t = self.psf, self.target
        determinant = t.xx * t.yy - t.xy**2
        trace = (t.yy * p.xx + t.xx * p.yy - 2 * t.xy * p.xy) / determinant
        ratio = (p.xx * p.yy - p.xy**2) / determinant
        root = np.sqrt(np.maximum(trace**2 / 4 - ratio, 0))
        return np.atleast_1d(np.sqrt(trace / 2 + root))


def measure_widths(images: Floats, reference: Floats) -> Widths:
    """Return the sizes of the PSF and of the target.

    Raises
    ------
    AlgorithmError
        If the moments of either converge nowhere.
    """
    psf, target = adaptive_moments(images)[0], adaptive_moments(reference)[0]
    for name, moments in (("PSF", psf), ("target", target)):
        if not np.isfinite(moments.xx).any():
            raise AlgorithmError(
                f"the {name} has no size: its adaptive moments do not converge",
                {},
                "Look at its images: they are no stars",
            )
    return Widths(psf, target)


def refuse_wider(widths: Widths, cells: Cells, tolerance: float) -> None:
    """Raise where the PSF is larger than the target.

    Raises
    ------
    AlgorithmError
        With the place and the sizes.
    """
    sizes = np.broadcast_to(widths.psf.determinant_radius, len(cells))
    targets = np.broadcast_to(widths.target.determinant_radius, len(cells))
    ratios = np.nan_to_num(sizes / targets)
    worst = int(np.argmax(ratios))
    if ratios[worst] > 1 + tolerance:
        raise AlgorithmError(
            f"the PSF is wider than the target: at ({cells.x[worst]:.0f}, {cells.y[worst]:.0f}) "
            f"its FWHM is {_FWHM * sizes[worst]:.2f} pixels, that of the target "
            f"{_FWHM * targets[worst]:.2f}; to match would be to deconvolve",
            {
                "size_ratio": float(ratios[worst]),
                "fwhm_pix": float(_FWHM * sizes[worst]),
                "target_fwhm_pix": float(_FWHM * targets[worst]),
            },
            "Choose a wider target, or leave this image out",
        )


def refuse_deconvolution(
    numbers: dict[str, float | int | str], tolerance: float, max_noise_gain: float
) -> None:
    """Raise where the kernel restores what the PSF has lost.

    This is seen from noise that would grow; or, where the PSF is wider than the target along one
    axis, from stars that are not like the target: what is restored well, without noise, was not
    lost.

    Raises
    ------
    AlgorithmError
        With the numbers.
    """
    gain, ratio = float(numbers["max_noise_gain"]), float(numbers["width_ratio"])
    if gain > max_noise_gain:
        raise AlgorithmError(
            f"the kernel would multiply the variance of noise by {gain:.3g}: it deconvolves",
            numbers,
            "Choose a wider target, a larger kernel or a stronger regularisation",
        )
    faults = shortcomings(numbers)
    if ratio > 1 + tolerance and faults:
        raise AlgorithmError(
            f"the PSF is wider than the target along its longer axis, by a factor of {ratio:.3f}, "
            f"and cannot be matched: {'; '.join(faults)}",
            numbers,
            "Choose a wider target, or leave this image out",
        )


def realised(cells: Cells, kernel: SpatialKernel) -> Floats:
    """Return the PSF convolved with the kernel at each cell, in full, (N, s + n - 1, s + n - 1)."""
    from scipy import fft

    frame = cells.size_pix + kernel.size_pix - 1
    length = fft.next_fast_len(frame, real=True)
    spectra = fft.rfft2(cells.images, (length, length))
    spectra *= fft.rfft2(kernel.at(cells.x, cells.y), (length, length))
    return np.asarray(fft.irfft2(spectra, (length, length)))[:, :frame, :frame]


def quality(made: Floats, reference: Floats, widths: Widths) -> dict[str, float]:
    """Return how far realised PSFs of sum 1 are from the target, the worst cell each."""
    found, wanted = adaptive_moments(made)[0], widths.target
    size = np.abs(found.determinant_radius / wanted.determinant_radius - 1)
    ellipticity = np.hypot(found.e1 - wanted.e1, found.e2 - wanted.e2)
    profile = np.abs(made - reference).max(axis=(1, 2)) / reference.max(axis=(1, 2))
    return {
        "size_error": _worst(size),
        "ellipticity_error": _worst(ellipticity),
        "profile_error": _worst(profile),
    }


def _worst(values: Floats) -> float:
    return float(np.max(np.where(np.isfinite(values), values, np.inf)))


def edge_fraction(kernels: Floats) -> float:
    """Return the largest pixel at the border of kernels as a fraction of their peak."""
    border = np.abs(kernels)
    peak = border.max(axis=(1, 2))
    rows = np.maximum(border[:, 0].max(axis=1), border[:, -1].max(axis=1))
    columns = np.maximum(border[:, :, 0].max(axis=1), border[:, :, -1].max(axis=1))
    return float((np.maximum(rows, columns) / peak).max())


def shortcomings(numbers: dict[str, float | int | str]) -> list[str]:
    """Return sentences about what of a match is not as it should be."""
    found = []
    for name, limit, what in (
        ("size_error", GOOD_SIZE, "sizes differ from the target's by up to {:.2%}"),
        ("ellipticity_error", GOOD_ELLIPTICITY, "ellipticities differ by up to {:.4f}"),
        ("profile_error", GOOD_PROFILE, "profiles differ by up to {:.2%} of the peak"),
        ("edge_fraction", _CUT_OFF, "the kernel is cut off at {:.1%} of its peak: boxy stars"),
    ):
        value = float(numbers[name])
        if value > limit:
            found.append(what.format(value))
    return found
