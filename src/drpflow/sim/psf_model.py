"""The true point-spread function of a visit, as cumulants that vary over the focal plane.

The image of a star is given by its transfer function (characteristic function)

``log OTF(k) = -i k·x0 - a |k|^(5/3) - ½ kᵀ Σ k + ½ i (q·k) |k|²``

with ``a`` Kolmogorov's turbulence (``a = 3.4419 (FWHM / (0.97586 · 2π))^(5/3)``; Fried 1966), Σ the
covariance of everything that blurs like a Gaussian (optics, guiding, dispersion by the air
within the band) and ``q`` the third cumulant of coma. It is exact in the centroid ``x0`` and in
the flux, and it is no member of any family of profiles that one would fit. What is called the
place of a source is not x0 but where a matched centroid finds it, see
:meth:`PsfCumulants.centering_pix`.

Optics: a point of the pupil (u) lands at ``M u`` with ``M = [[d + a1, a2], [a2, d - a1]]``,
defocus d and astigmatism a; over a uniform pupil this has the covariance ``M Mᵀ / 4``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.random_field import Field, scalar_field
from drpflow.sim.streams import SkyStage, generator

if TYPE_CHECKING:
    from drpflow.sim.config import PsfConfig, SurveyConfig
    from drpflow.sim.pointing import VisitTruth

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_KOLMOGOROV_FWHM = 0.97586
_KOLMOGOROV_STRUCTURE = 6.8839 / 2


@dataclass(frozen=True)
class PsfCumulants:
    """Cumulants at N places.

    Parameters
    ----------
    turbulence
        ``a`` for wave numbers in radians per pixel.
    covariance
        xx, xy, yy [pix²], shape (N, 3).
    coma
        ``q`` [pix³], shape (N, 2).
    """

    turbulence: np.ndarray
    covariance: np.ndarray
    coma: np.ndarray

    def centering_pix(self) -> np.ndarray:
        """Return by how far x0 lies from the place where the image is measured, shape (N, 2).

        Coma leaves the mean of all light in place and shifts the core. Whoever measures under
        a weight W of the core's own width finds a source where the phase of the transfer
        function vanishes on average, ``∫ (k·e) phase OTF W d²k = 0``. For a round image this
        gives ``x0 - place = ½ q ∫ k⁵ OTF W dk / ∫ k³ OTF W dk``.
        """
        k = np.linspace(0.0, 2 * np.pi, 97)[1:]
        blur = self.covariance[:, [0, 2]].mean(axis=1)
        otf = np.exp(
            -np.multiply.outer(self.turbulence, k ** (5 / 3)) - np.multiply.outer(blur / 2, k**2)
        )
        # The width of the core is that of its curvature: 2/σ² = ∫ k³ OTF / ∫ k OTF.
        width2 = 2 * (otf @ k) / (otf @ k**3)
        otf *= np.exp(-np.multiply.outer(width2 / 2, k**2))
        return 0.5 * self.coma * ((otf @ k**5) / (otf @ k**3))[:, None]

    def row(self, index: int) -> tuple[float, np.ndarray, np.ndarray]:
        """Return those of one place."""
        return float(self.turbulence[index]), self.covariance[index], self.coma[index]


@dataclass(frozen=True)
class VisitPsf:
    """What blurs the images of one visit. Lengths in arcseconds, axes of the focal plane.

    Parameters
    ----------
    fwhm_500_arcsec
        Atmospheric FWHM at 500 nm at the visit's airmass.
    exponent
        FWHM ∝ wavelength to this power.
    ellipticity
        Field of unit variance, two components.
    ellipticity_rms
        Its rms.
    optics_sigma, defocus, tilt, curvature
        Constant blur, focus error, its change across the field and with the square of the
        radius.
    astigmatism, coma
        Constant (2,) and at the edge of the field.
    jitter
        Covariance xx, xy, yy of the guiding [arcsec²].
    radius_mm
        The edge of the field.
    scale_arcsec_per_mm
        Plate scale.
    """

    fwhm_500_arcsec: float
    exponent: float
    ellipticity: Field
    ellipticity_rms: float
    optics_sigma: float
    defocus: float
    tilt: np.ndarray
    curvature: float
    astigmatism: np.ndarray
    astigmatism_edge: float
    coma: np.ndarray
    coma_edge: float
    jitter: np.ndarray
    radius_mm: float
    scale_arcsec_per_mm: float

    def fwhm_arcsec(self, wavelength_nm: np.ndarray | float) -> np.ndarray:
        """Return the atmospheric FWHM at wavelengths."""
        return self.fwhm_500_arcsec * (np.asarray(wavelength_nm) / 500.0) ** self.exponent

    def cumulants(
        self,
        x_mm: np.ndarray,
        y_mm: np.ndarray,
        wavelength_nm: np.ndarray,
        dispersion_arcsec2: np.ndarray,
        dispersion_angle_deg: float,
        detector_turn_deg: float,
        pixel_mm: float,
    ) -> PsfCumulants:
        """Return the cumulants at places of the focal plane, in a detector's pixels.

        Parameters
        ----------
        x_mm, y_mm
            Places, shape (N,).
        wavelength_nm
            Mean wavelength of each source, shape (N,).
        dispersion_arcsec2
            Variance of refraction over the band for each source, shape (N,).
        dispersion_angle_deg
            Direction of the zenith, from focal-plane +x towards +y.
        detector_turn_deg, pixel_mm
            Turn and pixel pitch of the detector.
        """
        fwhm = self.fwhm_arcsec(wavelength_nm)
        covariance = self._optics_covariance(x_mm, y_mm) + self._shake(x_mm, y_mm, fwhm)
        c, s = np.cos(np.deg2rad(dispersion_angle_deg)), np.sin(np.deg2rad(dispersion_angle_deg))
        covariance = covariance + dispersion_arcsec2[:, None] * np.array([c * c, c * s, s * s])
        u, v = x_mm / self.radius_mm, y_mm / self.radius_mm
        coma = self.coma + self.coma_edge * np.stack([u, v], axis=1)
        pixel_arcsec = pixel_mm * self.scale_arcsec_per_mm
        turbulence = _KOLMOGOROV_STRUCTURE * (
            fwhm / pixel_arcsec / (2 * np.pi * _KOLMOGOROV_FWHM)
        ) ** (5 / 3)
        return PsfCumulants(
            turbulence,
            _turn_covariance(covariance, -detector_turn_deg) / pixel_arcsec**2,
            _turn_vector(coma, -detector_turn_deg) / pixel_arcsec**3,
        )

    def _optics_covariance(self, x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        u, v = x_mm / self.radius_mm, y_mm / self.radius_mm
        d = self.defocus + self.tilt[0] * u + self.tilt[1] * v + self.curvature * (u * u + v * v)
        a1 = self.astigmatism[0] + self.astigmatism_edge * (u * u - v * v)
        a2 = self.astigmatism[1] + self.astigmatism_edge * 2 * u * v
        xx = ((d + a1) ** 2 + a2**2) / 4
        yy = ((d - a1) ** 2 + a2**2) / 4
        xy = a2 * d / 2
        blur = self.optics_sigma**2
        return np.stack([xx + blur, xy, yy + blur], axis=1)

    def _shake(self, x_mm: np.ndarray, y_mm: np.ndarray, fwhm: np.ndarray) -> np.ndarray:
        """Return guiding errors and the ellipticity that the air leaves in a finite exposure.

        The latter is written as a blur along its axis, ``σ² (|e| + e1, e2, |e| - e1)``, which
        is a covariance whatever the sign of e.
        """
        scale_deg = self.scale_arcsec_per_mm / 3600
        e1, e2 = self.ellipticity_rms * self.ellipticity(x_mm * scale_deg, y_mm * scale_deg)
        size = (fwhm / FWHM_PER_SIGMA) ** 2
        e = np.hypot(e1, e2)
        return size[:, None] * np.stack([e + e1, e2, e - e1], axis=1) + self.jitter


def build_visit_psf(config: SurveyConfig, visit: VisitTruth, diameter_deg: float) -> VisitPsf:
    """Draw the blur of one visit.

    Parameters
    ----------
    config
        The survey.
    visit
        The visit; its seeing and airmass are used.
    diameter_deg
        Size of the field.
    """
    p, o = config.psf, config.instrument.optics
    rng = generator(config.seed, SkyStage.PSF, visit.visit)
    shapes = scalar_field(
        generator(config.seed, SkyStage.PSF_FIELD, visit.visit),
        p.atmospheric_ellipticity_arcmin / 60,
        diameter_deg,
        components=2,
    )
    return VisitPsf(
        fwhm_500_arcsec=visit.seeing_arcsec * visit.airmass**p.airmass_exponent,
        exponent=p.wavelength_exponent,
        ellipticity=shapes,
        # As many independent speckle patterns as the wind blows past: rms falls as 1/√time.
        ellipticity_rms=p.atmospheric_ellipticity * np.sqrt(30.0 / visit.exposure_time_s),
        optics_sigma=p.optics_fwhm_arcsec / FWHM_PER_SIGMA,
        defocus=float(p.defocus_arcsec * rng.normal()),
        tilt=p.tilt_arcsec * rng.normal(size=2) / np.sqrt(2),
        curvature=0.3 * p.tilt_arcsec,
        astigmatism=0.4 * p.astigmatism_arcsec * rng.normal(size=2),
        astigmatism_edge=p.astigmatism_arcsec,
        coma=0.4 * p.coma_arcsec**3 * rng.normal(size=2),
        coma_edge=p.coma_arcsec**3,
        jitter=_jitter(p, rng),
        radius_mm=o.radius_mm,
        scale_arcsec_per_mm=o.plate_scale_arcsec_per_mm,
    )


def _jitter(config: PsfConfig, rng: np.random.Generator) -> np.ndarray:
    """Return the covariance of guiding errors: a short line in a random direction."""
    length = config.jitter_arcsec * abs(rng.normal())
    angle = rng.uniform(0, np.pi)
    c, s = np.cos(angle), np.sin(angle)
    return length**2 * np.array([c * c, c * s, s * s])


def _turn_covariance(covariance: np.ndarray, angle_deg: float) -> np.ndarray:
    """Rotate covariances (xx, xy, yy) counter-clockwise."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    xx, xy, yy = covariance.T
    return np.stack(
        [
            c * c * xx - 2 * c * s * xy + s * s * yy,
            c * s * (xx - yy) + (c * c - s * s) * xy,
            s * s * xx + 2 * c * s * xy + c * c * yy,
        ],
        axis=1,
    )


def _turn_vector(vector: np.ndarray, angle_deg: float) -> np.ndarray:
    """Rotate vectors, shape (N, 2), counter-clockwise."""
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    x, y = vector.T
    return np.stack([c * x - s * y, s * x + c * y], axis=1)
