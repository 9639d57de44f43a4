"""Five frames of one field of SDSS: PSF, noise and zero point beside SDSS's own.

A zero point needs stars of known brightness. SDSS puts its fluxes on the scale of an aperture of
7.43 arcsec; the reference stars here have the sums of the calibrated pixels within 17 pixels
(6.7 arcsec, 0.2 % less), so that the zero point found compares the pipeline's scale of fluxes
(PSF fit, aperture correction) with SDSS's.
"""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

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
    from numpy.typing import NDArray

    from drpflow.data.exposure import Exposure
    from drpflow.tasks.calibrate_image import CalibrateImageResult

    Floats = NDArray[np.float64]

_BANDS = "ugriz"
_PIXEL_ARCSEC = 0.396
_FWHM_PER_SIGMA = 2.3548
_KL_SCALE = 1e-3
# The field is half of a globular cluster: as the camera file of the Galactic bulge has it.
_CROWDED = {
    "psf": {"half_size_fwhm": 2.5, "max_masked_light": 0.2},
    "deblend": {"max_chi2": 30, "model_tolerance": 0.1},
}
_APERTURE = "ap17Flux"
_MIN_SNR = 50.0


@dataclass(frozen=True)
class SdssField:
    """What SDSS says of one band of a field."""

    electron_per_nanomaggy: float
    fwhm_arcsec: float
    """2.35 sigma of the adaptive moments of SDSS's PSF in the middle of the frame."""
    width_arcsec: float
    """SDSS's ``psf_width``."""

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
        image = kl_psf(hdus[band + 1].data, 744.0, 1024.0)
        gain, width = float(table["gain"][band]), float(table["psf_width"][band])
    moments, _, _ = adaptive_moments(image)
    sigma = float(moments.determinant_radius)
    fwhm = _FWHM_PER_SIGMA * _PIXEL_ARCSEC * sigma
    return SdssField(gain / header["NMGY"], fwhm, width)


def kl_psf(components: Any, row: float, column: float) -> Floats:
    """Return SDSS's PSF at a place: eigenimages times polynomials of row and column."""
    shape = int(components["RNROW"][0]), int(components["RNCOL"][0])
    image = np.zeros(shape)
    for term in components:
        n_row, n_column = int(term["nrow_b"]), int(term["ncol_b"])
        # Stored with the powers of the row running fastest.
        powers = (_KL_SCALE * column) ** np.arange(n_column)[:, None]
        powers = powers * (_KL_SCALE * row) ** np.arange(n_row)
        weight = float((term["c"][:n_column, :n_row] * powers).sum())
        image += weight * np.asarray(term["RROWS"], float)[: image.size].reshape(shape)
    return image / image.sum()


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


def aperture_reference(
    result: CalibrateImageResult, exposure: Exposure, factor: float
) -> ReferenceStars:
    """Return bright isolated stars with the fluxes that SDSS's pixels have in an aperture."""
    columns = result.tables[0]
    assert columns is not None
    snr = columns["psfFlux_instFlux"] / columns["psfFlux_instFluxErr"]
    good = (snr > _MIN_SNR) & ~columns[f"{_APERTURE}_flag"] & ~columns["psfFlux_flag"]
    good &= ~columns["pixelFlags_saturatedCenter"] & ~columns["pixelFlags_edge"]
    good &= (columns["extendedness"] < 0.5) & (columns["blendedness"] < 0.01)
    rows = np.flatnonzero(good & ~columns["sky_source"])
    ra, dec = exposure.wcs.pixel_to_world_values(columns["x"][rows], columns["y"][rows])
    # 1 nanomaggy is 3631 nJy.
    to_njy = 3631.0 / factor
    band = exposure.visit_info.band
    return ReferenceStars.from_columns(
        {
            "id": columns["sourceId"][rows],
            "ra": ra,
            "dec": dec,
            "epoch": np.full(rows.size, exposure.visit_info.mjd),
            f"flux_{band}": to_njy * columns[f"{_APERTURE}_instFlux"][rows],
            f"flux_{band}_err": to_njy * columns[f"{_APERTURE}_instFluxErr"][rows],
        }
    )


def sdss(folder: Path) -> None:
    """Calibrate the frames of a field and print the table."""
    (ps_field,) = folder.glob("psField-002583-*.fits")
    print(
        "| band | FWHM of the moments | SDSS's | psf_width of SDSS | PSF stars | sources "
        "| zero point of 1 electron | SDSS's | difference | stars |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        ingest(folder, load_camera("sdss"), scratch, pattern="frame-*")
        visits = {row["visit"]: row for row in _rows(scratch / "visits.tsv")}
        for row in _rows(scratch / "exposures.tsv"):
            field = sdss_field(Path(row["path"]), ps_field)
            print(_line(row, visits[row["visit"]], field, scratch), flush=True)


def _line(row: dict[str, str], visit: dict[str, str], field: SdssField, scratch: Path) -> str:
    """Return a frame's row of the table."""
    exposure = detrend(row, visit, field, scratch)
    config = CalibrateImageConfig.model_validate(_CROWDED)
    alone = calibrate_image(exposure, exposure.visit_info, None, config)
    if alone.images[0].psf is None:
        problem = alone.images[0].missing["psf"]
        return (
            f"| {visit['band']} | none: {problem} | {field.fwhm_arcsec:.3f}″ "
            f"| {field.width_arcsec:.3f}″ | | | | {field.zero_point_mag:.3f} | | |"
        )
    reference = aperture_reference(alone, exposure, field.electron_per_nanomaggy)
    result = calibrate_image(exposure, exposure.visit_info, reference, config)
    calibrated = result.images[0]
    ny, nx = exposure.shape
    sigma = float(calibrated.psf.compute_sigma(nx / 2, ny / 2))
    fwhm = _FWHM_PER_SIGMA * _PIXEL_ARCSEC * sigma
    start = (
        f"| {visit['band']} | {fwhm:.3f}″ | {field.fwhm_arcsec:.3f}″ | {field.width_arcsec:.3f}″ "
        f"| {result.numbers['psf_stars']} | {result.numbers['sources']} "
    )
    if calibrated.photo_calib is None:
        return f"{start}| none: {calibrated.missing['photo_calib']} | | | |"
    zero_point = calibrated.photo_calib.zero_point_mag
    error = float(result.numbers["zero_point_error_mag"])
    difference = 1e3 * (zero_point - field.zero_point_mag)
    return (
        f"{start}| {zero_point:.3f} | {field.zero_point_mag:.3f} "
        f"| {difference:+.0f} ± {1e3 * error:.0f} mmag | {result.numbers['zero_point_stars']} |"
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))
