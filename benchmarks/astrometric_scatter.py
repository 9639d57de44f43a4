"""How far isolated stars scatter over the frames of a run, before and after solveAstrometry.

    python benchmarks/astrometric_scatter.py RESULTS [--pixel-arcsec 0.31]

RESULTS is the output root of a run, of real frames too: nothing of the truth is asked. Scatter is
1.48 times the median absolute deviation of a star's places about their median, in each coordinate,
the median over stars that were seen in at least half of the visits; *expected* is that of the
stated errors of their centroids. Reserved stars, which no fit has seen, stand apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scoring import resampled, robust_sigma
from truth_survey import read_columns

Floats = NDArray[np.float64]
Columns = dict[str, NDArray]

NJY_ZERO_POINT_MAG = 31.4
STEP_MAG = 0.5
MIN_SHARE = 0.5


def read_all(root: Path, name: str) -> Columns:
    """Return the rows of a dataset over all pieces of the sky."""
    parts = [read_columns(path) for path in sorted(root.glob(f"{name}/*/*.parquet"))]
    return {n: np.concatenate([p[n] for p in parts if len(p[n])]) for n in parts[0]}


def magnitudes(root: Path, stars: NDArray[np.int64]) -> Floats:
    """Return the median magnitude of each star."""
    sources = read_all(root, "isolated_stars_source")
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = NJY_ZERO_POINT_MAG - 2.5 * np.log10(sources["calibFlux"])
    order = np.argsort(sources["isolated_star_id"], kind="stable")
    ids, first = np.unique(sources["isolated_star_id"][order], return_index=True)
    found = [np.nanmedian(values) for values in np.split(mag[order], first[1:])]
    return np.array(found)[np.searchsorted(ids, stars)]


class Scatter:
    """The scatter of each star over its visits, pixels.

    Parameters
    ----------
    root
        Output root.
    pixel_arcsec
        Pixel scale.
    """

    def __init__(self, root: Path, pixel_arcsec: float) -> None:
        r = read_all(root, "solved_astrometry_residuals")
        r = {name: values[np.isfinite(r["dx"])] for name, values in r.items()}
        self.visits = np.unique(r["visit"]).size
        order = np.argsort(r["isolated_star_id"], kind="stable")
        self.stars, first = np.unique(r["isolated_star_id"][order], return_index=True)
        rows = np.split(order, first[1:])
        self.seen = np.array([mine.size for mine in rows])
        self.reserved = np.array([r["reserved"][mine[0]] for mine in rows])
        scale = 1e-3 / pixel_arcsec
        pairs = {"initial": ("initial_dx", "initial_dy"), "solved": ("dx", "dy")}
        self.pix = {
            name: scale * np.array([_both(*(r[c][mine] for c in columns)) for mine in rows])
            for name, columns in pairs.items()
        }
        variance = [np.median((r["xx"] + r["yy"])[mine]) / 2 for mine in rows]
        self.pix["expected"] = scale * np.sqrt(variance)
        self.mag = magnitudes(root, self.stars)

    def lines(self) -> list[str]:
        """Return the table by magnitude."""
        often = self.seen >= MIN_SHARE * self.visits
        names = ("initial", "solved", "expected")
        head = "| magnitude | stars | " + " | ".join(names) + " | reserved | initial | solved |"
        lines = [head, "|" + "---|" * 8]
        bins = np.floor(self.mag / STEP_MAG)
        for number in np.unique(bins[often & np.isfinite(bins)]):
            mine = often & (bins == number)
            free = mine & self.reserved
            cells = [f"{STEP_MAG * number:.1f} to {STEP_MAG * (number + 1):.1f}", str(mine.sum())]
            cells += [f"{np.median(self.pix[n][mine]):.3f}" for n in names]
            kept = [f"{np.median(self.pix[n][free]):.3f}" if free.any() else "" for n in names[:2]]
            lines.append("| " + " | ".join([*cells, str(free.sum()), *kept]) + " |")
        return lines

    def brightest(self, number: int) -> list[str]:
        """Return figures of the brightest stars, in sentences."""
        often = np.flatnonzero((self.seen >= MIN_SHARE * self.visits) & np.isfinite(self.mag))
        mine = often[np.argsort(self.mag[often])][:number]
        text = [f"The {mine.size} brightest stars, down to {self.mag[mine].max():.1f}:"]
        for name, values in self.pix.items():
            text.append(f"{name} {resampled(values[mine], np.median).text(4)} pix")
        return text


def _both(x: Floats, y: Floats) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 2:
        return float("nan")
    return float(np.sqrt((robust_sigma(x[known]) ** 2 + robust_sigma(y[known]) ** 2) / 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="output root of a run")
    parser.add_argument("--pixel-arcsec", type=float, default=0.31)
    parser.add_argument("--brightest", type=int, default=40, help="stars that count as bright")
    args = parser.parse_args()
    scatter = Scatter(args.results, args.pixel_arcsec)
    print(f"{scatter.visits} visits, {scatter.stars.size} stars")
    print("\n".join(scatter.lines()))
    print("\n".join(scatter.brightest(args.brightest)))


if __name__ == "__main__":
    main()
