"""From pixels and a PSF model to sources: found, separated, measured, with places of sky.

What calibrateImage does with its first model and finalizeImage with the final one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from drpflow.algorithms.calibrate_image.frame import EMPTY
from drpflow.algorithms.deblend import deblend
from drpflow.algorithms.detection import detect
from drpflow.algorithms.measurement.classification import is_primary
from drpflow.algorithms.measurement.psf_fit import typical_sigma
from drpflow.algorithms.measurement.sources import measure_on, measure_positions_at
from drpflow.algorithms.measurement.work_image import neighbour_free
from drpflow.algorithms.sky_sources import place_sky_sources
from drpflow.data.source_ids import make_source_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.deblend import Deblended
    from drpflow.algorithms.detection import Detection
    from drpflow.algorithms.measurement.work_image import WorkImage
    from drpflow.config.deblend import DeblendConfig
    from drpflow.config.detection import DetectionConfig, SkySourcesConfig
    from drpflow.config.measurement import MeasurementConfig
    from drpflow.data.mask import Mask
    from drpflow.data.psf import Psf

    Columns = dict[str, NDArray[Any]]
    Bools = NDArray[np.bool_]
    Image = NDArray[np.float32]

_NOISE, _PLACES = 2, 3


class Pixels(Protocol):
    """Image, variance and mask of a detector, without sky and cosmic rays."""

    image: Image
    variance: Image
    mask: Mask
    visit: int
    detector: int

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the random numbers of one purpose, the same in every run."""
        ...


class Rules(Protocol):
    """The sections of the algorithms."""

    @property
    def detection(self) -> DetectionConfig:
        """Sources."""
        ...

    @property
    def deblend(self) -> DeblendConfig:
        """Blends."""
        ...

    @property
    def measurement(self) -> MeasurementConfig:
        """Positions, shapes, fluxes."""
        ...

    @property
    def sky_sources(self) -> SkySourcesConfig:
        """Places of sky."""
        ...


@dataclass(frozen=True, eq=False)
class Found:
    """Sources before they are measured.

    Parameters
    ----------
    detection
        Footprints before they were divided, and the significance image.
    deblended
        The sources.
    """

    detection: Detection
    deblended: Deblended

    @property
    def n_blends(self) -> int:
        """Number of footprints."""
        return len(self.detection.footprints)


@dataclass(frozen=True, eq=False)
class Measured:
    """Sources and places of sky, measured.

    Parameters
    ----------
    columns
        Those of :func:`drpflow.algorithms.measurement.sources.measure_sources` and of
        :func:`origin_columns`; first the sources, in the order of their footprints, then the
        places of sky.
    work
        The image that they were measured on.
    numbers
        Counts.
    """

    columns: Columns
    work: WorkImage
    numbers: dict[str, float | int]

    @property
    def n_sources(self) -> int:
        """Number of rows that are sources."""
        return int(self.numbers["sources"])


def find_sources(frame: Pixels, psf: Psf, config: Rules) -> Found:
    """Detect down to the limit and separate blends; set DETECTED and NOT_DEBLENDED.

    Parameters
    ----------
    frame
        The pixels.
    psf
        Model of the PSF.
    config
        ``detection`` and ``deblend``.
    """
    sigma_pix = typical_sigma(psf, frame.image.shape)
    rules = config.detection
    found = detect(
        frame.image,
        frame.variance,
        frame.mask.any((*EMPTY, "CR")),
        sigma_pix,
        rules.threshold,
        grow_pix=rules.grow_sigma * sigma_pix,
        min_area=rules.min_area_pix,
        min_prominence=rules.min_prominence,
        relative_prominence=rules.relative_prominence,
        pass_ratio=rules.pass_ratio,
    )
    found.footprints.mark(frame.mask, "DETECTED")
    unusable = frame.mask.any((*EMPTY, "BAD", "SAT", "CR"))
    deblended = deblend(
        frame.image, frame.variance, unusable, found.footprints, psf, config.deblend
    )
    whole = np.unique(deblended.parent[deblended.skipped])
    found.footprints.select(whole).mark(frame.mask, "NOT_DEBLENDED")
    return Found(found, deblended)


def measure_found(
    frame: Pixels, found: Found, occupied: Bools, psf: Psf, config: Rules
) -> Measured:
    """Measure all sources, and as many places of sky as there is room for.

    Parameters
    ----------
    frame
        The pixels.
    found
        The sources.
    occupied
        Pixels that are no sky beside those of sources and unusable ones, shape (ny, nx).
    psf
        Model of the PSF.
    config
        ``measurement`` and ``sky_sources``.
    """
    children, mask = found.deblended.children, frame.mask
    noise = frame.rng(_NOISE)
    work = neighbour_free(frame.image, frame.variance, mask, children, config.measurement, noise)
    sources = measure_on(work, mask, children, psf, config.measurement)
    occupied = occupied | work.occupied | mask.any((*EMPTY, "BAD", "SAT", "CR"))
    places = config.sky_sources
    x, y = place_sky_sources(occupied, places.number, places.radius_pix, frame.rng(_PLACES))
    sky = measure_positions_at(x, y, work, mask, psf, config.measurement)
    columns = {name: np.concatenate([sources[name], sky[name]]) for name in sources}
    columns |= origin_columns(frame, found, len(x))
    skipped = found.deblended.parent[found.deblended.skipped]
    numbers: dict[str, float | int] = {
        "footprints": found.n_blends,
        "sources": len(children),
        "sky_sources": len(x),
        "peaks_dropped": int(found.deblended.n_dropped),
        "blends_skipped": int(np.unique(skipped).size),
        "blends_too_big": int(np.count_nonzero(found.deblended.too_big)),
    }
    return Measured(columns, work, numbers)


def origin_columns(frame: Pixels, found: Found, n_sky: int) -> Columns:
    """Return identifiers, and what each source came from.

    Parameters
    ----------
    frame
        Gives the data ID.
    found
        The sources.
    n_sky
        Number of places of sky, which come last.
    """
    deblended = found.deblended
    n = len(deblended.children)
    ids = make_source_ids(frame.visit, frame.detector, n + n_sky + found.n_blends)
    blend_ids = ids[n + n_sky :]
    in_blend = deblended.n_peaks > 1

    def with_sky(values: NDArray[Any], sky: Any) -> NDArray[Any]:
        return np.concatenate([values, np.full(n_sky, sky, values.dtype)])

    sky_source = np.arange(n + n_sky) >= n
    return {
        "sourceId": ids[: n + n_sky],
        "parentSourceId": with_sky(np.where(in_blend, blend_ids[deblended.parent], 0), 0),
        "deblend_nPeaks": with_sky(deblended.n_peaks.astype(np.int32), 0),
        "deblend_skipped": with_sky(deblended.skipped, False),
        "deblend_parentTooBig": with_sky(deblended.too_big, False),
        "deblend_isPoint": with_sky(deblended.is_point, False),
        "blendedness": with_sky(deblended.blendedness.astype(np.float32), np.nan),
        "sky_source": sky_source,
        # Blends themselves are no rows, so that every separated source counts.
        "detect_isPrimary": is_primary(sky_source, np.zeros(n + n_sky, bool)),
    }
