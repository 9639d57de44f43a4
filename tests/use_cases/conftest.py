"""A small survey with truth: two visits of two detectors, calibrated once and then better."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from drpflow import Store
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.background import Background, MeshLayer, PolynomialLayer
from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Optics
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.transmission import TransmissionCurve
from drpflow.data.visit_info import VisitInfo
from drpflow.paths import share_root
from tests.io.conftest import free_tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NX, NY = 96, 80
BOX = Box(0, NX, 0, NY)
DOMAIN = Domain(-0.5, NX - 0.5, -0.5, NY - 0.5)
VISITS, DETECTORS = (12, 15), (0, 3)


def detector(number: int) -> Detector:
    amplifier = Amplifier(
        name="A",
        data_section=(0, NX, 0, NY),
        raw_data_section=(0, NX, 0, NY),
        gain=1.5,
        read_noise=5.0,
        saturation=60000.0,
    )
    return Detector(
        id=number,
        name=f"CCD{number}",
        size_pix=(NX, NY),
        center_mm=(-1.0 if number == 0 else 1.0, 0.2),
        rotation_deg=0.3 * number,
        pixel_size_mm=0.015,
        amplifiers=(amplifier,),
    )


CAMERA = Camera(
    name="twochip",
    optics=Optics(plate_scale_arcsec_per_mm=13.0, radius_mm=30.0, radial=(2e-3,)),
    detectors=tuple(detector(n) for n in DETECTORS),
    filters=(Filter(physical_filter="r_01", band="r"),),
)


def polynomial(*values: float) -> Polynomial2D:
    """A plane over the detector from the three coefficients of first order."""
    return Polynomial2D(Basis2D(1, DOMAIN, "chebyshev"), np.array(values))


def visit_info(visit: int) -> VisitInfo:
    return VisitInfo(
        visit=visit,
        instrument="twochip",
        physical_filter="r_01" if visit == 12 else "g_01",
        band="r" if visit == 12 else "g",
        exposure_time_s=30.0,
        mjd=60000.25 + visit / 1000,
        ra_deg=150.1,
        dec_deg=2.2,
        rotation_deg=10.0,
        recorded_airmass=1.2,
        target="COSMOS",
    )


@dataclass
class Truth:
    """What a detector saw: electrons, and calibration and background, first and final."""

    detrended: np.ndarray
    variance: np.ndarray
    first: dict[str, Any] = field(default_factory=dict)
    final: dict[str, Any] = field(default_factory=dict)

    @property
    def final_njy(self) -> np.ndarray:
        """The pixels as the final calibration wants them, in float64."""
        background = self.final["background"].image(BOX)
        x, y = np.meshgrid(BOX.x, BOX.y)
        factor = self.final["photo_calib"].factor(x, y)
        return (self.detrended.astype(np.float64) - background) * factor


def make_truth(visit: int, number: int) -> Truth:
    rng = np.random.default_rng([1, visit, number])
    sky = 200.0 + 20.0 * rng.random()
    detrended = rng.normal(sky, np.sqrt(sky), (NY, NX)).astype(np.float32)
    detrended[40:44, 50:54] += 5000.0
    wcs = SkyWcs.from_camera(CAMERA, number, 150.1, 2.2, 10.0)
    first_calib = PhotoCalib.from_zero_point(27.0 + 0.1 * number)
    mesh = MeshLayer.on_box(BOX, sky + rng.normal(0, 1, (4, 4)))
    first_background = Background((("local", mesh),), "electron")
    final_calib = PhotoCalib(first_calib.mean * 1.02, 0.1, polynomial(1.0, 0.01, -0.02))
    level = PolynomialLayer(polynomial(sky + 0.5, 0.4, -0.3))
    ap_corr = ApCorrMap({"psfFlux": ApCorr(polynomial(1.01, 0.0, 0.001), 0.002)})
    first = {
        "wcs": wcs,
        "psf": GaussianPsf(2.0 + 0.1 * number),
        "photo_calib": first_calib,
        "ap_corr": ap_corr,
        "background": first_background,
        "valid_polygon": ValidPolygon.from_box(BOX),
        "visit_info": visit_info(visit),
        "detector": DetectorInfo(CAMERA.detector(number), "twochip"),
    }
    final = {
        "wcs": wcs.with_pointing(150.1002, 2.2001),
        "psf": GaussianPsf(2.05 + 0.1 * number),
        "photo_calib": final_calib,
        "ap_corr": ApCorrMap({"psfFlux": ApCorr(polynomial(1.02, 0.0, 0.002), 0.001)}),
        "background": Background((("visit", level),), "electron"),
        "transmission": TransmissionCurve.from_table([550, 600, 650], [0.1, 0.8, 0.1]),
        "valid_polygon": ValidPolygon.from_box(BOX),
    }
    return Truth(detrended, (detrended + 25).astype(np.float32), first, final)


def first_exposure(truth: Truth) -> Exposure:
    """The exposure as the first look leaves it: background off, calibrated."""
    pixels = truth.first["background"].subtract(truth.detrended)
    image, variance = truth.first["photo_calib"].calibrate_image(pixels, truth.variance)
    mask = Mask.zeros((NY, NX))
    mask.set("SAT", (slice(40, 44), slice(50, 54)))
    return Exposure(
        image,
        mask,
        variance,
        unit="nJy",
        components=truth.first,
        missing={"transmission": "no throughput was given"},
    )


@dataclass
class Survey:
    """A store with its truth by (visit, detector)."""

    root: Path
    store: Store
    truth: dict[tuple[int, int], Truth]

    def fresh(self, *roots: Path) -> Store:
        """A store that has read nothing yet."""
        return Store(roots or self.root, self.store.table)

    def put_summary(self, name: str, visit: int, stage: str, *, without: str = "") -> None:
        """Store the components of a visit, a row a detector."""
        held = self.store.table.dataset(name).holds
        rows = {}
        for number in DETECTORS:
            have = getattr(self.truth[visit, number], stage)
            components = {k: v for k, v in have.items() if k in held and k != without}
            missing = {without: "too few stars"} if without else {}
            rows[number] = ComponentRow(components, missing)
        extra = {"nStars": np.arange(len(rows))} if name != "visit_background" else {}
        self.store.put(ComponentTable(rows, extra), name, visit=visit)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """The survey as written once; tests work on copies."""
    root = tmp_path_factory.mktemp("survey") / "results"
    store = Store(root, free_tables())
    truth = {(v, d): make_truth(v, d) for v in VISITS for d in DETECTORS}
    survey = Survey(root, store, truth)
    for (visit, number), item in truth.items():
        store.put(first_exposure(item), "initial_pvi", visit=visit, detector=number)
    for visit in VISITS:
        survey.put_summary("initial_visit_summary", visit, "first")
        survey.put_summary("final_visit_summary", visit, "final")
        survey.put_summary("visit_background", visit, "final")
    return survey


@pytest.fixture
def make_survey(built: Survey, tmp_path: Path) -> Callable[..., Survey]:
    def make(table: Any = None) -> Survey:
        root = tmp_path / "results"
        shutil.copytree(built.root, root)
        return Survey(root, Store(root, table or free_tables()), built.truth)

    return make


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every read of pixels fail."""

    def refuse(self: Any, name: str, box: Box) -> Any:
        raise AssertionError(f"{name} of {self.path} was read")

    monkeypatch.setattr("drpflow.io.fits_index.FitsIndex.pixels", refuse)


@pytest.fixture
def extended_table(tmp_path: Path) -> Callable[[str], Path]:
    """Return drpflow's table of dataset types with more of them; tables may have any columns."""

    def extend(extra: str) -> Path:
        values = yaml.safe_load((share_root() / "config/datasets.yaml").read_text())
        for entry in values["datasets"].values():
            entry.pop("table_schema", None)
        for group, entries in yaml.safe_load(extra).items():
            values[group].update(entries)
        path = tmp_path / "datasets.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return extend


def files_below(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file, to see whether anything was written."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(name="files_below")
def _files_below() -> Callable[[Path], dict[Path, tuple[int, int]]]:
    return files_below


@pytest.fixture
def survey(make_survey: Callable[..., Survey]) -> Survey:
    return make_survey()
