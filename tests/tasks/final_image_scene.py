"""One detector as finalizeImage is given it, of which light, noise and calibrations are known.

Stars and galaxies are Gaussians, so that all aperture corrections are 1. The first calibration,
background and PSF are wrong by what the second look puts right; one cosmic ray was found by the
first look, and one was not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
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
from drpflow.data.provenance import Provenance
from drpflow.data.psf import GaussianPsf
from drpflow.data.summary_stats import SummaryStats
from drpflow.data.transmission import TransmissionCurve
from drpflow.data.warp_masks import WarpMask
from drpflow.io.component_tables import write_component_table
from drpflow.io.datasets import DatasetTable
from drpflow.io.schemas import load_schema
from drpflow.io.store import Store
from drpflow.io.tables import write_table
from tests.tasks.star_scene import SIDE, make_camera, make_detector, make_visit, true_wcs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.sky_wcs import SkyWcs

    Floats = NDArray[np.float64]

VISIT, DETECTOR, BAND = 12, 3, "r"
SIGMA_PIX, READ_NOISE2, SKY = 2.0, 25.0, 200.0
NJY_PER_ELECTRON, WCS_ERROR_ARCSEC, OFFSET_ERROR_MAG = 3.0, 0.004, 0.006
BOX = Box(0, SIDE, 0, SIDE)
DOMAIN = Domain(-0.5, SIDE - 0.5, -0.5, SIDE - 0.5)
OLD_HIT = (slice(300, 301), slice(200, 206))
NEW_HIT = (slice(330, 331), slice(205, 210))
PIECE, SOLVED, TRACT, PATCH = 107, 4, 0, 6
FLUXES = ("psfFlux", "gaussianFlux", "compGaussianFlux3", "compGaussianFlux5")
SUMMARY = (
    "psf", "wcs", "photo_calib", "ap_corr", "transmission", "valid_polygon", "summary_stats",
)  # fmt: skip
TABLE = DatasetTable.load()


def final_calib() -> PhotoCalib:
    field_ = Polynomial2D(Basis2D(1, DOMAIN), np.array([1.0, 0.02, -0.01]))
    return PhotoCalib(NJY_PER_ELECTRON, 0.004 * NJY_PER_ELECTRON, field_)


def final_background() -> Background:
    level = Polynomial2D(Basis2D(1, DOMAIN), np.array([SKY, 8.0, -5.0]))
    return Background((("sky", PolynomialLayer(level)),))


def ap_corr(scale: float = 1.0, *, without: tuple[str, ...] = ()) -> ApCorrMap:
    one = ApCorr(Polynomial2D.constant(1.0, DOMAIN), 0.001)
    reference = ApCorr(Polynomial2D.constant(scale, DOMAIN))
    fluxes = {name: one for name in FLUXES if name not in without}
    return ApCorrMap({"normCompTophatFlux": reference, **fluxes})


@dataclass
class FinalScene:
    """A run with one detector, and the truth.

    Parameters
    ----------
    root
        Output root.
    x, y, flux_njy
        Point sources, brightest first.
    wcs
        True.
    light_njy, noise_njy
        What the final image is the sum of, pixel by pixel.
    detrended
        Image and variance as isr left them, electrons.
    components
        Row of ``final_visit_summary``.
    missing
        Why components of it are missing.
    first_ap_corr
        Of ``initial_visit_summary``.
    psf_source
        Whose stars made the PSF.
    """

    root: Path
    x: Floats
    y: Floats
    flux_njy: Floats
    wcs: SkyWcs
    light_njy: Floats
    noise_njy: Floats
    detrended: tuple[NDArray[np.float32], NDArray[np.float32]]
    components: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    first_ap_corr: ApCorrMap = field(default_factory=ap_corr)
    psf_source: str = "stars"

    @property
    def streak_x(self) -> int:
        """Column in the middle of the trail: that of a star."""
        return round(self.x[10])

    def path(self, name: str, **data_id: Any) -> Path:
        return TABLE.path(self.root, name, **data_id)

    def arguments(self, output: Path | None = None, **config: Any) -> list[str]:
        """Return the arguments of the script."""
        root, frame = output or self.root, {"visit": VISIT, "detector": DETECTOR}
        words = ["--camera", str(self.root / "camera.yaml"), "--detector", str(DETECTOR)]
        words += ["--initial-pvi", str(self.path("initial_pvi", **frame))]
        for name in (
            "visit_info", "visit_background", "final_visit_summary", "initial_visit_summary",
            "final_characterization_stars",
        ):  # fmt: skip
            words += [f"--{name.replace('_', '-')}", str(self.path(name, visit=VISIT))]
        for name in ("isolated_stars_source", "fgcm_standard_stars", "final_astrometry_residuals"):
            words += [f"--{name.replace('_', '-')}", str(self.root / TABLE.path_template(name))]
        words += ["--pieces", str(PIECE), "--solved", str(SOLVED)]
        template = TABLE.path_template("warp_mask").format(
            tract="{tract}", patch="{patch}", band=BAND, visit=VISIT
        )
        words += ["--warp-mask", str(self.root / template), "--patches", f"{TRACT}:{PATCH}"]
        for name in ("pvi", "final_source_detector"):
            words += [f"--{name.replace('_', '-')}", str(TABLE.path(root, name, **frame))]
        status = root / f"status/finalizeImage/visit={VISIT}/detector={DETECTOR}.json"
        words += ["--status", str(status), "--code", "c"]
        return [*words, "--config", json.dumps(config)]

    def write_summaries(self) -> None:
        """Write the tables of components."""
        rows = {
            "final_visit_summary": (self.components, self.missing, SUMMARY),
            "initial_visit_summary": ({"ap_corr": self.first_ap_corr}, {}, ("ap_corr",)),
            "visit_background": ({"background": final_background()}, {}, ("background",)),
        }
        columns = {
            "wcs_error": np.array([WCS_ERROR_ARCSEC]), "offset_err": np.array([OFFSET_ERROR_MAG]),
            "psf_source": np.array([self.psf_source]),
        }  # fmt: skip
        for name, (components, missing, members) in rows.items():
            row = ComponentRow(components, missing)
            write_component_table(
                self.path(name, visit=VISIT), ComponentTable({DETECTOR: row}, columns), members,
                "detector", dataset=name, data_id={"visit": VISIT},
            )  # fmt: skip


def make_final_scene(root: Path, n_stars: int = 64, seed: int = 5) -> FinalScene:
    """Write a run, and return it; stars stand on a jittered grid, or anywhere if they are many."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    cam = make_camera()
    (root / "camera.yaml").write_text(yaml.safe_dump(cam.model_dump(mode="json")))
    x, y = _places(n_stars, rng)
    flux = np.sort(10 ** rng.uniform(3.2, 5.2, n_stars))[::-1]
    yy, xx = np.mgrid[:SIDE, :SIDE].astype(float)
    light = np.zeros((SIDE, SIDE))
    for u, v, f in zip(x, y, flux, strict=True):
        rows, columns = _near(v), _near(u)
        square = (xx[rows, columns] - u) ** 2 + (yy[rows, columns] - v) ** 2
        blob = np.exp(-square / (2 * SIGMA_PIX**2)) / (2 * np.pi * SIGMA_PIX**2)
        light[rows, columns] += f * blob
    calib = final_calib().factor(xx, yy)
    electrons = final_background().image(BOX) + light / calib
    variance = electrons + READ_NOISE2
    noise = rng.normal(size=light.shape) * np.sqrt(variance)
    raw = electrons + noise
    for hit in (OLD_HIT, NEW_HIT):
        raw[hit] += 3000.0
    scene = FinalScene(
        root, x, y, flux, true_wcs(_guess(cam)), light, noise * calib,
        (raw.astype(np.float32), variance.astype(np.float32)),
    )  # fmt: skip
    scene.components = {
        "psf": GaussianPsf(SIGMA_PIX),
        "wcs": scene.wcs,
        "photo_calib": final_calib(),
        "ap_corr": ap_corr(),
        "transmission": TransmissionCurve.from_table([300.0, 1100.0], [0.8, 0.8]),
        "valid_polygon": ValidPolygon.from_box(BOX),
        "summary_stats": SummaryStats({"psfSigma": SIGMA_PIX}),
    }
    scene.write_summaries()
    _write_image(scene)
    _write_stars(scene, rng)
    _write_artifacts(scene)
    return scene


def _places(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    side = int(np.sqrt(n))
    if n > 100:
        return tuple(rng.uniform(10, SIDE - 10, (2, n)))
    grid = (np.arange(side) + 0.5) * SIDE / side
    x, y = (g.ravel() + rng.uniform(-8, 8, n) for g in np.meshgrid(grid, grid))
    order = rng.permutation(n)
    return x[order], y[order]


def _near(center: float) -> slice:
    middle = round(center)
    return slice(max(middle - 20, 0), min(middle + 21, SIDE))


def _guess(cam: Any) -> SkyWcs:
    from drpflow.data.sky_wcs import SkyWcs

    return SkyWcs.from_camera(cam, DETECTOR, 150.0, -20.0, 0.0)


def _write_image(scene: FinalScene) -> None:
    """Write ``initial_pvi``: the old hit was found and filled, badly."""
    image, variance = (plane.copy() for plane in scene.detrended)
    mask = Mask.zeros(image.shape)
    image[OLD_HIT] = 17.0
    mask.array[OLD_HIT] |= mask.bit(("CR", "INTRP"))
    mask.array[:, 400] |= mask.bit("BAD")
    mask.array[50:60, 50:60] |= mask.bit("DETECTED")
    first = PhotoCalib(1.05 * NJY_PER_ELECTRON)
    sky = Background((("mesh", PolynomialLayer.constant(0.95 * SKY, DOMAIN)),))
    calibrated, scaled = first.calibrate_image(sky.subtract(image, (0, 0)), variance)
    assert scaled is not None
    components = {
        "photo_calib": first, "background": sky, "psf": GaussianPsf(2.3),
        "detector": DetectorInfo(make_detector(), "testcam"),
    }  # fmt: skip
    store = Store(scene.root)
    store.put(make_visit(), "visit_info", visit=VISIT)
    exposure = Exposure(calibrated, mask, scaled, unit="nJy", components=components)
    store.put(exposure, "initial_pvi", visit=VISIT, detector=DETECTOR)


def _write_stars(scene: FinalScene, rng: np.random.Generator) -> None:
    """Write what tells the stars of the models: every fourth star is reserved, two are alone."""
    n = len(scene.x)
    reserved = np.arange(n) % 4 == 0
    here = {
        "isolated_star_id": 1 + np.arange(n),
        "visit": np.full(n, VISIT),
        "detector": np.full(n, DETECTOR),
        "x": scene.x + rng.normal(0, 0.02, n),
        "y": scene.y + rng.normal(0, 0.02, n),
        "reserved": reserved,
    }
    psf = {
        "calib_psf_candidate": np.ones(n, bool),
        "calib_psf_used": ~reserved,
        "calib_psf_reserved": reserved,
        "calib_apcorr_used": ~reserved,
    }
    write_table(scene.path("final_characterization_stars", visit=VISIT), {**here, **psf})
    flux = {
        "normCompTophatFlux_instFlux": scene.flux_njy / NJY_PER_ELECTRON,
        "normCompTophatFlux_instFluxErr": 0.02 * scene.flux_njy / NJY_PER_ELECTRON,
        "normCompTophatFlux_flag": np.arange(n) == 1,
        "psfFlux_instFlux": 1.03 * scene.flux_njy / final_calib().factor(scene.x, scene.y),
        "psfFlux_flag": np.zeros(n, bool),
    }
    flux["band"] = np.full(n, BAND)
    write_table(scene.path("isolated_stars_source", skypix=PIECE), {**here, **flux})
    standard = {
        "isolated_star_id": here["isolated_star_id"], "band": np.full(n, BAND),
        "n_good": np.full(n, 3), "variable": np.arange(n) == 2, "reserved": reserved,
        "color": np.full(n, 0.7), "color_assumed": np.arange(n) == 3,
    }  # fmt: skip
    write_standards(scene, standard, "normCompTophatFlux")
    fit = {name: here[name] for name in ("isolated_star_id", "visit", "detector", "reserved")}
    fit |= {"used": np.ones(n, bool), "rejected": np.arange(n) == 5}
    write_table(scene.path("final_astrometry_residuals", skypix=SOLVED), fit)


def write_standards(scene: FinalScene, columns: Any, flux: str) -> None:
    """Write ``fgcm_standard_stars`` of a calibration of this flux."""
    made = Provenance(task="fgcm", config={"sources": {"flux": flux}})
    path = scene.path("fgcm_standard_stars", skypix=PIECE)
    write_table(path, columns, provenance=made)


def _write_artifacts(scene: FinalScene) -> None:
    """Write a trail along a column of stars, and a transient that is the brightest star."""
    rows = np.arange(SIDE, dtype=np.int32)
    u, v = round(scene.x[0]), round(scene.y[0])
    spot = np.arange(v - 3, v + 4, dtype=np.int32)
    mask = WarpMask(
        ("streak", "transient"),
        np.array([50.0, 30.0]),
        np.full(rows.size + spot.size, DETECTOR),
        np.r_[np.zeros(rows.size), np.ones(spot.size)].astype(np.int32),
        np.r_[rows, spot],
        np.r_[np.full(rows.size, scene.streak_x - 5), np.full(spot.size, u - 3)],
        np.r_[np.full(rows.size, scene.streak_x + 5), np.full(spot.size, u + 4)],
    )
    data_id = {"tract": TRACT, "patch": PATCH, "band": BAND, "visit": VISIT}
    path = scene.path("warp_mask", **data_id)
    write_table(path, mask.columns(), load_schema("warp_mask"), data_id=data_id)
