"""How complete and pure the isolated stars of simulated surveys are, from pixels on.

Run ``python benchmarks/accuracy_associate_pixels.py SURVEY ... [--results ROOT ...]`` on surveys
that were processed as far as associateIsolatedStars. A star of the truth is wanted if in three
visits or more it lies whole on a detector, unsaturated, and has S/N > 20 in the median of these
visits, and if it stands alone: no other source has 3 % of its light within three arcsec, and
galaxies and aureoles of bright stars about it put less than 3 % of its light within one arcsec of
it. A detection belongs to the brightest true source within two pixels; a star that two visits or
more cover is false or mixed if its detections belong to none, to several, or to no star.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial import cKDTree
from scoring import share

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STAR = 0
MIN_VISITS, MIN_SNR, EDGE_PIX, MATCH_PIX = 3, 20.0, 15.0, 2.0
MAX_FOREIGN_LIGHT, APERTURE_ARCSEC, REACH_ARCSEC = 0.03, 1.0, 30.0
# Aureole of the simulated stars (src/drpflow/sim/config.py): share of the light, and its core.
AUREOLE, AUREOLE_CORE_ARCSEC = 0.02, 4.0


@dataclass
class Counts:
    """Stars wanted and found once, found more than once; made, and false or mixed."""

    wanted: int = 0
    found: int = 0
    repeated: int = 0
    made: int = 0
    false: int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of another survey."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def table(pattern: str, root: Path, columns: list[str]) -> pa.Table:
    """Return some columns of all files of a kind, one after the other."""
    files = sorted(root.glob(pattern))
    if not files:
        raise SystemExit(f"{root} holds no {pattern}: run the survey up to associateIsolatedStars")
    return pa.concat_tables([pq.read_table(file, columns=columns) for file in files])


def wanted_stars(truth: Path, size_pix: int) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Return the stars that are to be found, and the kind of every source by its identifier."""
    columns = ["id", "kind", "x", "y", "snr", "saturated", "isolated"]
    sources = table("sources/visit=*/sources.parquet", truth, columns)
    t = {name: sources[name].to_numpy() for name in columns}
    edge = np.minimum(np.minimum(t["x"], t["y"]), size_pix - 1 - np.maximum(t["x"], t["y"]))
    clean = (t["kind"] == STAR) & ~t["saturated"] & t["isolated"] & (edge > EDGE_PIX)
    clean &= ~np.isin(t["id"], bathed_stars(truth))
    star, group = np.unique(t["id"][clean], return_inverse=True)
    snr = t["snr"][clean]
    median = np.array([np.median(snr[group == k]) for k in range(star.size)])
    keep = (np.bincount(group, minlength=star.size) >= MIN_VISITS) & (median > MIN_SNR)
    return star[keep], dict(zip(t["id"].tolist(), t["kind"].tolist(), strict=True))


def bathed_stars(truth: Path) -> NDArray[np.int64]:
    """Return the stars that stand in the light of galaxies or of the aureoles of brighter stars.

    Galaxies as exponential discs with bulge and disc in one, round, of the half-light radius of
    the larger: I(r) = f (1.68/h)² exp(-1.68 r/h) / 2π; aureoles as f A / (2 π c²) (1 + (r/c)²)⁻¹.
    """
    stars, galaxies = (pq.read_table(truth / f"{name}.parquet") for name in ("stars", "galaxies"))
    ra, dec, mag = (stars[name].to_numpy() for name in ("ra", "dec", "mag"))
    own = 10 ** (-0.4 * mag)
    scale = 3600 * np.cos(np.radians(dec.mean()))
    plane = np.column_stack([ra * scale, dec * 3600])
    area = np.pi * APERTURE_ARCSEC**2

    def foreign(places: NDArray, surface: Callable[[int, NDArray], NDArray]) -> NDArray:
        light, tree = np.zeros(ra.size), cKDTree(plane)
        for k, near in enumerate(tree.query_ball_point(places, REACH_ARCSEC)):
            distance = np.hypot(*(plane[near] - places[k]).T)
            light[near] += np.where(distance > 0, surface(k, distance), 0) * area
        return light

    flux = 10 ** (-0.4 * galaxies["mag"].to_numpy())
    radius = np.maximum(*(galaxies[f"{c}_radius_arcsec"].to_numpy() for c in ("disc", "bulge")))
    steep = 1.68 / np.maximum(radius, 0.3)
    places = np.column_stack([galaxies["ra"].to_numpy() * scale, galaxies["dec"].to_numpy() * 3600])
    light = foreign(
        places, lambda k, r: flux[k] * steep[k] ** 2 / (2 * np.pi) * np.exp(-steep[k] * r)
    )
    core = AUREOLE_CORE_ARCSEC
    light += foreign(
        plane, lambda k, r: own[k] * AUREOLE / (2 * np.pi * core**2) / (1 + (r / core) ** 2)
    )
    return stars["id"].to_numpy()[light > MAX_FOREIGN_LIGHT * own]


def true_sources(root: Path, truth: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the isolated star of each detection, and its true source, -1 for none."""
    columns = ["isolated_star_id", "visit", "detector", "x", "y"]
    rows = table("isolated_stars_source/skypix=*/isolated_stars_source.parquet", root, columns)
    d = {name: rows[name].to_numpy() for name in columns}
    owner = np.full(d["x"].size, -1)
    for visit in np.unique(d["visit"]):
        t = pq.read_table(truth / f"sources/visit={visit}/sources.parquet")
        on, x, y, ids, flux = (t[n].to_numpy() for n in ("detector", "x", "y", "id", "snr"))
        for detector in np.unique(d["detector"][d["visit"] == visit]):
            here = np.flatnonzero((d["visit"] == visit) & (d["detector"] == detector))
            there = np.flatnonzero(on == detector)
            tree = cKDTree(np.column_stack([x[there], y[there]]))
            near = tree.query_ball_point(np.column_stack([d["x"][here], d["y"][here]]), MATCH_PIX)
            for row, close in zip(here, near, strict=True):
                if close:
                    owner[row] = ids[there[close[int(np.argmax(flux[there[close]]))]]]
    return d["isolated_star_id"], owner


def count(survey: Path, root: Path, size_pix: int) -> Counts:
    """Score one survey."""
    wanted, kinds = wanted_stars(survey / "truth", size_pix)
    star, owner = true_sources(root, survey / "truth")
    names = ["isolated_star_id", "snr", "n_expected"]
    stars = table("isolated_stars/skypix=*/isolated_stars.parquet", root, names)
    ids, snr, n_expected = (stars[name].to_numpy() for name in names)
    bright = set(ids[(snr > MIN_SNR) & (n_expected >= 2)].tolist())
    times: dict[int, int] = {}
    false = 0
    for one in np.unique(star):
        sources, number = np.unique(owner[star == one], return_counts=True)
        main = int(sources[np.argmax(number)])
        times[main] = times.get(main, 0) + 1
        pure = sources.size == 1 and kinds.get(main, -1) == STAR
        false += int(one) in bright and not pure
    found = np.array([times.get(int(one), 0) for one in wanted])
    return Counts(wanted.size, int((found == 1).sum()), int((found > 1).sum()), len(bright), false)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("surveys", type=Path, nargs="+", help="folders of simulated surveys")
    parser.add_argument("--results", type=Path, nargs="*", help="output roots, one a survey")
    parser.add_argument("--size-pix", type=int, default=1024, help="side of a detector")
    args = parser.parse_args()
    roots = args.results or [folder / "results" for folder in args.surveys]
    whole = Counts()
    for survey, root in zip(args.surveys, roots, strict=True):
        counts = count(survey, root, args.size_pix)
        whole.add(counts)
        print(f"{survey.name}: {counts}")
    print(f"found once and only once  {whole.found} of {whole.wanted}: ", end="")
    print(share(whole.found, whole.wanted).text(2, 100))
    print(f"false or mixed            {whole.false} of {whole.made}: ", end="")
    print(share(whole.false, whole.made).text(2, 100))


if __name__ == "__main__":
    main()
