"""makeSkyFrame: what the empty skies of a filter's visits have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.visit_background.cells import place_cells
from drpflow.algorithms.visit_background.sky_frame import FrameVisit
from drpflow.algorithms.visit_background.sky_frame import make_sky_frame as make_frame
from drpflow.algorithms.visit_background.stars import (
    SkyStars,
    bright_stars,
    shared_stars,
    stars_of_detectors,
    uncatalogued_stars,
)
from drpflow.data.component_table import ComponentRow, ComponentTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.visit_background.stars import DetectorStars
    from drpflow.config.make_sky_frame import MakeSkyFrameConfig
    from drpflow.config.model_visit_background import WingsConfig
    from drpflow.data.camera import Camera
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_samples import SkySamples
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo


@dataclass(frozen=True, eq=False)
class VisitSky:
    """What is known of the sky of a visit.

    Parameters
    ----------
    info
        Its metadata.
    samples
        ``sky_samples`` by detector.
    wcss, calibrations
        WCS and zero point of the detectors that have them.
    sources
        Columns of ``initial_stars``; may be empty.
    references
        Reference stars about the visit at the epoch of their catalogue, None without.
    """

    info: VisitInfo
    samples: Mapping[int, SkySamples]
    wcss: Mapping[int, SkyWcs]
    calibrations: Mapping[int, PhotoCalib]
    sources: Mapping[str, NDArray[np.generic]]
    references: ReferenceStars | None


@dataclass(frozen=True, eq=False)
class MadeSkyFrame:
    """What makeSkyFrame makes.

    Parameters
    ----------
    table
        ``sky_frame``, a row a detector.
    stars
        Columns of ``sky_frame_stars``, bright stars that the catalogue lacks.
    numbers
        Figures for the status file.
    """

    table: ComponentTable
    stars: dict[str, NDArray[np.generic]]
    numbers: dict[str, float | int | str]


def make_sky_frame(
    visits: Mapping[int, VisitSky], camera: Camera, config: MakeSkyFrameConfig
) -> MadeSkyFrame:
    """Make the sky frame of a filter.

    Parameters
    ----------
    visits
        The visits in this filter.
    camera
        Geometry.
    config
        The section ``makeSkyFrame``.

    Raises
    ------
    AlgorithmError
        If too few visits show the empty sky.
    """
    least = config.sky.mask.min_count_fraction
    wings = config.sky.wings
    lacking = [_uncatalogued(v, wings) for v in visits.values()] if wings.enabled else []
    shared, n_visits = shared_stars(lacking)
    given = {
        number: FrameVisit(
            place_cells(visit.samples, camera, least),
            detector_stars(visit, camera, wings, shared),
        )
        for number, visit in visits.items()
    }
    frame = make_frame(given, config)
    rows = {k: ComponentRow({"background": layers}) for k, layers in frame.layers.items()}
    columns = {
        "length_pix": np.array([frame.lengths[k] for k in rows]),
        "error": np.array([frame.errors[k] for k in rows]),
        "fine": np.array([frame.fine[k] for k in rows]),
        "n_visits": np.full(len(rows), len(frame.visits), np.int32),
    }
    numbers: dict[str, float | int | str] = {
        "visits": len(frame.visits),
        "detectors": len(rows),
        "patterns": frame.n_patterns,
        "uncatalogued_stars": n_visits.size,
        "error": float(np.sqrt(np.mean(np.square(columns["error"])))) if rows else float("nan"),
    }
    stars: dict[str, NDArray[np.generic]] = {
        "ra": shared.ra,
        "dec": shared.dec,
        "flux_njy": shared.flux_njy,
        "n_visits": n_visits.astype(np.int32),
    }
    return MadeSkyFrame(ComponentTable(rows, columns), stars, numbers)


def detector_stars(
    visit: VisitSky, camera: Camera, config: WingsConfig, shared: SkyStars | None
) -> dict[int, DetectorStars]:
    """Return the bright stars about each detector of a visit; none where wings are not wanted.

    Parameters
    ----------
    visit
        The visit.
    camera
        Geometry.
    config
        Limits.
    shared
        Stars that the catalogue lacks and several visits have seen.
    """
    if not config.enabled:
        return {}
    stars = bright_stars(_references_now(visit), visit.sources, visit.info.band, config, shared)
    if not stars.ra.size:
        return {}
    there = [k for k in visit.samples if k in visit.wcss and k in visit.calibrations]
    wcss = {k: visit.wcss[k] for k in there}
    return stars_of_detectors(stars, wcss, visit.calibrations, camera, config)


def _uncatalogued(visit: VisitSky, config: WingsConfig) -> SkyStars:
    return uncatalogued_stars(_references_now(visit), visit.sources, visit.info.band, config)


def _references_now(visit: VisitSky) -> ReferenceStars | None:
    """Return the catalogue at the epoch of a visit."""
    if visit.references is None or visit.info.mjd is None:
        return visit.references
    return visit.references.at_epoch(visit.info.mjd)
