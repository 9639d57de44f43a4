"""Where the images of sources fall on a detector, how bright they are and how blurred."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.photometry import mag_to_njy
from drpflow.sim.psf_model import PsfCumulants
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K, SedLibrary

if TYPE_CHECKING:
    from drpflow.sim.optics import TrueDetector
    from drpflow.sim.photometry import BandResponse
    from drpflow.sim.visit_model import VisitModel


@dataclass(frozen=True)
class Placed:
    """Sources of a visit as one detector sees them; arrays of shape (N,).

    Parameters
    ----------
    sources
        Array of :data:`drpflow.sim.sources.SOURCE_DTYPE`.
    x, y
        Pixels of their places.
    x_mm, y_mm
        Places in the focal plane.
    flux_electron
        Electrons in the exposure.
    cumulants
        Of the blur.
    """

    sources: np.ndarray
    x: np.ndarray
    y: np.ndarray
    x_mm: np.ndarray
    y_mm: np.ndarray
    flux_electron: np.ndarray
    cumulants: PsfCumulants

    def select(self, rows: np.ndarray) -> Placed:
        """Return some of the sources."""
        c = self.cumulants
        return Placed(
            self.sources[rows],
            self.x[rows],
            self.y[rows],
            self.x_mm[rows],
            self.y_mm[rows],
            self.flux_electron[rows],
            PsfCumulants(c.turbulence[rows], c.covariance[rows], c.coma[rows]),
        )


def place_sources(model: VisitModel, detector: int, sources: np.ndarray) -> Placed:
    """Work out where the images of sources fall, how bright and how blurred they are.

    Sources may lie anywhere; places far beyond the detector are extrapolated.
    """
    response = model.response(detector).at(sources["sed"])
    ratio = refraction_ratio(model, response)
    field = model.geometry.sky_to_field(sources["direction"], ratio)
    x_mm, y_mm = model.optics.field_to_focal(*field)
    true = model.optics.detectors[detector]
    x, y = true.from_focal(x_mm, y_mm)
    light = model.optics.illumination(x_mm, y_mm)
    light = light * 10.0 ** (-0.4 * model.cloud_extinction_mag(x_mm, y_mm))
    rate = response.electron_per_s_njy * mag_to_njy(sources["mag"])
    cumulants = blur(model, detector, x_mm, y_mm, response)
    flux = rate * model.truth.exposure_time_s * light
    return Placed(sources, x, y, x_mm, y_mm, flux, cumulants)


def refraction_ratio(model: VisitModel, response: BandResponse) -> np.ndarray:
    """Return sources' mean refraction over that at the reference wavelength; ones without air."""
    if model.geometry.air is None:
        return np.ones(len(response.wavelength_nm))
    at_boresight = model.geometry.reference_refraction(model.geometry.boresight[None, :])
    return response.refraction_arcsec / at_boresight


def reference_ratio(model: VisitModel, detector: int) -> float:
    """Return :func:`refraction_ratio` of the reference star on a detector (within 1e-3 of 1)."""
    index = SedLibrary.star_index(np.array([REFERENCE_TEMPERATURE_K]))
    return float(refraction_ratio(model, model.response(detector).at(index))[0])


def blur(
    model: VisitModel,
    detector: int,
    x_mm: np.ndarray,
    y_mm: np.ndarray,
    response: BandResponse,
) -> PsfCumulants:
    """Return the blur of sources at places of the focal plane.

    Parameters
    ----------
    model, detector
        Visit and detector.
    x_mm, y_mm
        Places, shape (N,).
    response
        Wavelength and refraction of each source, arrays of shape (N,).
    """
    place = model.optics.detectors[detector].place
    return model.psf.cumulants(
        x_mm,
        y_mm,
        response.wavelength_nm,
        response.refraction_variance_arcsec2,
        model.geometry.zenith_field_angle_deg(),
        place.rotation_deg,
        place.pixel_size_mm,
    )


def pixel_arcsec(model: VisitModel, detector: int) -> float:
    """Return the size of a pixel at the centre of the field."""
    place = model.optics.detectors[detector].place
    return model.optics.scale_deg_per_mm * 3600 * place.pixel_size_mm


def pixel_angles(model: VisitModel, true: TrueDetector, angle_deg: np.ndarray) -> np.ndarray:
    """Turn position angles (east of north) into angles from +x towards +y [rad]."""
    angle = np.deg2rad(angle_deg)
    x, y = _east_north_to_pixel(model, true, np.sin(angle), np.cos(angle))
    return np.arctan2(y, x)


def trail_pixels(
    model: VisitModel, true: TrueDetector, trail_arcsec: np.ndarray, pixel_scale: float
) -> np.ndarray:
    """Turn motions to the east and north into pixels, shape (N, 2)."""
    x, y = _east_north_to_pixel(model, true, trail_arcsec[:, 0], trail_arcsec[:, 1])
    return np.stack([x, y], axis=1) / pixel_scale


def _east_north_to_pixel(
    model: VisitModel, true: TrueDetector, east: np.ndarray, north: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate small vectors on the sky into the axes of a detector."""
    t = np.deg2rad(model.truth.true_rotation_deg)
    x, y = -east * np.cos(t) + north * np.sin(t), east * np.sin(t) + north * np.cos(t)
    r = np.deg2rad(true.place.rotation_deg)
    return x * np.cos(r) + y * np.sin(r), y * np.cos(r) - x * np.sin(r)
