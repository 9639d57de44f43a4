"""modelVisitBackground against the truth of a simulated survey, beside calibrateImage.

    drpflow run (to visit_background of all visits)
    python benchmarks/accuracy_visit_background.py demo demo-b demo-c

Prints one table: the figure, its 95 % interval by resampling detectors, what is wanted. Truth is
sky, scattered light, wings and faint ghosts without noise, with the visit's mean of all other light
outside masks; satellite trails and ghosts that can be seen count as masked. Figures against all
light without noise stand beside it.
"""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from background_scores import (
    WING_MAGS,
    BackgroundScore,
    TrueSky,
    edge_steps,
    score_background,
)
from scoring import Figure, resampled, rms
from truth_survey import TruthSurvey

from drpflow import Store
from drpflow.errors import MissingDatasetError
from drpflow.io.camera_yaml import load_camera
from drpflow.io.datasets import DatasetTable

NAMES = ("initial", "final", "bare")
"""calibrateImage's background, the visit's, and that without the wings of stars."""

_FACING = (("right", "left"), ("top", "bottom"))


def scales_of(truth: TruthSurvey, store: Store) -> dict[str, float]:
    """Return detrended electrons for one of the truth over the lamp's, by band.

    The median over visits of the mean light of all pixels that show the sky, over the true one.
    """
    found: dict[str, list[float]] = {}
    for frame in truth.frames():
        key = {"visit": frame.visit, "detector": frame.detector}
        # One detector a visit is enough for one number a filter.
        chosen = frame.detector == frame.visit % 4
        if chosen and frame.usable and store.exists("initial_pvi", **key):
            true = TrueSky(frame, store.get("initial_pvi", **key), 1.0)
            used = true.pixels.used
            ratio = true.pixels.image[used].mean(dtype=float) / true.light[used].mean()
            found.setdefault(str(frame.row["band"]), []).append(float(ratio))
    return {band: float(np.median(values)) for band, values in found.items()}


class Comparison:
    """Scores of both backgrounds of all frames."""

    def __init__(self, truth: TruthSurvey, results: Store, backgrounds: Store) -> None:
        self.truth, self.results, self.backgrounds = truth, results, backgrounds
        self.scores: dict[str, list[BackgroundScore]] = {name: [] for name in NAMES}
        self.steps: dict[str, list[tuple[int, float]]] = {name: [] for name in NAMES}

    def run(self, visits: set[int], scales: dict[str, float]) -> None:
        """Score all frames of some visits, or of all."""
        numbers = sorted({f.visit for f in self.truth.frames()})
        for visit in numbers:
            if not visits or visit in visits:
                self._visit(visit, scales)

    def _visit(self, visit: int, scales: dict[str, float]) -> None:
        errors: dict[str, dict[int, np.ndarray]] = {name: {} for name in NAMES}
        sky = 1.0
        for true in self._true_skies(visit, scales):
            detector = true.frame.detector
            sky = float(np.median(true.sky))
            key = {"visit": visit, "detector": detector}
            for name, background in self._backgrounds(true.exposure, key).items():
                image = background.image(true.exposure.box)
                self.scores[name].append(score_background(true, image))
                errors[name][detector] = np.where(true.quiet, image - true.smooth, np.nan)
        for name, found in errors.items():
            self.steps[name] += [(visit, step / sky) for step in _steps(found, self.camera)]

    def _true_skies(self, visit: int, scales: dict[str, float]) -> list[TrueSky]:
        """Return the truth of the detectors of a visit."""
        found = []
        for frame in (f for f in self.truth.frames() if f.visit == visit):
            if frame.detector in self.truth.model(visit).truth.empty_detectors:
                continue  # a detector that sees no star has none of the light of those beside it
            exposure = self.results.get("initial_pvi", visit=visit, detector=frame.detector)
            found.append(TrueSky(frame, exposure, scales[str(frame.row["band"])]))
        rests = np.array([true.rest() for true in found])
        for true in found:
            true.undetected = float(np.average(rests[:, 0], weights=rests[:, 1]))
        return found

    def limits(self) -> dict[str, np.ndarray]:
        """Return what photon noise alone leaves of each visit's model and of its frame, by band.

        The error of the fit, as its status has it, and that of the smooth part of the frame.
        """
        store, found = self.backgrounds, {}
        table = DatasetTable.load()
        for visit in sorted({s.visit for s in self.scores["final"]}):
            path = table.status_path(store.roots[0], "modelVisitBackground", visit=visit)
            numbers = json.loads(path.read_text())["numbers"]
            info = self.results.get("visit_info", visit=visit)
            frame = store.get("sky_frame", physical_filter=info.physical_filter)
            shape = float(np.sqrt(np.mean(np.square(frame["error"]))))
            limit = np.hypot(numbers["model_error"] / numbers["level"], shape)
            found.setdefault(info.band, []).append(limit)
        return {band: np.array(values) for band, values in found.items()}

    def _backgrounds(self, exposure: object, key: dict[str, int]) -> dict[str, object]:
        found = {"initial": exposure.background}  # type: ignore[attr-defined]
        with suppress(MissingDatasetError):
            found["final"] = final = self.backgrounds.get("visit_background.background", **key)
            found["bare"] = final.without(*{"wings"} & set(final.names))
        return found

    @property
    def camera(self) -> object:
        """The camera of the survey."""
        return load_camera(str(self.truth.folder / "camera.yaml"))


def _steps(errors: dict[int, np.ndarray], camera: object) -> list[float]:
    """Return steps across the gaps between detectors that face each other, segment by segment."""
    places = {d.id: d.center_mm for d in camera.detectors if d.id in errors}  # type: ignore[attr-defined]
    sides = edge_steps(errors)
    steps: list[float] = []
    for a, (xa, ya) in places.items():
        for b, (xb, yb) in places.items():
            size = errors[a].shape[0] * 0.015
            beside = abs(ya - yb) < 0.3 * size and 0.5 * size < xb - xa < 1.5 * size
            above = abs(xa - xb) < 0.3 * size and 0.5 * size < yb - ya < 1.5 * size
            if beside or above:
                here, there = _FACING[0] if beside else _FACING[1]
                steps += (sides[b][there] - sides[a][here]).tolist()
    return [s for s in steps if np.isfinite(s)]


@dataclass
class Pooled:
    """Scores of all surveys.

    Parameters
    ----------
    scores, steps
        By background.
    limits
        By band.
    """

    scores: dict[str, list[BackgroundScore]]
    steps: dict[str, list[float]]
    limits: dict[str, np.ndarray]

    @classmethod
    def of(cls, comparisons: list[Comparison]) -> Pooled:
        """Pool comparisons that were run."""
        limits = [c.limits() for c in comparisons]
        bands = sorted({band for found in limits for band in found})
        return cls(
            {k: [s for c in comparisons for s in c.scores[k]] for k in NAMES},
            {k: [step for c in comparisons for _, step in c.steps[k]] for k in NAMES},
            {b: np.concatenate([found[b] for found in limits if b in found]) for b in bands},
        )


def table(comparison: Pooled) -> list[tuple[str, dict[str, Figure], float, int, str]]:
    """Return lines: name, figure by background, factor, digits, what is wanted."""
    lines = []

    def add(name: str, values: dict[str, np.ndarray], statistic: object, factor: float, digits: int,
            wanted: str = "") -> None:  # fmt: skip
        found = {k: resampled(v, statistic) for k, v in values.items()}  # type: ignore[arg-type]
        lines.append((name, found, factor, digits, wanted))

    scores = comparison.scores
    for band in ("all", *sorted({s.band for s in scores["final"]})):
        of = {k: [s for s in v if band in ("all", s.band)] for k, v in scores.items()}
        for kind in ("smooth", "light"):
            values = {k: np.array([s.numbers[f"rms_{kind}"] for s in v]) for k, v in of.items()}
            wanted = "≤ 0.05" if kind == "smooth" else ""
            add(f"rms against truth ({kind}), {band}, % of the sky", values, rms, 100, 4, wanted)
    values = {k: np.array([s.numbers["mean_light"] for s in v]) for k, v in scores.items()}
    add("mean against all light, % of the sky", values, np.mean, 100, 4)
    values = {k: np.array([s.numbers["isr"] for s in v]) for k, v in scores.items()}
    add("pixels less truth, rms over detectors, % of the sky", values, rms, 100, 4)
    steps = {k: np.array(v) for k, v in comparison.steps.items()}
    add("steps at edges of detectors, rms, % of the sky", steps, rms, 100, 4, "1/5 of initial")
    pulls = {k: np.concatenate([s.samples["apertures"] for s in v]) for k, v in scores.items()}
    add("apertures on empty sky, mean, sigma", pulls, np.mean, 1, 4, "0.02")
    for kind, name in (("smooth", "sky, wings and undetected light"), ("sky", "sky and wings")):
        samples = f"apertures_{kind}"
        pulls = {k: np.concatenate([s.samples[samples] for s in v]) for k, v in scores.items()}
        add(f"the same less the true {name}", pulls, np.mean, 1, 4)
    values = {k: np.array([s.numbers["undetected"] for s in v]) for k, v in scores.items()}
    add("undetected light outside masks, % of the sky", values, np.mean, 100, 4)
    galaxies = {k: np.concatenate([s.samples["galaxies"] for s in v]) for k, v in scores.items()}
    add("faint galaxies, light lost, mean, %", galaxies, np.mean, 100, 3, "1")
    for low, high in pairwise(WING_MAGS):
        for kind in ("light", "over", "residual"):
            name = f"wing_{kind}_{low:g}_{high:g}"
            values = {k: np.concatenate([s.samples[name] for s in v]) for k, v in scores.items()}
            add(f"wings at 50 to 200 pixels, mag {low:g} to {high:g}, {kind}, electrons",
                values, np.mean, 1, 3)  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "surveys", type=Path, nargs="+", help="folders that drpflow simulate made and ran"
    )
    parser.add_argument(
        "--results", type=Path, nargs="*", help="output root of each; SURVEY/results by default"
    )
    parser.add_argument(
        "--backgrounds", type=Path, nargs="*", help="roots of visit_background, if others"
    )
    parser.add_argument("--visits", type=int, nargs="*", default=[], help="these visits only")
    parser.add_argument("--json", type=Path, help="write numbers here")
    arguments = parser.parse_args()
    roots = arguments.results or [survey / "results" for survey in arguments.surveys]
    comparisons = []
    for survey, root, other in zip(
        arguments.surveys, roots, arguments.backgrounds or roots, strict=True
    ):
        truth, results = TruthSurvey(survey), Store(root)
        comparison = Comparison(truth, results, Store(other))
        comparison.run(set(arguments.visits), scales_of(truth, results))
        comparisons.append(comparison)
    pooled = Pooled.of(comparisons)
    print("| figure | initial | final | final without wings | wanted |\n|---|---|---|---|---|")
    for name, found, factor, digits, wanted in table(pooled):
        cells = [found[k].text(digits, factor) for k in NAMES]
        print(f"| {name} | {' | '.join(cells)} | {wanted} |")
    for band, limit in pooled.limits.items():
        text = resampled(limit, rms).text(4, 100)
        print(f"| statistical limit of model and frame, {band}, % of the sky | | {text} | | |")
    if arguments.json:
        numbers = [
            {"visit": s.visit, "detector": s.detector, "background": k, **s.numbers}
            for k, v in pooled.scores.items()
            for s in v
        ]
        arguments.json.write_text(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
