"""How good the WCSs of both astrometric fits are on simulated surveys run from their pixels.

    python benchmarks/accuracy_solve_astrometry.py demo demo-b demo-c [--final] [--results ROOT…]

SURVEY is a folder that ``drpflow simulate`` made and ``drpflow run`` processed; with --results
products are read from other roots, with --final those of finalizeAstrometry instead of
solveAstrometry. A visit that several pieces of the sky have solved counts once a piece.

The error of a WCS is its distance from the true place of a star of the reference colour, on a grid
over the detector, both coordinates together; detectors without stars do not count. Turbulence moves
stars by what no polynomial over the field can follow: that part is what is left of the true
displacement of a visit when a polynomial of order 3 (least squares on the grids of all its
detectors) is taken off. It counts in *with turbulence* and does not in the other figures; nor does,
there, what is left in the same sense of the turbulence that a solution has found.
*A polynomial fitted to the truth* has the observed stars of each visit at their true places, and
nothing but the errors of their centroids and that turbulence in its way: what a visit alone can do
that knows its stars, its detectors and the colours, and has no model of the turbulence. With
*centroids alone* the turbulence is taken away as well: what one could do that knew it.

*Trend with colour* is the slope of the residuals of a visit's stars over their colours, and the
part of it along the direction to the zenith that the visits of a band have in common, growing as
the tangent of the zenith distance, at airmass 1.5.

Repeatability is the scatter of reserved stars about their places, as for a star with so many
observations that its place is known; the centroid noise is that of the same detections about the
true pixels. 95 % intervals come from resampling visits, and stars for what concerns these.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from color_trend import color_trend, trend_lines
from left_turbulence import ToldTurbulence, Turbulence, wcs_error_mas
from numpy.typing import NDArray
from scoring import (
    Figure,
    match,
    polynomial_design,
    pull_width,
    resampled,
    resampled_groups,
    rms,
    robust_sigma,
)
from truth_survey import STAR_LIKE, TruthSurvey, read_columns

from drpflow import Store
from drpflow.algorithms.astrometric_statistics import ResidualVectors, separation_repeatability
from drpflow.errors import MissingDatasetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from color_trend import ColorTrend
    from truth_survey import TruthFrame


Floats = NDArray[np.float64]
Image = tuple[int, int]

FLUX = "psfFlux_instFlux"
SNR = (30.0, 50.0, 100.0, np.inf)
"""Borders of the classes of reserved stars."""
MATCH_PIX = 2.0
CLIP_SIGMA = 5.0
MIN_OBSERVATIONS = 4
INITIAL, SOLVED = "consolidateVisit", "fit"
FITS = {"solved_astrometry": "solveAstrometry", "final_astrometry": "finalizeAstrometry"}
"""Tasks whose products are scored, by the beginning of their names."""
ORDER = 3
"""Of the polynomial that tells what can be followed."""
AM_SNR = 100.0
AM_ARCMIN = (1.0, 5.0)


@dataclass
class Scores:
    """Figures of one or several surveys.

    Parameters
    ----------
    wcs_pix
        Rms error of the WCS of each detector without the turbulence that is left, by task.
    turbulent_pix
        The same with it.
    shape_pix
        The same with it, less the mean shift of the detector.
    attainable_pix, known_air_pix
        Of a polynomial fitted to the truth of the visit, with and without turbulence.
    quoted_pix
        Error of each WCS that the fit states.
    visit
        Visit of each of these.
    snr
        Signal to noise of the detections of reserved stars, for each coordinate.
    star
        Star of each of these.
    repeatability_mas, turbulent_mas
        Their deviations, without and with that turbulence.
    centroid_mas
        True errors of their centroids.
    quoted_mas
        Errors of their centroids as measured.
    separation_mas
        Scatter over visits of the separations of pairs of reserved stars, by task and arcmin.
    trends
        Of residuals with colour, of each visit that has stars for that: of those that made the fit,
        and of reserved ones.
    lacking
        Detectors with stars that have no WCS.
    """

    wcs_pix: dict[str, list[float]] = field(default_factory=lambda: {INITIAL: [], SOLVED: []})
    turbulent_pix: dict[str, list[float]] = field(default_factory=lambda: {INITIAL: [], SOLVED: []})
    shape_pix: dict[str, list[float]] = field(default_factory=lambda: {INITIAL: [], SOLVED: []})
    attainable_pix: list[float] = field(default_factory=list)
    known_air_pix: list[float] = field(default_factory=list)
    quoted_pix: list[float] = field(default_factory=list)
    visit: list[str] = field(default_factory=list)
    snr: list[float] = field(default_factory=list)
    star: list[str] = field(default_factory=list)
    repeatability_mas: list[float] = field(default_factory=list)
    turbulent_mas: list[float] = field(default_factory=list)
    centroid_mas: list[float] = field(default_factory=list)
    quoted_mas: list[float] = field(default_factory=list)
    separation_mas: dict[tuple[str, float], list[float]] = field(default_factory=dict)
    trends: dict[str, list[ColorTrend]] = field(
        default_factory=lambda: {"stars of the fit": [], "reserved stars": []}
    )
    lacking: int = 0

    def add(self, other: Scores) -> None:
        """Add the figures of another survey."""
        for name in (INITIAL, SOLVED):
            self.wcs_pix[name] += other.wcs_pix[name]
            self.turbulent_pix[name] += other.turbulent_pix[name]
            self.shape_pix[name] += other.shape_pix[name]
        for name, value in vars(other).items():
            if isinstance(value, list):
                getattr(self, name).extend(value)
        for name, trends in other.trends.items():
            self.trends[name] += trends
        for key, values in other.separation_mas.items():
            self.separation_mas.setdefault(key, []).extend(values)
        self.lacking += other.lacking


class SolvedSurvey:
    """A simulated survey with its solution.

    Parameters
    ----------
    folder
        The survey.
    root
        Output root of the solution.
    fit
        Beginning of the names of its products.
    """

    def __init__(self, folder: Path, root: Path, fit: str = "solved_astrometry") -> None:
        self.truth = TruthSurvey(folder)
        self.frames = {(f.visit, f.detector): f for f in self.truth.frames()}
        self.initial, self.solved = Store(folder / "results"), Store(root)
        self.root, self.name, self.fit = root, folder.name, fit
        self.pixels = [q["skypix"] for q in self.solved.query(f"{fit}_visits")]
        self._air: dict[int, Turbulence] = {}

    def visits(self, pixel: int) -> list[int]:
        """Return the visits of a piece of the sky."""
        table = self.solved.get(f"{self.fit}_visits", skypix=pixel)
        return [int(v) for v in table["visit"]]

    def air(self, visit: int) -> Turbulence:
        """Return the true turbulence of a visit."""
        if visit not in self._air:
            frames = [f for f in self.frames.values() if f.visit == visit]
            self._air[visit] = Turbulence(frames, ORDER)
        return self._air[visit]

    def scores(self) -> Scores:
        """Return all figures."""
        scores = Scores()
        sources = self._sources()
        for pixel in self.pixels:
            rows = StarRows(self, pixel, sources)
            for visit in self.visits(pixel):
                SolvedVisit(self, pixel, visit, rows).add_to(scores)
            rows.add_separations(scores)
        return scores

    def floor_mas(self, visit: int) -> float:
        """Return what a polynomial leaves of the turbulence of a visit, rms of a coordinate."""
        air = self.air(visit)
        frames = [f for f in self.frames.values() if f.visit == visit]
        return rms([air.left(f.detector, f.grid["x"], f.grid["y"]) for f in frames])

    def _sources(self) -> dict[str, NDArray]:
        names = ("isolated_star_id", "visit", "detector", "x", "y", "xErr", "yErr")
        paths = sorted(self.root.glob("isolated_stars_source/*/*.parquet"))
        parts = [read_columns(path) for path in paths]
        wanted = (*names, FLUX, f"{FLUX}Err")
        return {n: np.concatenate([p[n] for p in parts if len(p["x"])]) for n in wanted}


class StarRows:
    """The detections of a piece of the sky that have a residual.

    Parameters
    ----------
    survey
        The survey.
    pixel
        The piece.
    sources
        Detections of isolated stars.
    """

    def __init__(self, survey: SolvedSurvey, pixel: int, sources: dict[str, NDArray]) -> None:
        solved = survey.solved
        self.name, self.sources = f"{survey.name} {pixel}", sources
        self.residuals = solved.get(f"{survey.fit}_residuals", skypix=pixel).to_dict()
        stars = solved.get(f"{survey.fit}_stars", skypix=pixel).to_dict()
        known = {key: k for k, key in enumerate(_keys(sources))}
        self.row = np.array([known[key] for key in _keys(self.residuals)], np.intp)
        star = np.searchsorted(stars["isolated_star_id"], self.residuals["isolated_star_id"])
        self.often = stars["n_good"][star] >= MIN_OBSERVATIONS
        self.color = stars["color"][star]
        # A star's place follows its own detections: their scatter about it is short of theirs.
        self.grown = np.sqrt(2 * stars["n_good"] / np.maximum(stars["dof"], 1))[star]
        with np.errstate(invalid="ignore", divide="ignore"):
            self.snr = (sources[FLUX] / sources[f"{FLUX}Err"])[self.row]

    def on(self, image: Image) -> NDArray[np.intp]:
        """Return the rows of a detector image that count in some place."""
        r = self.residuals
        return np.flatnonzero((r["visit"] == image[0]) & (r["detector"] == image[1]) & r["used"])

    def add_separations(self, scores: Scores) -> None:
        """Add the repeatability of separations of reserved stars."""
        r = self.residuals
        rows = np.flatnonzero(r["reserved"] & r["used"] & (self.snr > AM_SNR))
        for task, columns in ((INITIAL, ("initial_dx", "initial_dy")), (SOLVED, ("dx", "dy"))):
            vectors = ResidualVectors(
                *(r[n][rows] for n in ("isolated_star_id", "visit", "field_x", "field_y")),
                *(r[n][rows].astype(float) for n in columns),
            )
            for arcmin in AM_ARCMIN:
                found = separation_repeatability(vectors, arcmin, width_arcmin=arcmin)
                scores.separation_mas.setdefault((task, arcmin), []).extend(found.rms_mas.tolist())


class SolvedVisit:
    """One visit as a piece of the sky has it, with its truth.

    Parameters
    ----------
    survey, pixel, visit
        Which.
    stars
        Detections of the piece.
    """

    def __init__(self, survey: SolvedSurvey, pixel: int, visit: int, stars: StarRows) -> None:
        self.survey, self.visit, self.stars = survey, visit, stars
        self.group = f"{stars.name} {visit}"
        self.air = survey.air(visit)
        self.table = survey.solved.get(f"{survey.fit}_wcs", visit=visit, skypix=pixel)
        self.frames, self.wcs, self.first = [], {}, {}
        for (v, detector), frame in survey.frames.items():
            if v == visit and frame.usable:
                where = {"visit": visit, "detector": detector}
                try:
                    solved = survey.solved.get(f"{survey.fit}_wcs.wcs", skypix=pixel, **where)
                    first = survey.initial.get("initial_visit_summary.wcs", **where)
                except MissingDatasetError:
                    continue
                self.frames.append(frame)
                self.wcs[detector], self.first[detector] = solved, first
        self.told = ToldTurbulence(self.wcs, self.frames, self.air)

    def add_to(self, scores: Scores) -> None:
        """Add the figures of the visit."""
        usable = [f for f in self.survey.frames.values() if f.visit == self.visit and f.usable]
        scores.lacking += len(usable) - len(self.frames)
        if not self.frames:
            return
        attainable = [(kept, self._attainable(air)) for kept, air in (
            (scores.attainable_pix, True), (scores.known_air_pix, False)
        )]  # fmt: skip
        self._add_trends(scores)
        for frame in self.frames:
            self._add_wcs(frame, scores)
            for kept, error_of in attainable:
                error = error_of(frame.detector, frame.grid["x"], frame.grid["y"])
                kept.append(rms(np.hypot(*error)) / (1e3 * frame.pixel_arcsec))
            scores.visit.append(self.group)
            self._add_stars(frame, scores)

    def _add_wcs(self, frame: TruthFrame, scores: Scores) -> None:
        row = list(self.table["detector"]).index(frame.detector)
        scores.quoted_pix.append(float(self.table["wcs_error"][row]) / frame.pixel_arcsec)
        x, y = frame.grid["x"], frame.grid["y"]
        left = self.air.left(frame.detector, x, y)
        told = self.told.left(frame.detector, x, y)
        for name, wcs, known in (
            (INITIAL, self.first[frame.detector], 0.0),
            (SOLVED, self.wcs[frame.detector], told),
        ):
            error = wcs_error_mas(wcs, frame)
            for kept, off in (
                (scores.wcs_pix, error - left + known),
                (scores.turbulent_pix, error),
                (scores.shape_pix, error - error.mean(axis=1, keepdims=True)),
            ):
                kept[name].append(rms(np.hypot(*off)) / (1e3 * frame.pixel_arcsec))

    def _matched(self, frame: TruthFrame) -> tuple[NDArray[np.intp], Floats, Floats]:
        """Return rows on a detector, their pixels and errors of these, (2, N)."""
        rows = self.stars.on((frame.visit, frame.detector))
        of_source = self.stars.row[rows]
        place = np.stack([self.stars.sources[n][of_source] for n in ("x", "y")])
        points = np.isin(frame.sources["kind"], STAR_LIKE)
        truth = np.stack([frame.sources[n][points] for n in ("x", "y")])
        found, true = match(*place, *truth, MATCH_PIX)
        return rows[found], place[:, found], place[:, found] - truth[:, true]

    def _add_stars(self, frame: TruthFrame, scores: Scores) -> None:
        """Add the reserved stars on one detector."""
        s = self.stars
        rows, place, noise = self._matched(frame)
        wanted = s.residuals["reserved"][rows] & (s.snr[rows] > SNR[0]) & s.often[rows]
        rows, place, noise = rows[wanted], place[:, wanted], noise[:, wanted]
        scale = 1e3 * frame.pixel_arcsec
        off = np.stack([s.residuals[name][rows] for name in ("dx", "dy")])
        left = self.air.left(frame.detector, *place) - self.told.left(frame.detector, *place)
        errors = [s.sources[name][s.row[rows]] for name in ("xErr", "yErr")]
        scores.snr += np.tile(s.snr[rows], 2).tolist()
        names = [f"{s.name} {k}" for k in s.residuals["isolated_star_id"][rows].tolist()]
        scores.star += names * 2
        scores.centroid_mas += (scale * noise).ravel().tolist()
        scores.turbulent_mas += (off * s.grown[rows]).ravel().tolist()
        scores.repeatability_mas += ((off - left) * s.grown[rows]).ravel().tolist()
        scores.quoted_mas += (scale * np.concatenate(errors)).tolist()

    def _add_trends(self, scores: Scores) -> None:
        """Add how the residuals depend on colour."""
        s = self.stars
        info = self.survey.initial.get("visit_info", visit=self.visit)
        used = (s.residuals["visit"] == self.visit) & s.residuals["used"]
        for kept, reserved in zip(scores.trends.values(), (False, True), strict=True):
            rows = np.flatnonzero(used & (s.residuals["reserved"] == reserved))
            off, variance = (
                np.stack([s.residuals[name][rows].astype(float) for name in names])
                for names in (("dx", "dy"), ("xx", "yy"))
            )
            found = color_trend(off, variance, s.color[rows], info)
            if found is not None:
                kept.append(found)

    def _attainable(self, turbulent: bool) -> Callable[[int, Floats, Floats], Floats]:
        """Return the error of a polynomial fitted to the truth, a function of pixels."""
        places, moved, weights = [], [], []
        floor = self.survey.floor_mas(self.visit)
        for frame in self.frames:
            rows, place, noise = self._matched(frame)
            fit = ~self.stars.residuals["reserved"][rows]
            variance = sum(self.stars.residuals[n][rows] for n in ("xx", "yy"))[fit] / 2 + floor**2
            error = 1e3 * frame.pixel_arcsec * noise[:, fit]
            if turbulent:
                error = error + self.air.left(frame.detector, *place[:, fit])
            good = (error**2).sum(axis=0) < 2 * CLIP_SIGMA**2 * variance
            places.append(np.stack(self.air.scaled(frame.detector, *place[:, fit]))[:, good])
            moved.append(error[:, good])
            weights.append(1 / np.sqrt(variance[good]))
        weight = np.concatenate(weights)[:, None]
        design = polynomial_design(*np.concatenate(places, axis=1), ORDER)
        vectors = np.concatenate(moved, axis=1).T
        terms = np.linalg.lstsq(design * weight, vectors * weight, rcond=None)[0]
        return lambda d, x, y: (polynomial_design(*self.air.scaled(d, x, y), ORDER) @ terms).T


def _keys(columns: dict[str, NDArray]) -> list[tuple[int, int, int]]:
    names = ("isolated_star_id", "visit", "detector")
    return list(zip(*(columns[name].tolist() for name in names), strict=True))


def _row(name: str, initial: Figure | None, solved: Figure) -> str:
    before = "" if initial is None else initial.text(4)
    return f"| {name} | {before} | {solved.text(4)} |"


def report(scores: Scores, task: str) -> list[str]:
    """Return the tables, as lines."""
    lines = [f"| | {INITIAL} | {task} |", "|---|---|---|"]
    for what, values in (
        ("error of the WCS, pixels", scores.wcs_pix),
        ("the same with turbulence", scores.turbulent_pix),
        ("that less the shift of each detector", scores.shape_pix),
    ):
        for name, statistic in (("rms", rms), ("median", np.median)):
            found = [_by_visit(values[task], scores, statistic) for task in (INITIAL, SOLVED)]
            lines.append(_row(f"{what}, {name}", *found))
    for label, pixels in (
        ("a polynomial fitted to the truth", scores.attainable_pix),
        ("the same of centroids alone", scores.known_air_pix),
    ):
        for name, statistic in (("rms", rms), ("median", np.median)):
            found = _by_visit(pixels, scores, statistic)
            lines.append(_row(f"{label}, {name}", None, found))
    quoted = np.array(scores.wcs_pix[SOLVED]) / np.array(scores.quoted_pix)
    lines.append(_row("true over stated error, rms", None, _by_visit(quoted, scores, rms)))
    for arcmin in AM_ARCMIN:
        values = [scores.separation_mas.get((task, arcmin), []) for task in (INITIAL, SOLVED)]
        found = [resampled(v, np.median) for v in values]
        name = f"separations of {arcmin:g}', S/N > {AM_SNR:.0f}, rms over visits, median, mas"
        lines.append(f"| {name} | {found[0].text(2)} | {found[1].text(2)} |")
    return [*lines, "", *trend_lines(scores.trends), "", *_star_lines(scores)]


def _by_visit(
    values: list[float] | Floats, scores: Scores, statistic: Callable[[Floats], float]
) -> Figure:
    return resampled_groups(values, _numbers(scores.visit), statistic)


def _numbers(names: list[str]) -> NDArray[np.intp]:
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1]


def _star_lines(scores: Scores) -> list[str]:
    """Return the table of reserved stars by signal to noise."""
    classes = [f"S/N {low:.0f} to {high:.0f}" for low, high in pairwise(SNR[:-1])]
    classes.append(f"above {SNR[-2]:.0f}")
    lines = [f"| reserved stars, mas in each coordinate | {' | '.join(classes)} |"]
    lines.append("|---" * (len(classes) + 1) + "|")
    bins, star = np.digitize(scores.snr, SNR) - 1, _numbers(scores.star)
    table = {
        "centroid noise": scores.centroid_mas,
        "repeatability": scores.repeatability_mas,
        "repeatability with turbulence": scores.turbulent_mas,
    }
    off = {name: np.array(values) for name, values in table.items()}
    groups = [bins == k for k in range(len(classes))]
    lines.append(f"| detections | {' | '.join(str(g.sum() // 2) for g in groups)} |")
    for name, values in off.items():
        cells = [resampled_groups(values[g], star[g], robust_sigma).text(2) for g in groups]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name in ("repeatability", "repeatability with turbulence"):
        pairs = off[name] + 1j * off["centroid noise"]
        ratios = [_ratio(pairs[g], star[g]).text(2) for g in groups]
        lines.append(f"| {name} over centroid noise | {' | '.join(ratios)} |")
    pulls = off["centroid noise"] / np.array(scores.quoted_mas)
    widths = [f"{pull_width(pulls[g]):.2f}" for g in groups]
    lines.append(f"| centroid errors over stated ones | {' | '.join(widths)} |")
    return lines


def _ratio(pairs: NDArray[np.complex128], star: NDArray[np.intp]) -> Figure:
    """Return the width of real parts over that of imaginary parts, stars drawn together."""
    rows = np.arange(pairs.size, dtype=float)

    def statistic(drawn: Floats) -> float:
        chosen = pairs[drawn.astype(np.intp)]
        return robust_sigma(chosen.real) / robust_sigma(chosen.imag)

    return resampled_groups(rows, star, statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("surveys", type=Path, nargs="+", help="folders of surveys")
    parser.add_argument("--results", type=Path, nargs="*", help="output roots, one a survey")
    parser.add_argument("--final", action="store_true", help="score finalizeAstrometry")
    args = parser.parse_args()
    fit = "final_astrometry" if args.final else "solved_astrometry"
    roots = args.results or [folder / "results" for folder in args.surveys]
    whole = Scores()
    for folder, root in zip(args.surveys, roots, strict=True):
        scores = SolvedSurvey(folder, root, fit).scores()
        whole.add(scores)
        found = {name: rms(values) for name, values in scores.wcs_pix.items()}
        number = len(scores.wcs_pix[SOLVED])
        print(f"{folder.name}: {number} detectors, {scores.lacking} without a WCS, rms {found}")
    print("\n".join(report(whole, FITS[fit])))


if __name__ == "__main__":
    main()
