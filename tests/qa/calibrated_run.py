"""Products of calibrated visits without any pixels behind them, for the report to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from drpflow.data.background import Background, MeshLayer
from drpflow.data.camera import Amplifier, Camera, Detector
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.table import Table
from drpflow.data.visit_info import VisitInfo
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store

SIDE = 512
LOST = 2
"""Detector of the first visit that has nothing."""


def detector(number: int) -> Detector:
    """Return one of four, two a row, turned by multiples of 90 degrees."""
    section = (0, SIDE, 0, SIDE)
    amplifier = Amplifier(
        name="A", data_section=section, raw_data_section=section, gain=1, read_noise=5,
        saturation=60000,
    )  # fmt: skip
    pitch = 0.015 * SIDE + 0.5
    return Detector(
        id=number, name=f"S{number}", size_pix=(SIDE, SIDE),
        center_mm=(pitch * (number % 2 - 0.5), pitch * (number // 2 - 0.5)),
        rotation_deg=90.0 * number, pixel_size_mm=0.015, amplifiers=(amplifier,),
    )  # fmt: skip


DETECTORS = tuple(detector(number) for number in range(4))


def elongated_psf(e1_deg: float) -> PixelGridPsf:
    """Return a PSF that grows along x; its major axis lies at an angle from +x towards +y."""
    y, x = np.mgrid[-12:13, -12:13].astype(float)
    t = np.deg2rad(e1_deg)
    along, across = x * np.cos(t) + y * np.sin(t), y * np.cos(t) - x * np.sin(t)
    planes = []
    for sigma in (2.0, 2.1):
        gauss = np.exp(-0.5 * ((along / (1.03 * sigma)) ** 2 + (across / (0.97 * sigma)) ** 2))
        planes.append(gauss / gauss.sum())
    basis = Basis2D(1, Domain(-0.5, SIDE - 0.5, -0.5, SIDE - 0.5))
    zero = np.zeros_like(planes[0])
    slope = (planes[1] - planes[0]) / 2
    order = [np.asarray(basis.design([x], [0.0]))[0] for x in (-0.5, SIDE - 0.5)]
    along_x = int(np.argmax(np.abs(order[1] - order[0])))
    coefficients = [(planes[0] + planes[1]) / 2, zero, zero]
    coefficients[along_x] = slope
    return PixelGridPsf(basis, np.array(coefficients))


def wcs(number: int, ra_deg: float) -> SkyWcs:
    """Return the WCS of a detector."""
    camera = Camera.model_validate(
        {
            "name": "testcam",
            "optics": {"plate_scale_arcsec_per_mm": 13.333, "radius_mm": 20},
            "detectors": [d.model_dump() for d in DETECTORS],
            "filters": [{"physical_filter": "sim_r", "band": "r"}],
        }
    )
    return SkyWcs.from_camera(camera, number, ra_deg, -12.3, 30.0)


def write_run(root: Path, bands: str = "r", offsets: bool = True) -> Store:
    """Write the products of one visit for each letter of `bands`.

    Parameters
    ----------
    root
        Output root.
    bands
        Their bands.
    offsets
        Whether the stars say in which direction their reference star lies.
    """
    store = Store(root)
    for number, band in enumerate(bands):
        _write_visit(store, 7 + number, band, np.random.default_rng([5, number]), offsets)
    return store


def _write_visit(
    store: Store, visit: int, band: str, rng: np.random.Generator, offsets: bool
) -> None:
    info = VisitInfo(
        visit=visit, instrument="testcam", physical_filter=f"sim_{band}", band=band,
        night="20250203", exposure_time_s=30.0,
    )  # fmt: skip
    store.put(info, "visit_info", visit=visit)
    rows, stars = {}, []
    for d in DETECTORS:
        lost = visit == 7 and d.id == LOST
        about = {"detector": DetectorInfo(d, "testcam")}
        if lost:
            rows[d.id] = ComponentRow(about, {"psf": "no stars", "wcs": "no stars"})
        else:
            rows[d.id] = ComponentRow(about | {"psf": elongated_psf(20), "wcs": wcs(d.id, 150.1)})
            stars.append(_stars(visit, d.id, rng))
        store.put(_thumbnail(d, info, rng, lost), "initial_thumbnail", visit=visit, detector=d.id)
        layers = () if lost else (("mesh", _mesh(rng)),)
        store.put(Background(layers), "initial_background", visit=visit, detector=d.id)
    summary = ComponentTable(rows, _summary(visit, rng))
    store.put(summary, "initial_visit_summary", visit=visit)
    columns = {name: np.concatenate([s[name] for s in stars]) for name in stars[0]}
    shift = rng.normal(0, 0.01, (2, len(columns["x"])))
    columns["reference_separation"] = np.hypot(*shift).astype(np.float32)
    shift = shift if offsets else np.full_like(shift, np.nan)
    columns |= {"reference_offset_ra": shift[0], "reference_offset_dec": shift[1]}
    schema = store.table.dataset("initial_stars").table_schema
    if schema:
        columns = {c.name: columns[c.name] for c in load_schema(schema).columns}
    store.put(Table.from_columns(columns), "initial_stars", visit=visit)


def _stars(visit: int, number: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return 40 stars: every fifth is reserved, every tenth saturated."""
    count = 40
    k = np.arange(count)
    columns: dict[str, Any] = {
        c.name: np.zeros(count, np.dtype(c.type))
        for c in load_schema("initial_stars_detector").columns
    }
    columns |= {
        "visit": np.full(count, visit),
        "detector": np.full(count, number, np.int32),
        "sourceId": 1000 * visit + 100 * number + k,
        "x": rng.uniform(0, SIDE, count),
        "y": rng.uniform(0, SIDE, count),
        "ixx": 4.4 * rng.normal(1, 0.02, count),
        "iyy": 4.4 * rng.normal(1, 0.02, count),
        "psfFlux": 10 ** rng.uniform(3, 6, count),
        "ixxPSF": np.full(count, 4.4),
        "iyyPSF": np.full(count, 4.4),
        "reference_id": np.where(k < 30, 1 + k, 0),
        "reference_separation": rng.rayleigh(0.01, count).astype(np.float32),
        "calib_psf_candidate": k < 35,
        "calib_psf_used": (k < 35) & (k % 5 > 0),
        "calib_psf_reserved": (k < 35) & (k % 5 == 0),
        "calib_astrometry_used": k < 25,
        "detect_isPrimary": k < 38,
        "pixelFlags_saturated": k % 10 == 0,
        "sky_source": k >= 38,
    }
    return columns


def _thumbnail(d: Detector, info: VisitInfo, rng: np.random.Generator, lost: bool) -> Exposure:
    image = rng.normal(0, 3, (64, 64)).astype(np.float32)
    image[20 + d.id, 30] = 400
    mask = Mask.zeros((64, 64))
    mask.set("BAD", (slice(0, 4), slice(0, 64)))
    if lost:
        image[:] = np.nan
        mask.set("NO_DATA", (slice(None), slice(None)))
    return Exposure(
        image,
        mask,
        np.full((64, 64), 9, np.float32),
        unit="nJy",
        components={"detector": DetectorInfo(d, "testcam"), "visit_info": info},
        missing={"wcs": "the pixels were binned"},
    )


def _mesh(rng: np.random.Generator) -> MeshLayer:
    return MeshLayer.on_box(Box(0, SIDE, 0, SIDE), 300 + rng.normal(0, 2, (8, 8)))


def _summary(visit: int, rng: np.random.Generator) -> dict[str, Any]:
    first = visit == 7
    columns: dict[str, Any] = {}
    for column in load_schema("initial_visit_summary").columns:
        if column.name not in ("visit", "detector"):
            empty = [""] * 4 if column.type == "str" else np.full(4, np.nan)
            columns[column.name] = (
                empty if column.type in ("str", "float64") else np.zeros(4, np.dtype(column.type))
            )
    values = {
        "psfSigma": rng.normal(2.0, 0.02, 4), "psfIxx": np.full(4, 4.24),
        "psfIyy": np.full(4, 3.76), "psfIxy": np.zeros(4),
        "pixelScale": np.full(4, 0.2), "nPsfStar": np.full(4, 28.0),
        "psfTraceRadiusDelta": np.full(4, 0.1), "psfStarDeltaSizeMedian": np.full(4, 0.002),
        "psfStarDeltaSizeScatter": np.full(4, 0.03), "zeroPoint": rng.normal(31.25, 0.01, 4),
        "skyBg": rng.normal(300, 3, 4), "skyNoise": np.full(4, 18.0),
        "astromOffsetMean": rng.normal(0.0125, 0.001, 4), "astromOffsetStd": np.full(4, 0.006),
        "magLim": rng.normal(24.1, 0.05, 4), "effTime": rng.normal(22, 1, 4),
        "nAstromStar": np.full(4, 25.0), "nPhotomStar": np.full(4, 20.0),
        "maskedFraction": np.full(4, 0.0123),
    }  # fmt: skip
    if first:
        for column in values.values():
            column[LOST] = np.nan
    columns |= values
    columns["wcs_source"] = ["fit", "stars" if first else "fit", "none" if first else "fit", "fit"]
    columns["photo_calib_source"] = [
        "fit", "neighbors" if first else "fit", "none" if first else "fit", "fit",
    ]  # fmt: skip
    columns["lost"] = ["", "", "<no star> was found" if first else "", ""]
    columns["n_stars"] = np.array([38, 38, 0 if first else 38, 38], np.int32)
    return columns
