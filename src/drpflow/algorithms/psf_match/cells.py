"""The two PSF models as images, at places all over an image.

Both are brought onto one frame of s + n - 1 pixels for PSF images of s and a kernel of n: it holds
the whole of their convolution, so that no pixel is lost at borders. Beyond their own images PSFs
count as zero, which is also how they are normalised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.coadd_psf import CoaddPsf
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.psf import GaussianPsf
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from drpflow.data.geometry import Box
    from drpflow.data.psf import Psf

    Floats: TypeAlias = NDArray[np.float64]
    Target: TypeAlias = "Psf | NDArray[np.floating]"

# Where a model has no PSF at a place, these are tried, in distances between places, and at last
# one towards the middle.
_JITTER = ((0.3, 0.1), (-0.1, 0.3), (-0.3, -0.1), (0.1, -0.3))
_PULL = 0.45
# Light of the target that may fall off the frame.
_MAX_LOSS = 0.01
# A reference image whose light lies further off its middle is another thing than a PSF.
_MAX_OFF_CENTER_PIX = 1.0


@dataclass(frozen=True, eq=False)
class Cells:
    """PSF images at places.

    Parameters
    ----------
    x, y
        The places, shape (N,), pixels.
    images
        The PSF there, shape (N, s, s), each of sum 1.
    n_left_out
        Places at which the model has no PSF.
    """

    x: Floats
    y: Floats
    images: Floats
    n_left_out: int = 0

    @property
    def size_pix(self) -> int:
        """Rows and columns of the images."""
        return self.images.shape[1]

    def __len__(self) -> int:
        return self.x.size


def places(domain: Box, cell_size_pix: float, max_cells: int) -> tuple[Floats, Floats, float]:
    """Return a grid of places that reaches to the edges of a box, and their distance, pixels."""
    axes = []
    for first, length in ((domain.x0, domain.width), (domain.y0, domain.height)):
        n = int(np.clip(np.ceil(length / cell_size_pix) + 1, 2, max_cells))
        axes.append(np.linspace(first, first + length - 1, n))
    x, y = (grid.ravel() for grid in np.meshgrid(*axes))
    return x, y, max(domain.width / (axes[0].size - 1), domain.height / (axes[1].size - 1))


def realise(psf: Psf, domain: Box, cell_size_pix: float, max_cells: int) -> Cells:
    """Return the images of a PSF model on a grid of places.

    A place at which the model has no PSF (outside of what its inputs cover) is moved about; if
    there is none within its cell either, it is left out.

    Raises
    ------
    AlgorithmError
        If the model has no PSF anywhere.
    """
    x, y, step = places(domain, cell_size_pix, max_cells)
    held = _held(psf, x, y)
    to_center = np.array([(domain.x0 + domain.x1 - 1) / 2 - x, (domain.y0 + domain.y1 - 1) / 2 - y])
    pull = to_center * np.minimum(1, _PULL * step / np.maximum(np.hypot(*to_center), 1))
    tries = [(dx * step, dy * step) for dx, dy in _JITTER]
    for dx, dy in [*tries, pull]:
        moved = x + dx, y + dy
        found = np.zeros_like(held)
        found[~held] = _held(psf, *(v[~held] for v in moved))
        x, y = np.where(found, moved[0], x), np.where(found, moved[1], y)
        held |= found
    if not held.any():
        raise AlgorithmError(
            f"the PSF model has no PSF anywhere in {tuple(domain)} (x0, x1, y0, y1)",
            {"n_places": int(x.size)},
            "Look at the polygons of its inputs",
        )
    x, y = x[held], y[held]
    return Cells(x, y, psf.compute_kernel_images(x, y), int(np.count_nonzero(~held)))


def _held(psf: Psf, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Return at which places a model has a PSF."""
    if isinstance(psf, CoaddPsf):
        return np.asarray(psf.contributing(x, y).any(axis=0))
    held = np.ones(x.size, bool)
    try:
        psf.compute_kernel_images(x, y)
    except AlgorithmError:
        for k in range(x.size):
            try:
                psf.compute_kernel_image(x[k], y[k])
            except AlgorithmError:
                held[k] = False
    return held


def reference_images(target: Target, cells: Cells, size_pix: int) -> tuple[Cells, Floats]:
    """Return the target on a frame, (N, size, size) or (1, size, size) if it is constant.

    Parameters
    ----------
    target
        A model in the pixel coordinates of the image, or one image of the PSF.
    cells
        The places.
    size_pix
        Rows and columns of the frame, odd.

    Returns
    -------
    cells
        Those at which the target has an image.
    images
        Each of sum 1.

    Raises
    ------
    AlgorithmError
        If the target is no image of a PSF, the frame cuts off more than 1 % of its light, or the
        two models have no place in common.
    """
    if isinstance(target, GaussianPsf | DoubleGaussianPsf):
        fitting = replace(target, half_size=size_pix // 2)
        whole = _on_frame(target.compute_kernel_images([0.0], [0.0]), size_pix)
        _check_loss(whole, size_pix)
        return cells, fitting.compute_kernel_images([0.0], [0.0])
    if isinstance(target, np.ndarray):
        images = checked_image(target)[None]
    else:
        cells, images = _in_common(target, cells)
    framed = _on_frame(images, size_pix)
    _check_loss(framed, size_pix)
    return cells, framed / framed.sum(axis=(1, 2), keepdims=True)


def _in_common(target: Psf, cells: Cells) -> tuple[Cells, Floats]:
    """Return the cells at which a model has a PSF, and its images there."""
    held = _held(target, cells.x, cells.y)
    if not held.any():
        raise no_place_in_common(len(cells))
    x, y = cells.x[held], cells.y[held]
    left_out = cells.n_left_out + int(np.count_nonzero(~held))
    images = target.compute_kernel_images(x, y)
    return Cells(x, y, cells.images[held], left_out), images


def no_place_in_common(n_places: int) -> AlgorithmError:
    """Return the fault that a target has no PSF where the image has one."""
    return AlgorithmError(
        f"at none of {n_places} places that have a PSF does the target have one",
        {"n_places": n_places},
        "Give a target that covers the same sky",
    )


def checked_image(image: ArrayLike) -> Floats:
    """Return an image of a PSF with sum 1.

    Raises
    ------
    AlgorithmError
        If it is no odd square of finite values, of positive sum, with its light in the middle.
    """
    values = np.asarray(image, np.float64)
    hint = "Give an odd square array with the star in the middle, sky subtracted"
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.shape[0] % 2 == 0:
        shape = "x".join(map(str, values.shape))
        raise AlgorithmError(f"a reference of {shape} pixels is no odd square", {}, hint)
    total = values.sum()
    if not np.isfinite(values).all() or not total > 0:
        raise AlgorithmError("the reference is not finite, or sums to nothing", {}, hint)
    peak = np.array(np.unravel_index(np.argmax(values), values.shape)) - values.shape[0] // 2
    if np.hypot(*peak) > _MAX_OFF_CENTER_PIX:
        raise AlgorithmError(
            f"the reference peaks {np.hypot(*peak):.1f} pixels off its middle",
            {"off_center_pix": float(np.hypot(*peak))},
            hint,
        )
    return values / total


def _on_frame(images: Floats, size_pix: int) -> Floats:
    """Return images cut, or padded with zeros, to another odd size."""
    more = (size_pix - images.shape[1]) // 2
    if more < 0:
        return images[:, -more:more, -more:more]
    return np.pad(images, ((0, 0), (more, more), (more, more)))


def _check_loss(framed: Floats, size_pix: int) -> None:
    loss = float(1 - framed.sum(axis=(1, 2)).min())
    if loss > _MAX_LOSS:
        raise AlgorithmError(
            f"{100 * loss:.1f} % of the target's light lies outside of {size_pix} pixels, what the "
            "PSF images and the kernel reach together",
            {"outside": loss, "frame_pix": size_pix},
            "Choose a larger kernel, or a narrower target",
        )
