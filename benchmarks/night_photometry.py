"""Photometry across nights after the global calibration: repeatability and extinction.

    python benchmarks/night_photometry.py RUN_FOLDER [--fgcm ROOT] [--plot FILE] [--bright MAG]

RUN_FOLDER is one in which ``drpflow run`` has finished; products of association and fgcm may come
from another root. Frames are numbered in the order in which they were taken. Stars are chosen on
the odd ones: those with a signal to noise above 20, on at least half of the frames, whose scatter
is less than 1.5 times that of their like in brightness. They are scored on the even ones: 1.4826
times the median absolute deviation, and rms, of each star's magnitudes, and the rms of its nightly
means; medians over the stars with 95 % intervals. Magnitudes are in mmag.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from night_extinction import (
    plot_nights,
    print_nights,
    print_shared,
    print_terms,
    read_nights,
    read_visits,
)
from scoring import Figure, resampled

from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.errors import MissingDatasetError
from drpflow.io.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Columns = dict[str, NDArray[Any]]

MIN_SNR = 20.0
CONSTANT = 1.5
"""Largest scatter of a constant star on odd frames, relative to stars of like brightness."""
NEIGHBOURS = 12
"""How many stars of next brightness are its like."""
BIN_MAG = 0.5
CALIBRATIONS = {
    "calibrateImage": "initial_visit_summary.photo_calib",
    "fgcm": "fgcm_photo_calib.photo_calib",
}


@dataclass(frozen=True, eq=False)
class Frames:
    """Isolated stars (S) on frames (F) in the order of time.

    Parameters
    ----------
    visit, night
        Of the frames, shape (F,).
    mag
        Calibrated magnitudes by who calibrated them, NaN where there is none, shape (F, S).
    reserved
        Stars that no fit used, shape (S,).
    usual_mag
        Median magnitude of each star, shape (S,).
    """

    visit: NDArray[np.int64]
    night: NDArray[np.int64]
    mag: dict[str, Floats]
    reserved: NDArray[np.bool_]
    usual_mag: Floats


def read_frames(store: Store, flux: str) -> Frames:
    """Read the magnitudes of all isolated stars."""
    parts = [
        store.get("isolated_stars_source", **item).to_dict()
        for item in store.query("isolated_stars_source")
    ]
    columns = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
    good = ~columns[f"{flux}_flag"].astype(bool) & (columns[f"{flux}_instFlux"] > 0)
    # By the aperture: errors of PSF fluxes hold those of the aperture correction.
    good &= columns["ap12Flux_instFlux"] > MIN_SNR * columns["ap12Flux_instFluxErr"]
    columns = {n: values[good] for n, values in columns.items()}
    visit, first = np.unique(columns["visit"], return_index=True)
    order = np.argsort(columns["mjd"][first])
    visit = visit[order]
    stars, first = np.unique(columns["isolated_star_id"], return_index=True)
    reserved = columns["reserved"][first].astype(bool)
    star = np.searchsorted(stars, columns["isolated_star_id"])
    mags = {
        name: calibrated(store, dataset, visit, columns, flux, star, stars.size)
        for name, dataset in CALIBRATIONS.items()
    }
    points = store.get("fgcm_zero_points").to_dict()
    nights = dict(zip(points["visit"].tolist(), points["night"].tolist(), strict=True))
    # Of what has a calibration by both.
    both = np.all([np.isfinite(m) for m in mags.values()], axis=0)
    mags = {name: np.where(both, m, np.nan) for name, m in mags.items()}
    often = both.sum(axis=0) >= 0.5 * visit.size
    mags = {name: m[:, often] for name, m in mags.items()}
    usual = np.nanmedian(mags["fgcm"], axis=0)
    return Frames(visit, np.array([nights[v] for v in visit]), mags, reserved[often], usual)


def calibrated(
    store: Store,
    dataset: str,
    visits: NDArray[np.int64],
    columns: Columns,
    flux: str,
    star: NDArray[np.intp],
    n_stars: int,
) -> Floats:
    """Return magnitudes by frame and star, shape (F, S)."""
    mag = np.full((visits.size, n_stars), np.nan)
    for row, visit in enumerate(visits):
        for detector in np.unique(columns["detector"][columns["visit"] == visit]):
            here = (columns["visit"] == visit) & (columns["detector"] == detector)
            try:
                calib: Any = store.get(dataset, visit=int(visit), detector=int(detector))
            except MissingDatasetError:
                continue
            place = columns["x"][here], columns["y"][here]
            njy = calib.flux_to_njy(columns[f"{flux}_instFlux"][here], *place)
            mag[row, star[here]] = NJY_ZERO_POINT_MAG - 2.5 * np.log10(njy)
    return mag


def spread(mag: Floats) -> Floats:
    """Return 1.4826 times the median absolute deviation of each star, shape (S,)."""
    result: Floats = 1.4826 * np.nanmedian(np.abs(mag - np.nanmedian(mag, axis=0)), axis=0)
    return result


def constant(frames: Frames) -> NDArray[np.bool_]:
    """Return which stars are constant by the odd frames, calibrated by fgcm, shape (S,)."""
    scatter = spread(frames.mag["fgcm"][0::2])
    found = np.zeros(scatter.size, bool)
    order = np.argsort(frames.usual_mag)
    for rank, star in enumerate(order):
        low = min(max(rank - NEIGHBOURS // 2, 0), max(order.size - NEIGHBOURS, 0))
        found[star] = scatter[star] < CONSTANT * np.median(scatter[order[low : low + NEIGHBOURS]])
    return found


def nightly(frames: Frames, mag: Floats) -> Floats:
    """Return the rms of the nightly means of each star about their mean, shape (S,)."""
    nights = np.unique(frames.night)
    of_frame = frames.night[1::2]
    means = np.full((nights.size, mag.shape[1]), np.nan)
    for row, night in enumerate(nights):
        values = mag[of_frame == night]
        seen = np.isfinite(values).any(axis=0) if len(values) else np.zeros(mag.shape[1], bool)
        means[row, seen] = np.nanmean(values[:, seen], axis=0)
    result: Floats = np.nanstd(means, axis=0, ddof=1)
    return result


def score(frames: Frames, chosen: NDArray[np.bool_]) -> dict[str, dict[str, Figure]]:
    """Return medians over chosen stars of their scatter on even frames, by calibration."""
    table: dict[str, dict[str, Figure]] = {}
    for name, mag in frames.mag.items():
        even = 1e3 * mag[1::2]
        values = {
            "1.48 MAD": spread(even),
            "rms": np.nanstd(even, axis=0, ddof=1),
            "rms of nights": nightly(frames, even),
        }
        table[name] = {
            k: resampled(v[chosen], lambda x: float(np.median(x))) for k, v in values.items()
        }
    return table


def print_repeatability(frames: Frames, bright_mag: float) -> None:
    """Print the scatter by magnitude, and of all stars brighter than a limit."""
    chosen = constant(frames)
    print(f"{len(frames.visit)} frames of {len(np.unique(frames.night))} nights\n")
    titles = [f"{name}, {what}" for name in CALIBRATIONS for what in ("MAD", "rms", "nights")]
    print("| magnitude | constant of | " + " | ".join(titles) + " |")
    print("|---" * (2 + len(titles)) + "|")
    low = BIN_MAG * np.floor(frames.usual_mag.min() / BIN_MAG)
    for start in np.arange(low, frames.usual_mag.max(), BIN_MAG):
        here = (frames.usual_mag >= start) & (frames.usual_mag < start + BIN_MAG)
        if (here & chosen).sum() < 3:
            continue
        found = score(frames, here & chosen)
        cells = [f"{f.value:.1f}" for by_name in found.values() for f in by_name.values()]
        number = f"{(here & chosen).sum()} of {here.sum()}"
        print(f"| {start:.1f} to {start + BIN_MAG:.1f} | {number} | " + " | ".join(cells) + " |")
    bright = chosen & (frames.usual_mag < bright_mag)
    for what, stars in (("all", bright), ("reserved", bright & frames.reserved)):
        found = score(frames, stars)
        cells = [f.text(1) for by_name in found.values() for f in by_name.values()]
        print(f"| to {bright_mag:.1f}, {what} | {stars.sum()} | " + " | ".join(cells) + " |")


def flux_of(store: Store) -> str:
    """Return the flux that was calibrated."""
    metadata = pq.read_schema(store.path("fgcm_zero_points")).metadata
    text = metadata[b"drpflow"].decode()
    return str(json.loads(text)["provenance"]["config"]["sources"]["flux"])


def main() -> None:
    """Print the tables of a run folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fgcm", type=Path, help="root of the products of association and fgcm")
    parser.add_argument("--plot", type=Path, help="draw the nights' extinction here")
    parser.add_argument("--bright", type=float, default=17.5, help="faintest bright star, mag")
    arguments = parser.parse_args()
    roots = [arguments.fgcm] if arguments.fgcm else []
    store = Store([*roots, arguments.folder / "results"])
    print_repeatability(read_frames(store, flux_of(store)), arguments.bright)
    visits = read_visits(store)
    nights = read_nights(store, visits)
    print()
    print_nights(nights)
    print()
    print_terms(store, visits, nights)
    print()
    print_shared(store, visits)
    if arguments.plot:
        plot_nights(nights, arguments.plot)


if __name__ == "__main__":
    main()
