"""A detector with a distorted sky, its sources and its reference stars, in numbers alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drpflow.algorithms.astrometry import AstrometryFit, calibrate_astrometry
from drpflow.config.astrometry import AstrometryConfig
from drpflow.data.camera import Camera
from drpflow.data.plane_maps import PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.visit_info import VisitInfo

MJD = 61000.0


def make_camera(size: int = 1024, pixel_arcsec: float = 0.2, **optics: Any) -> Camera:
    """Return a camera with one detector on the axis."""
    section = (0, size, 0, size)
    amplifier = {
        "name": "A",
        "data_section": section,
        "raw_data_section": section,
        "gain": 1.0,
        "read_noise": 5.0,
        "saturation": 6e4,
    }
    detector = {"id": 0, "name": "D", "size_pix": (size, size), "pixel_size_mm": 0.015}
    return Camera.model_validate(
        {
            "name": "plain",
            "optics": {"plate_scale_arcsec_per_mm": pixel_arcsec / 0.015, **optics},
            "detectors": [{**detector, "amplifiers": [amplifier]}],
            "filters": [],
        }
    )


@dataclass
class SkyField:
    """What calibrate_astrometry is given, and the truth."""

    x: NDArray
    y: NDArray
    error: NDArray
    flux: NDArray
    flux_err: NDArray
    guess: SkyWcs
    reference: ReferenceStars
    true: SkyWcs
    star_rows: NDArray
    visit_info: VisitInfo | None = None

    def calibrate(self, config: AstrometryConfig | None = None, **changes: Any) -> AstrometryFit:
        """Run the calibration, with some of its arguments replaced."""
        given: dict[str, Any] = {
            "guess": self.guess,
            "reference": self.reference,
            "visit_info": self.visit_info,
        }
        given.update(changes)
        return calibrate_astrometry(
            self.x,
            self.y,
            self.error,
            self.error,
            self.flux,
            self.flux_err,
            given["guess"],
            given["reference"],
            given["visit_info"],
            config or AstrometryConfig(),
            "r",
        )

    def error_pix(self, wcs: SkyWcs) -> float:
        """Return the rms distance between two WCSs' pixels over the detector."""
        nx, ny = self.true.pixel_shape or (0, 0)
        x, y = np.meshgrid(np.linspace(0, nx - 1, 15), np.linspace(0, ny - 1, 15))
        u, v = wcs.world_to_pixel_values(*self.true.pixel_to_world_values(x, y))
        return float(np.sqrt(np.mean((u - x) ** 2 + (v - y) ** 2)))


def make_field(
    seed: int,
    n_stars: int = 60,
    n_spurious: int = 60,
    size: int = 1024,
    pixel_arcsec: float = 0.2,
    distortion_pix: float = 0.05,
    offset_pix: tuple[float, float] = (120.0, -90.0),
    rotation_deg: float = 0.5,
    center: tuple[float, float] = (10.0, -30.0),
    refraction_mas_per_mag: float = 0.0,
    epoch: float = 57000.0,
) -> SkyField:
    """Draw a field.

    Half of the reference stars inside the detector, the bright ones, are detected. Proper motions
    are of 8 mas/yr; the catalogue's errors are 0.3 mas.
    """
    rng = np.random.default_rng([seed, n_stars, size])
    camera = make_camera(size, pixel_arcsec)
    ra, dec = center
    true = _distorted(SkyWcs.from_camera(camera, 0, ra, dec, 20.0), rng, distortion_pix)
    degree = pixel_arcsec / 3600
    guess = SkyWcs.from_camera(
        camera,
        0,
        ra + offset_pix[0] * degree / np.cos(np.radians(dec)),
        dec + offset_pix[1] * degree,
        20.0 + rotation_deg,
    )
    number = int(2 * n_stars * 1.6**2)
    x, y = rng.uniform(-0.3 * size, 1.3 * size, (2, number))
    mag = 14 + 7 * rng.uniform(size=number) ** 0.4
    color = rng.normal(1.0, 0.4, number)
    reference = _reference(rng, true, x, y, mag, color, epoch)
    inside = np.flatnonzero((x > 0) & (x < size - 1) & (y > 0) & (y < size - 1))
    rows = inside[np.argsort(mag[inside])][:n_stars]
    snr = np.concatenate([1000 * 10 ** (-0.35 * (mag[rows] - 14)), rng.uniform(5, 60, n_spurious)])
    error = np.hypot(2.0 / snr, 0.004)
    # The zenith is up (+y of the focal plane) in these fields.
    lift = refraction_mas_per_mag * (color[rows] - 0.78) / (1e3 * pixel_arcsec)
    sx = np.concatenate([x[rows], rng.uniform(0, size, n_spurious)]) + error * rng.normal(
        size=snr.size
    )
    sy = np.concatenate([y[rows] - lift, rng.uniform(0, size, n_spurious)]) + error * rng.normal(
        size=snr.size
    )
    flux = np.concatenate([10 ** (-0.4 * (mag[rows] - 28)), 10 ** rng.uniform(2.8, 5, n_spurious)])
    return SkyField(sx, sy, error, flux, flux / snr, guess, reference, true, rows)


def _distorted(wcs: SkyWcs, rng: np.random.Generator, rms_pix: float) -> SkyWcs:
    nx, _ = wcs.pixel_shape or (0, 0)
    pixel_deg = float(wcs.pixel_scale_arcsec(nx / 2, nx / 2)) / 3600
    half = 0.75 * nx * pixel_deg
    basis = Basis2D(3, Domain(-half, half, -half, half))
    coefficients = np.array(PolynomialMap.identity(basis).coefficients)
    coefficients[:, 3:] += rms_pix * pixel_deg * rng.normal(size=(2, basis.n_terms - 3))
    return wcs.with_visit_map(PolynomialMap(basis, coefficients))


def _reference(
    rng: np.random.Generator,
    true: SkyWcs,
    x: NDArray,
    y: NDArray,
    mag: NDArray,
    color: NDArray,
    epoch: float,
) -> ReferenceStars:
    """Return the stars at `MJD`, from a catalogue that gives them at an earlier epoch."""
    ra, dec = true.pixel_to_world_values(x, y)
    motion = rng.normal(scale=8.0, size=(2, len(x)))
    years = (epoch - MJD) / 365.25
    flux = 10 ** (-0.4 * (mag - 31.4))
    error = np.full(len(x), 0.3)
    at_epoch = ReferenceStars.from_columns(
        {
            "id": np.arange(len(x)),
            "ra": ra + motion[0] * years / 3.6e6 / np.cos(np.radians(dec)),
            "dec": dec + motion[1] * years / 3.6e6,
            "epoch": np.full(len(x), epoch),
            "ra_err": error,
            "dec_err": error,
            "pm_ra": motion[0],
            "pm_dec": motion[1],
            "flux_r": flux,
            "flux_g": flux * 10 ** (-0.4 * color * 0.7),
            "flux_i": flux * 10 ** (0.4 * color * 0.3),
        }
    )
    return at_epoch.at_epoch(MJD)
