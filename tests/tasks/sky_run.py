"""Three visits of two detectors with a sky and stars, as files that scripts read."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Optics
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.psf import GaussianPsf
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.visit_info import VisitInfo
from drpflow.io.component_tables import write_component_table
from drpflow.io.exposure_write import write_exposure
from drpflow.io.records import write_component_json
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.tables import write_table
from drpflow.io.visit_background_files import SOURCE_COLUMNS
from drpflow.workflow.task_runner import main

SIDE, LEVEL, TAKEN, NJY = 256, 250.0, 240.0, 10.0
VISITS = (1, 2, 3)
RA, DEC = 150.0, -10.0
MJD = 60000.0
STARS = np.array([[60.0, 90.0], [200.0, 170.0]])
FLUX = np.array([4e6, 2e6])
_SCRIPTS = Path(__file__).parents[2] / "scripts"


def sky(detector: int) -> np.ndarray:
    """True sky of a detector, electrons: steeper on detector 1, which lies to the right."""
    x = np.arange(SIDE) + SIDE * detector
    return np.broadcast_to(LEVEL * (1 + 0.02 * x / SIDE), (SIDE, SIDE))


def wings() -> np.ndarray:
    """Light about the stars of detector 0."""
    y, x = np.mgrid[:SIDE, :SIDE]
    light = np.zeros((SIDE, SIDE))
    for (u, v), flux in zip(STARS, FLUX, strict=True):
        r = np.hypot(x - u, y - v)
        light += flux * (1e-3 / np.maximum(r, 3.0) ** 2 + np.exp(-0.5 * (r / 2) ** 2) / 25.1)
    return light


def camera() -> Camera:
    section = (0, SIDE, 0, SIDE)
    amplifier = Amplifier(name="A", data_section=section, raw_data_section=section, gain=1.0,
                          read_noise=5.0, saturation=6e4)  # fmt: skip
    return Camera(
        name="two",
        optics=Optics(plate_scale_arcsec_per_mm=40 / 3, radius_mm=20.0, radial=()),
        detectors=tuple(
            Detector(id=k, name=f"c{k}", size_pix=(SIDE, SIDE), center_mm=(3.84 * (k - 0.5), 0.0),
                     pixel_size_mm=0.015, amplifiers=(amplifier,))
            for k in (0, 1)
        ),
        filters=(Filter(physical_filter="sim_r", band="r"),),
    )  # fmt: skip


class SkyRun:
    """The files of the survey below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.detectors: dict[int, tuple[int, ...]] = {}
        self.without_wcs: set[tuple[int, int]] = set()
        self.camera = folder / "camera.yaml"
        self.camera.write_text(yaml.safe_dump(camera().model_dump(mode="json")))
        self.references = folder / "reference.parquet"
        self._write_references()
        for visit in VISITS:
            self._write_visit(visit)

    def path(self, name: str, visit: object = "{visit}") -> str:
        """Path of a dataset of a visit."""
        suffix = "json" if name == "visit_info" else "parquet"
        return str(self.folder / f"{name}/visit={visit}/{name}.{suffix}")

    def images(self, visit: int) -> list[str]:
        """Paths of the exposures of a visit."""
        return [self._image(visit, k) for k in self.detectors.get(visit, (0, 1))]

    def _image(self, visit: int, detector: int) -> str:
        return str(self.folder / f"initial_pvi/{visit}_{detector}.fits")

    def keep(self, visit: int, *detectors: int) -> None:
        """Leave a visit no other detectors than these."""
        self.detectors[visit] = detectors
        self._write_tables(visit)

    def lose_wcs(self, visit: int, detector: int) -> None:
        """Leave a detector of a visit without WCS."""
        self.without_wcs.add((visit, detector))
        self._write_tables(visit)

    def see(self, visit: int, place: tuple[float, float], flux: float) -> None:
        """Let a visit have seen a star at a place on the pixels of detector 0 [electrons]."""
        ra, dec = self._wcs(0).pixel_to_world_values(*place)
        star = {"ra": ra, "dec": dec, "psfFlux": flux * NJY}
        columns = {n: np.array([float(star.get(n, 0.0))]) for n in SOURCE_COLUMNS}
        path = Path(self.path("initial_stars", visit))
        write_table(path, columns, dataset="initial_stars", data_id={"visit": visit})

    def add_light(self, visit: int, light: Mapping[int, np.ndarray]) -> None:
        """Put further light [electrons] on the detectors of a visit."""
        for k, image in light.items():
            self._write_image(Path(self._image(visit, k)), visit, k, image)

    def run(self, script: str, key: str, *words: str) -> dict[str, Any]:
        """Run a script; return its status."""
        spec = importlib.util.spec_from_file_location(f"{script}_script", _SCRIPTS / f"{script}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        status = self.folder / f"status/{script}/{key}.json"
        assert main(module.TASK, [*words, "--status", str(status), "--code", "c"]) == 0
        return dict(json.loads(status.read_text()))

    def measure(self, visit: int, *more: str) -> dict[str, Any]:
        """Run measureSky."""
        words = ["--initial-pvi", *self.images(visit), *more]
        words += ["--sky-samples", self.path("sky_samples", visit)]
        return self.run("measure_sky", f"visit={visit}", "--visit", str(visit), *words)

    def frame(self, visits: str = "1-3", config: str = "{}") -> dict[str, Any]:
        """Run makeSkyFrame."""
        names = ("visit_info", "sky_samples", "initial_visit_summary", "initial_stars")
        words = [w for n in names for w in (f"--{n.replace('_', '-')}", self.path(n))]
        return self.run("make_sky_frame", "physical_filter=sim_r", "--camera", str(self.camera),
                        "--physical-filter", "sim_r", "--visits", visits, *words,
                        "--reference-stars", str(self.references), "--config", config,
                        "--sky-frame", str(self.folder / "sky_frame.parquet"),
                        "--sky-frame-stars",
                        str(self.folder / "sky_frame_stars.parquet"))  # fmt: skip

    def model(self, visit: int, config: str = "{}") -> dict[str, Any]:
        """Run modelVisitBackground."""
        names = ("visit_info", "sky_samples", "initial_visit_summary", "initial_stars",
                 "fgcm_photo_calib")  # fmt: skip
        words = [w for n in names for w in (f"--{n.replace('_', '-')}", self.path(n, visit))]
        return self.run("model_visit_background", f"visit={visit}", "--camera", str(self.camera),
                        "--visit", str(visit), *words, "--sky-frame",
                        str(self.folder / "sky_frame.parquet"), "--sky-frame-stars",
                        str(self.folder / "sky_frame_stars.parquet"), "--reference-stars",
                        str(self.references), "--config", config, "--visit-background",
                        self.path("visit_background", visit))  # fmt: skip

    def _wcs(self, detector: int) -> SkyWcs:
        return SkyWcs.from_camera(camera(), detector, RA, DEC, 0.0)

    def _write_references(self) -> None:
        ra, dec = self._wcs(0).pixel_to_world_values(*STARS.T)
        columns = {"id": np.arange(1, 3), "ra": ra, "dec": dec, "epoch": np.full(2, MJD)}
        columns |= {"flux_r": FLUX * NJY, "flux_r_err": FLUX * NJY * 1e-3}
        write_reference_stars(self.references, ReferenceStars.from_columns(columns))

    def _write_visit(self, visit: int) -> None:
        info = VisitInfo(visit, "two", "sim_r", "r", exposure_time_s=30.0, mjd=MJD, ra_deg=RA,
                         dec_deg=DEC, rotation_deg=0.0)  # fmt: skip
        Path(self.path("visit_info", visit)).parent.mkdir(parents=True)
        write_component_json(Path(self.path("visit_info", visit)), info)
        for k in (0, 1):
            self._write_image(Path(self._image(visit, k)), visit, k)
        self._write_tables(visit)
        sources = {name: np.zeros(0) for name in SOURCE_COLUMNS}
        path = Path(self.path("initial_stars", visit))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, sources, dataset="initial_stars", data_id={"visit": visit})

    def _write_tables(self, visit: int) -> None:
        """Write WCSs and zero points of the detectors that a visit has."""
        rows, zero_points = {}, {}
        for k in self.detectors.get(visit, (0, 1)):
            zero_points[k] = ComponentRow({"photo_calib": PhotoCalib(NJY)})
            rows[k] = ComponentRow({"wcs": self._wcs(k), "photo_calib": PhotoCalib(NJY)})
            if (visit, k) in self.without_wcs:
                rows[k] = ComponentRow({"photo_calib": PhotoCalib(NJY)}, {"wcs": "too few stars"})
        self._write_rows("initial_visit_summary", visit, rows, ("wcs", "photo_calib"))
        self._write_rows("fgcm_photo_calib", visit, zero_points, ("photo_calib",))

    def _write_rows(
        self, name: str, visit: int, rows: dict[int, ComponentRow], holds: tuple[str, ...]
    ) -> None:
        path = Path(self.path(name, visit))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_component_table(path, ComponentTable(rows), holds, "detector", dataset=name,
                              data_id={"visit": visit})  # fmt: skip

    def _write_image(
        self, path: Path, visit: int, detector: int, more: np.ndarray | float = 0.0
    ) -> None:
        rng = np.random.default_rng([visit, detector])
        light = sky(detector) + (wings() if detector == 0 else 0.0) + more
        background = Background((("mesh", PolynomialLayer.constant(TAKEN)),))
        image = background.subtract(rng.poisson(light).astype(np.float32))
        variance = np.full(image.shape, LEVEL, np.float32)
        calibration = PhotoCalib(NJY)
        image, scaled = calibration.calibrate_image(image, variance)
        assert scaled is not None
        components = {"background": background, "photo_calib": calibration,
                      "psf": GaussianPsf(2.0), "wcs": self._wcs(detector),
                      "detector": DetectorInfo(camera().detector(detector))}  # fmt: skip
        exposure = Exposure(
            image, Mask.zeros(image.shape), scaled, unit="nJy", components=components
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_exposure(path, exposure, dataset="initial_pvi",
                       data_id={"visit": visit, "detector": detector})  # fmt: skip
