"""calibrate_astrometry against the truth of the simulated demo survey, from positions alone.

Sources are put where truth says, with the noise of a fit of the point-spread function; nothing
is rendered. The optics have static distortions of 30 mas that the camera file does not know, the
air refracts by colour and adds 5 mas of turbulence, pointings are off by up to 225 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.algorithms.astrometry import AstrometryFit, calibrate_astrometry
from drpflow.config.astrometry import AstrometryConfig
from drpflow.data.camera import Camera
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.visit_info import VisitInfo
from drpflow.sim.astrometry import pixel_to_sky
from drpflow.sim.placement import reference_ratio
from drpflow.sim.psf_image import central_fwhm_pix
from drpflow.sim.reference import reference_table
from drpflow.sim.survey import Survey
from drpflow.sim.truth import frame_stars
from tests.sim.surveys import build

# Red, near-infrared and blue; one with a pointing far off; one short and one cloudy.
VISITS = (1, 2, 3, 6, 9, 12)
DETECTORS = (0, 3)


@dataclass
class Result:
    """One detector: the fit, and the error of its WCS at 17 x 17 points, pixels."""

    fit: AstrometryFit
    dx: NDArray
    dy: NDArray

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.dx**2 + self.dy**2)))


def camera_of(survey: Survey) -> Camera:
    """The nominal camera, from which the simulated one deviates."""
    optics = survey.config.instrument.optics
    detectors = []
    for item in survey.instrument.detectors:
        nx, ny = item.size_pix
        section = (0, nx, 0, ny)
        amplifier = {"name": "A", "data_section": section, "raw_data_section": section}
        detectors.append(
            {
                "id": item.id,
                "name": str(item.id),
                "size_pix": item.size_pix,
                "center_mm": item.center_mm,
                "rotation_deg": item.rotation_deg,
                "pixel_size_mm": item.pixel_size_mm,
                "amplifiers": [{**amplifier, "gain": 1, "read_noise": 5, "saturation": 5e4}],
            }
        )
    scale = {"plate_scale_arcsec_per_mm": optics.plate_scale_arcsec_per_mm}
    distortion = {"radius_mm": optics.radius_mm, "radial": optics.radial, "x_axis": "west"}
    return Camera.model_validate(
        {
            "name": "nominal",
            "optics": scale | distortion,
            "detectors": detectors,
            "filters": [],
            "observatory": {"latitude_deg": -30.24, "longitude_deg": -70.75},
        }
    )


@pytest.fixture(scope="module")
def results() -> list[Result]:
    survey = build(name="demo")
    camera = camera_of(survey)
    reference = ReferenceStars.from_columns(reference_table(survey)[0])
    return [calibrated(survey, camera, reference, v, d) for v in VISITS for d in DETECTORS]


def calibrated(
    survey: Survey, camera: Camera, reference: ReferenceStars, visit: int, detector: int
) -> Result:
    """Calibrate one detector of the survey."""
    rng = np.random.default_rng([visit, detector])
    model, truth = survey.model(visit), survey.visit(visit)
    stars = frame_stars(model, detector, survey.sources(visit))
    nx, ny = camera.detector(detector).size_pix
    x, y = stars.placed.x, stars.placed.y
    seen = (stars.snr > 5) & ~stars.saturated & (x > 0) & (x < nx) & (y > 0) & (y < ny)
    fwhm = central_fwhm_pix(model, detector)
    error = np.hypot(0.6 * fwhm / stars.snr[seen], 0.004)
    x, y = (v[seen] + error * rng.normal(size=error.size) for v in (x, y))
    flux = stars.placed.flux_electron[seen]
    pointing = (truth.header_ra_deg, truth.header_dec_deg, truth.header_rotation_deg)
    info = VisitInfo(
        visit,
        band=truth.band,
        mjd=truth.mjd_tai,
        ra_deg=pointing[0],
        dec_deg=pointing[1],
        recorded_hour_angle_deg=truth.hour_angle_deg,
        latitude_deg=camera.observatory.latitude_deg,
        longitude_deg=camera.observatory.longitude_deg,
    )
    fit = calibrate_astrometry(
        x,
        y,
        error,
        error,
        flux,
        flux / stars.snr[seen],
        SkyWcs.from_camera(camera, detector, *pointing),
        reference.at_epoch(truth.mjd_tai),
        info,
        AstrometryConfig(),
        truth.band,
    )
    gx, gy = (
        g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 17), np.linspace(0, ny - 1, 17))
    )
    ratio = reference_ratio(model, detector)
    sky = pixel_to_sky(survey.optics, detector, model.geometry, gx, gy, ratio)
    px, py = fit.wcs.world_to_pixel_values(*sky)
    return Result(fit, px - gx, py - gy)


def test_error_of_the_wcs(results: list[Result]) -> None:
    errors = np.array([result.rms for result in results])
    assert errors.max() < 0.06
    assert np.median(errors) < 0.03


def test_error_is_what_the_fit_states(results: list[Result]) -> None:
    errors = np.array([result.rms for result in results])
    stated = np.array([result.fit.numbers["wcs_error_pix"] for result in results])
    assert np.sqrt(np.mean(errors**2) / np.mean(stated**2)) == pytest.approx(1.0, abs=0.2)


def test_no_common_shift_is_left(results: list[Result]) -> None:
    # What a wrong colour of reference or a neglected refraction would leave.
    shift = np.array([np.hypot(r.dx.mean(), r.dy.mean()) for r in results])
    assert shift.max() < 0.025


def test_poor_pointing_is_measured(results: list[Result]) -> None:
    offsets = {v: results[2 * k].fit.numbers["offset_pix"] for k, v in enumerate(VISITS)}
    assert offsets[6] > 150
    assert max(o for v, o in offsets.items() if v != 6) < 100


def test_refraction_is_strong_in_blue_light_only(results: list[Result]) -> None:
    slopes = {v: results[2 * k + 1].fit.numbers["dcr_mas_per_mag"] for k, v in enumerate(VISITS)}
    assert abs(slopes[1]) > 20
    assert abs(slopes[3]) < 8
