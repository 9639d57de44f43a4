"""Stellar motions of simulated surveys, from pixels, against the truth.

    (simulate and run a survey)
    python benchmarks/accuracy_stellar_motions_pixels.py demo [demo-b …] [--results ROOT…]

Stars whose motions are told, that do not scatter (flag 32), and beside which nothing brighter than
a tenth of them lies within 1.5 arcsec in truth; pooled over the surveys. Pulls are errors over
stated ones: half-width of the middle 68 %, with its 95 % interval by resampling stars, and their
mean. Errors of the WCSs are common to the stars of a survey, which the error of the mean leaves
out. Slopes are those of pulls over g - i.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from motion_scores import PARAMETERS, SCATTERS, STILL, TIED, TRUTH, width
from scipy.spatial import cKDTree

from drpflow.data.tan_projection import unit_vectors
from drpflow.io.tables import read_table
from drpflow.sim.motion_survey import true_places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Columns = dict[str, NDArray[Any]]

_ARCSEC = np.pi / 180 / 3600
_MATCH_ARCSEC, _ALONE_ARCSEC, _ALONE_SHARE = 0.2, 1.5, 0.1
_SNR = ((5, 7), (7, 10), (10, 20), (20, 1000))
AXES = (*PARAMETERS, "ra", "dec")


def stars_of(root: Path) -> Columns:
    """Return the stars of all pieces of the sky."""
    files = sorted(root.glob("stellar_motions/skypix=*/stellar_motions.parquet"))
    parts = [read_table(path).to_dict() for path in files]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def scored(folder: Path, root: Path) -> Columns:
    """Return pulls, significances, colours and flags of the stars of a survey that count."""
    stars = stars_of(root)
    truth = read_table(folder / "truth/stars.parquet").to_dict()
    galaxies = read_table(folder / "truth/galaxies.parquet", ["ra", "dec", "mag"]).to_dict()
    middle = np.full(truth["ra"].size, np.median(stars["epoch"]))
    places = unit_vectors(*true_places(truth, middle)).T
    distance, row = cKDTree(places).query(unit_vectors(stars["ra"], stars["dec"]).T)
    others = np.concatenate([places, unit_vectors(galaxies["ra"], galaxies["dec"]).T])
    mag = np.concatenate([truth["mag"], galaxies["mag"]])
    kept = (distance < _MATCH_ARCSEC * _ARCSEC) & (stars["flag"] & (STILL | SCATTERS) == 0)
    kept &= _alone(places, others, mag)[row]
    stars = {name: values[kept] for name, values in stars.items()}
    truth = {name: values[row[kept]] for name, values in truth.items()}
    found = {n: (stars[n] - truth[TRUTH[n]]) / stars[f"{n}Err"] for n in PARAMETERS}
    ra, dec = true_places(truth, stars["epoch"])
    found["ra"] = (stars["ra"] - ra) * np.cos(np.radians(dec)) / stars["raErr"]
    found["dec"] = (stars["dec"] - dec) / stars["decErr"]
    color = truth["mag_g"] - truth["mag_i"]
    return found | {"snr": stars["snr"], "tied": stars["flag"] & TIED > 0, "color": color}


def _alone(places: Floats, others: Floats, mag: Floats) -> NDArray[np.bool_]:
    """Return which stars, the first of all sources, have nothing that matters beside them."""
    alone = np.ones(len(places), bool)
    near = cKDTree(others).query_ball_point(places, _ALONE_ARCSEC * _ARCSEC)
    for k, rows in enumerate(near):
        share = 10 ** (-0.4 * (mag[[j for j in rows if j != k]] - mag[k]))
        alone[k] = not (share > _ALONE_SHARE).any()
    return alone


def line(name: str, stars: Columns, kept: NDArray[np.bool_]) -> None:
    """Print widths of pulls and their means."""
    words = []
    for axis in AXES:
        values = stars[axis][kept]
        half, low, high = width(values)
        error = values.std() / np.sqrt(values.size)
        words.append(
            f"{axis} {half:.2f} ({low:.2f} to {high:.2f}) {values.mean():+.2f} +- {error:.2f}"
        )
    print(f"{name:18s} {int(kept.sum()):5d}  " + "; ".join(words))


def slopes(name: str, stars: Columns, kept: NDArray[np.bool_]) -> None:
    """Print slopes of pulls over colour."""
    design = np.column_stack([np.ones(int(kept.sum())), stars["color"][kept]])
    inverse = np.linalg.inv(design.T @ design)
    words = []
    for axis in PARAMETERS:
        values = stars[axis][kept]
        found = inverse @ design.T @ values
        error = (values - design @ found).std() * np.sqrt(inverse[1, 1])
        words.append(f"{axis} {found[1]:+.2f} +- {error:.2f}")
    print(f"{name:18s} {int(kept.sum()):5d}  " + "; ".join(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("surveys", type=Path, nargs="+", help="folders of simulated surveys")
    parser.add_argument("--results", type=Path, nargs="+", help="output root of each, if elsewhere")
    args = parser.parse_args()
    roots = args.results or [folder / "results" for folder in args.surveys]
    parts = [scored(*pair) for pair in zip(args.surveys, roots, strict=True)]
    stars = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    free, snr = ~stars["tied"], stars["snr"]
    line("all", stars, snr > 0)
    line("in the catalogue", stars, stars["tied"])
    for low, high in _SNR:
        line(f"others, S/N {low}-{high}", stars, free & (snr >= low) & (snr < high))
    line("others, g-i < 1", stars, free & (stars["color"] < 1))
    line("others, g-i > 1.5", stars, free & (stars["color"] > 1.5))
    slopes("slope, catalogue", stars, stars["tied"])
    slopes("slope, others", stars, free)


if __name__ == "__main__":
    main()
