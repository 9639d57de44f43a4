"""A visit whose hardware is not quite what its camera file says, with stars and references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from drpflow.data.camera import Amplifier, Camera, Detector, Optics
from drpflow.data.geometry import Box
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.plane_maps import AffineMap
from drpflow.data.psf import GaussianPsf
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.summary_stats import SummaryStats
from drpflow.data.visit_info import VisitInfo
from drpflow.tasks.consolidate_visit import DetectorProducts

NX, NY = 800, 600
BOX = Box(0, NX, 0, NY)
EPOCH = 60000.0
NEW_COLUMNS = (
    *("ra", "dec", "raErr", "decErr", "ra_dec_Cov"),
    *("psfFlux", "psfFluxErr", "calibFlux", "calibFluxErr"),
)


def detector(number: int, center: tuple[float, float], rotation: float = 0.0) -> Detector:
    section = (0, NX, 0, NY)
    amplifier = Amplifier(
        name="A", data_section=section, raw_data_section=section, gain=1.0, read_noise=5.0,
        saturation=6e4,
    )  # fmt: skip
    return Detector(
        id=number, name=f"ccd{number}", size_pix=(NX, NY), center_mm=center, rotation_deg=rotation,
        pixel_size_mm=0.015, amplifiers=(amplifier,),
    )  # fmt: skip


def camera(offsets_mm: np.ndarray | None = None) -> Camera:
    """Three by three detectors, 0.3 arcsec pixels, 12 arcmin wide; every other one is turned."""
    shift = np.zeros((9, 2)) if offsets_mm is None else offsets_mm
    places = [(13.0 * (i % 3 - 1), 10.0 * (i // 3 - 1)) for i in range(9)]
    return Camera(
        name="nine",
        optics=Optics(plate_scale_arcsec_per_mm=20.0, radius_mm=20.0, radial=(1e-3,)),
        detectors=tuple(
            detector(i, (x + s[0], y + s[1]), 180.0 * (i % 2))
            for i, ((x, y), s) in enumerate(zip(places, shift, strict=True))
        ),
        filters=(),
    )


@dataclass
class Scene:
    """What calibrateImage made, what the catalogue has, and the truth."""

    products: dict[int, DetectorProducts]
    references: ReferenceStars
    visit_info: VisitInfo
    truth: dict[int, SkyWcs]
    zero_points_mag: dict[int, float]

    def spoil(self, number: int, *names: str, reason: str = "it failed") -> None:
        """Take components of a detector away."""
        old = self.products[number]
        components = {n: c for n, c in old.components.items() if n not in names}
        missing = {**old.missing, **dict.fromkeys(names, reason)}
        self.products[number] = DetectorProducts(components, missing, old.stars)

    def replace(self, number: int, **components: Any) -> None:
        """Put other components in."""
        old = self.products[number]
        new = {**old.components, **components}
        self.products[number] = DetectorProducts(new, old.missing, old.stars)


def scene(
    seed: int = 1,
    *,
    ra_deg: float = 359.95,
    dec_deg: float = -35.0,
    density: int = 60,
    crowding: int = 1,
    offset_mm: float = 0.008,
    misplaced: dict[int, tuple[float, float]] | None = None,
) -> Scene:
    """Draw a visit.

    The pointing is off by half an arcminute, the rotation by 0.1 degrees, the scale by 1e-4, and
    each detector by half a pixel. References are `crowding` times as many as stars.
    """
    rng = np.random.default_rng(seed)
    places_mm = offset_mm * rng.normal(size=(9, 2))
    for number, shift_mm in (misplaced or {}).items():
        places_mm[number] += shift_mm
    true_camera = camera(places_mm)
    info = VisitInfo(
        visit=7, physical_filter="rr", band="r", exposure_time_s=30.0, mjd=EPOCH + 500,
        ra_deg=ra_deg, dec_deg=dec_deg, rotation_deg=20.0, latitude_deg=-30.0, longitude_deg=10.0,
    )  # fmt: skip
    squeeze = AffineMap(np.array([[1.0001, 3e-5], [-3e-5, 0.9999]]), np.zeros(2))
    products, truth, zero_points, listed = {}, {}, {}, []
    response = 0.02 * rng.normal(size=9)
    for d in range(9):
        wcs = SkyWcs.from_camera(true_camera, d, ra_deg + 0.008, dec_deg - 0.005, 20.1)
        truth[d] = wcs.with_visit_map(squeeze)
        zero_points[d] = 31.0 + response[d]
        stars, references = _stars(rng, truth[d], zero_points[d], density, crowding)
        calibration = PhotoCalib.from_zero_point(zero_points[d] + 0.001 * rng.normal(), 0.001)
        components = {
            "wcs": truth[d],
            "psf": GaussianPsf(2.0),
            "photo_calib": calibration,
            "summary_stats": SummaryStats({"psfArea": 50.0, "meanVar": 100.0, "nPsfStar": 20}),
        }
        products[d] = DetectorProducts(components, {}, stars)
        listed.append(references)
    columns = {name: np.concatenate([part[name] for part in listed]) for name in listed[0]}
    columns["id"] = 1 + np.arange(len(columns["ra"]))
    return Scene(products, ReferenceStars.from_columns(columns), info, truth, zero_points)


def _stars(
    rng: np.random.Generator, wcs: SkyWcs, zero_point_mag: float, n: int, crowding: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return columns of the stars of a detector, and of the catalogue around it."""
    total = n * crowding
    x, y = rng.uniform(0, NX, total), rng.uniform(0, NY, total)
    flux_njy = np.sort(10 ** rng.uniform(4.0, 6.0, total))[::-1]
    ra, dec = wcs.pixel_to_world_values(x, y)
    flux = flux_njy[:n] * 10 ** (0.4 * (zero_point_mag - 31.4))
    error = np.sqrt(flux + 1e4)
    place_error = 2.0 * error / flux + 0.01
    stars = {
        "x": x[:n] + place_error * rng.normal(size=n),
        "y": y[:n] + place_error * rng.normal(size=n),
        "xErr": place_error,
        "yErr": place_error,
        "x_y_Cov": np.zeros(n),
        "sky_source": np.arange(n) == n - 1,
        "reference_id": np.full(n, 10**9, np.int64),
        "reference_separation": np.full(n, 9.0, np.float32),
        "calib_astrometry_used": np.ones(n, bool),
        "calib_photometry_used": np.ones(n, bool),
        "psfFlux_instFlux": flux + error * rng.normal(size=n),
        "psfFlux_instFluxErr": error,
        "normCompTophatFlux_instFlux": flux + error * rng.normal(size=n),
        "normCompTophatFlux_instFluxErr": error,
        **{name: np.full(n, np.nan) for name in NEW_COLUMNS},
    }
    references = {
        "ra": ra,
        "dec": dec,
        "epoch": np.full(total, EPOCH),
        "pm_ra": np.zeros(total),
        "pm_dec": np.zeros(total),
        "ra_err": np.full(total, 0.1),
        "dec_err": np.full(total, 0.1),
        "flux_r": flux_njy,
        "flux_r_err": 0.003 * flux_njy,
    }
    return stars, references
