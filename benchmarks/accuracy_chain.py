"""A whole survey beside source-extractor, psfex, scamp and SWarp on the same frames.

    apt-get install source-extractor psfex scamp swarp
    python benchmarks/accuracy_chain.py demo [--folder FOLDER]

The run must have kept ``post_isr_image``: both begin with what isr made. ``chain_programs.py`` has
the settings. All figures are made by the same code for both, against the truth: coordinate systems
on the grid of places of each detector; zero points by bright constant stars of each detector image,
about the median of their band, both where the field was recognised; PSF models by adaptive moments
at clean stars; coadds, on the same pixels, by a Gaussian filter of their own stars' width on stars
and on empty sky, and by apertures of 8 pixels on bright stars.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sep
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS, FITSFixedWarning
from chain_programs import Chain, Detector
from frame_scores import DEAD
from rivals import psfex_images
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scoring import match, resampled, rms, robust_sigma, shape_errors
from truth_survey import TruthSurvey, read_columns

from drpflow import Store
from drpflow.data.psf_moments import adaptive_moments
from drpflow.qa.truth.coadds import places_of_date
from drpflow.qa.truth.detection import wcs_error_pix
from drpflow.qa.truth.tables import TruthTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from truth_survey import TruthFrame

    Floats = NDArray[np.float64]
    Scores = dict[str, dict[str, list[Any]]]

_STAGES = {
    "detection, PSF, measurement": (
        "calibrateImage", "finalizeCharacterization", "modelVisitBackground", "measureSky",
        "makeSkyFrame", "finalizeImage",
    ),
    "astrometry": (
        "consolidateVisit", "associateIsolatedStars", "solveAstrometry", "finalizeAstrometry",
        "updateVisitSummary",
    ),
    "photometry": ("fgcmMakeLookUpTable", "fgcm"),
    "coadds": ("planCoaddition", "makeWarp", "compareWarpAssembleCoadd"),
    "isr, not in the sum": ("isr",),
}  # fmt: skip
_CHAIN_STAGES = {
    "detection, PSF, measurement": ("source-extractor", "psfex", "source-extractor, PSF"),
    "astrometry": ("scamp",),
    "photometry": (),
    "coadds": ("swarp",),
}
_BRIGHT_SNR, _STEADY_MAG, _BRIGHT_MAG, _FAINT_MAG = 100.0, 0.005, 17.5, 20.0
_FEWEST_STARS, _ALONE_ARCSEC = 3, 4.0
_SOLVED_PIX = 1.0
_EMPTY, _FAR_FWHM = 4000, 2.5
_APERTURE_PIX, _RING_PIX = 8.0, (12.0, 18.0)
_MASKED = ("SAT", "BAD", "NO_DATA", "EDGE")


def make_chain(truth: TruthSurvey, store: Store, chain: Chain) -> dict[int, list[TruthFrame]]:
    """Run everything up to scamp; return the frames of each visit in the order of extensions."""
    visits: dict[int, list[TruthFrame]] = defaultdict(list)
    mjds = []
    for frame in truth.frames():
        visits[frame.visit].append(frame)
    for visit, frames in visits.items():
        detectors = []
        for frame in frames:
            exposure = store.get("post_isr_image", visit=visit, detector=frame.detector)
            bad = exposure.mask.any(DEAD) | (frame.image("COSMIC_RAYS") > 30)
            image, variance = np.asarray(exposure.image), np.asarray(exposure.variance)
            detectors.append(Detector(image, variance, bad, exposure.wcs))
        info = exposure.visit_info
        header = {
            "FILTER": info.band, "EXPTIME": info.exposure_time_s, "MJD-OBS": info.mjd,
            "AIRMASS": info.recorded_airmass,
        }  # fmt: skip
        chain.write_visit(visit, detectors, header)
        fwhm = float(np.median([f.fwhm_pix for f in frames]))
        chain.extract(visit, fwhm, frames[0].pixel_arcsec)
        mjds.append(info.mjd)
    chain.solve(list(visits), _reference(truth.folder, float(np.median(mjds))))
    return visits


def _reference(survey: Path, mjd: float) -> dict[str, Floats]:
    """Return the reference catalogue at the epoch of the survey, as scamp wants it."""
    stars = read_columns(survey / "reference/reference_stars.parquet")
    date = Time(mjd, format="mjd").jyear
    years = date - Time(stars["epoch"], format="mjd").jyear
    known = {n: np.nan_to_num(stars[n]) for n in ("pm_ra", "pm_dec")}
    to_deg = 1 / 3.6e6
    shrink = np.cos(np.radians(stars["dec"]))
    flux = stars["flux_r"]
    good = flux > 0
    columns = {
        "X_WORLD": stars["ra"] + known["pm_ra"] * years * to_deg / shrink,
        "Y_WORLD": stars["dec"] + known["pm_dec"] * years * to_deg,
        "ERRA_WORLD": stars["ra_err"] * to_deg,
        "ERRB_WORLD": stars["dec_err"] * to_deg,
        "MAG": 31.4 - 2.5 * np.log10(np.where(good, flux, 1.0)),
        "MAGERR": 1.0857 * stars["flux_r_err"] / np.where(good, flux, 1.0),
        "OBSDATE": np.full(flux.size, date),
    }
    return {n: v[good] for n, v in columns.items()}


def score_frames(
    store: Store, chain: Chain, visits: dict[int, list[TruthFrame]], truth: TruthSurvey
) -> Scores:
    """Return the figures of both for each usable detector."""
    scores: Scores = {who: defaultdict(list) for who in ("drpflow", "chain")}
    stars = read_columns(truth.folder / "truth/stars.parquet")
    true_mag = {
        band: dict(zip(stars["id"].tolist(), stars[f"mag_{band}"].tolist(), strict=True))
        for band in ("g", "r", "i") if f"mag_{band}" in stars
    }  # fmt: skip
    steady = set(stars["id"][stars["amplitude_mag"] < _STEADY_MAG].tolist())
    offsets: dict[str, list[tuple[str, float, bool]]] = defaultdict(list)
    for visit, frames in visits.items():
        heads, tables, models = chain.heads(visit), chain.catalog(visit), chain.psfs(visit)
        for frame, head, table, model in zip(frames, heads, tables, models, strict=True):
            if not frame.usable:
                continue
            band = str(frame.row["band"])
            ids = frame.sources["id"]
            expected = np.array(
                [true_mag[band].get(k, np.nan) if k in steady else np.nan for k in ids.tolist()]
            )
            clear = abs(frame.row["cloud_mag"]) < 0.02
            for who, made in (
                ("drpflow", _of_drpflow(store, frame, expected)),
                ("chain", _of_chain(head, table, model, frame, expected)),
            ):
                for name in ("size", "e"):
                    scores[who][name].append(made[name])
                solved = made["wcs"] < _SOLVED_PIX
                scores[who]["solved"].append(solved)
                if solved:
                    scores[who]["wcs"].append(made["wcs"])
                if solved and made["n_stars"] >= _FEWEST_STARS:
                    offsets[who].append((band, made["offset"], clear))
    for who, values in offsets.items():
        middle = {
            b: np.median([v for c, v, _ in values if c == b]) for b in {c for c, _, _ in values}
        }
        for b, v, clear in values:
            scores[who]["zero, clear" if clear else "zero, cloudy"].append(v - middle[b])
    return scores


def _of_drpflow(store: Store, frame: TruthFrame, expected: Floats) -> dict[str, Any]:
    where = {"visit": frame.visit, "detector": frame.detector}
    wcs = store.get("final_visit_summary.wcs", **where)
    psf = store.get("final_visit_summary.psf", **where)
    s = frame.sources
    star = s["psf_star"]
    x, y = s["x"][star], s["y"][star]
    moments = psf.compute_shape(x, y, None)
    columns = ["x", "y", "ap12Flux", "ap12FluxErr"]
    table = store.get("final_source_detector", columns=columns, **where).to_dict()
    return {
        "wcs": wcs_error_pix(wcs, frame),
        **_shape(shape_errors((moments.xx, moments.yy, moments.xy), frame.shapes(x, y))),
        **_offset(frame, expected, *(table[n] for n in columns)),
    }


def _of_chain(
    head: fits.Header, table: Any, model: Any, frame: TruthFrame, expected: Floats
) -> dict[str, Any]:
    s = frame.sources
    star = s["psf_star"]
    x, y = s["x"][star], s["y"][star]
    step = model.header["PSF_SAMP"]
    moments = adaptive_moments(psfex_images(model, x, y))[0]
    found = tuple(m * step**2 for m in (moments.xx, moments.yy, moments.xy))
    scale = head["FLXSCALE"]
    flux, error = table["FLUX_APER"].ravel() * scale, table["FLUXERR_APER"].ravel() * scale
    return {
        "wcs": wcs_error_pix(_AsValues(WCS(head)), frame),
        **_shape(shape_errors(found, frame.shapes(x, y))),
        **_offset(
            frame, expected, table["XWIN_IMAGE"] - 1, table["YWIN_IMAGE"] - 1, flux, error
        ),
    }  # fmt: skip


class _AsValues:
    """The WCS of astropy, distortion and all, in pixels that count from 0."""

    def __init__(self, wcs: WCS) -> None:
        self.wcs = wcs

    def world_to_pixel_values(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        x, y = self.wcs.all_world2pix(ra, dec, 0)
        return np.asarray(x), np.asarray(y)


def _shape(errors: dict[str, Floats]) -> dict[str, float]:
    return {
        "size": rms(errors["size"]), "e": rms(np.concatenate([errors["e1"], errors["e2"]]))
    }  # fmt: skip


def _offset(
    frame: TruthFrame, expected: Floats, x: Floats, y: Floats, flux: Floats, error: Floats
) -> dict[str, Any]:
    """Return measured less true magnitudes of bright stars of a detector, their median, mmag."""
    bright = np.flatnonzero(np.isfinite(x + y) & (flux > _BRIGHT_SNR * error))
    s = frame.sources
    known = np.flatnonzero(np.isfinite(expected) & s["psf_star"])
    mine, true = match(x[bright], y[bright], s["x"][known], s["y"][known], 2.0)
    mag = -2.5 * np.log10(flux[bright][mine])
    off = 1e3 * (mag - expected[known][true])
    return {"offset": float(np.median(off)) if off.size else np.nan, "n_stars": off.size}


def score_coadds(store: Store, chain: Chain, truth: TruthSurvey, visits: Sequence[int]) -> Scores:
    """Return depth and stars of both coadds of each patch and band."""
    scores: Scores = {who: defaultdict(list) for who in ("drpflow", "chain")}
    tables = TruthTables(truth.folder)
    stars, galaxies = places_of_date(tables.table("stars"), tables), tables.table("galaxies")
    bands = {i["band"] for i in store.query("coadd")}
    of_band = {b: [v for v in visits if store.get("visit_info", visit=v).band == b] for b in bands}
    for data_id in store.query("coadd"):
        coadd = store.get("coadd", **data_id)
        band = str(data_id["band"])
        grid = plain_grid(coadd)
        name = f"coadd_{data_id['patch']}_{band}"
        chain.coadd(name, of_band[band], grid)
        with fits.open(chain.folder / f"{name}.fits") as hdus:
            rival = np.array(hdus[0].data, np.float64)
        with fits.open(chain.folder / f"{name}.weight.fits") as hdus:
            weight = np.array(hdus[0].data)
        bad = coadd.mask.any([p for p in _MASKED if p in coadd.mask.planes])
        bad |= ~np.isfinite(coadd.image) | ~(weight > 0)
        local = WCS(grid)
        places = [
            np.column_stack(local.all_world2pix(t["ra"], t["dec"], 0)) for t in (stars, galaxies)
        ]
        mag = stars[f"mag_{band}"]
        for who, image in (("drpflow", np.asarray(coadd.image, float)), ("chain", rival)):
            found = depth(np.where(bad, 0.0, image), bad, places, (mag, galaxies["mag"]), stars)
            for key, value in found.items():
                scores[who][key].append(value)
    return scores


def plain_grid(coadd: Any) -> fits.Header:
    """Return the header of the pixels of a coadd."""
    header = fits.Header(coadd.wcs.to_fits_header(coadd.box))
    ny, nx = coadd.shape
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, nx, ny
    return header


def depth(
    image: Floats, bad: NDArray[np.bool_], places: list[Floats], mags: tuple[Floats, Floats],
    stars: dict[str, NDArray[Any]],
) -> dict[str, float]:  # fmt: skip
    """Return the magnitude of five sigma, scatter of bright stars, and what is left on empty sky.

    Parameters
    ----------
    image, bad
        A coadd, and its pixels that are not to be used.
    places, mags
        Pixels and magnitudes of the true stars and galaxies.
    stars
        Table of the true stars.
    """
    ny, nx = image.shape
    star = places[0]
    inside = (star > 40).all(axis=1) & (star[:, 0] < nx - 40) & (star[:, 1] < ny - 40)
    mag = mags[0]
    everything, every_mag = np.concatenate(places), np.concatenate(mags)
    chosen = inside & (mag > _BRIGHT_MAG) & (mag < _FAINT_MAG)
    chosen &= stars["amplitude_mag"] < _STEADY_MAG
    rows = [k for k in np.flatnonzero(chosen) if _alone(star[k], mag[k], everything, every_mag)]
    stamps = [_stamp(image, star[k]) for k in rows]
    clean = [k for k, r in enumerate(rows) if not _stamp(bad, star[r]).any()]
    rows, stamps = [rows[k] for k in clean], [stamps[k] for k in clean]
    moments = adaptive_moments(np.array(stamps))[0]
    width = float(np.nanmedian((moments.xx * moments.yy - moments.xy**2) ** 0.25))
    filtered = gaussian_filter(image, width)
    at = np.rint(star[rows]).astype(int)
    peak = np.array([_peak(filtered, p) for p in at])
    off = mag[rows] + 2.5 * np.log10(peak)
    rng = np.random.default_rng(1)
    tree = cKDTree(everything[every_mag < 26.0])
    trial = rng.uniform((30, 30), (nx - 30, ny - 30), (20 * _EMPTY, 2))
    far = tree.query(trial)[0] > _FAR_FWHM * 2.355 * width
    trial = np.rint(trial[far]).astype(int)
    near_bad = gaussian_filter(bad.astype(np.float32), width) > 1e-3
    trial = trial[~near_bad[trial[:, 1], trial[:, 0]]][:_EMPTY]
    values = filtered[trial[:, 1], trial[:, 0]]
    values = values - np.median(values)
    sigma = robust_sigma(values)
    flux, _, _ = sep.sum_circle(
        np.ascontiguousarray(image), *star[rows].T, _APERTURE_PIX, bkgann=_RING_PIX
    )
    constant = mag[rows] + 2.5 * np.log10(np.maximum(flux, 1e-30))
    return {
        "depth": float(np.median(off)) - 2.5 * np.log10(5 * sigma),
        "stars": 1e3 * robust_sigma(constant),
        "left": 100 * float((np.abs(values) > 5 * sigma).mean()),
        "width": width,
    }


def _alone(place: Floats, mag: float, others: Floats, mags: Floats) -> bool:
    """Whether no other source of a hundredth of the light is near."""
    near = np.hypot(*(others - place).T) < 20
    return int((near & (mags < mag + 5)).sum()) == 1


def _stamp(image: NDArray[Any], place: Floats, half: int = 15) -> NDArray[Any]:
    x, y = np.rint(place).astype(int)
    return image[y - half : y + half + 1, x - half : x + half + 1]


def _peak(image: Floats, place: NDArray[np.int64]) -> float:
    """Return the height of a parabola through the nine pixels about a place."""
    x, y = place
    cut = image[y - 1 : y + 2, x - 1 : x + 2]
    height = cut[1, 1]
    for line in (cut[1], cut[:, 1]):
        slope, bend = (line[2] - line[0]) / 2, line[2] - 2 * line[1] + line[0]
        height += -(slope**2) / (2 * bend) if bend < 0 else 0.0
    return float(max(height, 1e-30))


def cpu_of_run(results: Path) -> dict[str, float]:
    """Return CPU seconds of the tasks of a run, from the notes that Snakemake made."""
    spent: dict[str, float] = defaultdict(float)
    for path in (results / "benchmarks").rglob("*.tsv"):
        with path.open() as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                task = path.relative_to(results / "benchmarks").parts[0]
                spent[task] += float(row["cpu_time"])
    return spent


def table(frames: Scores, coadds: Scores, own: dict[str, float], chain: Chain) -> str:
    """Return all figures as Markdown."""
    lines = ["| | drpflow | chain |", "|---|---|---|"]

    def add(
        name: str, key: str, scores: Scores, statistic: Any, digits: int, factor: float
    ) -> None:
        cells = [
            resampled(np.array(scores[who][key]), statistic).text(digits, factor)
            for who in ("drpflow", "chain")
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")

    number = len(frames["drpflow"]["solved"])
    add(f"fields recognised, % of {number} detectors", "solved", frames, np.mean, 1, 100)
    add("WCS, rms over these, pixel", "wcs", frames, rms, 4, 1)
    add("WCS, median, pixel", "wcs", frames, np.median, 4, 1)
    for weather in ("clear", "cloudy"):
        key = f"zero, {weather}"
        if frames["drpflow"][key] and frames["chain"][key]:
            add(f"zero points, {weather} visits, rms, mmag", key, frames, rms, 1, 1)
    add("PSF size at stars, rms, %", "size", frames, rms, 2, 100)
    add("PSF ellipticity at stars, rms", "e", frames, rms, 4, 1)
    add("coadds: depth of point sources, 5 sigma, mag, mean", "depth", coadds, np.mean, 3, 1)
    add("coadds: scatter of bright stars, mmag, median", "stars", coadds, np.median, 1, 1)
    add("coadds: empty places beyond 5 sigma, %, mean", "left", coadds, np.mean, 3, 1)
    gain = np.array(coadds["drpflow"]["depth"]) - np.array(coadds["chain"]["depth"])
    lines.append(f"| coadds: gain in depth, mag | {resampled(gain, np.mean).text(3, 1)} | |")
    for stage, tasks in _STAGES.items():
        mine = sum(own.get(t, 0.0) for t in tasks)
        theirs = [chain.cpu_s.get(t, 0.0) for t in _CHAIN_STAGES.get(stage, ())]
        ratio = f"{sum(theirs):.0f}" if theirs else ""
        lines.append(f"| CPU s: {stage} | {mine:.0f} | {ratio} |")
    return "\n".join(lines)


def main() -> None:
    warnings.simplefilter("ignore", FITSFixedWarning)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument("--folder", type=Path, help="where the chain works; temporary by default")
    arguments = parser.parse_args()
    results = arguments.results or arguments.survey / "results"
    truth, store = TruthSurvey(arguments.survey), Store(results)
    with tempfile.TemporaryDirectory() as name:
        chain = Chain(arguments.folder or Path(name))
        visits = make_chain(truth, store, chain)
        frames = score_frames(store, chain, visits, truth)
        coadds = score_coadds(store, chain, truth, list(visits))
        print(table(frames, coadds, cpu_of_run(results), chain))


if __name__ == "__main__":
    main()
