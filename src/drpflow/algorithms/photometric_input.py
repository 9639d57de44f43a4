"""From camera, visits' metadata and summaries to the tables of the photometric calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.fgcm.nominal_passbands import NOMINAL_WAVELENGTH_NM
from drpflow.algorithms.sky_match import match_nearest
from drpflow.data.photometric_tables import Detectors, Stars, Visits
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Camera, Detector, Optics
    from drpflow.data.photometric_tables import Observations
    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.visit_info import VisitInfo

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = Mapping[str, NDArray[Any]]

FWHM_PER_SIGMA = 2.3548200450309493
_MAX_SEC_Z = 10.0
# Bands without which there is no colour.
_LEAST_COLOR_BANDS = 2


@dataclass(frozen=True)
class VisitInput:
    """What is known of a visit.

    Parameters
    ----------
    info
        Its metadata.
    summary
        Plain columns of ``initial_visit_summary``; empty without.
    """

    info: VisitInfo
    summary: Columns

    def lacks(self, filters: set[str]) -> str:
        """Return what is missing for a photometric calibration, or an empty text.

        Parameters
        ----------
        filters
            Those whose passbands are known.
        """
        info = self.info
        for name in ("band", "mjd", "exposure_time_s", "ra_deg", "dec_deg"):
            if getattr(info, name) in (None, ""):
                return f"its {name} is unknown"
        if not info.exposure_time_s or info.exposure_time_s <= 0:
            return f"its exposure time is {info.exposure_time_s} s"
        if not np.isfinite(sec_z(info)):
            return "neither its airmass nor place and time of the observation are known"
        if info.physical_filter not in filters:
            return f"the passband of its filter {info.physical_filter!r} is not known"
        return ""


def sec_z(info: VisitInfo) -> float:
    """Return sec z of a boresight: from its zenith distance, else the recorded airmass."""
    distance = info.zenith_distance_deg
    if distance is not None and distance < np.degrees(np.arccos(1 / _MAX_SEC_Z)):
        return float(1 / np.cos(np.radians(distance)))
    return float("nan") if info.airmass is None else max(float(info.airmass), 1.0)


def visits_of(given: list[VisitInput], camera: Camera) -> Visits:
    """Return the table of visits.

    Parameters
    ----------
    given
        Visits that lack nothing, by number.
    camera
        Gives the order of bands, filters and detectors. Bands without a visit are left out.
    """
    infos = [item.info for item in given]
    used = {info.band for info in infos}
    bands = tuple(dict.fromkeys(f.band for f in camera.filters if f.band in used))
    filters = tuple(f.physical_filter for f in camera.filters if f.band in used)
    airmass = np.array([sec_z(info) for info in infos])
    return Visits(
        bands=bands,
        id=np.array([info.visit for info in infos], np.int64),
        night=np.array([_night(info) for info in infos], np.int32),
        mjd=np.array([info.mjd for info in infos], float),
        band=np.array([bands.index(info.band) for info in infos], np.int16),
        airmass=airmass,
        exposure_time_s=np.array([info.exposure_time_s for info in infos], float),
        ra_deg=np.array([info.ra_deg for info in infos], float),
        dec_deg=np.array([info.dec_deg for info in infos], float),
        fwhm_arcsec=np.array([_fwhm_arcsec(item.summary) for item in given]),
        pressure_hpa=np.array([_or_nan(info.pressure_hpa) for info in infos]),
        detector_airmass=_detector_airmass(given, airmass, camera),
        physical_filters=filters,
        physical_filter=np.array([filters.index(i.physical_filter) for i in infos], np.int16),
    )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _night(info: VisitInfo) -> int:
    """Return the night as a number: its date's digits, else the MJD of the evening's noon."""
    digits = "".join(c for c in info.night if c.isdigit())
    if digits and len(digits) <= 9:
        return int(digits)
    assert info.mjd is not None
    # Local noon is at MJD 0.5 less the longitude's part of a day.
    return int(np.floor(info.mjd - 0.5 + (info.longitude_deg or 0.0) / 360))


def _fwhm_arcsec(summary: Columns) -> float:
    if "psfSigma" not in summary or "pixelScale" not in summary:
        return float("nan")
    fwhm = FWHM_PER_SIGMA * np.asarray(summary["psfSigma"]) * np.asarray(summary["pixelScale"])
    found = fwhm[np.isfinite(fwhm)]
    return float(np.median(found)) if found.size else float("nan")


def _detector_airmass(given: list[VisitInput], airmass: Floats, camera: Camera) -> Floats:
    """Return sec z of the detectors' centres; the visit's where it is unknown."""
    rows = {detector.id: k for k, detector in enumerate(camera.detectors)}
    table = np.repeat(airmass[:, None], len(rows), axis=1)
    for k, item in enumerate(given):
        if "zenithDistance" not in item.summary:
            continue
        distance = np.asarray(item.summary["zenithDistance"], float)
        for detector, z in zip(item.summary["detector"], distance, strict=True):
            if np.isfinite(z) and 1 / np.cos(np.radians(z)) < _MAX_SEC_Z:
                table[k, rows[int(detector)]] = 1 / np.cos(np.radians(z))
    return table


def detectors_of(camera: Camera) -> Detectors:
    """Return where the camera's detectors stand in the field."""
    detectors = camera.detectors
    centers = np.array([_field_deg(d.center_mm, camera.optics) for d in detectors])
    edges = np.array([[_edge_mm(d, axis) for axis in (0, 1)] for d in detectors])
    matrix = np.empty((len(detectors), 2, 2))
    for k in range(len(detectors)):
        for axis in (0, 1):
            matrix[k, :, axis] = _field_deg(edges[k, axis], camera.optics) - centers[k]
    return Detectors(
        np.array([d.id for d in detectors], np.int32), centers[:, 0], centers[:, 1], matrix
    )


def _edge_mm(detector: Detector, axis: int) -> Floats:
    """Return the middle of the edge at u = 1 (axis 0) or v = 1 (axis 1) on the focal plane."""
    half = detector.size_pix[axis] / 2 * detector.pixel_size_mm
    turn = np.radians(detector.rotation_deg)
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-np.sin(turn), np.cos(turn)])
    return np.array(detector.center_mm) + half * (along, across)[axis]


def _field_deg(place_mm: Any, optics: Optics) -> Floats:
    """Return field angles of a place on the focal plane, as Optics of the camera defines them."""
    place = np.subtract(place_mm, optics.boresight_mm)
    r2 = float(place @ place) / optics.radius_mm**2
    stretch = 1 + sum(k * r2 ** (n + 1) for n, k in enumerate(optics.radial))
    return np.asarray(place * optics.plate_scale_arcsec_per_mm / 3600 * stretch)


def with_references(
    stars: Stars,
    references: ReferenceStars | None,
    bands: tuple[str, ...],
    mjd: float,
    radius_arcsec: float,
) -> Stars:
    """Return the stars with the magnitudes of a reference catalogue.

    Parameters
    ----------
    stars
        The stars.
    references
        The catalogue, None without.
    bands
        Bands of the visits; those that the catalogue lacks stay NaN. Its other bands tell colours,
        if their wavelengths are known by their names.
    mjd
        Time at which places are compared.
    radius_arcsec
        Largest distance.

    Returns
    -------
    Stars
        The same stars if the catalogue has nothing to tell of them.
    """
    if references is None or not len(references):
        return stars
    shared = [b for b in bands if b in references.bands]
    others = [b for b in references.bands if b not in bands and b in NOMINAL_WAVELENGTH_NM]
    if not shared and len(others) < _LEAST_COLOR_BANDS:
        return stars
    now = references.at_epoch(mjd)
    pairs = match_nearest(stars.ra, stars.dec, now.ra, now.dec, radius_arcsec)
    mag, err = np.full((2, len(stars), len(bands)), np.nan)
    for band in shared:
        k = bands.index(band)
        flux, error = references.flux_njy[band], references.flux_err_njy[band]
        mag[pairs.first, k] = references.magnitude(band)[pairs.second]
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.where(flux > 0, error / flux, np.nan)
        err[pairs.first, k] = (2.5 / np.log(10) * relative)[pairs.second]
    if shared:
        stars = replace(stars, reference_mag=mag, reference_err=err)
    if not others:
        return stars
    color = np.full((len(stars), len(others)), np.nan)
    for k, band in enumerate(others):
        color[pairs.first, k] = references.magnitude(band)[pairs.second]
    wavelengths = np.array([NOMINAL_WAVELENGTH_NM[b] for b in others])
    return replace(stars, color_mag=color, color_wavelength_nm=wavelengths)


def check_usable(observations: Observations) -> None:
    """Check that there is a flux at all.

    Raises
    ------
    AlgorithmError
        If no observation has a magnitude, an error above 0 and a place on its detector.
    """
    if usable(observations).any():
        return
    numbers = {"observations": len(observations)}
    if not len(observations):
        hint = "Do observations, visits, detectors and stars go by the same numbers?"
        raise AlgorithmError("there is no observation of a star", numbers, hint)
    raise AlgorithmError(
        "no observation has a usable flux",
        numbers,
        "Fluxes and their errors must be above 0, and places on the detector known",
    )


def usable(observations: Observations) -> NDArray[np.bool_]:
    """Return which observations have a magnitude, an error above 0 and a place, (N,)."""
    o = observations
    known = np.isfinite(o.mag) & np.isfinite(o.mag_err) & np.isfinite(o.u) & np.isfinite(o.v)
    return np.asarray(known & (o.mag_err > 0))
