"""What the report shows of a visit, gathered from the products of its tasks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.detector_info import DetectorInfo
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.errors import MissingDatasetError
from drpflow.qa.astrometry_figures import Residuals
from drpflow.qa.psf_figures import PsfGrid, StarShapes, sample_psf
from drpflow.qa.star_figures import Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.data.background import Background
    from drpflow.data.camera import Detector
    from drpflow.data.exposure import Exposure
    from drpflow.data.table import Table
    from drpflow.data.visit_info import VisitInfo
    from drpflow.io.store import Store

SUMMARY, STARS, THUMBNAIL = "initial_visit_summary", "initial_stars", "initial_thumbnail"
_BACKGROUND_SIDE = 64
_MAS_PER_ARCSEC = 1e3


@dataclass(frozen=True)
class VisitData:
    """One visit.

    Parameters
    ----------
    visit
        Its number.
    info
        Its metadata, None if they are not known.
    summary
        Its ``initial_visit_summary``.
    stars
        Its ``initial_stars``, None if there are none.
    detectors
        By id, those that are known by position.
    thumbnails
        Images in large blocks, all in one unit.
    backgrounds
        Background on a coarse grid, electrons.
    """

    visit: int
    info: VisitInfo | None
    summary: Table
    stars: Table | None = None
    detectors: dict[int, Detector] = field(default_factory=dict)
    thumbnails: dict[int, Exposure] = field(default_factory=dict)
    backgrounds: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def band(self) -> str:
        """Band, or a dash."""
        return self.info.band if self.info is not None and self.info.band else "–"

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers of the summary, NaN where it does not exist."""
        if name not in self.summary:
            return np.full(len(self.summary), np.nan)
        return self.summary[name].astype(np.float64)

    def text(self, name: str) -> list[str]:
        """Return a column of texts of the summary, empty where it does not exist."""
        if name not in self.summary:
            return [""] * len(self.summary)
        return [str(value) for value in self.summary[name]]

    @property
    def fwhm_arcsec(self) -> NDArray[np.float64]:
        """Width of the PSF in the middle of each detector, 2.355 σ."""
        return 2.3548 * self.column("psfSigma") * self.column("pixelScale")

    @property
    def ellipticity(self) -> NDArray[np.float64]:
        """Of the PSF in the middle of each detector: √(e1² + e2²) of its distortions."""
        xx, yy, xy = (self.column(f"psfI{axes}") for axes in ("xx", "yy", "xy"))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.hypot(xx - yy, 2 * xy) / (xx + yy)

    def component(self, name: str, detector: int) -> Any:
        """Return a component of a detector, None where it is missing."""
        try:
            return self.summary.component(name, detector=detector)
        except MissingDatasetError:
            return None

    def psf_grids(self) -> dict[int, PsfGrid]:
        """Return the PSF of each detector that has one."""
        scales = dict(
            zip(self.summary["detector"].tolist(), self.column("pixelScale"), strict=True)
        )
        found = {}
        for key, detector in self.detectors.items():
            psf = self.component("psf", key)
            if psf is not None:
                found[key] = sample_psf(psf, detector, float(scales[key]))
        return found

    def psf_stars(self) -> dict[int, StarShapes]:
        """Return sizes of the stars of which the PSF was made, and of those that were kept out."""
        found = {}
        for key, columns in self._by_detector("calib_psf_candidate"):
            trace, model = columns["ixx"] + columns["iyy"], columns["ixxPSF"] + columns["iyyPSF"]
            with np.errstate(invalid="ignore", divide="ignore"):
                excess = trace / model - 1
            good = np.isfinite(excess) & (columns["calib_psf_used"] | columns["calib_psf_reserved"])
            found[key] = StarShapes(
                columns["x"][good],
                columns["y"][good],
                excess[good],
                columns["calib_psf_reserved"][good],
            )
        return found

    def sizes(self) -> Sizes | None:
        """Return brightness and size of the visit's sources, None without any."""
        if self.stars is None:
            return None
        columns = self.stars.to_dict()
        real = columns["detect_isPrimary"] & ~columns["shape_flag"]
        flux = columns["psfFlux"][real]
        calibrated = bool(np.isfinite(flux).any())
        if not calibrated:
            flux = columns["psfFlux_instFlux"][real]
        with np.errstate(invalid="ignore", divide="ignore"):
            magnitude = (NJY_ZERO_POINT_MAG if calibrated else 0.0) - 2.5 * np.log10(flux)
            size = np.sqrt((columns["ixx"][real] + columns["iyy"][real]) / 2)
        used = columns["calib_psf_used"] | columns["calib_psf_reserved"]
        return Sizes(magnitude, size, used[real], calibrated)

    def residuals(self) -> dict[int, Residuals]:
        """Return where stars lie from their reference stars."""
        found = {}
        for key, columns in self._by_detector("reference_id"):
            wcs = self.component("wcs", key)
            x, y = columns["x"], columns["y"]
            dx = dy = np.full(len(x), np.nan)
            if wcs is not None and "reference_offset_ra" in columns:
                offset = np.stack(
                    [columns["reference_offset_ra"], columns["reference_offset_dec"]], 1
                )
                jacobian = wcs.linearize(x, y)
                scale = wcs.pixel_scale_arcsec(x, y) * _MAS_PER_ARCSEC
                pixels = np.linalg.solve(jacobian, offset[:, :, None].astype(np.float64))[:, :, 0]
                dx, dy = scale * pixels[:, 0], scale * pixels[:, 1]
            distance = _MAS_PER_ARCSEC * columns["reference_separation"]
            found[key] = Residuals(x, y, dx, dy, distance, columns["calib_astrometry_used"])
        return found

    def _by_detector(self, chosen: str) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Yield the stars of each detector for which a column is not zero."""
        if self.stars is None or chosen not in self.stars:
            return
        stars = self.stars.select(self.stars[chosen] != 0)
        columns = stars.to_dict()
        for key in self.detectors:
            mine = columns["detector"] == key
            if mine.any():
                yield key, {name: values[mine] for name, values in columns.items()}


def read_visit(store: Store, visit: int, *, pixels: bool = True) -> VisitData:
    """Return one visit. What is missing of it is left out.

    Parameters
    ----------
    store
        The run.
    visit
        A visit that consolidateVisit has seen.
    pixels
        Read images and backgrounds too.
    """
    summary = store.get(SUMMARY, visit=visit)
    stars = store.get(STARS, visit=visit) if store.exists(STARS, visit=visit) else None
    if stars is not None and not len(stars):
        stars = None
    info = store.get("visit_info", visit=visit) if store.exists("visit_info", visit=visit) else None
    found = VisitData(visit, info, summary, stars)
    for key in summary["detector"].tolist():
        about = found.component("detector", key)
        if isinstance(about, DetectorInfo):
            found.detectors[key] = about.detector
        if pixels and store.exists("initial_background", visit=visit, detector=key):
            background = store.get("initial_background", visit=visit, detector=key)
            if background.layers and key in found.detectors:
                found.backgrounds[key] = coarse_background(background, found.detectors[key])
    if pixels:
        found.thumbnails.update(_thumbnails(store, found))
    return found


def coarse_background(background: Background, detector: Detector) -> NDArray[np.float32]:
    """Return a background at some places along each side of a detector."""
    nx, ny = detector.size_pix
    middles = (np.arange(_BACKGROUND_SIDE) + 0.5) / _BACKGROUND_SIDE
    x, y = middles * nx - 0.5, middles * ny - 0.5
    total = sum(layer.evaluate_grid(x, y) for _, layer in background.layers)
    return np.asarray(total, np.float32)


def _thumbnails(store: Store, of: VisitData) -> dict[int, Exposure]:
    """Return the images in the unit that most of them have; one without pixels is left out."""
    found = {}
    for data_id in store.query(THUMBNAIL, visit=of.visit):
        image = store.get(THUMBNAIL, **data_id)
        if np.isfinite(image.image).any():
            found[int(data_id["detector"])] = image
            if isinstance(image.detector, DetectorInfo):
                of.detectors.setdefault(int(data_id["detector"]), image.detector.detector)
    units = Counter(image.unit for image in found.values())
    return {key: image for key, image in found.items() if image.unit == units.most_common(1)[0][0]}
