"""A made-up visit of small detectors as finalizeCharacterization gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from drpflow.data.camera import Camera, Filter, Optics
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.sky_wcs import SkyWcs
from drpflow.errors import MissingDatasetError
from drpflow.tasks.finalize_characterization import FirstLook, VisitStars
from tests.algorithms.final_characterization.visit_images import (
    DetectorImage,
    detector_image,
    make_detector,
)

VISIT = 7
NJY_PER_ELECTRON = 3.0


def make_camera() -> Camera:
    """Four detectors in a row."""
    return Camera(
        name="rowcam",
        optics=Optics(plate_scale_arcsec_per_mm=20.0),
        filters=(Filter(physical_filter="g", band="g"), Filter(physical_filter="i", band="i")),
        detectors=tuple(make_detector(k) for k in range(4)),
    )


@dataclass(frozen=True)
class MadeUp:
    """A visit, its images, and the way to them."""

    visit: VisitStars
    images: dict[int, DetectorImage]
    lost: tuple[int, ...] = ()

    def exposure(self, detector: int) -> Exposure:
        """Return ``initial_pvi``, in nJy."""
        if detector in self.lost:
            raise MissingDatasetError("it does not exist")
        found = self.images[detector]
        calib = PhotoCalib(NJY_PER_ELECTRON)
        image, variance = calib.calibrate_image(found.image, found.variance)
        return Exposure(
            image, Mask.zeros(image.shape), variance, unit="nJy", components={"photo_calib": calib}
        )


def make_visit(
    numbers: tuple[int, ...] = (34, 3, 30, 32),
    seed: int = 1,
    *,
    lost: tuple[int, ...] = (),
    reserved_share: float = 0.15,
) -> MadeUp:
    """Return a visit with so many stars on its detectors."""
    rng = np.random.default_rng(seed)
    camera = make_camera()
    images = {k: detector_image(make_detector(k), n, rng) for k, n in enumerate(numbers)}
    known, parts = {}, []
    for k, image in images.items():
        wcs = SkyWcs.from_camera(camera, k, 150.0, -20.0, 0.0)
        known[k] = FirstLook(None, wcs, 0.002, (image.x, image.y))
        parts.append(_sources(k, image, wcs, reserved_share, rng))
    sources = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return MadeUp(VisitStars(VISIT, "g", camera, known, sources, "g-i"), images, lost)


def _sources(
    detector: int, image: DetectorImage, wcs: SkyWcs, share: float, rng: np.random.Generator
) -> dict[str, Any]:
    n = len(image.x)
    ra, dec = wcs.pixel_to_world_values(image.x, image.y) if n else np.zeros((2, 0))
    error = 60 / np.sqrt(image.flux)
    reserved = rng.uniform(size=n) < share
    if n <= 3:
        reserved[:] = False
    return {
        "isolated_star_id": 1000 * detector + np.arange(n) + 1,
        "sourceId": 5000 * detector + np.arange(n) + 1,
        "detector": np.full(n, detector, np.int32),
        "reserved": reserved,
        "x": image.x + rng.normal(0, 0.02, n),
        "y": image.y + rng.normal(0, 0.02, n),
        "xErr": np.full(n, 0.02),
        "yErr": np.full(n, 0.02),
        "ixx": np.full(n, 4.0),
        "iyy": np.full(n, 4.0),
        "ixy": np.zeros(n),
        "shape_flag": np.zeros(n, bool),
        "psfFlux_instFlux": image.flux,
        "psfFlux_instFluxErr": error,
        "psfFlux_apCorr": np.ones(n),
        "psfFlux_apCorrErr": np.zeros(n),
        "psfFlux_flag": np.zeros(n, bool),
        "pixelFlags_suspect": np.zeros(n, bool),
        "color": image.color,
        "ra": np.asarray(ra, float),
        "dec": np.asarray(dec, float),
        "place_err": np.full(n, 2.0),
    }
