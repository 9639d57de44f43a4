"""The chain source-extractor, psfex, source-extractor, scamp, SWarp, as its manuals have it.

    apt-get install source-extractor psfex scamp swarp

Each exposure is one file with an extension a detector. The programs get what isr made: pixels,
variance and a map of unusable pixels. Cosmic rays are masked by the truth, since the chain has no
step that finds them; the pointing and the tangential scale of the headers are those that isr gave.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from rivals import kernel_line, threshold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_PROGRAMS = {
    "source-extractor": "source-extractor", "psfex": "psfex", "scamp": "scamp", "swarp": "SWarp",
}  # fmt: skip
_COLUMNS = (
    "NUMBER", "X_IMAGE", "Y_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE", "ERRAWIN_IMAGE", "ERRBWIN_IMAGE",
    "ERRTHETAWIN_IMAGE", "FLUX_APER(1)", "FLUXERR_APER(1)", "FLUX_AUTO", "FLUXERR_AUTO",
    "FLUX_RADIUS", "SNR_WIN", "FLAGS", "IMAFLAGS_ISO", "ELONGATION",
)  # fmt: skip
_PSF_COLUMNS = ("XPSF_IMAGE", "YPSF_IMAGE", "ERRAPSF_IMAGE", "FLUX_PSF", "FLUXERR_PSF")
_EXTRACT = (
    "-CATALOG_TYPE", "FITS_LDAC", "-WEIGHT_TYPE", "MAP_VAR", "-WEIGHT_GAIN", "N",
    "-FLAG_TYPE", "OR", "-DETECT_MINAREA", "1", "-DEBLEND_MINCONT", "1e-4", "-GAIN", "1.0",
    "-SATUR_LEVEL", "1e9", "-BACK_SIZE", "128", "-BACKPHOTO_TYPE", "LOCAL",
    "-PHOT_APERTURES", "24", "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
)  # fmt: skip
_PSFEX = (
    "-BASIS_TYPE", "PIXEL_AUTO", "-PSF_SIZE", "41,41", "-PSF_SAMPLING", "1.0",
    "-PSFVAR_DEGREES", "2", "-SAMPLE_MINSN", "50", "-SAMPLE_FWHMRANGE", "1.5,12.0",
    "-SAMPLE_VARIABILITY", "0.3", "-SAMPLE_MAXELLIP", "0.3", "-PSF_ACCURACY", "0.01",
    "-SAMPLE_FLAGMASK", "0x00fe", "-SAMPLE_IMAFLAGMASK", "0xff", "-CHECKPLOT_DEV", "NULL",
    "-CHECKIMAGE_TYPE", "NONE", "-WRITE_XML", "N", "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
    "-PHOTFLUX_KEY", "FLUX_APER(1)", "-PHOTFLUXERR_KEY", "FLUXERR_APER(1)",
)  # fmt: skip
_SCAMP = (
    "-ASTREF_CATALOG", "FILE", "-ASTREFCAT_NAME", "reference.cat",
    "-ASTREFCENT_KEYS", "X_WORLD,Y_WORLD", "-ASTREFERR_KEYS", "ERRA_WORLD,ERRB_WORLD",
    "-ASTREFMAG_KEY", "MAG", "-ASTREFMAGERR_KEY", "MAGERR", "-ASTREFOBSDATE_KEY", "OBSDATE",
    "-MATCH", "Y", "-POSITION_MAXERR", "2.0", "-POSANGLE_MAXERR", "2.0",
    "-PIXSCALE_MAXERR", "1.05", "-CROSSID_RADIUS", "1.0", "-DISTORT_DEGREES", "3",
    "-MOSAIC_TYPE", "UNCHANGED", "-STABILITY_TYPE", "EXPOSURE", "-ASTRINSTRU_KEY", "FILTER",
    "-PHOTINSTRU_KEY", "FILTER", "-SOLVE_PHOTOM", "Y", "-MAGZERO_KEY", "MAGZERO",
    "-MAGZERO_OUT", "30.0",
    "-CENTROID_KEYS", "XWIN_IMAGE,YWIN_IMAGE", "-PHOTFLUX_KEY", "FLUX_APER(1)",
    "-PHOTFLUXERR_KEY", "FLUXERR_APER(1)", "-FLAGS_MASK", "0x00fc", "-IMAFLAGS_MASK", "0x0ff",
    "-CENTROIDERR_KEYS", "ERRAWIN_IMAGE,ERRBWIN_IMAGE,ERRTHETAWIN_IMAGE",
    "-SN_THRESHOLDS", "10.0,100.0", "-CHECKPLOT_DEV", "NULL", "-WRITE_XML", "N",
    "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
)  # fmt: skip
_SWARP = (
    "-WEIGHT_TYPE", "MAP_WEIGHT", "-COMBINE_TYPE", "CLIPPED", "-CLIP_SIGMA", "4.0",
    "-CLIP_AMPFRAC", "0.3", "-RESAMPLING_TYPE", "LANCZOS3", "-SUBTRACT_BACK", "Y",
    "-BACK_SIZE", "128", "-FSCALE_KEYWORD", "FLXSCALE", "-FSCALASTRO_TYPE", "VARIABLE",
    "-COPY_KEYWORDS", "OBJECT", "-WRITE_XML", "N", "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
    "-DELETE_TMPFILES", "Y",
)  # fmt: skip


@dataclass(frozen=True)
class Detector:
    """What an extension holds.

    Attributes
    ----------
    image, variance
        Electrons, with sky.
    bad
        Pixels that are not to be used.
    wcs
        As the pointing has it.
    """

    image: NDArray[np.float32]
    variance: NDArray[np.float32]
    bad: NDArray[np.bool_]
    wcs: Any


@dataclass
class Chain:
    """The programs in a folder, with what they cost.

    Attributes
    ----------
    folder
        All files.
    cpu_s
        By program.
    """

    folder: Path
    cpu_s: dict[str, float] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lost = [name for name, program in _PROGRAMS.items() if shutil.which(program) is None]
        if lost:
            raise SystemExit(f"apt-get install {' '.join(lost)}")
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("none.sex", "none.psfex", "none.scamp", "none.swarp"):
            (self.folder / name).write_text("")
        (self.folder / "first.param").write_text("\n".join((*_COLUMNS, "VIGNET(41,41)")) + "\n")
        (self.folder / "second.param").write_text("\n".join((*_COLUMNS, *_PSF_COLUMNS)) + "\n")

    def run(self, step: str, program: str, *options: str) -> None:
        """Run a program; its CPU time goes to `step`."""
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = (_PROGRAMS[program], *options)
        done = subprocess.run(command, check=False, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.cpu_s[step] = self.cpu_s.get(step, 0.0) + spent
        self.wall_s[step] = self.wall_s.get(step, 0.0) + time.monotonic() - start

    def write_visit(
        self, visit: int, detectors: Sequence[Detector], header: Mapping[str, Any]
    ) -> None:
        """Write the exposure `visit`: its pixels, weights and flags, an extension a detector."""
        primary = fits.PrimaryHDU()
        image, variance, weight, flag = ([primary.copy()] for _ in range(4))
        for one in detectors:
            cards = plain_header(one.wcs, one.image.shape)
            cards.update(header)
            cards["GAIN"], cards["SATURATE"], cards["MAGZERO"] = 1.0, 1e9, 30.0
            middle = np.nanmedian(one.image[~one.bad])
            image.append(fits.ImageHDU(np.where(one.bad, middle, one.image), cards))
            spread = np.where(one.bad, np.float32(1e30), one.variance)
            variance.append(fits.ImageHDU(spread.astype(np.float32), cards))
            share = np.where(one.bad, np.float32(0), 1 / one.variance)
            weight.append(fits.ImageHDU(share.astype(np.float32), cards))
            flag.append(fits.ImageHDU(one.bad.astype(np.int16), cards))
        parts = {"image": image, "variance": variance, "weight": weight, "flag": flag}
        for name, hdus in parts.items():
            fits.HDUList(hdus).writeto(self.folder / f"{name}_{visit}.fits", overwrite=True)

    def extract(self, visit: int, fwhm_pix: float, pixel_arcsec: float) -> None:
        """Run source-extractor, psfex, and source-extractor with the PSF."""
        line = kernel_line(fwhm_pix)
        rows = [" ".join(f"{v:.6f}" for v in line * value) for value in line]
        (self.folder / "gauss.conv").write_text("CONV NORM\n" + "\n".join(rows) + "\n")
        options = (
            f"image_{visit}.fits", "-c", "none.sex", *_EXTRACT, "-FILTER_NAME", "gauss.conv",
            "-WEIGHT_IMAGE", f"variance_{visit}.fits", "-FLAG_IMAGE", f"flag_{visit}.fits",
            "-PIXEL_SCALE", f"{pixel_arcsec:.4f}", "-SEEING_FWHM", f"{fwhm_pix * pixel_arcsec:.3f}",
            "-DETECT_THRESH", f"{threshold(fwhm_pix):.4f}",
        )  # fmt: skip
        first = ("-CATALOG_NAME", f"first_{visit}.cat", "-PARAMETERS_NAME", "first.param")
        self.run("source-extractor", "source-extractor", *options, *first)
        self.run("psfex", "psfex", f"first_{visit}.cat", "-c", "none.psfex", *_PSFEX)
        second = ("-CATALOG_NAME", f"image_{visit}.cat", "-PARAMETERS_NAME", "second.param")
        model = ("-PSF_NAME", f"first_{visit}.psf")
        self.run("source-extractor, PSF", "source-extractor", *options, *second, *model)

    def solve(self, visits: Sequence[int], reference: Mapping[str, NDArray[Any]]) -> None:
        """Run scamp on all exposures; it writes a .head beside each catalogue."""
        _write_ldac(self.folder / "reference.cat", reference)
        names = [f"image_{visit}.cat" for visit in visits]
        self.run("scamp", "scamp", *names, "-c", "none.scamp", *_SCAMP)

    def heads(self, visit: int) -> list[fits.Header]:
        """Return what scamp found of each detector of a visit."""
        text = (
            (self.folder / f"image_{visit}.head")
            .read_text(errors="ignore")
            .encode("ascii", "ignore")
            .decode()
        )
        parts = [p for p in re.split(r"^END\s*$", text, flags=re.MULTILINE) if "CRVAL1" in p]
        return [fits.Header.fromstring(p.strip("\n"), sep="\n") for p in parts]

    def coadd(self, name: str, visits: Sequence[int], grid: fits.Header) -> None:
        """Run SWarp on the pixels of `grid`; the coadd is ``<name>.fits``, with weights."""
        for visit in visits:
            shutil.copy(self.folder / f"image_{visit}.head", self.folder / f"weight_{visit}.head")
        grid.totextfile(self.folder / f"{name}.head", endcard=True, overwrite=True)
        weights = ",".join(f"weight_{visit}.fits" for visit in visits)
        images = [f"image_{visit}.fits" for visit in visits]
        out = ("-IMAGEOUT_NAME", f"{name}.fits", "-WEIGHTOUT_NAME", f"{name}.weight.fits")
        self.run(
            "swarp", "swarp", *images, "-c", "none.swarp", *_SWARP, "-WEIGHT_IMAGE", weights, *out
        )  # fmt: skip

    def catalog(self, visit: int) -> list[NDArray[Any]]:
        """Return the second catalogue of each detector; pixels count from 1."""
        with fits.open(self.folder / f"image_{visit}.cat") as hdus:
            return [np.array(hdus[k].data) for k in range(2, len(hdus), 2)]

    def psfs(self, visit: int) -> list[fits.BinTableHDU]:
        """Return the models of psfex of each detector."""
        with fits.open(self.folder / f"first_{visit}.psf") as hdus:
            found = []
            for hdu in hdus[1:]:
                copy = hdu.copy()
                copy.data = np.array(hdu.data)
                found.append(copy)
        return found


def plain_header(wcs: Any, shape: tuple[int, int]) -> fits.Header:
    """Return the tangential projection that is nearest to a WCS at the middle of an image."""
    ny, nx = shape
    x, y = (nx - 1) / 2, (ny - 1) / 2
    step = 200.0
    ra, dec = wcs.pixel_to_world_values(
        np.array([x, x + step, x - step, x, x]), np.array([y, y, y, y + step, y - step])
    )
    east = (np.asarray(ra) - ra[0] + 180) % 360 - 180
    east = east * np.cos(np.radians(dec[0]))
    north = np.asarray(dec) - dec[0]
    plain = WCS(naxis=2)
    plain.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    plain.wcs.crval = [float(ra[0]) % 360, float(dec[0])]
    plain.wcs.crpix = [x + 1, y + 1]
    plain.wcs.cd = [[(v[1] - v[2]) / (2 * step), (v[3] - v[4]) / (2 * step)] for v in (east, north)]
    return plain.to_header()


def _write_ldac(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write a catalogue in the form that scamp reads: a table of a header, a table of rows."""
    empty = fits.Header()
    text = "".join(card.image for card in empty.cards) + "END".ljust(80)
    card = fits.Column("Field Header Card", f"{len(text)}A", array=np.array([text]))
    head = fits.BinTableHDU.from_columns([card], name="LDAC_IMHEAD")
    units = {"X_WORLD": "deg", "Y_WORLD": "deg", "ERRA_WORLD": "deg", "ERRB_WORLD": "deg"}
    data = fits.BinTableHDU.from_columns(
        [fits.Column(n, "1D", unit=units.get(n), array=v) for n, v in columns.items()],
        name="LDAC_OBJECTS",
    )
    fits.HDUList([fits.PrimaryHDU(), head, data]).writeto(path, overwrite=True)
