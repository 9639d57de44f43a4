"""A small field of stars whose truth is known, as isr would hand it on. Draws with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from drpflow.data.camera import Amplifier, Camera, Detector, Filter, Optics
from drpflow.data.detector_info import DetectorInfo
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.visit_info import VisitInfo

SIDE = 512
SKY_ELECTRON = 200.0
READ_NOISE = 5.0
NJY_PER_ELECTRON = 4.0
OFFSET_PIX = (31.0, -17.0)
TURN_DEG = 0.2
MJD = 60000.0
FWHM_PIX = 4.2
BETA = 3.5


@dataclass(frozen=True)
class Scene:
    """A detrended exposure and what made it."""

    exposure: Exposure
    visit_info: VisitInfo
    reference: ReferenceStars
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    wcs: SkyWcs
    cosmic: np.ndarray

    def isolated(self, distance_pix: float = 25.0) -> np.ndarray:
        """Which stars have no other near."""
        apart = np.hypot(self.x[:, None] - self.x, self.y[:, None] - self.y)
        np.fill_diagonal(apart, np.inf)
        return apart.min(axis=1) > distance_pix


def make_detector() -> Detector:
    """One amplifier."""
    amplifier = Amplifier(
        name="A",
        data_section=(0, SIDE, 0, SIDE),
        raw_data_section=(0, SIDE, 0, SIDE),
        gain=1.0,
        read_noise=READ_NOISE,
        saturation=60000.0,
    )
    return Detector(
        id=3, name="CCD3", size_pix=(SIDE, SIDE), pixel_size_mm=0.015, amplifiers=(amplifier,)
    )


def make_camera() -> Camera:
    """0.3 arcsec pixels."""
    return Camera(
        name="testcam",
        optics=Optics(plate_scale_arcsec_per_mm=20.0),
        filters=(Filter(physical_filter="r", band="r"),),
        detectors=(make_detector(),),
    )


def make_visit() -> VisitInfo:
    """The visit as its header tells it."""
    return VisitInfo(
        visit=12, physical_filter="r", band="r", exposure_time_s=30.0, mjd=MJD,
        ra_deg=150.0, dec_deg=-20.0, rotation_deg=0.0, instrument="testcam",
    )  # fmt: skip


def make_scene(n_stars: int = 120, seed: int = 1, *, brightest: float = 2e5) -> Scene:
    """Stars of a steep luminosity function on a sloping sky, with noise and cosmic rays."""
    rng = np.random.default_rng(seed)
    camera, visit = make_camera(), make_visit()
    x, y = rng.uniform(-5, SIDE + 4, (2, n_stars))
    flux = brightest * (rng.uniform(0.02, 1, n_stars)) ** 2.2
    image = sum_of_stars(x, y, flux)
    yy, xx = np.mgrid[:SIDE, :SIDE]
    image += SKY_ELECTRON * (1 + 0.1 * xx / SIDE - 0.05 * yy / SIDE)
    variance = image + READ_NOISE**2
    image = image + rng.normal(size=image.shape) * np.sqrt(variance)
    cosmic = add_cosmic_rays(image, rng)
    guess = SkyWcs.from_camera(camera, 3, 150.0, -20.0, 0.0)
    wcs = true_wcs(guess)
    exposure = Exposure(
        image.astype(np.float32),
        Mask.zeros(image.shape),
        variance.astype(np.float32),
        unit="electron",
        components={
            "wcs": guess,
            "visit_info": visit,
            "detector": DetectorInfo(make_detector(), "testcam"),
        },
    )
    return Scene(exposure, visit, make_reference(wcs, x, y, flux, rng), x, y, flux, wcs, cosmic)


def true_wcs(guess: SkyWcs) -> SkyWcs:
    """The WCS of the scene: shifted and turned against what the header says."""
    ra, dec = guess.pixel_to_world_values(
        (SIDE - 1) / 2 - OFFSET_PIX[0], (SIDE - 1) / 2 - OFFSET_PIX[1]
    )
    return guess.with_pointing(float(ra), float(dec), TURN_DEG)


def sum_of_stars(x: np.ndarray, y: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Moffat stars, integrated over pixels, slightly elliptical and wider to the right."""
    image = np.zeros((SIDE, SIDE))
    for xs, ys, fs in zip(x, y, flux, strict=True):
        x0, y0 = round(xs), round(ys)
        x1, x2 = max(x0 - 40, 0), min(x0 + 41, SIDE)
        y1, y2 = max(y0 - 40, 0), min(y0 + 41, SIDE)
        if x1 < x2 and y1 < y2:
            image[y1:y2, x1:x2] += fs * moffat(np.arange(x1, x2) - xs, np.arange(y1, y2) - ys, xs)
    return image


def moffat(dx: np.ndarray, dy: np.ndarray, x: float) -> np.ndarray:
    """The profile of unit flux on a grid of offsets."""
    steps = (np.arange(5) - 2) / 5
    alpha = (FWHM_PIX / 2) / np.sqrt(2 ** (1 / BETA) - 1) * (1 + 0.04 * (x / SIDE - 0.5))
    u = (dx[:, None] + steps).ravel() / (alpha * 1.03)
    v = (dy[:, None] + steps).ravel() / (alpha / 1.03)
    fine = (1 + u[None, :] ** 2 + v[:, None] ** 2) ** -BETA * (BETA - 1) / (np.pi * alpha**2)
    return fine.reshape(dy.size, 5, dx.size, 5).mean(axis=(1, 3))


def add_cosmic_rays(image: np.ndarray, rng: np.random.Generator, number: int = 12) -> np.ndarray:
    """Short straight tracks, in place; returns their pixels."""
    hit = np.zeros(image.shape, bool)
    for _ in range(number):
        x, y, angle = rng.uniform(20, SIDE - 20), rng.uniform(20, SIDE - 20), rng.uniform(0, np.pi)
        for step in np.arange(rng.integers(1, 12)):
            column, row = int(x + step * np.cos(angle)), int(y + step * np.sin(angle))
            image[row, column] += rng.uniform(800, 5000)
            hit[row, column] = True
    return hit


def make_reference(
    wcs: SkyWcs, x: np.ndarray, y: np.ndarray, flux: np.ndarray, rng: np.random.Generator
) -> ReferenceStars:
    """The brighter half of the stars, with errors as of a good catalogue."""
    rows = np.flatnonzero(flux > np.median(flux))
    ra, dec = wcs.pixel_to_world_values(x[rows], y[rows])
    error_mas = 1.0
    ra = ra + rng.normal(0, error_mas, rows.size) / 3.6e6 / np.cos(np.deg2rad(dec))
    dec = dec + rng.normal(0, error_mas, rows.size) / 3.6e6
    njy = flux[rows] * NJY_PER_ELECTRON
    columns: dict[str, Any] = {
        "id": rows + 1000,
        "ra": ra,
        "dec": dec,
        "epoch": np.full(rows.size, MJD),
        "ra_err": np.full(rows.size, error_mas),
        "dec_err": np.full(rows.size, error_mas),
    }
    unknown = ("pm_ra", "pm_dec", "pm_ra_err", "pm_dec_err", "parallax", "parallax_err")
    columns |= {name: np.full(rows.size, np.nan) for name in unknown}
    fluxes = {band: njy * (1 + rng.normal(0, 0.003, rows.size)) for band in ("g", "r", "i")}
    errors = dict.fromkeys(fluxes, 0.003 * njy)
    return ReferenceStars(**columns, flux_njy=fluxes, flux_err_njy=errors)
