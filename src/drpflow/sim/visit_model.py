"""All that one visit's images depend on, gathered from the parts of the survey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.astrometry import VisitGeometry
from drpflow.sim.atmosphere import transmission
from drpflow.sim.earth import earth_velocity_c, unit_vector
from drpflow.sim.photometry import BandResponse, band_response
from drpflow.sim.pointing import visit_zenith
from drpflow.sim.psf_model import VisitPsf, build_visit_psf
from drpflow.sim.random_field import Field, displacement_field, scalar_field
from drpflow.sim.refraction import Air
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K, WAVELENGTH_NM, SedLibrary
from drpflow.sim.sky import SkyPattern, build_sky_pattern
from drpflow.sim.streams import SkyStage, generator
from drpflow.sim.trails import Trail, draw_trails

if TYPE_CHECKING:
    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.instrument import Instrument
    from drpflow.sim.optics import TrueOptics
    from drpflow.sim.pointing import VisitTruth
    from drpflow.sim.throughput import Throughputs


@dataclass(frozen=True)
class VisitModel:
    """One visit.

    Parameters
    ----------
    config, truth
        The survey's configuration and the visit's entry in the log.
    geometry
        From the sky to the field.
    optics
        From the field to pixels.
    psf
        The blur.
    sky
        The shape of the sky.
    cloud
        Extinction field of unit variance; None under a clear sky.
    trails
        Satellite trails.
    sed_library
        Spectra.
    throughputs
        Telescope, filters, CCDs.
    """

    config: SurveyConfig
    truth: VisitTruth
    geometry: VisitGeometry
    optics: TrueOptics
    psf: VisitPsf
    sky: SkyPattern
    cloud: Field | None
    trails: list[Trail]
    sed_library: SedLibrary
    throughputs: Throughputs

    @property
    def air_transmission(self) -> np.ndarray:
        """Clear-air transmission on the wavelength grid; ones without extinction."""
        if not self.config.atmosphere.extinction:
            return np.ones_like(WAVELENGTH_NM)
        return transmission(self.truth.air, self.truth.airmass)

    def curve(self, detector: int, *, through_air: bool = True) -> np.ndarray:
        """Return electrons per photon on the wavelength grid."""
        system = self.throughputs.system(self.truth.physical_filter, detector)
        return system * self.air_transmission if through_air else system

    def response(self, detector: int) -> BandResponse:
        """Return what each template gives on a detector."""
        return band_response(
            self.sed_library,
            self.curve(detector),
            self.config.instrument.collecting_area_m2,
            self.geometry.air,
            self.geometry.zenith_deg,
        )

    def flat_rate(self, detector: int, *, through_air: bool = True) -> float:
        """Return electrons per second from 1 nJy of light with constant f_ν."""
        constant = SedLibrary(np.ones((1, len(WAVELENGTH_NM))))
        curve = self.curve(detector, through_air=through_air)
        area = self.config.instrument.collecting_area_m2
        return float(band_response(constant, curve, area).electron_per_s_njy[0])

    def cloud_extinction_mag(self, x_mm: np.ndarray, y_mm: np.ndarray) -> np.ndarray:
        """Return the extinction by cloud over the focal plane."""
        mean = self.truth.cloud_mag
        if self.cloud is None:
            return np.full(np.shape(x_mm), mean)
        scale = self.optics.scale_deg_per_mm
        patch = self.cloud(np.asarray(x_mm) * scale, np.asarray(y_mm) * scale)[0]
        return np.maximum(mean * (1 + self.config.atmosphere.cloud_structure * patch), 0.0)


def build_visit_model(
    config: SurveyConfig,
    instrument: Instrument,
    optics: TrueOptics,
    library: SedLibrary,
    throughputs: Throughputs,
    truth: VisitTruth,
) -> VisitModel:
    """Draw everything that is random in one visit."""
    diameter_deg = 2.2 * instrument.half_diagonal_mm() * optics.scale_deg_per_mm
    cloud = None
    if truth.cloud_mag > 0 and config.atmosphere.cloud_structure > 0:
        rng = generator(config.seed, SkyStage.CLOUD, truth.visit)
        cloud = scalar_field(rng, config.atmosphere.cloud_arcmin / 60, diameter_deg)
    return VisitModel(
        config=config,
        truth=truth,
        geometry=_geometry(config, instrument, library, throughputs, truth, diameter_deg),
        optics=optics,
        psf=build_visit_psf(config, truth, diameter_deg),
        sky=build_sky_pattern(config, truth),
        cloud=cloud,
        trails=draw_trails(config, truth, instrument.half_diagonal_mm()),
        sed_library=library,
        throughputs=throughputs,
    )


def _geometry(
    config: SurveyConfig,
    instrument: Instrument,
    library: SedLibrary,
    throughputs: Throughputs,
    truth: VisitTruth,
    diameter_deg: float,
) -> VisitGeometry:
    a, t = config.atmosphere, config.turbulence
    air = Air(truth.pressure_hpa, truth.temperature_c, truth.humidity_percent)
    flexure = generator(config.seed, SkyStage.FLEXURE, truth.visit).normal(size=(2, 5))
    turbulence = None
    if t.rms_mas > 0:
        rng = generator(config.seed, SkyStage.TURBULENCE, truth.visit)
        turbulence = displacement_field(rng, t.coherence_arcmin / 60, diameter_deg, t.curl_fraction)
    return VisitGeometry(
        boresight=unit_vector(truth.true_ra_deg, truth.true_dec_deg),
        rotation_deg=truth.true_rotation_deg,
        zenith=visit_zenith(instrument, truth),
        air=air if a.refraction else None,
        wavelength_nm=_reference_wavelength(library, throughputs, truth.physical_filter),
        velocity_c=earth_velocity_c(truth.mjd_tai) if a.aberration else np.zeros(3),
        flexure_mas=config.instrument.optics.flexure_mas * flexure / np.sqrt(2),
        radius_deg=diameter_deg / 2.2,
        turbulence=turbulence,
        turbulence_mas=t.rms_mas * np.sqrt(t.reference_exposure_s / truth.exposure_time_s),
    )


def _reference_wavelength(
    library: SedLibrary, throughputs: Throughputs, physical_filter: str
) -> float:
    """Return the photon-weighted mean wavelength of the reference star in a filter."""
    index = SedLibrary.star_index(np.array([REFERENCE_TEMPERATURE_K]))
    curve = throughputs.mean_system(physical_filter)
    return float(band_response(library, curve, 1.0).at(index).wavelength_nm[0])
