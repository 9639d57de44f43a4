"""Five frames of one field of SDSS: PSF and zero point beside SDSS's own.

The frames hold nanomaggies. Plain sums of them about bright isolated stars, by ``sep``, within 12
pixels (4.75 arcsec) and above the sky around, make the reference catalogue. That aperture is what
the pipeline's fluxes (PSF fit, deblending, aperture correction) stand for as well, so that the zero
point found should be SDSS's. SDSS itself counts to 7.43 arcsec; what stars have in between stands
in its own profile of the field's stars, and is printed as well.
"""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sep
from astropy.io import fits
from scipy.spatial import cKDTree

from drpflow.algorithms.isr.context import frame_context
from drpflow.config.calibrate_image import CalibrateImageConfig
from drpflow.config.isr import IsrConfig
from drpflow.data.psf_moments import adaptive_moments
from drpflow.data.reference_stars import ReferenceStars
from drpflow.ingest.run import ingest
from drpflow.io.camera_yaml import load_camera
from drpflow.io.frame_geometry import read_geometry
from drpflow.io.isr_files import read_pixels
from drpflow.io.records import write_component_json
from drpflow.tasks.calibrate_image import calibrate_image
from drpflow.tasks.isr import isr
from drpflow.tasks.make_visit_info import make_visit_info

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.data.psf_base import Psf

    Floats = NDArray[np.float64]
    Image = NDArray[np.float32]

_BANDS = "ugriz"
_PIXEL_ARCSEC = 0.396
_FWHM_PER_SIGMA = 2.3548
_KL_SCALE = 1e-3
# The field is half of a globular cluster. As the camera file of the Galactic bulge has it; and the
# centre of the cluster, thousands of peaks in one footprint, must not set the threshold for all.
CROWDED = {
    "bright_detection": {"max_peaks": 8000, "max_peaks_in_footprint": 6000},
    "psf": {"half_size_fwhm": 2.5, "max_masked_light": 0.2},
    "deblend": {"max_chi2": 30, "model_tolerance": 0.1},
}
_NANOMAGGY_NJY = 3631.0
# Beyond this the cluster is thin.
_FIRST_COLUMN = 1000
_APERTURE_PIX = 12.0
_SKY_PIX = 25.0, 35.0
# Stars of the reference: other sources near have less than this part of their light.
_ISOLATION = 0.02
_ISOLATION_PIX = 16.0
_MIN_SNR = 50.0
# No star, or none alone, gains so much from half the aperture to all of it.
_MAX_GROWTH = 1.1
_STAMP_PIX = 15
_DETECTION_SIGMA = 5.0
# Of one footprint: the centre of a globular cluster.
_MOST_PEAKS = 20_000
# SDSS fills saturated pixels; what comes near the level may be filled.
_MAX_PEAK_ADU = 25_000.0
# SDSS's aperture, and the radii of its profiles.
_SDSS_APERTURE_PIX = 7.43 / _PIXEL_ARCSEC
_PROFILE_PIX = (0.0, 0.5642, 1.6926, 2.5854, 4.4061, 7.5059, 11.5766, 18.5839, 28.5509)


@dataclass(frozen=True)
class SdssField:
    """What SDSS says of one band of a field."""

    electron_per_nanomaggy: float
    psf: tuple[tuple[Floats, Floats], ...]
    """SDSS's PSF: eigenimages, and their coefficients for powers of column and row."""
    adu_nanomaggy: float
    """Nanomaggies of one count."""
    beyond_mag: float
    """What the light between the aperture of the reference and SDSS's is worth."""

    @property
    def zero_point_mag(self) -> float:
        """AB magnitude of one electron."""
        return 22.5 + 2.5 * np.log10(self.electron_per_nanomaggy)


def sdss_field(frame: Path, ps_field: Path) -> SdssField:
    """Read the calibration of a frame and the PSF of its field."""
    header = fits.getheader(frame)
    band = _BANDS.index(header["FILTER"])
    with fits.open(ps_field) as hdus:
        table = hdus[6].data[0]
        psf = tuple(_kl_term(term) for term in hdus[band + 1].data)
        gain = float(table["gain"][band])
        profile = table["prof_med"].reshape(len(_BANDS), -1)[band]
    adu_nanomaggy = float(header["NMGY"])
    return SdssField(gain / adu_nanomaggy, psf, adu_nanomaggy, light_beyond(profile))


def light_beyond(profile: Any) -> float:
    """Return the light between two apertures, as the magnitude that leaving it out costs.

    Parameters
    ----------
    profile
        SDSS's ``prof_med``: mean brightness of rings.
    """
    area = np.pi * np.square(_PROFILE_PIX)
    light = np.concatenate([[0.0], np.cumsum(profile[: len(area) - 1] * np.diff(area))])
    radii = np.array([_APERTURE_PIX, _SDSS_APERTURE_PIX])
    inner, outer = np.interp(np.pi * radii**2, area, light)
    return float(2.5 * np.log10(outer / inner))


def _kl_term(term: Any) -> tuple[Floats, Floats]:
    """Return an eigenimage and its coefficients, shape (columns, rows)."""
    shape = int(term["RNROW"]), int(term["RNCOL"])
    image = np.asarray(term["RROWS"], float)[: shape[0] * shape[1]].reshape(shape)
    # Stored with the powers of the row running fastest.
    return image, np.array(term["c"][: term["ncol_b"], : term["nrow_b"]], float)


def kl_psf(psf: tuple[tuple[Floats, Floats], ...], row: float, column: float) -> Floats:
    """Return SDSS's PSF at a place: eigenimages times polynomials of row and column."""
    image = sum(
        np.polynomial.polynomial.polyval2d(_KL_SCALE * column, _KL_SCALE * row, coefficients) * term
        for term, coefficients in psf
    )
    return np.asarray(image / np.sum(image))


def detrend(row: dict[str, str], visit: dict[str, str], field: SdssField, folder: Path) -> Exposure:
    """Return a frame in electrons, with variance and mask."""
    camera = load_camera("sdss")
    info, _ = make_visit_info(visit, camera)
    path = folder / f"visit_info_{row['visit']}.json"
    write_component_json(path, info)
    geometry = read_geometry("sdss", int(row["detector"]), path)
    given = read_pixels(geometry, {"raw": Path(row["path"]), "hdu": row["hdu"]})
    of = given.of
    detrended = {"electron_per_unit": field.electron_per_nanomaggy, "sky": "subtracted"}
    config = IsrConfig.model_validate({"input": "detrended", "detrended": detrended})
    context = frame_context(
        of.camera, of.detector, of.visit_info, given.frame.header, row["path"],
        weight=given.weight, mask=given.mask,
    )  # fmt: skip
    calibrations = given.calibrations
    return isr(given.frame.data, of.detector, of.visit_info, calibrations, config, context).exposure


def aperture_reference(exposure: Exposure, field: SdssField) -> ReferenceStars:
    """Return bright isolated stars with the fluxes that SDSS's pixels have in an aperture.

    Nothing in it is the pipeline's: ``sep`` finds the stars and adds up their pixels.

    Parameters
    ----------
    exposure
        SDSS's pixels, in electrons.
    field
        SDSS's calibration.
    """
    image = np.ascontiguousarray(exposure.image)
    x, y = _isolated_stars(image, np.ascontiguousarray(exposure.variance))
    sky, peak = _sky_and_peak(image, x, y)
    (inner, _), (flux, error) = (
        _sums(image, exposure.variance, x, y, sky, radius)
        for radius in (_APERTURE_PIX / 2, _APERTURE_PIX)
    )
    limit = _MAX_PEAK_ADU * field.adu_nanomaggy * field.electron_per_nanomaggy
    good = (flux > _MIN_SNR * error) & (flux < _MAX_GROWTH * inner) & (peak < limit)
    ra, dec = exposure.wcs.pixel_to_world_values(x[good], y[good])
    to_njy = _NANOMAGGY_NJY / field.electron_per_nanomaggy
    band = exposure.visit_info.band
    return ReferenceStars.from_columns(
        {
            "id": np.flatnonzero(good),
            "ra": ra,
            "dec": dec,
            "epoch": np.full(int(good.sum()), exposure.visit_info.mjd),
            f"flux_{band}": to_njy * flux[good],
            f"flux_{band}_err": to_njy * error[good],
        }
    )


def _sums(
    image: Image, variance: Image, x: Floats, y: Floats, sky: Floats, radius_pix: float
) -> tuple[Floats, Floats]:
    """Return sums of pixels above the sky in an aperture, and their errors."""
    flux, error, _ = sep.sum_circle(image, x, y, radius_pix, var=variance, subpix=0)
    return flux - np.pi * radius_pix**2 * sky, error


def _sky_and_peak(image: Image, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the median of the ring about each star, and its highest pixel."""
    inner, outer = _SKY_PIX
    half = int(outer)
    offset = np.arange(-half, half + 1)
    radius = np.hypot(offset[:, None], offset)
    ring, core = (radius > inner) & (radius < outer), radius < 3
    found = []
    for i, j in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
        stamp = image[j - half : j + half + 1, i - half : i + half + 1]
        found.append((np.median(stamp[ring]), stamp[core].max()))
    sky, peak = np.array(found, float).reshape(-1, 2).T
    return sky, peak


def _isolated_stars(image: Image, variance: Image) -> tuple[Floats, Floats]:
    """Return the places of sources without neighbours, away from the border."""
    sep.set_extract_pixstack(image.size)
    sep.set_sub_object_limit(_MOST_PEAKS)
    found = sep.extract(image, _DETECTION_SIGMA, var=variance, deblend_cont=1e-3)
    places, flux = np.column_stack([found["x"], found["y"]]), found["flux"]
    near = cKDTree(places).query_ball_point(places, _ISOLATION_PIX)
    around = np.array([flux[others].sum() for others in near]) - flux
    margin = _SKY_PIX[1] + 1
    inside = np.all((places > margin) & (places < np.array(image.shape[::-1]) - margin), axis=1)
    x, y = places[(around < _ISOLATION * flux) & inside].T
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


@dataclass(frozen=True)
class Comparison:
    """A frame beside SDSS's own calibration of it."""

    stars_arcsec: float
    """2.35 sigma of stars' adaptive moments, median."""
    size: float
    """The pipeline's PSF over these stars, at their places, median."""
    sdss_size: float
    """SDSS's PSF over them."""
    psf_stars: int
    sources: int
    zero_point_mag: float
    """AB magnitude of one electron; NaN where there is none."""
    zero_point_error_mag: float
    zero_point_stars: int
    missing: str
    """Why there is no zero point."""


def outer_half(exposure: Exposure) -> None:
    """Take away the columns that the globular cluster fills, in place."""
    inner = np.zeros(exposure.shape, bool)
    inner[:, :_FIRST_COLUMN] = True
    exposure.mask.set("NO_DATA", inner)
    exposure.image[inner] = exposure.variance[inner] = np.nan


def compare(exposure: Exposure, field: SdssField) -> Comparison | str:
    """Calibrate a frame with the stars of its own pixels; return why it has no PSF if so."""
    reference = aperture_reference(exposure, field)
    config = CalibrateImageConfig.model_validate(CROWDED)
    result = calibrate_image(exposure, exposure.visit_info, reference, config)
    calibrated, numbers = result.images[0], result.numbers
    if calibrated.psf is None:
        return str(calibrated.missing["psf"])
    found = calibrated.photo_calib
    return Comparison(
        *_sizes(exposure, calibrated.psf, reference, field),
        int(numbers["psf_stars"]),
        int(numbers["sources"]),
        np.nan if found is None else found.zero_point_mag,
        float(numbers.get("zero_point_error_mag", np.nan)),
        int(numbers.get("zero_point_stars", 0)),
        str(calibrated.missing.get("photo_calib", "")),
    )


def _sizes(
    exposure: Exposure, psf: Psf, reference: ReferenceStars, field: SdssField
) -> tuple[float, float, float]:
    """Return the size of the reference's stars on SDSS's pixels, and both models' over it."""
    x, y = exposure.wcs.world_to_pixel_values(reference.ra, reference.dec)
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    image = np.asarray(exposure.image, float)
    sky, _ = _sky_and_peak(exposure.image, x, y)
    half, places = _STAMP_PIX, zip(column, row, strict=True)
    stamps = [image[j - half : j + half + 1, i - half : i + half + 1] for i, j in places]
    stars = _sigma(np.array(stamps) - sky[:, None, None])
    sdss = _sigma(np.array([kl_psf(field.psf, j, i) for i, j in zip(x, y, strict=True)]))
    return (
        _FWHM_PER_SIGMA * _PIXEL_ARCSEC * float(np.nanmedian(stars)),
        float(np.nanmedian(psf.compute_sigma(x, y) / stars)),
        float(np.nanmedian(sdss / stars)),
    )


def _sigma(images: Floats) -> Floats:
    moments, _, _ = adaptive_moments(images)
    return np.asarray(moments.determinant_radius)


def detrended_frames(
    folder: Path, scratch: Path, bands: str = _BANDS
) -> Iterator[tuple[str, Exposure, SdssField]]:
    """Yield the field's frames: band, pixels in electrons, and what SDSS says of them."""
    (ps_field,) = folder.glob("psField-002583-*.fits")
    ingest(folder, load_camera("sdss"), scratch, pattern="frame-*")
    visits = {row["visit"]: row for row in _rows(scratch / "visits.tsv")}
    for row in _rows(scratch / "exposures.tsv"):
        visit = visits[row["visit"]]
        if visit["band"] in bands:
            field = sdss_field(Path(row["path"]), ps_field)
            yield visit["band"], detrend(row, visit, field, scratch), field


def sdss(folder: Path) -> None:
    """Calibrate the frames of a field and print the tables."""
    for whole in (False, True):
        print("Whole frames:" if whole else f"From column {_FIRST_COLUMN} on:")
        print(
            "| band | FWHM of stars | PSF | SDSS's PSF | PSF stars | sources "
            "| zero point of 1 electron | SDSS's | difference | stars | in 4.75″ to 7.43″ |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|---|")
        with tempfile.TemporaryDirectory() as scratch:
            for band, exposure, field in detrended_frames(folder, Path(scratch)):
                if not whole:
                    outer_half(exposure)
                print(f"| {band} {_line(compare(exposure, field), field)}", flush=True)


def _line(found: Comparison | str, field: SdssField) -> str:
    """Return a frame's row of the table."""
    if isinstance(found, str):
        return f"| {found} | | | | | | | | | |"
    start = (
        f"| {found.stars_arcsec:.3f}″ | {100 * (found.size - 1):+.1f} % "
        f"| {100 * (found.sdss_size - 1):+.1f} % | {found.psf_stars} | {found.sources} "
    )
    if found.missing:
        return f"{start}| {found.missing} | | | | |"
    difference = found.zero_point_mag - field.zero_point_mag
    return (
        f"{start}| {found.zero_point_mag:.3f} | {field.zero_point_mag:.3f} "
        f"| {1e3 * difference:+.0f} ± {1e3 * found.zero_point_error_mag:.0f} mmag "
        f"| {found.zero_point_stars} | {1e3 * field.beyond_mag:.0f} mmag |"
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))
