"""How large a kernel is.

A kernel that ends before the target does leaves boxy stars; a kernel far larger than needed costs
unknowns that only follow the noise of the models, and goes beyond what the images of the PSF hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.psf_match.cells import checked_image, no_place_in_common
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.psf_match.cells import Cells, Target
    from drpflow.config.psf_match import PsfMatchConfig
    from drpflow.data.psf import Psf

    Floats: TypeAlias = NDArray[np.float64]

_SMALLEST = 5
# What the PSF may have at the edges of its images, where the kernel reaches beyond them.
_BRIGHT_EDGE = 0.01


def choose_size(cells: Cells, target: Target, config: PsfMatchConfig) -> tuple[int, list[str]]:
    """Return rows and columns of the kernel, and sentences about it.

    Raises
    ------
    AlgorithmError
        If the size that was asked for is larger than the images of the PSF bear.
    """
    stamp = cells.size_pix
    largest = _odd_below(config.max_kernel_to_psf * stamp)
    size = config.kernel_size_pix
    if size is not None and size > largest:
        raise AlgorithmError(
            f"a kernel of {size} pixels is too large for a PSF model with images of {stamp}: at "
            f"most {largest}",
            {"kernel_size_pix": size, "psf_size_pix": stamp, "largest_pix": largest},
            "Set kernel_size_pix to less, or make the PSF model with larger images",
        )
    notes = []
    if size is None:
        wanted = max(_SMALLEST, 2 * target_radius(cells, target, config.kernel_edge) + 1)
        size = min(wanted, largest, _odd_below(config.max_kernel_size_pix))
        if size < wanted:
            notes.append(f"the kernel has {size} pixels, where the target asks for {wanted}")
    edge = _brightest_edge(cells.images)
    if size > stamp and edge > _BRIGHT_EDGE:
        notes.append(
            f"the kernel of {size} pixels is larger than the images of the PSF, {stamp} pixels, at "
            f"whose edges the PSF still has {edge:.1%} of its peak: it counts as zero beyond"
        )
    return size, notes


def _brightest_edge(images: Floats) -> float:
    """Return the largest mean of the pixels at the edge of images, as a fraction of the peak."""
    border = np.ones(images.shape[1:], bool)
    border[1:-1, 1:-1] = False
    means = np.abs(images[:, border].mean(axis=1))
    return float((means / images.max(axis=(1, 2))).max())


def target_radius(cells: Cells, target: Target, edge: float) -> int:
    """Return how far the target exceeds a fraction of its peak, pixels, rounded up."""
    if isinstance(target, DoubleGaussianPsf):
        return int(np.ceil(target.radius_pix(edge)))
    if isinstance(target, np.ndarray):
        return _radius(checked_image(target), edge)
    return _radius(_central(cells, target), edge)


def _central(cells: Cells, target: Psf) -> Floats:
    """Return the target at the place nearest to the middle of all that has one."""
    for k in np.argsort(np.hypot(cells.x - cells.x.mean(), cells.y - cells.y.mean())):
        try:
            return target.compute_kernel_image(cells.x[k], cells.y[k])
        except AlgorithmError:
            continue
    raise no_place_in_common(len(cells))


def _radius(image: Floats, edge: float) -> int:
    """Return the radius beyond which the mean profile is below a fraction of the peak."""
    half = image.shape[0] // 2
    offsets = np.arange(-half, half + 1)
    rings = np.rint(np.hypot(*np.meshgrid(offsets, offsets))).astype(np.intp).ravel()
    profile = np.bincount(rings, image.ravel()) / np.bincount(rings)
    return int(min(np.flatnonzero(profile[: half + 1] > edge * image.max()).max() + 1, half))


def _odd_below(value: float) -> int:
    whole = int(value)
    return whole if whole % 2 else whole - 1
