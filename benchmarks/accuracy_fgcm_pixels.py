"""Score fgcm on a simulated survey that was processed from its pixels.

Run ``python benchmarks/accuracy_fgcm_pixels.py SURVEY… [--fgcm ROOT…]``. SURVEY is a folder that
``drpflow simulate`` made and ``drpflow run`` processed; with --fgcm the products of association
and fgcm are read from other roots. Calibrated magnitudes of bright isolated stars are compared
with their true ones through the standard passbands, after one even offset a band was taken out,
with the zero points of calibrateImage, with those of fgcm, and with PSF fluxes, to which
calibrateImage fits its zero points. Magnitudes are in mmag, with 95 % intervals by resampling.

How well bright stars repeat is told by stars that no fit has seen: both are done ten times, each
time without another part of the stars (see fgcm_folds.py).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fgcm_folds import folds_text, held_out
from numpy.typing import NDArray
from scoring import Figure, pull_width, resampled, rms, robust_sigma
from truth_survey import read_columns

from drpflow.data.photo_calib import PhotoCalib
from drpflow.errors import MissingDatasetError
from drpflow.io.store import Store

Floats = NDArray[np.float64]

MIN_SNR = 100.0
MIN_STARS = 5
MATCH_ARCSEC = 0.3
CLOUDY_MAG = 0.02
FLUX = "normCompTophatFlux"
PSF_FLUX = "psfFlux"
NAMES = {
    "initial": "calibrateImage",
    "initial psf": "calibrateImage, PSF flux",
    "fgcm": "fgcm",
}


@dataclass(frozen=True)
class Survey:
    """A survey's stars as they were measured, and as they are.

    Parameters
    ----------
    cloud_mag
        True mean cloud of each visit, by number.
    visit, detector, star, band
        Of each measurement.
    true_mag
        Standard magnitude at that time, NaN where no single star matches.
    error_mag
        Noise of the measurement.
    mag
        Calibrated, by the names of `NAMES`.
    zero_point_err
        Quoted by fgcm.
    """

    cloud_mag: dict[int, float]
    visit: NDArray[np.int64]
    detector: NDArray[np.int64]
    star: NDArray[np.int64]
    band: NDArray[np.str_]
    true_mag: Floats
    error_mag: Floats
    mag: dict[str, Floats]
    zero_point_err: Floats


def read_survey(folder: Path, root: Path) -> Survey:
    """Read what was measured, and match it with the truth."""
    initial, final = Store(folder / "results"), Store(root)
    visits = read_columns(folder / "truth/visits.parquet")
    parts = [
        read_columns(path)
        for path in sorted(root.glob("isolated_stars_source/*/*.parquet"))
        if len(read_columns(path)["visit"])
    ]
    columns = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    bright = columns[f"{FLUX}_instFlux"] > MIN_SNR * columns[f"{FLUX}_instFluxErr"]
    columns = {name: values[bright & ~columns[f"{FLUX}_flag"]] for name, values in columns.items()}
    flux, error = columns[f"{FLUX}_instFlux"], columns[f"{FLUX}_instFluxErr"]
    psf = np.where(columns[f"{PSF_FLUX}_flag"], np.nan, columns[f"{PSF_FLUX}_instFlux"])
    mag = {name: np.full(flux.size, np.nan) for name in NAMES}
    quoted = np.full(flux.size, np.nan)
    for visit, detector in {*zip(columns["visit"], columns["detector"], strict=True)}:
        rows = np.flatnonzero((columns["visit"] == visit) & (columns["detector"] == detector))
        place = columns["x"][rows], columns["y"][rows]
        where = {"visit": int(visit), "detector": int(detector)}
        for name, store, dataset, measured in (
            ("initial", initial, "initial_visit_summary.photo_calib", flux),
            ("initial psf", initial, "initial_visit_summary.photo_calib", psf),
            ("fgcm", final, "fgcm_photo_calib.photo_calib", flux),
        ):
            try:
                calib = store.get(dataset, **where)
            except MissingDatasetError:
                continue
            assert isinstance(calib, PhotoCalib)
            mag[name][rows] = calib.flux_to_magnitude(measured[rows], *place)
            if name == "fgcm":
                quoted[rows] = calib.zero_point_error_mag
    mag["fgcm"] += chromatic(root, columns)
    return Survey(
        dict(zip(visits["visit"].tolist(), visits["cloud_mag"].tolist(), strict=True)),
        columns["visit"],
        columns["detector"],
        columns["isolated_star_id"],
        columns["band"].astype(str),
        true_magnitudes(folder, columns),
        2.5 / np.log(10) * error / flux,
        mag,
        quoted,
    )


def chromatic(root: Path, columns: dict[str, NDArray]) -> Floats:
    """Return what the stars' colours add to the zero points of fgcm."""
    points = read_columns(root / "fgcm_zero_points/fgcm_zero_points.parquet")
    stars = [read_columns(p) for p in sorted(root.glob("fgcm_standard_stars/*/*.parquet"))]
    color = {
        int(i): c
        for table in stars
        for i, c in zip(table["isolated_star_id"], table["color"], strict=True)
    }
    key = zip(points["visit"].tolist(), points["detector"].tolist(), strict=True)
    term = dict(
        zip(key, zip(points["color_term"], points["color_pivot"], strict=True), strict=True)
    )
    added = np.zeros(columns["visit"].size)
    for row, (star, visit, detector) in enumerate(
        zip(columns["isolated_star_id"], columns["visit"], columns["detector"], strict=True)
    ):
        slope, pivot = term[int(visit), int(detector)]
        off = color.get(int(star), pivot) - pivot
        added[row] = slope * off if np.isfinite(off) else 0.0
    return added


def true_magnitudes(folder: Path, columns: dict[str, NDArray]) -> Floats:
    """Return the true magnitudes of measured stars: those within `MATCH_ARCSEC`, if isolated."""
    from scipy.spatial import cKDTree

    true = np.full(columns["visit"].size, np.nan)
    for visit in np.unique(columns["visit"]):
        sources = read_columns(folder / f"truth/sources/visit={visit}/sources.parquet")
        single = sources["isolated"] & ~sources["saturated"] & (sources["kind"] == 0)
        sources = {name: values[single] for name, values in sources.items()}
        rows = np.flatnonzero(columns["visit"] == visit)
        scale = np.cos(np.deg2rad(np.median(sources["dec"])))
        tree = cKDTree(np.column_stack([sources["ra"] * scale, sources["dec"]]))
        mine = np.column_stack([columns["ra"][rows] * scale, columns["dec"][rows]])
        distance, nearest = tree.query(mine, distance_upper_bound=MATCH_ARCSEC / 3600)
        found = np.isfinite(distance)
        true[rows[found]] = sources["mag"][nearest[found]]
    return true


def errors_mmag(survey: Survey, name: str) -> Floats:
    """Return errors of calibrated magnitudes, the median of clear visits of a band taken off."""
    error = 1e3 * (survey.mag[name] - survey.true_mag)
    clear = np.array([survey.cloud_mag[int(v)] <= CLOUDY_MAG for v in survey.visit])
    for band in np.unique(survey.band):
        mine = survey.band == band
        known = mine & clear & np.isfinite(error)
        error[mine] -= np.median(error[known]) if known.any() else np.nan
    return error


def detector_errors(survey: Survey, name: str) -> list[tuple[int, float, float, float]]:
    """Return visit, weighted mean error, its noise and the quoted error of detector images."""
    error = errors_mmag(survey, name)
    found = []
    for visit, detector in sorted({*zip(survey.visit, survey.detector, strict=True)}):
        mine = (survey.visit == visit) & (survey.detector == detector) & np.isfinite(error)
        if mine.sum() < MIN_STARS:
            continue
        off = error[mine]
        # The width of few may by chance be next to nothing.
        width = max(robust_sigma(off), 1e3 * float(np.median(survey.error_mag[mine])))
        near = np.abs(off - np.median(off)) < 4 * width
        noise = np.std(off[near], ddof=1) / np.sqrt(near.sum())
        quoted = 1e3 * survey.zero_point_err[mine][0]
        found.append((int(visit), float(np.mean(off[near])), float(noise), float(quoted)))
    return found


def figures(surveys: list[Survey]) -> dict[str, dict[str, Figure]]:
    """Return all figures by name and calibration."""
    table: dict[str, dict[str, Figure]] = {}
    for name in NAMES:
        of_detectors = [(s, row) for s in surveys for row in detector_errors(s, name)]
        for what, cloudy in (("photometric", False), ("cloudy", True)):
            mine = [r for s, r in of_detectors if (s.cloud_mag[r[0]] > CLOUDY_MAG) == cloudy]
            error = np.array([r[1] for r in mine])
            noise = np.array([r[2] for r in mine])
            row = table.setdefault(f"zero points, {what} visits, rms", {})
            row[name] = resampled(error, rms)
            row = table.setdefault(f"noise of that comparison, {what}", {})
            row[name] = resampled(noise, rms)
            if name == "fgcm":
                pulls = error / np.hypot(np.array([r[3] for r in mine]), noise)
                table[f"pull width, {what}"] = {name: resampled(pulls, pull_width)}
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surveys", type=Path, nargs="+", help="folders of surveys")
    parser.add_argument("--fgcm", type=Path, nargs="*", help="roots of the products, one a survey")
    arguments = parser.parse_args()
    roots = arguments.fgcm or [folder / "results" for folder in arguments.surveys]
    surveys = [read_survey(f, r) for f, r in zip(arguments.surveys, roots, strict=True)]
    print(folds_text([held_out(f, r) for f, r in zip(arguments.surveys, roots, strict=True)]))
    print(f"| | {' | '.join(NAMES.values())} |" + "\n|---" + "|---" * len(NAMES) + "|")
    for what, row in figures(surveys).items():
        cells = [row[name].text(1) if name in row else "" for name in NAMES]
        print(f"| {what} | {' | '.join(cells)} |")
    for folder, survey in zip(arguments.surveys, surveys, strict=True):
        print(f"\n{folder.name}: mean errors of visits, calibrateImage / fgcm")
        by_visit = {n: detector_errors(survey, n) for n in ("initial", "fgcm")}
        for visit in sorted(survey.cloud_mag):
            means = [
                np.mean([r[1] for r in by_visit[n] if r[0] == visit] or [np.nan])
                for n in ("initial", "fgcm")
            ]
            cloud = survey.cloud_mag[visit]
            print(f"{visit} cloud {1e3 * cloud:.0f}: {means[0]:.1f} / {means[1]:.1f}")


if __name__ == "__main__":
    main()
