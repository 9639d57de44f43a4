"""The true optics: where light from a point of the field falls on which pixel.

They differ from what the camera file says by the plate scale, the radial distortion, the
places and turns of the detectors, and a cubic distortion of each detector's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.instrument import Instrument, SimDetector

# Powers of the normalised pixel coordinates in the static distortion: degrees 2 and 3.
_STATIC_POWERS = ((2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))


@dataclass(frozen=True)
class TrueDetector:
    """One CCD where it truly is.

    Parameters
    ----------
    place
        True centre and turn.
    static_pix
        Coefficients of the distortion in x and y, shape (2, 7).
    """

    place: SimDetector
    static_pix: np.ndarray

    def from_focal(self, x_mm: np.ndarray, y_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixel on which light falls at a place of the focal plane."""
        x, y = self.place.focal_to_pixel(x_mm, y_mm)
        dx, dy = self._distortion(x, y)
        return x + dx, y + dy

    def to_focal(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo :meth:`from_focal` (to 1e-9 pixels)."""
        u, v = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        # The distortion changes by under 1e-2 per pixel, so each round gains two digits.
        for _ in range(6):
            dx, dy = self._distortion(u, v)
            u, v = x - dx, y - dy
        return self.place.pixel_to_focal(u, v)

    def _distortion(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nx, ny = self.place.size_pix
        # Beyond the detector the polynomial is not meant; it stays bounded there.
        u = np.clip((2 * np.asarray(x) - (nx - 1)) / nx, -1.3, 1.3)
        v = np.clip((2 * np.asarray(y) - (ny - 1)) / ny, -1.3, 1.3)
        terms = [u**i * v**j for i, j in _STATIC_POWERS]
        dx = sum(c * t for c, t in zip(self.static_pix[0], terms, strict=True))
        dy = sum(c * t for c, t in zip(self.static_pix[1], terms, strict=True))
        return np.asarray(dx), np.asarray(dy)


@dataclass(frozen=True)
class TrueOptics:
    """Plate scale, distortion and detectors as they are.

    Parameters
    ----------
    scale_deg_per_mm
        Field angle per millimetre at the centre.
    radius_mm
        Normalising radius.
    radial
        Coefficients k3, k5, …
    vignetting
        Light lost at `radius_mm`.
    detectors
        By id.
    """

    scale_deg_per_mm: float
    radius_mm: float
    radial: tuple[float, ...]
    vignetting: float
    detectors: dict[int, TrueDetector]

    def focal_to_field(self, x_mm: np.ndarray, y_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return field angles [deg] of places in the focal plane."""
        factor = self.scale_deg_per_mm * self._stretch(np.hypot(x_mm, y_mm))
        return factor * x_mm, factor * y_mm

    def field_to_focal(self, x_deg: np.ndarray, y_deg: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Undo :meth:`focal_to_field` by Newton's method on the radius (to 1e-12)."""
        goal = np.hypot(x_deg, y_deg) / self.scale_deg_per_mm
        r = np.array(goal, dtype=float)
        for _ in range(8):
            r = r - (r * self._stretch(r) - goal) / self._slope(r)
        factor = np.where(goal > 0, r / np.where(goal > 0, goal, 1.0), 1.0) / self.scale_deg_per_mm
        return factor * x_deg, factor * y_deg

    def pixel_area(self, x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        """Return the solid angle of a pixel relative to one at the centre."""
        r = np.hypot(x_mm, y_mm)
        return self._stretch(r) * self._slope(r)

    def illumination(self, x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        """Return the light that is not vignetted, 1 at the centre."""
        ratio2 = (np.asarray(x_mm) ** 2 + np.asarray(y_mm) ** 2) / self.radius_mm**2
        return np.clip(1 - self.vignetting * (0.7 * ratio2 + 0.3 * ratio2**2), 0.02, None)

    def _stretch(self, r_mm: np.ndarray) -> np.ndarray:
        s = (r_mm / self.radius_mm) ** 2
        return np.asarray(1 + sum(k * s ** (i + 1) for i, k in enumerate(self.radial)))

    def _slope(self, r_mm: np.ndarray) -> np.ndarray:
        s = (r_mm / self.radius_mm) ** 2
        return np.asarray(
            1 + sum((2 * i + 3) * k * s ** (i + 1) for i, k in enumerate(self.radial))
        )


def build_true_optics(config: SurveyConfig, instrument: Instrument) -> TrueOptics:
    """Draw how the camera differs from its description."""
    o = config.instrument.optics
    rng = generator(config.seed, SkyStage.INSTRUMENT)
    scale = o.plate_scale_arcsec_per_mm / 3600 * (1 + o.scale_error * rng.normal())
    radial = tuple(float(k * (1 + o.radial_error * rng.normal())) for k in o.radial)
    detectors = {d.id: _displace(config, d) for d in instrument.detectors}
    return TrueOptics(float(scale), o.radius_mm, radial, o.vignetting, detectors)


def _displace(config: SurveyConfig, nominal: SimDetector) -> TrueDetector:
    o = config.instrument.optics
    rng = generator(config.seed, SkyStage.DETECTOR_OPTICS, nominal.id)
    shift_mm = rng.normal(scale=o.detector_shift_um / 1e3, size=2)
    turn_deg = float(rng.normal(scale=o.detector_turn_deg))
    center = (nominal.center_mm[0] + shift_mm[0], nominal.center_mm[1] + shift_mm[1])
    place = replace(nominal, center_mm=center, rotation_deg=nominal.rotation_deg + turn_deg)
    # The rms of u^i v^j over the detector.
    norms = np.array([1 / np.sqrt((2 * i + 1) * (2 * j + 1)) for i, j in _STATIC_POWERS])
    pixel_mas = o.plate_scale_arcsec_per_mm * nominal.pixel_size_mm * 1e3
    rms_pix = o.static_mas / pixel_mas / np.sqrt(len(norms))
    return TrueDetector(place, rng.normal(size=(2, len(norms))) * rms_pix / norms)
