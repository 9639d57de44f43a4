"""A simulated survey in the form that the fit takes, with what its camera's makers document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.fgcm.look_up_table import FilterThroughput, build_look_up_table
from drpflow.data.photometric_tables import Detectors, Observations, Stars, Visits
from drpflow.sim.photometric_survey import detector_directions
from drpflow.sim.sed import WAVELENGTH_NM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.air import AirAbsorption, AirState
    from drpflow.data.look_up_table import LookUpTable
    from drpflow.sim.photometric_survey import PhotometricSurvey


def observations_of(survey: PhotometricSurvey) -> Observations:
    """Return the measurements."""
    m = survey.measurements
    return Observations(m.star, m.visit, m.detector, m.mag, m.mag_err, m.u, m.v)


def visits_of(survey: PhotometricSurvey) -> Visits:
    """Return the visits: headers tell the boresight's airmass and the pressure to 0.5 hPa."""
    exposures = survey.exposures
    airmass = np.array([e.airmass(detector_directions(survey.camera, e)) for e in exposures])
    return Visits(
        bands=survey.bands,
        id=np.array([1000 + e.number for e in exposures]),
        night=np.array([e.night for e in exposures]),
        mjd=np.array([e.mjd for e in exposures]),
        band=np.array([e.band for e in exposures]),
        airmass=airmass.mean(axis=1),
        exposure_time_s=np.full(len(exposures), survey.config.nights.exposure_time_s),
        ra_deg=np.array([e.ra_deg for e in exposures]),
        dec_deg=np.array([e.dec_deg for e in exposures]),
        fwhm_arcsec=np.array([e.seeing_arcsec for e in exposures]),
        pressure_hpa=np.round([2 * e.air.pressure_hpa for e in exposures]) / 2,
        detector_airmass=airmass,
        physical_filters=tuple(f.physical_filter for f in survey.config.camera.filters),
        physical_filter=np.array([e.band for e in exposures]),
    )


def detectors_of(survey: PhotometricSurvey) -> Detectors:
    """Return where the detectors stand."""
    camera = survey.camera
    number = camera.x_deg.size
    matrix = np.tile(np.eye(2) * camera.half_side_deg, (number, 1, 1))
    return Detectors(np.arange(number), camera.x_deg, camera.y_deg, matrix)


def stars_of(survey: PhotometricSurvey, *, reference: bool = True) -> Stars:
    """Return the stars, with or without the reference catalogue."""
    s = survey.stars
    stars = Stars(s.id, s.ra, s.dec, s.reserved, s.reference_mag, s.reference_err)
    return stars if reference else stars.without_reference()


def table_of(survey: PhotometricSurvey, air: AirAbsorption, standard_air: AirState) -> LookUpTable:
    """Return the look-up table from the documented throughputs."""
    number = survey.camera.x_deg.size
    throughputs = [
        FilterThroughput(
            item.physical_filter,
            item.band,
            tuple((WAVELENGTH_NM, curve) for curve in curves),
            np.arange(number, dtype=np.int32),
        )
        for item, curves in zip(survey.config.camera.filters, survey.camera.documented, strict=True)
    ]
    return build_look_up_table(throughputs, list(range(number)), air, standard_air)


def standard_transmission(air: AirAbsorption, standard_air: AirState) -> NDArray[np.float64]:
    """Return the standard air of the fit on the simulator's wavelengths."""
    shine = air.transmission(*standard_air.values())
    return np.interp(WAVELENGTH_NM, air.wavelength_nm, shine)
