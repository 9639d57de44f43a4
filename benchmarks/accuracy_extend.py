"""Score visits that were tied to an earlier solution, beside a fit of all visits anew.

Run ``python benchmarks/accuracy_extend.py SURVEY --refit ROOT --extended ROOT --visits 14-16``.
SURVEY is a folder that ``drpflow simulate`` made. ROOT of the refit holds fgcm and solveAstrometry
of all visits; that of the extension the same of the named visits alone, with the catalogue of
``drpflow reference from-solution`` made of the others. Zero points are judged by bright true stars,
the scale of each band included; places by the true WCSs, turbulence included. Errors are rms over
detector images with 95 % intervals by resampling.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scoring import resampled, rms

from drpflow.algorithms.sky_match import match_nearest
from drpflow.errors import MissingDatasetError
from drpflow.io.store import Store
from drpflow.qa.truth.tables import TruthTables
from drpflow.workflow.number_lists import numbers

MIN_SNR, MIN_STARS = 100.0, 3
MATCH_ARCSEC, STEADY_MAG = 0.3, 0.005
FLUX = "normCompTophatFlux_instFlux"
COLUMNS = ["visit", "detector", "band", "ra", "dec", "x", "y", FLUX, f"{FLUX}Err"]

Key = tuple[int, int]


def photometric(store: Store, truth: TruthTables, visits: list[int]) -> dict[Key, float]:
    """Return the median of measured less true magnitudes of each detector image, mmag."""
    parts = [
        store.get("isolated_stars_source", columns=COLUMNS, **i).to_dict()
        for i in store.query("isolated_stars_source")
    ]
    s = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    stars = truth.table("stars")
    star = np.full(len(s["ra"]), -1)
    for visit in visits:
        rows = np.flatnonzero(s["visit"] == visit)
        places = s["ra"][rows], s["dec"][rows]
        pairs = match_nearest(*places, stars["ra"], stars["dec"], MATCH_ARCSEC)
        star[rows[pairs.first]] = pairs.second
    good = (star >= 0) & (s[FLUX] > MIN_SNR * s[f"{FLUX}Err"])
    good &= stars["amplitude_mag"][star] < STEADY_MAG
    found = {}
    for visit, detector in keys(store, "fgcm_photo_calib", visits):
        rows = np.flatnonzero(good & (s["visit"] == visit) & (s["detector"] == detector))
        if rows.size < MIN_STARS:
            continue
        try:
            calib = store.get("fgcm_photo_calib.photo_calib", visit=visit, detector=detector)
        except MissingDatasetError:
            continue
        mag = calib.flux_to_magnitude(s[FLUX][rows], s["x"][rows], s["y"][rows])
        true = stars[f"mag_{s['band'][rows[0]]}"][star[rows]]
        found[visit, detector] = 1e3 * float(np.nanmedian(mag - true))
    return found


def keys(store: Store, name: str, visits: list[int]) -> list[Key]:
    """Return visits and detectors of a table of components."""
    tables = [store.get(name, columns=["detector"], visit=v) for v in visits]
    return [(v, int(d)) for v, t in zip(visits, tables, strict=True) for d in t["detector"]]


def astrometric(store: Store, truth: TruthTables, visits: list[int]) -> dict[Key, Any]:
    """Return the errors of the WCSs of each detector on a grid, mas east and north."""
    found = {}
    for frame in (f for v in visits for f in truth.frames(v)):
        for data_id in store.query("solved_astrometry_wcs", visit=frame.visit):
            try:
                wcs = store.get("solved_astrometry_wcs.wcs", detector=frame.detector, **data_id)
            except MissingDatasetError:
                continue
            ra, dec = wcs.pixel_to_world_values(frame.grid["x"], frame.grid["y"])
            east = (ra - frame.grid["ra"]) * np.cos(np.radians(dec))
            shift = 3.6e6 * np.stack([east, dec - frame.grid["dec"]])
            found[frame.visit, frame.detector] = shift
    return found


def told(name: str, unit: str, refit: dict[Key, Any], extended: dict[Key, Any]) -> None:
    """Print the errors of both, and how far they are apart, over the images that both have."""
    common = sorted(refit.keys() & extended.keys())
    a, b = (np.array([values[k] for k in common]) for values in (refit, extended))
    for what, values in (("refit", a), ("extended", b), ("extended less refit", b - a)):
        flat = np.sqrt((values**2).reshape(len(common), -1).mean(axis=1))
        if values.ndim == 1:
            print(f"{name}, {what}, mean: {values.mean():+.2f} {unit}")
        print(f"{name}, {what}, rms: {resampled(flat, rms)} {unit}")


def main() -> None:
    """Score both roots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path)
    for name in ("refit", "extended"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--visits", required=True, help="such as 14-16")
    args = parser.parse_args()
    truth, visits = TruthTables(args.survey / "truth"), numbers(args.visits)
    stores = [Store(args.refit), Store(args.extended)]
    told("zero points", "mmag", *(photometric(store, truth, visits) for store in stores))
    told("WCSs", "mas", *(astrometric(store, truth, visits) for store in stores))


if __name__ == "__main__":
    main()
