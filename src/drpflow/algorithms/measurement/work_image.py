"""The image that sources are measured on: all others replaced by noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.kernels.stamps import Scene, mark_spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.measurement import MeasurementConfig
    from drpflow.data.heavy_footprints import HeavyFootprints
    from drpflow.data.mask import Mask

    Image = NDArray[np.float32]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WorkImage:
    """What measurements of sources share.

    Attributes
    ----------
    scene
        For the kernels.
    original
        The image as it is, sources and all.
    occupied
        Pixels of all footprints, shape (ny, nx).
    """

    scene: Scene
    original: Image
    occupied: Bools


def neighbour_free(
    image: Image,
    variance: Image,
    mask: Mask,
    sources: HeavyFootprints,
    config: MeasurementConfig,
    rng: np.random.Generator,
) -> WorkImage:
    """Replace all footprints by noise of the variance plane.

    The noise in the place of a bright source includes that of its own photons, which is what its
    light adds to its neighbours' pixels. An aperture that reaches there has the right error.

    Parameters
    ----------
    image, variance
        Shape (ny, nx), background subtracted.
    mask
        Planes that exclude pixels are taken from it.
    sources
        Everything that was detected.
    config
        Names the planes.
    rng
        Source of the noise.

    Returns
    -------
    WorkImage
        One float32 and two Boolean images beside the originals.
    """
    occupied = np.zeros(image.shape, bool)
    prints = sources.footprints
    mark_spans(prints.span_y, prints.span_x0, prints.span_x1, occupied)
    work = image.astype(np.float32)
    noise = rng.standard_normal(np.count_nonzero(occupied), np.float32)
    work[occupied] = noise * np.sqrt(np.maximum(variance[occupied], 0))
    work[without_value(image, variance, mask.any(config.empty_planes))] = np.nan
    scene = Scene(
        work,
        np.ascontiguousarray(variance, np.float32),
        mask.any(config.excluded_planes),
        prints.span_y,
        prints.span_x0,
        prints.span_x1,
        prints.first_span,
        sources.values,
        sources.first_value,
    )
    return WorkImage(scene, image, occupied)


def whole_image(
    image: Image,
    variance: Image,
    mask: Mask,
    occupied: Bools,
    n_sources: int,
    config: MeasurementConfig,
) -> WorkImage:
    """Return the image as it is, for sources that have no pixels of their own.

    Parameters
    ----------
    image, variance
        Shape (ny, nx), background subtracted.
    mask
        Planes that exclude pixels are taken from it.
    occupied
        Pixels that are no background.
    n_sources
        How many sources are to be measured.
    config
        Names the planes.
    """
    empty = without_value(image, variance, mask.any(config.empty_planes))
    ends = np.zeros(n_sources + 1, np.int64)
    scene = plain_scene(image, variance, empty)._replace(
        excluded=mask.any(config.excluded_planes), first_span=ends, first_value=ends
    )
    return WorkImage(scene, image, occupied)


def plain_scene(image: Image, variance: Image, bad: Bools) -> Scene:
    """Return a scene of one row without pixels of its own: the image as it is.

    Pixels that are `bad` have no value.
    """
    work = image.astype(np.float32)
    work[without_value(image, variance, bad)] = np.nan
    none = np.zeros(0, np.int32)
    ends = np.zeros(2, np.int64)
    return Scene(
        work,
        np.ascontiguousarray(variance, np.float32),
        bad,
        none,
        none,
        none,
        ends,
        np.zeros(0, np.float32),
        ends,
    )


def without_value(image: Image, variance: Image, empty: Bools) -> Bools:
    """Return where there is no value: by the mask, not finite, or of no positive variance."""
    missing: Any = ~(variance > 0)
    missing |= ~np.isfinite(image)
    missing |= empty
    return missing
