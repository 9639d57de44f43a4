"""A detector from its detrended image to the final one, by both routes, in memory and in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import yaml

from drpflow import Store
from drpflow.algorithms.final_image.pixels import fill_cosmic_rays, final_pixels
from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.camera import Camera, Filter, Optics
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf
from drpflow.data.recalibration import PixelCalibration
from drpflow.data.visit_info import VisitInfo
from drpflow.io.schemas import load_schema
from tests.algorithms.isr.cameras import two_by_two

if TYPE_CHECKING:
    from pathlib import Path

NX, NY, SKY_ELECTRON, STAR_ELECTRON = 160, 120, 3000.0, 4e5
ID = {"visit": 12, "detector": 3}
VISIT = VisitInfo(12, instrument="test", physical_filter="r", band="r", exposure_time_s=30.0)


@dataclass
class Images:
    """The detrended image, the final one made by way of a first calibration, and its background."""

    detrended: Exposure
    pvi: Exposure
    background: Background


def polynomial(mean: float, slope: float) -> Polynomial2D:
    basis = Basis2D(1, Domain(-0.5, NX - 0.5, -0.5, NY - 0.5), "chebyshev")
    return Polynomial2D(basis, mean * np.array([1.0, slope, -slope / 2]))


def layers(mean: float, slope: float) -> Background:
    return Background((("sky", PolynomialLayer(polynomial(mean, slope))),))


def make_images(seed: int = 1) -> Images:
    """A bright star on a bright sky, with cosmic rays, a column filled by isr and a dead corner."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:NY, :NX]
    light = SKY_ELECTRON * (1 + 0.02 * x / NX)
    light = light + STAR_ELECTRON * np.exp(-((x - 70.3) ** 2 + (y - 60.8) ** 2) / 8) / (8 * np.pi)
    image = (rng.poisson(light) + rng.normal(0, 5, light.shape)).astype(np.float32)
    mask = Mask.zeros(image.shape)
    mask.set("DETECTED", np.hypot(x - 70.3, y - 60.8) < 14)
    image[:, 30] = 0.5 * (image[:, 29] + image[:, 31])
    mask.array[:, 30] |= mask.bit(("BAD", "INTRP"))
    variance = (image + 25).astype(np.float32)
    image[:6, :6], variance[:6, :6] = np.nan, np.nan
    mask.set("NO_DATA", (slice(0, 6), slice(0, 6)))
    for row, column in rng.integers(8, NY - 8, (12, 2)):
        image[row, column : column + 4] += 5000.0
        mask.array[row, column : column + 4] |= mask.bit("CR")
    detrended = Exposure(image, mask.copy(), variance, unit="electron")
    detrended.mask.clear("CR")
    components = {
        "photo_calib": PhotoCalib(7.3, 0.01, polynomial(1.0, 0.03)),
        "background": layers(1.002 * SKY_ELECTRON, 0.011),
        "psf": GaussianPsf(2.0),
        "visit_info": VISIT,
        "detector": DetectorInfo(two_by_two(NX, NY), "test"),
    }
    return Images(detrended, _final(detrended, mask, components), components["background"])


def _final(detrended: Exposure, mask: Mask, components: dict) -> Exposure:
    """Return the final image by way of a first calibration, with its roundings and its filling."""
    first = PixelCalibration(PhotoCalib(6.9), layers(0.99 * SKY_ELECTRON, 0.008))
    image, variance, none = detrended.image.copy(), detrended.variance.copy(), (0, 0)
    fill_cosmic_rays(image, variance, mask.copy())  # before the sky is off: other values
    image, variance = first.apply(image, none), first.apply_to_variance(variance, none)
    wanted = PixelCalibration(components["photo_calib"], components["background"])
    image, variance = final_pixels(image, variance, first, wanted)
    final = mask.copy()
    fill_cosmic_rays(image, variance, final)
    return Exposure(image, final, variance, unit="nJy", components=components)


def write_run(folder: Path, images: Images) -> Store:
    """Write the inputs of compressImage and rebuildImage where a run has them."""
    camera = Camera(
        name="test",
        optics=Optics(plate_scale_arcsec_per_mm=20.0),
        detectors=(two_by_two(NX, NY),),
        filters=(Filter(physical_filter="r", band="r"),),
    )
    (folder / "camera.yaml").write_text(yaml.safe_dump(camera.model_dump(mode="json")))
    store = Store(folder / "results")
    store.put(images.pvi, "pvi", **ID)
    seen = images.detrended.replace(
        visit_info=VISIT, detector=DetectorInfo(two_by_two(NX, NY), "test")
    )
    store.put(seen, "post_isr_image", **ID)
    put_background(store, images.background)
    return store


def put_background(store: Store, background: Background | None) -> None:
    row = ComponentRow({"background": background}, {} if background else {"background": "no sky"})
    schema = load_schema("visit_background")
    inner = schema.without({"visit", "detector"})
    columns = {
        c.name: np.zeros(1, c.type if c.type != "str" else "U1")
        for c in inner.columns
        if not c.name.startswith("component_")
    }
    store.put(ComponentTable({3: row}, columns), "visit_background", visit=12)
