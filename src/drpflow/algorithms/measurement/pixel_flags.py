"""Flags of sources from the mask planes of their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.kernels.stamps import mask_bits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.mask import Mask
    from drpflow.kernels.stamps import Scene

    Columns = dict[str, NDArray[Any]]
    Float64 = NDArray[np.float64]

# Flag of the star table: mask plane, and whether the centre has a flag of its own.
_FLAGS = {
    "bad": ("BAD", True),
    "saturated": ("SAT", True),
    "suspect": ("SUSPECT", True),
    "interpolated": ("INTRP", True),
    "cr": ("CR", True),
    "edge": ("EDGE", False),
    "nodata": ("NO_DATA", False),
}


def pixel_flags(scene: Scene, mask: Mask, x: Float64, y: Float64, radius_pix: float) -> Columns:
    """Return the columns ``pixelFlags_*``.

    Parameters
    ----------
    scene
        Rows are the sources; their footprints are looked at.
    mask
        The mask.
    x, y
        Centroids, pixels, shape (n,).
    radius_pix
        Pixels within it count as the centre. It is all there is for a source without footprint.
    """
    columns = plane_flags(scene, mask, x, y, radius_pix, _FLAGS)
    columns["pixelFlags_edge"] |= _touching(scene, x, y, radius_pix)
    return columns


def plane_flags(
    scene: Scene,
    mask: Mask,
    x: Float64,
    y: Float64,
    radius_pix: float,
    flags: Mapping[str, tuple[str, bool]],
) -> Columns:
    """Return ``pixelFlags_<name>`` of mask planes of choice, else as :func:`pixel_flags`.

    Parameters
    ----------
    scene, mask, x, y, radius_pix
        As there.
    flags
        By name the plane, and whether the centre has a flag of its own.
    """
    footprint, center = np.zeros(x.size, np.int32), np.zeros(x.size, np.int32)
    mask_bits(mask.array, scene, x, y, radius_pix, footprint, center)
    footprint |= center
    columns: Columns = {}
    for name, (plane, with_center) in flags.items():
        bit = mask.bit(plane)
        columns[f"pixelFlags_{name}"] = (footprint & bit) != 0
        if with_center:
            columns[f"pixelFlags_{name}Center"] = (center & bit) != 0
    return columns


def _touching(scene: Scene, x: Float64, y: Float64, radius_pix: float) -> NDArray[np.bool_]:
    """Return which footprints touch the border of the image, or whose centre is that near."""
    ny, nx = scene.image.shape
    on_border = (scene.span_y == 0) | (scene.span_y == ny - 1)
    on_border |= (scene.span_x0 == 0) | (scene.span_x1 == nx)
    before = np.concatenate([[0], np.cumsum(on_border)])
    touching = np.zeros(x.size, bool)
    if scene.first_span.size == x.size + 1:
        touching = before[scene.first_span[1:]] > before[scene.first_span[:-1]]
    near = np.minimum(np.minimum(x, nx - 1 - x), np.minimum(y, ny - 1 - y)) < radius_pix
    return touching | near
