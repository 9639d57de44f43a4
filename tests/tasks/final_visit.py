"""A small visit of which pixels and calibrations are known, as updateVisitSummary reads it.

Detrended pixels are ``sky + source / c`` with noise; the calibration c varies over the detector.
The first calibration and the first background are wrong by what the second look puts right.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.transmission import TransmissionCurve
from drpflow.data.visit_info import VisitInfo
from drpflow.io.component_tables import write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.store import Store
from drpflow.io.tables import write_table
from tests.tasks.astrometric_run import DEC_DEG, RA_DEG, SCALE_ARCSEC, SIZE_PIX, camera

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

VISIT, FILTER, BAND = 21, "r1", "r"
MJD, EXPOSURE_S = 60000.0, 30.0
ORDER, PIECES = 3, (257, 300)
SIGMA_PIX, READ_NOISE2 = 2.0, 25.0
NJY_PER_ELECTRON, FIRST_NJY_PER_ELECTRON = 3.0, 3.1
SKY, FIRST_SKY = 200.0, 190.0
N_STARS = 40
DOMAIN = Domain(-0.5, SIZE_PIX - 0.5, -0.5, SIZE_PIX - 0.5)
BOX = Box(0, SIZE_PIX, 0, SIZE_PIX)
TABLE = DatasetTable.load()
MEMBERS = {
    "initial_visit_summary": ("wcs", "valid_polygon", "detector"),
    "fgcm_photo_calib": ("photo_calib",),
    "final_characterization_summary": ("psf", "ap_corr"),
    "visit_background": ("background",),
    "final_astrometry_wcs": ("wcs",),
}
"""What the tables hold here."""


def true_calib() -> PhotoCalib:
    field_ = Polynomial2D(Basis2D(1, DOMAIN), np.array([1.0, 0.02, -0.01]))
    return PhotoCalib(NJY_PER_ELECTRON, 0.003 * NJY_PER_ELECTRON, field_)


def true_background() -> Background:
    level = Polynomial2D(Basis2D(1, DOMAIN), np.array([SKY, 20.0, -10.0]))
    return Background((("sky", PolynomialLayer(level)),))


@dataclass
class FinalVisitScene:
    """A run with one visit.

    Parameters
    ----------
    root
        Output root.
    wcs
        True WCSs by detector.
    source_njy
        Light of the sources in each pixel, by detector, without noise.
    noise_electron
        The noise that was added.
    tables
        Rows of each table of components, by detector; WCSs by ``final_astrometry_wcs`` and piece.
    columns
        Plain columns of these tables, one value a detector.
    """

    root: Path
    wcs: dict[int, SkyWcs] = field(default_factory=dict)
    source_njy: dict[int, Floats] = field(default_factory=dict)
    noise_electron: dict[int, Floats] = field(default_factory=dict)
    tables: dict[str, dict[int, ComponentRow]] = field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)

    def copied_to(self, root: Path) -> FinalVisitScene:
        """Return a copy of the run in another folder, which may be spoiled."""
        shutil.copytree(self.root, root)
        return replace(copy.deepcopy(self), root=root)

    def path(self, name: str, **data_id: Any) -> Path:
        return TABLE.path(self.root, name, **data_id)

    def spoil(self, table: str, detector: int, name: str, reason: str) -> None:
        """Take a component of a detector away."""
        row = self.tables[table][detector]
        kept = {n: c for n, c in row.components.items() if n != name}
        self.tables[table][detector] = ComponentRow(kept, {**row.missing, name: reason})

    def write_tables(self) -> None:
        """Write the tables of components."""
        for name, rows in self.tables.items():
            dataset, _, piece = name.partition("/")
            data_id = {"visit": VISIT, **({"skypix": int(piece)} if piece else {})}
            columns = {n: np.array([v] * len(rows)) for n, v in self.columns[name].items()}
            write_component_table(
                self.path(dataset, **data_id), ComponentTable(rows, columns), MEMBERS[dataset],
                "detector", dataset=dataset, data_id=data_id,
            )  # fmt: skip

    def arguments(self, **config: Any) -> list[str]:
        """Return the arguments of the script."""
        words = ["--camera", str(self.root / "camera.yaml"), "--order", str(ORDER)]
        words += ["--pieces", ",".join(map(str, PIECES))]
        for name in (
            "visit_info", "initial_visit_summary", "visit_background",
            "final_characterization_summary", "final_characterization_stars", "fgcm_photo_calib",
            "fgcm_transmission_atmosphere", "final_visit_summary",
        ):  # fmt: skip
            words += [f"--{name.replace('_', '-')}", str(self.path(name, visit=VISIT))]
        images = [self.path("initial_pvi", visit=VISIT, detector=d) for d in sorted(self.wcs)]
        words += ["--initial-pvi", *map(str, images)]
        wcs = self.root / TABLE.path_template("final_astrometry_wcs")
        words += ["--final-astrometry-wcs", str(wcs)]
        words += ["--reference-stars", str(self.root / "reference.parquet")]
        status = self.root / f"status/updateVisitSummary/visit={VISIT}.json"
        words += ["--status", str(status), "--code", "c"]
        return [*words, "--config", json.dumps(config)]


def make_visit(root: Path, seed: int = 3) -> FinalVisitScene:
    """Write a visit of four detectors, and return it."""
    rng = np.random.default_rng(seed)
    cam, scene = camera(), FinalVisitScene(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / "camera.yaml").write_text(yaml.safe_dump(cam.model_dump(mode="json")))
    info = VisitInfo(
        visit=VISIT, physical_filter=FILTER, band=BAND, mjd=MJD, exposure_time_s=EXPOSURE_S,
        ra_deg=RA_DEG + 0.003, dec_deg=DEC_DEG, rotation_deg=0.0, longitude_deg=20.0,
        latitude_deg=-30.0, recorded_hour_angle_deg=15.0,
    )  # fmt: skip
    store = Store(root)
    store.put(info, "visit_info", visit=VISIT)
    air = TransmissionCurve.from_table([300.0, 1100.0], [0.8, 0.8])
    store.put(air, "fgcm_transmission_atmosphere", visit=VISIT)
    stars, references = [], []
    for d in (detector.id for detector in cam.detectors):
        scene.wcs[d] = SkyWcs.from_camera(cam, d, RA_DEG, DEC_DEG, 0.0)
        found, places = _detector(scene, store, cam, d, rng)
        stars.append(found)
        references.append(places)
    columns = {name: np.concatenate([s[name] for s in stars]) for name in stars[0]}
    write_table(scene.path("final_characterization_stars", visit=VISIT), columns)
    ra, dec = (np.concatenate(values) for values in zip(*references, strict=True))
    _write_references(root, ra, dec)
    _add_columns(scene)
    scene.write_tables()
    return scene


def _detector(
    scene: FinalVisitScene, store: Store, cam: Any, d: int, rng: np.random.Generator
) -> tuple[dict[str, Any], tuple[Floats, Floats]]:
    """Write the image of a detector; return its stars and the places of their references."""
    x, y = rng.uniform(20, SIZE_PIX - 20, (2, N_STARS))
    flux_njy = 10 ** rng.uniform(4.5, 5.5, N_STARS)
    yy, xx = np.mgrid[:SIZE_PIX, :SIZE_PIX].astype(float)
    light = np.zeros((SIZE_PIX, SIZE_PIX))
    for u, v, f in zip(x, y, flux_njy, strict=True):
        square = ((xx - u) ** 2 + (yy - v) ** 2) / (2 * SIGMA_PIX**2)
        light += f * np.exp(-square) / (2 * np.pi * SIGMA_PIX**2)
    calib, sky = true_calib(), true_background()
    electrons = sky.image(BOX) + light / calib.factor(xx, yy)
    variance = electrons + READ_NOISE2
    noise = rng.normal(size=light.shape) * np.sqrt(variance)
    scene.source_njy[d], scene.noise_electron[d] = light, noise
    mask = Mask.zeros(light.shape)
    mask.array[light > 0.3 * NJY_PER_ELECTRON] |= mask.bit("DETECTED")
    mask.array[100:110, 200:210] |= mask.bit("BAD")
    first = PhotoCalib(FIRST_NJY_PER_ELECTRON)
    first_sky = Background((("mesh", PolynomialLayer.constant(FIRST_SKY, DOMAIN)),))
    image, scaled = first.calibrate_image(
        first_sky.subtract((electrons + noise).astype(np.float32), (0, 0)),
        variance.astype(np.float32),
    )
    assert scaled is not None
    components = {"photo_calib": first, "background": first_sky, "psf": GaussianPsf(2.2)}
    exposure = Exposure(image, mask, scaled, unit="nJy", components=components)
    store.put(exposure, "initial_pvi", visit=VISIT, detector=d)
    _add_rows(scene, cam, d)
    return _stars(d, x, y, rng), scene.wcs[d].pixel_to_world_values(x, y)


def _add_rows(scene: FinalVisitScene, cam: Any, d: int) -> None:
    shifted = SkyWcs.from_camera(cam, d, RA_DEG, DEC_DEG + 0.05 / 3600, 0.0)
    one = ApCorrMap({"psfFlux": ApCorr(Polynomial2D.constant(1.0))})
    polygon = ValidPolygon.from_box(BOX)
    rows: dict[str, dict[str, Any]] = {
        "initial_visit_summary": {
            "wcs": shifted, "valid_polygon": polygon, "detector": DetectorInfo(cam.detector(d))
        },
        "fgcm_photo_calib": {"photo_calib": true_calib()},
        "final_characterization_summary": {"psf": GaussianPsf(SIGMA_PIX), "ap_corr": one},
        "visit_background": {"background": true_background()},
        f"final_astrometry_wcs/{PIECES[0]}": {"wcs": scene.wcs[d]},
        f"final_astrometry_wcs/{PIECES[1]}": {"wcs": shifted},
    }  # fmt: skip
    for name, components in rows.items():
        scene.tables.setdefault(name, {})[d] = ComponentRow(components)


def _add_columns(scene: FinalVisitScene) -> None:
    solution = {"wcs_error": 0.002, "n_good": 33}
    scene.columns = {
        "initial_visit_summary": {"wcs_source": "fit", "wcs_error": np.nan},
        "fgcm_photo_calib": {
            "zero_point_err": 0.003, "offset_err": 0.005, "flag": 1, "n_star": 31,
        },
        "final_characterization_summary": {"psf_source": "stars", "ap_corr_source": "stars"},
        "visit_background": {"n_stars": 0},
        **{f"final_astrometry_wcs/{p}": solution for p in PIECES},
    }  # fmt: skip


def _stars(d: int, x: Floats, y: Floats, rng: np.random.Generator) -> dict[str, Any]:
    """Return what was measured of the stars: positions good to 3 mas, moments to 1 %."""
    n, error = x.size, 0.003 / SCALE_ARCSEC
    square = SIGMA_PIX**2
    return {
        "detector": np.full(n, d, np.int32),
        "x": x + rng.normal(0, error, n),
        "y": y + rng.normal(0, error, n),
        **{name: square * (1 + rng.normal(0, 0.01, n)) for name in ("ixx", "iyy")},
        "ixy": square * rng.normal(0, 0.01, n),
        **dict.fromkeys(("ixxPSF", "iyyPSF"), np.full(n, square)),
        "ixyPSF": np.zeros(n),
        **dict.fromkeys(("shape_flag", "centroid_flag"), np.zeros(n, bool)),
        "calib_psf_candidate": np.ones(n, bool),
        "calib_psf_used": np.arange(n) % 4 > 0,
        "calib_psf_reserved": np.arange(n) % 4 == 0,
    }


def _write_references(root: Path, ra: Floats, dec: Floats) -> None:
    n = ra.size
    columns = {
        "id": 1 + np.arange(n), "ra": ra, "dec": dec, "epoch": np.full(n, MJD),
        **dict.fromkeys(("ra_err", "dec_err", "parallax_err", "pm_ra_err", "pm_dec_err"),
                        np.full(n, 0.1)),
        **dict.fromkeys(("pm_ra", "pm_dec", "parallax"), np.zeros(n)),
        **dict.fromkeys(("flux_r", "flux_r_err"), np.ones(n)),
    }  # fmt: skip
    write_reference_stars(root / "reference.parquet", ReferenceStars.from_columns(columns))
