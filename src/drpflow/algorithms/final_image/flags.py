"""What other tasks know of pixels and stars, brought to the sources of a detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.measurement.kron import rows_for
from drpflow.algorithms.measurement.pixel_flags import plane_flags
from drpflow.data.warp_masks import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.measurement.work_image import WorkImage
    from drpflow.data.geometry import Box
    from drpflow.data.mask import Mask
    from drpflow.data.warp_masks import WarpMask

    Columns = dict[str, NDArray[Any]]
    Rows = NDArray[np.int64]

_TRANSIENT = ("transient",)
# A transient is light of the sky, the others are not.
PLANES_OF_KINDS: Mapping[str, tuple[str, ...]] = {
    "STREAK": ("streak",),
    "ARTIFACT": tuple(kind for kind in KINDS if kind not in _TRANSIENT),
    "TRANSIENT": _TRANSIENT,
}
"""Mask planes, and the classes of artifacts that set them."""
_FLAGS = {
    "artifact": ("ARTIFACT", True),
    "streak": ("STREAK", True),
    "transient": ("TRANSIENT", True),
}
PSF_FLAGS = ("calib_psf_candidate", "calib_psf_used", "calib_psf_reserved", "calib_apcorr_used")
"""Flags of the stars of the final models."""
FIT_FLAGS = ("calib_astrometry_used", "calib_photometry_used", "calib_photometry_reserved")
"""Flags of the stars of the global fits."""


def mark_artifacts(
    mask: Mask, artifacts: Iterable[WarpMask], detector: int, box: Box
) -> tuple[Mask, dict[str, int]]:
    """Set the planes of what comparing visits has found.

    Parameters
    ----------
    mask
        The detector's; its bits are changed.
    artifacts
        Of all patches that the detector touches.
    detector
        Whose runs are taken.
    box
        Its pixels.

    Returns
    -------
    mask
        The same bits, with planes that it may have lacked.
    pixels
        How many pixels each plane has, by its name in small letters.
    """
    mask = mask.with_planes(*PLANES_OF_KINDS)
    for found in artifacts:
        for plane, kinds in PLANES_OF_KINDS.items():
            mask.set(plane, found.paint(box, detector, kinds))
    numbers = {
        f"{plane.lower()}_pixels": int(np.count_nonzero(mask.any(plane)))
        for plane in PLANES_OF_KINDS
    }
    return mask, numbers


def artifact_flags(
    work: WorkImage, mask: Mask, x: NDArray[np.float64], y: NDArray[np.float64], radius_pix: float
) -> Columns:
    """Return ``pixelFlags_artifact``, ``_streak``, ``_transient``, and each with ``Center``.

    Parameters
    ----------
    work
        Its footprints are those of the first sources; the others, places of sky, have none.
    mask
        With the planes of :func:`mark_artifacts`.
    x, y
        Centroids, pixels, shape (n,).
    radius_pix
        Pixels within it count as the centre.
    """
    return plane_flags(rows_for(work.scene, x.size), mask, x, y, radius_pix, _FLAGS)


def match_stars(
    columns: Mapping[str, NDArray[Any]],
    stars: Mapping[str, NDArray[Any]] | None,
    radius_pix: float,
) -> tuple[Rows, Rows]:
    """Return which sources are stars that other tasks know, by their places on the detector.

    Parameters
    ----------
    columns
        ``x``, ``y`` and ``sky_source`` of the sources, shape (n,).
    stars
        ``x``, ``y``; None if they are not known.
    radius_pix
        A star is the nearest source within this distance; of two stars that find one source
        the nearer counts.

    Returns
    -------
    rows, star_rows
        Rows of pairs.
    """
    nothing = np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows = np.flatnonzero(~columns["sky_source"] & np.isfinite(columns["x"] + columns["y"]))
    if stars is None or not rows.size:
        return nothing
    known = np.flatnonzero(np.isfinite(stars["x"] + stars["y"]))
    if not known.size:
        return nothing
    from scipy.spatial import cKDTree

    places = np.column_stack([columns["x"][rows], columns["y"][rows]])
    wanted = np.column_stack([stars["x"][known], stars["y"][known]])
    distance, nearest = cKDTree(places).query(wanted, distance_upper_bound=radius_pix)
    order = np.argsort(distance, kind="stable")
    order = order[np.isfinite(distance[order])]
    _, first = np.unique(nearest[order], return_index=True)
    taken = order[first]
    return rows[nearest[taken]], known[taken]


def star_flags(
    n: int,
    stars: Mapping[str, NDArray[Any]] | None,
    pairs: tuple[Rows, Rows],
    names: Iterable[str],
) -> Columns:
    """Return flags of stars brought to n sources, False where there is no star.

    Parameters
    ----------
    n
        Number of sources.
    stars
        Their flags; None if they are not known.
    pairs
        What :func:`match_stars` gave for them.
    names
        Flags to bring.
    """
    flags: Columns = {name: np.zeros(n, bool) for name in names}
    if stars is not None:
        for name, values in flags.items():
            values[pairs[0]] = stars[name][pairs[1]]
    return flags
