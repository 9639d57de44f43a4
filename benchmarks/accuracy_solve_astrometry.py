"""How good the WCSs of solveAstrometry are on simulated surveys that were run from their pixels.

    python benchmarks/accuracy_solve_astrometry.py demo demo-b demo-c [--results ROOT…]

SURVEY is a folder that ``drpflow simulate`` made and ``drpflow run`` processed; with --results
products are read from other roots.

The error of a WCS is its distance from the true place of a star of the reference colour, on a grid
over the detector, both coordinates together; detectors without stars do not count. Turbulence moves
stars by what no polynomial over the field can follow: that part is what is left of the true
displacement of a visit when the polynomial of the order that the fit used (least squares on the
grids of all its detectors) is taken off. It counts in *with turbulence* and does not in the other
figures.

Repeatability is the scatter of reserved stars about their places, as for a star with so many
observations that its place is known; the centroid noise is that of the same detections about the
true pixels. 95 % intervals come from resampling.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scoring import Figure, match, polynomial_design, pull_width, resampled, rms, robust_sigma
from truth_survey import STAR_LIKE, TruthSurvey, read_columns

from drpflow import Store
from drpflow.data.tan_projection import TanProjection
from drpflow.errors import MissingDatasetError

if TYPE_CHECKING:
    from truth_survey import TruthFrame

    from drpflow.data.sky_wcs import SkyWcs

Floats = NDArray[np.float64]
Image = tuple[int, int]

FLUX = "psfFlux_instFlux"
SNR = (30.0, 50.0, 100.0, np.inf)
"""Borders of the classes of reserved stars."""
MATCH_PIX = 2.0
MIN_OBSERVATIONS = 4
INITIAL, SOLVED = "consolidateVisit", "solveAstrometry"


@dataclass
class Scores:
    """Figures of one or several surveys.

    Parameters
    ----------
    wcs_pix
        Rms error of the WCS of each detector without the turbulence that is left, by task.
    turbulent_pix
        The same with it.
    quoted_pix
        Error of each WCS that the fit states.
    snr
        Signal to noise of the detections of reserved stars, for each coordinate.
    repeatability_mas, turbulent_mas
        Their deviations, without and with that turbulence.
    centroid_mas
        True errors of their centroids.
    quoted_mas
        Errors of their centroids as measured.
    """

    wcs_pix: dict[str, list[float]] = field(default_factory=lambda: {INITIAL: [], SOLVED: []})
    turbulent_pix: dict[str, list[float]] = field(default_factory=lambda: {INITIAL: [], SOLVED: []})
    quoted_pix: list[float] = field(default_factory=list)
    snr: list[float] = field(default_factory=list)
    repeatability_mas: list[float] = field(default_factory=list)
    turbulent_mas: list[float] = field(default_factory=list)
    centroid_mas: list[float] = field(default_factory=list)
    quoted_mas: list[float] = field(default_factory=list)

    def add(self, other: Scores) -> None:
        """Add the figures of another survey."""
        for name in (INITIAL, SOLVED):
            self.wcs_pix[name] += other.wcs_pix[name]
            self.turbulent_pix[name] += other.turbulent_pix[name]
        for name in list(vars(self))[2:]:
            getattr(self, name).extend(getattr(other, name))


class SolvedSurvey:
    """A simulated survey with its solution.

    Parameters
    ----------
    folder
        The survey.
    root
        Output root of the solution.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.truth = TruthSurvey(folder)
        self.frames = {(f.visit, f.detector): f for f in self.truth.frames()}
        self.initial, self.solved = Store(folder / "results"), Store(root)
        self.root = root
        self.pixels = [q["skypix"] for q in self.solved.query("solved_astrometry_visits")]
        self.order = self._orders()
        self._left: dict[int, _Turbulence] = {}

    def _orders(self) -> dict[int, int]:
        tables = [self.solved.get("solved_astrometry_visits", skypix=p) for p in self.pixels]
        return {int(v): int(n) for t in tables for v, n in zip(t["visit"], t["order"], strict=True)}

    def left(self, visit: int) -> _Turbulence:
        """Return the turbulence of a visit that the fit cannot follow."""
        if visit not in self._left:
            frames = [f for f in self.frames.values() if f.visit == visit]
            self._left[visit] = _Turbulence(frames, self.order[visit])
        return self._left[visit]

    def scores(self) -> Scores:
        """Return all figures."""
        scores = Scores()
        for image, frame in self.frames.items():
            if image[0] in self.order and frame.usable:
                self._score_wcs(frame, scores)
        for pixel in self.pixels:
            self._score_stars(pixel, scores)
        return scores

    def _score_wcs(self, frame: TruthFrame, scores: Scores) -> None:
        image = {"visit": frame.visit, "detector": frame.detector}
        try:
            wcss = {
                INITIAL: self.initial.get("initial_visit_summary.wcs", **image),
                SOLVED: self.solved.get(
                    "solved_astrometry_wcs.wcs", skypix=self.pixels[0], **image
                ),
            }
        except MissingDatasetError:
            return
        table = self.solved.get("solved_astrometry_wcs", visit=frame.visit, skypix=self.pixels[0])
        row = list(table["detector"]).index(frame.detector)
        scores.quoted_pix.append(float(table["wcs_error"][row]) / frame.pixel_arcsec)
        left = self.left(frame.visit).at(frame.detector, frame.grid["x"], frame.grid["y"])
        for name, wcs in wcss.items():
            error = wcs_error_mas(wcs, frame)
            for kept, off in ((scores.wcs_pix, error - left), (scores.turbulent_pix, error)):
                kept[name].append(rms(np.hypot(*off)) / (1e3 * frame.pixel_arcsec))

    def _score_stars(self, pixel: int, scores: Scores) -> None:
        """Add the bright reserved stars of a piece of the sky."""
        residuals = self.solved.get("solved_astrometry_residuals", skypix=pixel).to_dict()
        stars = self.solved.get("solved_astrometry_stars", skypix=pixel).to_dict()
        sources = self._sources()
        known = {key: k for k, key in enumerate(_keys(sources))}
        rows = np.array([known[key] for key in _keys(residuals)], np.intp)
        snr = sources[FLUX][rows] / sources[f"{FLUX}Err"][rows]
        star = np.searchsorted(stars["isolated_star_id"], residuals["isolated_star_id"])
        wanted = residuals["reserved"] & residuals["used"] & (snr > SNR[0])
        wanted &= stars["n_good"][star] >= MIN_OBSERVATIONS
        # A star's place follows its own detections: their scatter about it is short of theirs.
        grown = np.sqrt(2 * stars["n_good"] / np.maximum(stars["dof"], 1))[star]
        for image in sorted({*zip(residuals["visit"], residuals["detector"], strict=True)}):
            here = (residuals["visit"] == image[0]) & (residuals["detector"] == image[1])
            mine = np.flatnonzero(here & wanted)
            if mine.size:
                self._score_image(image, residuals, sources, rows, mine, grown[mine], scores)

    def _score_image(
        self,
        image: Image,
        residuals: dict[str, NDArray],
        sources: dict[str, NDArray],
        rows: NDArray[np.intp],
        mine: NDArray[np.intp],
        grown: Floats,
        scores: Scores,
    ) -> None:
        """Add reserved stars on one detector: rows `mine` of the residuals."""
        frame = self.frames[int(image[0]), int(image[1])]
        x, y = sources["x"][rows[mine]], sources["y"][rows[mine]]
        points = np.isin(frame.sources["kind"], STAR_LIKE)
        true_x, true_y = (frame.sources[name][points] for name in ("x", "y"))
        found, true = match(x, y, true_x, true_y, MATCH_PIX)
        scale = 1e3 * frame.pixel_arcsec
        noise = np.stack([x[found] - true_x[true], y[found] - true_y[true]]) * scale
        left = self.left(frame.visit).at(frame.detector, x[found], y[found])
        off = np.stack([residuals[name][mine[found]] for name in ("dx", "dy")])
        of_source = rows[mine[found]]
        snr = sources[FLUX][of_source] / sources[f"{FLUX}Err"][of_source]
        scores.snr += np.tile(snr, 2).tolist()
        errors = [sources[name][of_source] for name in ("xErr", "yErr")]
        scores.centroid_mas += noise.ravel().tolist()
        scores.turbulent_mas += (off * grown[found]).ravel().tolist()
        scores.repeatability_mas += ((off - left) * grown[found]).ravel().tolist()
        scores.quoted_mas += (scale * np.concatenate(errors)).tolist()

    def _sources(self) -> dict[str, NDArray]:
        names = ("isolated_star_id", "visit", "detector", "x", "y", "xErr", "yErr")
        paths = sorted(self.root.glob("isolated_stars_source/*/*.parquet"))
        parts = [read_columns(path) for path in paths]
        wanted = (*names, FLUX, f"{FLUX}Err")
        return {n: np.concatenate([p[n] for p in parts if len(p["x"])]) for n in wanted}


class _Turbulence:
    """Displacement by the air that no polynomial of an order over the field can follow.

    Parameters
    ----------
    frames
        The detectors of a visit.
    order
        Total degree of the polynomial.
    """

    def __init__(self, frames: list[TruthFrame], order: int) -> None:
        self.model, self.order = frames[0].survey.model(frames[0].visit), order
        places = [self._field(f.detector, f.grid["x"], f.grid["y"]) for f in frames]
        x, y = (np.concatenate(values) for values in zip(*places, strict=True))
        design = polynomial_design(*self._scaled(x, y), order)
        self.terms = np.linalg.lstsq(design, self._whole(x, y).T, rcond=None)[0]

    def at(self, detector: int, x_pix: Floats, y_pix: Floats) -> Floats:
        """Return what is left at pixels, along the axes of the field, mas, shape (2, N)."""
        x, y = self._field(detector, x_pix, y_pix)
        design = polynomial_design(*self._scaled(x, y), self.order)
        return self._whole(x, y) - (design @ self.terms).T

    def _whole(self, x: Floats, y: Floats) -> Floats:
        geometry = self.model.geometry
        if geometry.turbulence is None:
            return np.zeros((2, x.size))
        return np.asarray(geometry.turbulence(x, y) * geometry.turbulence_mas)

    def _field(self, detector: int, x_pix: Floats, y_pix: Floats) -> tuple[Floats, Floats]:
        optics = self.model.optics
        return optics.focal_to_field(*optics.detectors[detector].to_focal(x_pix, y_pix))

    def _scaled(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        radius = self.model.geometry.radius_deg
        return x / radius, y / radius


def wcs_error_mas(wcs: SkyWcs, frame: TruthFrame) -> Floats:
    """Return the errors of a WCS at the grid of a detector, along the axes of the field, (2, N)."""
    truth = frame.survey.model(frame.visit).truth
    plane = TanProjection(truth.true_ra_deg, truth.true_dec_deg, truth.true_rotation_deg, "west")
    grid = frame.grid
    mine = np.stack(plane.from_sky(*wcs.pixel_to_world_values(grid["x"], grid["y"])))
    return 3.6e6 * (mine - np.stack(plane.from_sky(grid["ra"], grid["dec"])))


def _keys(columns: dict[str, NDArray]) -> list[tuple[int, int, int]]:
    names = ("isolated_star_id", "visit", "detector")
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


def _row(name: str, initial: Figure | None, solved: Figure) -> str:
    before = "" if initial is None else initial.text(4)
    return f"| {name} | {before} | {solved.text(4)} |"


def report(scores: Scores) -> list[str]:
    """Return the tables, as lines."""
    lines = [f"| | {INITIAL} | {SOLVED} |", "|---|---|---|"]
    for what, values in (
        ("error of the WCS, pixels", scores.wcs_pix),
        ("the same with turbulence", scores.turbulent_pix),
    ):
        for name, statistic in (("rms", rms), ("median", np.median)):
            found = [resampled(values[task], statistic) for task in (INITIAL, SOLVED)]
            lines.append(_row(f"{what}, {name}", *found))
    quoted = np.array(scores.wcs_pix[SOLVED]) / np.array(scores.quoted_pix)
    lines.append(_row("true over stated error, rms", None, resampled(quoted, rms)))
    return [*lines, "", *_star_lines(scores)]


def _star_lines(scores: Scores) -> list[str]:
    """Return the table of reserved stars by signal to noise."""
    classes = [f"S/N {low:.0f} to {high:.0f}" for low, high in pairwise(SNR[:-1])]
    classes.append(f"above {SNR[-2]:.0f}")
    lines = [f"| reserved stars, mas in each coordinate | {' | '.join(classes)} |"]
    lines.append("|---" * (len(classes) + 1) + "|")
    bins = np.digitize(scores.snr, SNR) - 1
    table = {
        "centroid noise": scores.centroid_mas,
        "repeatability": scores.repeatability_mas,
        "repeatability with turbulence": scores.turbulent_mas,
    }
    off = {name: np.array(values) for name, values in table.items()}
    groups = [bins == k for k in range(len(classes))]
    lines.append(f"| detections | {' | '.join(str(g.sum() // 2) for g in groups)} |")
    for name, values in off.items():
        cells = [resampled(values[g], robust_sigma).text(2) for g in groups]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name in ("repeatability", "repeatability with turbulence"):
        ratios = [
            resampled(off[name][g], robust_sigma).text(
                2, 1 / robust_sigma(off["centroid noise"][g])
            )
            for g in groups
        ]
        lines.append(f"| {name} over centroid noise | {' | '.join(ratios)} |")
    pulls = off["centroid noise"] / np.array(scores.quoted_mas)
    widths = [f"{pull_width(pulls[g]):.2f}" for g in groups]
    lines.append(f"| centroid errors over stated ones | {' | '.join(widths)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surveys", type=Path, nargs="+", help="folders of surveys")
    parser.add_argument("--results", type=Path, nargs="*", help="output roots, one a survey")
    args = parser.parse_args()
    roots = args.results or [folder / "results" for folder in args.surveys]
    whole = Scores()
    for folder, root in zip(args.surveys, roots, strict=True):
        scores = SolvedSurvey(folder, root).scores()
        whole.add(scores)
        found = {name: rms(values) for name, values in scores.wcs_pix.items()}
        print(f"{folder.name}: {len(scores.wcs_pix[SOLVED])} detectors, rms {found}")
    print("\n".join(report(whole)))


if __name__ == "__main__":
    main()
