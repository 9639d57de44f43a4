"""Cut-outs of DECam frames with what the Legacy Surveys published about them.

Pixels, weights and masks are the Community Pipeline's (``_ooi_``, ``_oow_``, ``_ood_``) and come
through ingest and isr. Published, and used as they are: the TPV solution of the header with the
offsets of the table of CCDs, the PSFEx model, the spline of the sky, the zero point of the CCD.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from scipy.interpolate import RectBivariateSpline

from drpflow.algorithms.isr.context import frame_context
from drpflow.config.isr import IsrConfig
from drpflow.data.exposure import Exposure
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG, PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.ingest.run import ingest
from drpflow.io.camera_yaml import load_camera
from drpflow.io.frame_geometry import read_geometry
from drpflow.io.isr_files import read_pixels
from drpflow.io.records import write_component_json
from drpflow.tasks.isr import isr
from drpflow.tasks.make_visit_info import make_visit_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NANOMAGGY_NJY = 3631.0
_GAIA = ("ra", "dec", "pmra", "pmdec", "phot_g_mean_mag")


@dataclass(frozen=True, eq=False)
class Published:
    """What the table of CCDs says of a frame.

    Parameters
    ----------
    ccd, band
        Name of the CCD, and the filter.
    exposure_time_s, mjd
        Of the visit.
    zero_point_mag
        AB magnitude of one count a second.
    zero_point_rms_mag
        Scatter of the stars behind it.
    fwhm_pix
        Of stars.
    noise_njy
        Of a pixel, ``sig1``.
    depth_njy
        Error of a point source's flux, ``sig1 / psfnorm``.
    """

    ccd: str
    band: str
    exposure_time_s: float
    mjd: float
    zero_point_mag: float
    zero_point_rms_mag: float
    fwhm_pix: float
    noise_njy: float
    depth_njy: float


@dataclass(frozen=True, eq=False)
class Cutout:
    """A frame in nJy with its published components.

    Parameters
    ----------
    visit, detector
        Number of the exposure and of the CCD.
    exposure
        Image less the published sky, in nJy; components wcs, psf, photo_calib, visit_info.
    published
        What its figures are compared with.
    """

    visit: int
    detector: int
    exposure: Exposure
    published: Published


def read_cutouts(folder: Path, scratch: Path) -> list[Cutout]:
    """Return the frames of a folder such as ``testcase6``, by time."""
    ingest(folder / "images", load_camera("decam"), scratch)
    visits = {row["visit"]: row for row in _rows(scratch / "visits.tsv")}
    tables = _Tables(folder)
    found = [
        _cutout(row, visits[row["visit"]], tables, scratch)
        for row in _rows(scratch / "exposures.tsv")
    ]
    return sorted(found, key=lambda item: item.published.mjd)


def read_gaia(folder: Path, mjd: float) -> dict[str, Floats]:
    """Return Gaia's stars at a time: ra, dec, mag; proper motions where they are known."""
    parts = []
    for path in sorted((folder / "gaia").glob("*.fits")):
        table = fits.getdata(path, 1)
        parts.append(np.array([np.asarray(table[name], float) for name in _GAIA]))
    ra, dec, pm_ra, pm_dec, mag = np.concatenate(parts, axis=1) if parts else np.empty((5, 0))
    # DR2 is at 2015.5; proper motions are mas a year.
    years = (mjd - 57205.875) / 365.25
    pm_ra, pm_dec = (np.nan_to_num(pm) * years / 3.6e6 for pm in (pm_ra, pm_dec))
    return {"ra": ra + pm_ra / np.cos(np.radians(dec)), "dec": dec + pm_dec, "mag": mag}


class _Tables:
    """The published tables of a folder."""

    def __init__(self, folder: Path) -> None:
        (path,) = folder.glob("survey-ccds-1*")
        self.ccds = _by_frame(fits.getdata(path, 1))
        self.psfs: dict[tuple[int, str], Any] = {}
        self.skies: dict[tuple[int, str], Any] = {}
        for path in sorted((folder / "calib").rglob("*.fits")):
            table = fits.getdata(path, 1)
            (self.psfs if "psf_mask" in table.names else self.skies).update(_by_frame(table))


def _by_frame(table: Any) -> dict[tuple[int, str], Any]:
    return {(int(row["expnum"]), str(row["ccdname"]).strip()): row for row in table}


def _cutout(row: dict[str, str], visit: dict[str, str], tables: _Tables, scratch: Path) -> Cutout:
    counts = _detrended(row, visit, scratch)
    header = fits.getheader(row["path"], _hdu(row))
    name = int(row["visit"]), str(header["DETPOS"]).strip()
    ccd = tables.ccds[name]
    published = _published(ccd)
    # One count a second has the zero point; the image holds the counts of the exposure.
    zero_point = published.zero_point_mag + 2.5 * np.log10(published.exposure_time_s)
    scale = np.float32(10 ** (0.4 * (NJY_ZERO_POINT_MAG - zero_point)))
    image = (counts.image - sky(tables.skies[name], counts.shape)) * scale
    components = {
        "wcs": shifted_wcs(header, float(ccd["ccdraoff"]), float(ccd["ccddecoff"])),
        "psf": psfex_psf(tables.psfs[name], counts.shape),
        "photo_calib": PhotoCalib.identity(),
        "visit_info": counts.visit_info,
    }
    exposure = Exposure(
        image, counts.mask, counts.variance * scale**2, unit="nJy", components=components
    )
    return Cutout(name[0], int(row["detector"]), exposure, published)


def _detrended(row: dict[str, str], visit: dict[str, str], scratch: Path) -> Exposure:
    """Return a frame through isr, in its own counts: zero points are those of counts."""
    camera = load_camera("decam")
    info, _ = make_visit_info(visit, camera)
    path = scratch / f"visit_info_{row['visit']}.json"
    write_component_json(path, info)
    geometry = read_geometry("decam", int(row["detector"]), path)
    files = {"raw": Path(row["path"]), "hdu": row["hdu"]}
    files |= {kind: Path(row[f"{kind}_path"]) for kind in ("weight", "mask")}
    given = read_pixels(geometry, files)
    of = given.of
    config = IsrConfig.model_validate({"input": "detrended", "detrended": {"electron_per_unit": 1}})
    context = frame_context(
        of.camera, of.detector, of.visit_info, given.frame.header, row["path"],
        weight=given.weight, mask=given.mask,
    )  # fmt: skip
    return isr(
        given.frame.data, of.detector, of.visit_info, given.calibrations, config, context
    ).exposure


def _published(ccd: Any) -> Published:
    noise = float(ccd["sig1"]) * NANOMAGGY_NJY
    return Published(
        str(ccd["ccdname"]).strip(),
        str(ccd["filter"]).strip(),
        float(ccd["exptime"]),
        float(ccd["mjd_obs"]),
        float(ccd["ccdzpt"]),
        float(ccd["ccdphrms"]),
        float(ccd["fwhm"]),
        noise,
        noise / float(ccd["psfnorm"]),
    )


def shifted_wcs(header: Any, ra_arcsec: float, dec_arcsec: float) -> SkyWcs:
    """Return the WCS of a header, shifted on the sky as the Legacy Surveys do."""
    cards = dict(header)
    cards["CRVAL1"] += ra_arcsec / 3600 / np.cos(np.radians(cards["CRVAL2"]))
    cards["CRVAL2"] += dec_arcsec / 3600
    return SkyWcs.from_fits_header(cards)


def psfex_psf(row: Any, shape: tuple[int, int]) -> PixelGridPsf:
    """Return a PSFEx model as a PSF; exactly, since both are polynomials of place.

    Parameters
    ----------
    row
        Of the table: ``psf_mask`` holds an image for each of 1, x, x², y, xy, y² of scaled
        FITS coordinates of the cut-out.
    shape
        Of the cut-out.
    """
    ny, nx = shape
    degree = int(row["poldeg1"])
    basis = Basis2D(degree, Domain(-0.5, nx - 0.5, -0.5, ny - 0.5))
    x, y = (a.ravel() for a in np.meshgrid(np.linspace(0, nx, 5), np.linspace(0, ny, 5)))
    u, v = (
        (place + 1 - row[f"polzero{axis}"]) / row[f"polscal{axis}"]
        for axis, place in ((1, x), (2, y))
    )
    terms = [u**i * v**j for j in range(degree + 1) for i in range(degree + 1 - j)]
    change = np.linalg.lstsq(basis.design(x, y), np.array(terms).T, rcond=None)[0]
    images = np.tensordot(change, np.asarray(row["psf_mask"], float), axes=1)
    return PixelGridPsf(basis, images, step_pix=float(row["psf_samp"]))


def sky(row: Any, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the published sky of a cut-out, counts."""
    order = int(row["order"])
    spline = RectBivariateSpline(row["ygrid"], row["xgrid"], row["gridvals"], kx=order, ky=order)
    ny, nx = shape
    return spline(np.arange(ny) + int(row["y0"]), np.arange(nx) + int(row["x0"])).astype(np.float32)


def _hdu(row: dict[str, str]) -> int | str:
    return int(row["hdu"]) if row["hdu"].isdigit() else row["hdu"]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))
