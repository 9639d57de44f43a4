"""calibrateImage's zero point of a simulated survey, fitted again without some of the stars.

Its field has seen the stars that it is scored on, whereas a global fit is scored on stars that were
reserved. To compare the two evenly, each detector image is fitted once for each part of the stars,
without their sources, by calibrateImage's own function with its default parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drpflow.algorithms.photometry import calibrate_photometry
from drpflow.config.photometry import PhotometryConfig, ZeroPointFieldConfig
from drpflow.data.geometry import Box
from drpflow.errors import AlgorithmError, MissingDatasetError
from drpflow.io.reference_stars import read_reference_stars
from drpflow.io.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from drpflow.data.camera import Camera
    from drpflow.data.photo_calib import PhotoCalib
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

DEFAULT = PhotometryConfig()
CONSTANT = PhotometryConfig(field=ZeroPointFieldConfig(order=0))
"""One zero point for all of a detector."""
_MARGIN = 1.3
"""Reference stars are taken from a circle wider than a detector by this factor."""


@dataclass(frozen=True, eq=False)
class Image:
    """What the zero point of a detector image is fitted to.

    Parameters
    ----------
    columns
        Sources of calibrateImage.
    wcs
        Of the detector.
    references
        Stars about it, at the time of the visit.
    band, box
        Band of the visit, and the detector's pixels.
    stored
        What calibrateImage found.
    """

    columns: Columns
    wcs: SkyWcs
    references: ReferenceStars
    band: str
    box: Box
    stored: PhotoCalib

    def without(
        self, source_ids: NDArray[np.int64], config: PhotometryConfig = DEFAULT
    ) -> PhotoCalib | None:
        """Return the calibration that the other sources give, None if they give none."""
        left = ~np.isin(self.columns["sourceId"], source_ids)
        columns = {name: values[left] for name, values in self.columns.items()}
        try:
            fit = calibrate_photometry(
                columns, self.wcs, self.references, self.band, self.box, config
            )
        except AlgorithmError:
            return None
        return fit.zero_point.photo_calib()

    def change_mag(self) -> float:
        """Return the largest difference from what is stored when no source is left out."""
        again = self.without(np.zeros(0, np.int64))
        if again is None:
            return np.nan
        nodes = np.linspace(0, 1, 9)
        x, y = (g.ravel() for g in np.meshgrid(nodes * self.box.x1, nodes * self.box.y1))
        ratio = again.flux_to_njy(np.ones(x.size), x, y)
        ratio /= self.stored.flux_to_njy(np.ones(x.size), x, y)
        return float(np.max(np.abs(2.5 * np.log10(ratio))))


def read_images(
    folder: Path, infos: Mapping[int, VisitInfo], camera: Camera
) -> dict[tuple[int, int], Image]:
    """Return the detector images of a survey that calibrateImage calibrated."""
    store = Store(folder / "results")
    images = {}
    for visit, info in infos.items():
        for detector in camera.detectors:
            where = {"visit": visit, "detector": detector.id}
            try:
                stored = store.get("initial_visit_summary.photo_calib", **where)
                wcs = store.get("initial_visit_summary.wcs", **where)
            except MissingDatasetError:
                continue
            nx, ny = detector.size_pix
            images[visit, detector.id] = Image(
                store.get("initial_stars_detector", **where).to_dict(),
                wcs,
                _references(folder, wcs, info, detector.size_pix),
                info.band,
                Box(0, nx, 0, ny),
                stored,
            )
    return images


def _references(
    folder: Path, wcs: SkyWcs, info: VisitInfo, size_pix: tuple[int, int]
) -> ReferenceStars:
    center = (size_pix[0] - 1) / 2, (size_pix[1] - 1) / 2
    ra, dec = wcs.pixel_to_world_values(*center)
    radius_deg = _MARGIN * np.hypot(*size_pix) / 2 * wcs.pixel_scale_arcsec(*center) / 3600
    path = folder / "reference/reference_stars.parquet"
    stars = read_reference_stars(path, float(ra), float(dec), float(radius_deg))
    return stars if info.mjd is None else stars.at_epoch(info.mjd)


def largest_change_mmag(images: Mapping[tuple[int, int], Image]) -> float:
    """Return the largest difference from what is stored when nothing is held out."""
    return 1e3 * float(np.max([image.change_mag() for image in images.values()]))


__all__ = ["CONSTANT", "DEFAULT", "Image", "largest_change_mmag", "read_images"]
