"""source-extractor and psfex on the frames that calibrateImage is given, with their CPU times.

    apt-get install source-extractor psfex
    python benchmarks/rivals.py demo [--visits 1 2 3]

Each frame goes the usual way: source-extractor (detection, apertures, stamps of stars), psfex,
source-extractor again (fluxes and positions by the PSF). They get what isr made: pixels, variance
and a map of pixels that cannot be used, cosmic rays of the truth among them, which they could not
find themselves. Settings are those of their manuals, with the seeing of the truth and a threshold
of 5 sigma after smoothing. Sizes and ellipticities of psfex are compared at all clean stars, most
of which it has used.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from frame_scores import DEAD, Depth
from scoring import match, pull_width, resampled, rms, robust_sigma, shape_errors, share
from truth_survey import TruthFrame, TruthSurvey

from drpflow import Store
from drpflow.data.psf_moments import adaptive_moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PARAMETERS = (
    "NUMBER", "X_IMAGE", "Y_IMAGE", "XWIN_IMAGE", "YWIN_IMAGE", "ERRAWIN_IMAGE", "FLUX_APER(1)",
    "FLUXERR_APER(1)", "FLUX_RADIUS", "FLUX_AUTO", "SNR_WIN", "FLAGS", "IMAFLAGS_ISO",
    "ELONGATION", "VIGNET(41,41)",
)  # fmt: skip
_PSF_PARAMETERS = (
    "NUMBER", "X_IMAGE", "Y_IMAGE", "XPSF_IMAGE", "YPSF_IMAGE", "ERRAPSF_IMAGE", "FLUX_PSF",
    "FLUXERR_PSF", "FLUX_APER(1)", "FLUXERR_APER(1)", "FLAGS", "IMAFLAGS_ISO",
)  # fmt: skip


@dataclass(frozen=True)
class RivalRun:
    """What they gave, and what it cost.

    Attributes
    ----------
    catalog
        Rows of the second pass of source-extractor; pixels count from 1.
    psf
        The file of psfex: image HDU of the model.
    cpu_s, wall_s
        By program: ``first``, ``psfex``, ``second``.
    peak_mb
        Of the largest process so far.
    """

    catalog: Any
    psf: Any
    cpu_s: dict[str, float]
    wall_s: dict[str, float]
    peak_mb: float


def run_rivals(
    image: NDArray, variance: NDArray, bad: NDArray, fwhm_pix: float, pixel_arcsec: float,
    order: int = 2,
) -> RivalRun:  # fmt: skip
    """Run the three programs on one image.

    Parameters
    ----------
    image, variance
        Electrons, with sky.
    bad
        Pixels that are not to be used.
    fwhm_pix, pixel_arcsec
        Seeing and scale.
    order
        Of the polynomials over the detector with which psfex lets the PSF vary.
    """
    names = {p: shutil.which(p) for p in ("source-extractor", "psfex")}
    if None in names.values():
        raise SystemExit("apt-get install source-extractor psfex")
    cpu, wall = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_inputs(folder, image, variance, bad, fwhm_pix)
        scale = (
            "-PIXEL_SCALE",
            f"{pixel_arcsec:.4f}",
            "-SEEING_FWHM",
            f"{fwhm_pix * pixel_arcsec:.3f}",
        )
        level = ("-DETECT_THRESH", f"{threshold(fwhm_pix):.4f}")
        extract = (str(names["source-extractor"]), "image.fits", *_EXTRACT, *scale, *level)
        first = ("-CATALOG_NAME", "first.cat", "-PARAMETERS_NAME", "first.param")
        second = ("-CATALOG_NAME", "second.cat", "-PARAMETERS_NAME", "second.param")
        model = (str(names["psfex"]), "first.cat", *_PSFEX, "-PSFVAR_DEGREES", str(order))
        steps = {
            "first": (*extract, *first),
            "psfex": model,
            "second": (*extract, *second, "-PSF_NAME", "first.psf"),
        }
        for step, command in steps.items():
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu[step] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            wall[step] = time.monotonic() - start
        with (
            fits.open(folder / "second.cat") as hdus,
            fits.open(folder / "first.psf") as model_hdus,
        ):
            catalog, psf = np.array(hdus[2].data), model_hdus[1].copy()
            psf.data = np.array(psf.data)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return RivalRun(catalog, psf, cpu, wall, peak)


_EXTRACT = (
    "-c", "none.sex", "-CATALOG_TYPE", "FITS_LDAC", "-FILTER_NAME", "gauss.conv",
    "-WEIGHT_TYPE", "MAP_VAR", "-WEIGHT_IMAGE", "variance.fits", "-WEIGHT_GAIN", "N",
    "-FLAG_IMAGE", "flag.fits", "-FLAG_TYPE", "OR", "-DETECT_MINAREA", "1",
    "-DEBLEND_MINCONT", "1e-4",
    "-GAIN", "1.0", "-SATUR_LEVEL", "1e9", "-BACK_SIZE", "128", "-BACKPHOTO_TYPE", "LOCAL",
    "-PHOT_APERTURES", "24", "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
)  # fmt: skip
_PSFEX = (
    "-c", "none.psfex", "-BASIS_TYPE", "PIXEL_AUTO", "-PSF_SIZE", "41,41", "-PSF_SAMPLING", "1.0",
    "-SAMPLE_MINSN", "50", "-SAMPLE_FWHMRANGE", "1.5,12.0", "-SAMPLE_VARIABILITY", "0.3",
    "-SAMPLE_MAXELLIP", "0.3", "-PSF_ACCURACY", "0.01", "-CHECKPLOT_DEV", "NULL",
    "-CHECKIMAGE_TYPE", "NONE", "-WRITE_XML", "N", "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
    "-SAMPLE_FLAGMASK", "0x00fe", "-SAMPLE_IMAFLAGMASK", "0xff",
    "-PHOTFLUX_KEY", "FLUX_APER(1)", "-PHOTFLUXERR_KEY", "FLUXERR_APER(1)",
)  # fmt: skip


def _write_inputs(
    folder: Path, image: NDArray, variance: NDArray, bad: NDArray, fwhm_pix: float
) -> None:
    clean = np.where(bad, np.nanmedian(image), image).astype(np.float32)
    fits.writeto(folder / "image.fits", clean)
    fits.writeto(folder / "variance.fits", np.where(bad, 1e30, variance).astype(np.float32))
    fits.writeto(folder / "flag.fits", bad.astype(np.int16))
    line = kernel_line(fwhm_pix)
    rows = [" ".join(f"{v:.6f}" for v in line * value) for value in line]
    (folder / "gauss.conv").write_text("CONV NORM\n" + "\n".join(rows) + "\n")
    (folder / "none.sex").write_text("")
    (folder / "none.psfex").write_text("")
    (folder / "first.param").write_text("\n".join(_PARAMETERS) + "\n")
    (folder / "second.param").write_text("\n".join(_PSF_PARAMETERS) + "\n")


def kernel_line(fwhm_pix: float) -> NDArray:
    """Return a cut through the Gaussian with which the image is smoothed, peak 1."""
    half = int(np.ceil(1.2 * fwhm_pix))
    return np.exp(-0.5 * (np.arange(-half, half + 1) * 2.355 / fwhm_pix) ** 2)


def threshold(fwhm_pix: float, sigma: float = 5.0) -> float:
    """Return the threshold of source-extractor that is `sigma` of the noise after smoothing.

    It compares the smoothed image with the noise before; smoothing with a kernel k of sum 1
    leaves √Σk² of that.
    """
    line = kernel_line(fwhm_pix)
    return float(sigma * np.square(line).sum() / line.sum() ** 2)


def psfex_images(psf: Any, x: NDArray, y: NDArray) -> NDArray:
    """Return the model of psfex at pixels that count from 0, shape (N, n, n).

    Its basis are the monomials of (x - POLZERO1)/POLSCAL1 and likewise y, those of x running
    fastest, to a total degree.
    """
    header, planes = psf.header, psf.data["PSF_MASK"][0]
    u = (x + 1 - header["POLZERO1"]) / header["POLSCAL1"]
    v = (y + 1 - header["POLZERO2"]) / header["POLSCAL2"]
    degree = header["POLDEG1"]
    terms = [u**i * v**j for j in range(degree + 1) for i in range(degree + 1 - j)]
    return np.einsum("kn,kij->nij", np.array(terms), planes)


def score(frame: TruthFrame, exposure: Any) -> dict[str, Any]:
    """Run them on one frame, and compare with the truth."""
    bad = exposure.mask.any(DEAD) | (frame.image("COSMIC_RAYS") > 30)
    run = run_rivals(
        np.asarray(exposure.image), np.asarray(exposure.variance), bad, frame.fwhm_pix,
        frame.pixel_arcsec,
    )  # fmt: skip
    s = frame.sources
    star = s["psf_star"]
    x, y = s["x"][star], s["y"][star]
    step = run.psf.header["PSF_SAMP"]
    moments = adaptive_moments(psfex_images(run.psf, x, y))[0]
    model = tuple(m * step**2 for m in (moments.xx, moments.yy, moments.xy))
    found: dict[str, Any] = {"psf": shape_errors(model, frame.shapes(x, y))}
    found |= {"cpu": run.cpu_s, "wall": run.wall_s, "peak": run.peak_mb}
    found |= _sources(frame, run.catalog, bad)
    return found


def _sources(frame: TruthFrame, catalog: Any, bad: NDArray) -> dict[str, Any]:
    s = frame.sources
    cx, cy = catalog["X_IMAGE"] - 1.0, catalog["Y_IMAGE"] - 1.0
    depth = Depth(frame, bad | frame.flagged("TRAIL", "GHOST"))
    clean = np.flatnonzero(s["psf_star"])
    mine, true = match(cx, cy, s["x"][clean], s["y"][clean], depth.radius)
    true = clean[true]
    flux = catalog["FLUX_PSF"][mine]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = 2.5 * np.log10(flux / frame.flux_njy()[true])
        aperture = catalog["FLUX_APER"][mine].ravel()
        against = 2.5 * np.log10(flux / aperture)
    bright = (s["snr"][true] >= 200) & np.isfinite(ratio) & np.isfinite(against)
    dx = catalog["XPSF_IMAGE"][mine] - 1 - s["x"][true]
    off = dx - np.median(dx[bright])
    error = catalog["ERRAPSF_IMAGE"][mine]
    pull = off / np.where(error > 0, error, np.nan)
    return {
        "flux_scatter_mmag": 1e3 * robust_sigma(ratio[bright]),
        "psf_against_aperture_mmag": 1e3 * float(np.median(against[bright])),
        "x_scatter_pix": robust_sigma(off[bright]),
        "x_pull": pull_width(pull),
        "false": depth.false(cx, cy),
        "completeness": depth.completeness(cx, cy),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument("--visits", type=int, nargs="*", default=[], help="these visits only")
    arguments = parser.parse_args()
    truth = TruthSurvey(arguments.survey)
    store = Store(arguments.results or arguments.survey / "results")
    scores = []
    for frame in truth.frames():
        key = {"visit": frame.visit, "detector": frame.detector}
        wanted = not arguments.visits or frame.visit in arguments.visits
        if wanted and frame.usable and store.exists("post_isr_image", **key):
            scores.append(score(frame, store.get("post_isr_image", **key)))
    if not scores:
        raise SystemExit("no post_isr_image is there: run with keep: [post_isr_image]")
    print(table(scores))


def table(scores: list[dict[str, Any]]) -> str:
    """Return all figures as Markdown."""
    lines = [f"{len(scores)} detectors", "", "| figure | value (95 % interval) |", "|---|---|"]

    def add(name: str, values: Any, statistic: Any, digits: int, factor: float = 1.0) -> None:
        lines.append(f"| {name} | {resampled(values, statistic).text(digits, factor)} |")

    for s in scores:
        s["psf"]["ellipticity"] = np.concatenate([s["psf"]["e1"], s["psf"]["e2"]])
    for quantity, digits, factor in (
        ("size", 2, 100), ("trace", 2, 100), ("ellipticity", 4, 1),
    ):  # fmt: skip
        add(
            f"psfex, {quantity} error at its stars, rms",
            [rms(s["psf"][quantity]) for s in scores],
            rms,
            digits,
            factor,
        )
        add(
            f"psfex, {quantity} error, mean",
            [np.mean(s["psf"][quantity]) for s in scores],
            np.mean,
            digits,
            factor,
        )
    for name, digits in (
        ("flux_scatter_mmag", 1), ("psf_against_aperture_mmag", 1), ("x_scatter_pix", 3),
        ("x_pull", 2), ("false", 1),
    ):  # fmt: skip
        add(f"source-extractor, {name}", [s[name] for s in scores], np.median, digits)
    for name in scores[0]["completeness"]:
        hits, tries = (sum(s["completeness"][name][k] for s in scores) for k in (0, 1))
        lines.append(
            f"| source-extractor, complete at {name}, % | {share(hits, tries).text(1, 100)} |"
        )
    for step in ("first", "psfex", "second"):
        total = sum(s["cpu"][step] for s in scores)
        lines.append(
            f"| CPU s, {step} | {total:.1f} in all, {total / len(scores):.2f} a detector |"
        )
    lines.append(f"| peak memory, MB | {max(s['peak'] for s in scores):.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
