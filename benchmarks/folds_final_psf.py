"""finalizeCharacterization again and again, each time with another part of the stars left out.

    python benchmarks/folds_final_psf.py SURVEY [--folds 3] [--visits 1 2] [--results ROOT ...]

Every star that can make a PSF is left out once. Prints a table with 95 % intervals: errors of the
models against the true image of a star on a grid (mean over the folds of a detector), and how the
stars left out differ from the models that have not seen them. ``--results`` names the roots in
which products are looked for, the first that has one counts; SURVEY/results by default.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy_final_psf import FIGURES, color_of
from final_psf_scores import FrameTruth, LeftOut, score_psf
from scoring import resampled
from truth_survey import TruthSurvey

from drpflow import Store
from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.data.sky_wcs import detector_map
from drpflow.errors import DrpflowError
from drpflow.io import characterization_files as files
from drpflow.io.camera_yaml import load_camera
from drpflow.tasks import finalize_characterization as task

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OF_VISIT = ("visit_info", "initial_visit_summary", "initial_stars")
_OF_PIECE = ("isolated_stars_source", "fgcm_standard_stars")
_OF_SOLUTION = ("solved_astrometry_stars", "solved_astrometry_wcs")
# An odd number whose multiples spread star numbers evenly over the folds.
_SPREAD = 2654435761


def fold_of(star: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Return the fold of each star, the same in all visits."""
    mixed = (star.astype(np.uint64) * np.uint64(_SPREAD)) % np.uint64(2**32)
    return (mixed * np.uint64(folds) // np.uint64(2**32)).astype(np.int64)


def read_visit(
    store: Store, camera: Path, visit: int, config: FinalizeCharacterizationConfig
) -> tuple[task.VisitStars, list[Path]]:
    """Return what the task is given of a visit, and the files of its images."""
    options: dict[str, Any] = {"camera": camera}
    options |= {name: store.path(name, visit=visit) for name in _OF_VISIT}
    images = [store.path("initial_pvi", **key) for key in store.query("initial_pvi", visit=visit)]
    options["initial_pvi"] = images
    if store.exists("visit_background", visit=visit):
        options["visit_background"] = store.path("visit_background", visit=visit)
    pieces = [key["skypix"] for key in store.query(_OF_PIECE[0])]
    solved = [key["skypix"] for key in store.query(_OF_SOLUTION[0])]
    for names, numbers in ((_OF_PIECE, pieces), (_OF_SOLUTION, solved)):
        for name in names:
            key = {"skypix": numbers[0]} | ({"visit": visit} if name.endswith("wcs") else {})
            path = str(store.path(name, **key))
            options[name] = path.replace(f"skypix={numbers[0]}/", "skypix={skypix}/")
    columns = (*task.NEEDED, *config.stars.bad_flags)
    given = files.read_inputs(options, pieces, solved, columns)
    known = {d: task.FirstLook(*parts) for d, parts in given.detectors.items()}
    return task.VisitStars(**given._replace(detectors=known)._asdict()), images


class Folds:
    """Scores of all models of a survey."""

    def __init__(self, survey: Path, store: Store, folds: int, method: str) -> None:
        self.survey, self.store, self.folds = survey, store, folds
        self.config = FinalizeCharacterizationConfig.model_validate({"psf": {"method": method}})
        self.truth, self.color_of = TruthSurvey(survey), color_of(survey)
        self.camera = load_camera(survey / "camera.yaml")
        self.grid: list[list[dict[str, float]]] = []
        self.first: list[dict[str, float]] = []
        self.left_out = LeftOut()

    def add_visit(self, visit: int) -> None:
        """Fit a visit once for each fold."""
        given, images = read_visit(self.store, self.survey / "camera.yaml", visit, self.config)
        opener = files.exposure_opener(images)
        frames = [f for f in self.truth.frames() if f.visit == visit and f.usable]
        truths = {f.detector: FrameTruth.of_frame(f) for f in frames}
        for detector, truth in truths.items():
            psf = given.detectors[detector].psf
            if psf is not None:
                self.first.append(score_psf(psf, truth, self.color_of))
        scores: dict[int, list[dict[str, float]]] = {d: [] for d in truths}
        for fold in range(self.folds):
            out = fold_of(given.sources["isolated_star_id"], self.folds) == fold
            part = replace(given, sources={**given.sources, "reserved": out})
            made = task.finalize_characterization(part, opener, self.config)
            for detector, truth in truths.items():
                psf = made.summary.rows[detector].components["psf"]
                if psf is not None:
                    scores[detector].append(score_psf(psf, truth, self.color_of))
            self.left_out.add(made.stars, self._places(made.stars))
        self.grid += [s for s in scores.values() if s]

    def _places(self, stars: Any) -> NDArray[np.float64]:
        """Return where stars are in the focal plane, arcmin, shape (2, N)."""
        places = np.full((2, len(stars["x"])), np.nan)
        scale = self.camera.optics.plate_scale_arcsec_per_mm / 60
        for detector in self.camera.detectors:
            here = stars["detector"] == detector.id
            mm = detector_map(detector).forward(stars["x"][here], stars["y"][here])
            places[:, here] = scale * np.array(mm)
        return places

    def text(self) -> str:
        """Return the table in Markdown."""
        lines = [f"{len(self.grid)} detectors, {self.folds} folds", ""]
        lines += ["| figure | first PSF | final PSF | wanted |", "|---|---|---|---|"]
        for name, (label, statistic, digits, wanted) in FIGURES.items():
            power = 2 if name in ("rms_t", "rms_e", "size") else 1
            values = [np.mean([f[name] ** power for f in folds]) for folds in self.grid]
            final = resampled(np.power(values, 1 / power) if power == 2 else values, statistic)
            first = resampled([f[name] for f in self.first], statistic)
            lines.append(f"| {label} | {first.text(digits)} | {final.text(digits)} | {wanted} |")
        return "\n".join([*lines, *self.left_out.lines()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, nargs="+", help="roots of products")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--visits", type=int, nargs="*", default=[], help="these visits only")
    parser.add_argument("--method", default="focal_plane")
    arguments = parser.parse_args()
    store = Store(arguments.results or [arguments.survey / "results"])
    folds = Folds(arguments.survey, store, arguments.folds, arguments.method)
    for key in store.query("initial_visit_summary"):
        if not arguments.visits or key["visit"] in arguments.visits:
            try:
                folds.add_visit(key["visit"])
            except DrpflowError as fault:
                print(f"visit {key['visit']}: {fault}")
    print(folds.text())


if __name__ == "__main__":
    main()
