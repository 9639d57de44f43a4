"""calibrateImage against the truth of a simulated survey, beside sep and astroscrappy.

    drpflow simulate demo-b --output demo-b
    drpflow ingest demo-b/raw --camera demo-b/camera.yaml \
        --calibrations demo-b/calib --output demo-b/sheets
    (a configuration with keep: [post_isr_image]); drpflow run --cores 2
    python benchmarks/accuracy_calibrate_image.py demo-b --rivals

Prints one table: the figure, its 95 % interval, what is wanted, what is attainable where that
can be computed. Cosmic rays of astroscrappy are found on ``post_isr_image``; without it, or
without ``--rivals`` (6 s a detector), they are left out.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from frame_scores import (
    BLENDED,
    DEPTH_BINS,
    PULL_BINS,
    SEP_THRESHOLDS,
    CosmicRayCounts,
    FrameScore,
    Scorer,
    attainable_psf,
    attainable_wcs_pix,
    attainable_zero_point_mmag,
)
from scoring import Figure, at_false_rate, pull_figure, pull_width, resampled, rms, share
from truth_survey import TruthSurvey

from drpflow import Store
from drpflow.io.camera_yaml import load_camera

if TYPE_CHECKING:
    from drpflow.data.camera import Camera


def scores_of(truth: TruthSurvey, store: Store, rivals: bool, visits: set[int]) -> list[FrameScore]:
    """Return the scores of all frames, or of some visits."""
    found = []
    for frame in truth.frames():
        key = {"visit": frame.visit, "detector": frame.detector}
        if visits and frame.visit not in visits:
            continue
        if not store.exists("initial_pvi", **key):
            found.append(FrameScore(frame.visit, frame.detector, frame.usable))
            continue
        detrended = None
        if rivals and store.exists("post_isr_image", **key):
            detrended = store.get("post_isr_image", **key)
        table = store.get("initial_stars_detector", **key)
        exposure = store.get("initial_pvi", **key)
        found.append(Scorer(frame, exposure, table, detrended).score())
    return found


class Report:
    """Lines of the table."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Figure, int, float, str]] = []

    def add(
        self, name: str, figure: Figure, wanted: str = "", digits: int = 3, factor: float = 1.0
    ) -> None:
        """Add one line."""
        self.rows.append((name, figure, digits, factor, wanted))

    def text(self) -> str:
        """Return the table in Markdown."""
        lines = ["| figure | value (95 % interval) | from | wanted |", "|---|---|---|---|"]
        for name, figure, digits, factor, wanted in self.rows:
            lines.append(f"| {name} | {figure.text(digits, factor)} | {figure.number} | {wanted} |")
        return "\n".join(lines)

    def numbers(self) -> dict[str, list[float]]:
        """Return value, interval and number by name."""
        return {
            name: [f.value * k, f.low * k, f.high * k, f.number] for name, f, _, k, _ in self.rows
        }


def summarise(scores: list[FrameScore], limits: dict[str, list[float]]) -> Report:
    """Return the table of all figures; `limits` are attainable ones by name, one a detector."""
    usable = [s for s in scores if s.usable]
    good = [s for s in usable if s.calibrated]
    report = Report()
    report.add("usable detectors that calibrate, %", share(len(good), len(usable)), "≥ 98", 1, 100)
    passed = sum(s.calibrated for s in scores if not s.usable)
    report.add(
        "unusable detectors passed as good",
        Figure(passed, passed, passed, len(scores) - len(usable)),
        "0",
        0,
    )
    _astrometry(report, good)
    _photometry(report, good)
    _psf(report, good)
    _errors(report, good)
    _detection(report, good)
    _cosmic_rays(report, usable)
    for name, each in limits.items():
        digits, factor = (2, 100.0) if name.endswith("%") else (3, 1.0)
        report.add(f"attainable: {name}", resampled(each, np.median), "", digits, factor)
    return report


def values(scores: list[FrameScore], name: str) -> np.ndarray:
    """Return one number of all frames, NaN where it is missing."""
    return np.array([s.numbers.get(name, np.nan) for s in scores])


def pooled(scores: list[FrameScore], name: str) -> np.ndarray:
    """Return the values of single sources of all frames."""
    return np.concatenate([s.samples.get(name, np.empty(0)) for s in scores] or [np.empty(0)])


def _astrometry(report: Report, good: list[FrameScore]) -> None:
    wcs = values(good, "wcs_pix")
    report.add("WCS error, rms over detectors, pix", resampled(wcs, rms), "≤ 0.05")
    report.add("WCS error, median, pix", resampled(wcs, np.median), "≤ 0.02")
    report.add("WCS error of one coordinate, median, pix", resampled(wcs / np.sqrt(2), np.median))
    report.add(
        "WCS error, 98 % of detectors below, pix",
        resampled(wcs, lambda v: np.percentile(v, 98)),
        "≤ 0.05",
    )
    for axis in "xy":
        report.add(
            f"centroid bias {axis}, median, mpix",
            resampled(values(good, f"centroid_{axis}_pix"), np.median),
            "",
            1,
            1e3,
        )


def _photometry(report: Report, good: list[FrameScore]) -> None:
    zero = values(good, "zero_point_mmag")
    report.add("zero point error, rms, mmag", resampled(zero, rms), "≤ 10", 1)
    report.add("zero point error, mean, mmag", resampled(zero, np.mean), "", 1)
    for name, label in (("", "all"), ("_unused", "not in the aperture correction")):
        bias = values(good, f"psf_flux{name}_mmag")
        report.add(
            f"PSF flux of bright stars, mean, {label}, mmag",
            resampled(bias, np.mean),
            "within ± 5",
            2,
        )
        report.add(f"the same, rms over detectors, {label}, mmag", resampled(bias, rms), "", 2)
    report.add(
        "PSF flux against truth, slope, mmag per mag",
        resampled(values(good, "psf_flux_slope"), np.mean),
        "",
        2,
    )


def _psf(report: Report, good: list[FrameScore]) -> None:
    report.add(
        "PSF stars used, median", resampled(values(good, "psf_stars_used"), np.median), "", 0
    )
    for place, label in (("star", "at stars not used"), ("grid", "over the detector")):
        for quantity, wanted, digits, factor in (
            ("size", "≤ 1", 2, 100.0),
            ("trace", "", 2, 100.0),
            ("e", "≤ 0.005", 4, 1.0),
        ):
            parts = ("e1", "e2") if quantity == "e" else (quantity,)
            # One rms a detector, and the rms of these: the interval is that of detectors.
            each = [
                rms(np.concatenate([s.samples[f"psf_{place}_{p}"] for p in parts]))
                for s in good
                if f"psf_{place}_{parts[0]}" in s.samples
            ]
            unit = ", %" if factor == 100 else ""
            name = {"size": "size σ", "trace": "trace T", "e": "ellipticity"}[quantity]
            report.add(
                f"PSF {name} error, rms {label}{unit}", resampled(each, rms), wanted, digits, factor
            )
        report.add(
            f"PSF size σ error, mean {label}, %",
            resampled(values(good, f"psf_{place}_size"), np.mean),
            "",
            2,
            100,
        )


def _errors(report: Report, good: list[FrameScore]) -> None:
    for low, high in PULL_BINS:
        for name, label in (("flux", "flux"), ("x", "x"), ("y", "y")):
            pulls = pooled(good, f"{name}_pull_{low}")
            wanted = "0.9 to 1.15" if low in (10, 20) else ""
            report.add(f"pull width of {label}, S/N {low} to {high}", pull_figure(pulls), wanted, 2)
    for flux in ("psfFlux", "ap09Flux"):
        sky = values(good, f"sky_{flux}")
        report.add(f"sky sources, mean {flux} / sigma", resampled(sky, np.mean), "within ± 0.1")
        number = len(pooled(good, f"sky_{flux}"))
        width = pull_width(pooled(good, f"sky_{flux}"))
        report.add(f"sky sources, width of {flux} / sigma", Figure(width, width, width, number), "")


def _detection(report: Report, good: list[FrameScore]) -> None:
    scored = [s for s in good if "sep_false" in s.samples]
    false = float(np.sum(values(scored, "false")))
    curve = np.sum([s.samples["sep_false"] for s in scored], axis=0)
    for name in (*DEPTH_BINS, f"S/N 10{BLENDED}", f"S/N 20{BLENDED}"):
        hits, tries = (sum(s.counts[name][k] for s in scored) for k in (0, 1))
        wanted = "≥ 97" if name == "S/N 10" else ""
        report.add(f"complete at {name}, %", share(hits, tries), wanted, 1, 100)
        theirs = np.sum([s.samples[f"sep {name}"] for s in scored], axis=0)
        equal = share(at_false_rate(curve, theirs, false), tries)
        report.add(f"sep at equal false rate at {name}, %", equal, "", 1, 100)
    report.add("false detections a detector", resampled(values(scored, "false"), np.mean), "", 1)
    for threshold in (4.5, 5.0):
        k = SEP_THRESHOLDS.index(threshold)
        each = [s.samples["sep_false"][k] for s in scored]
        report.add(f"of sep at {threshold:g} sigma", resampled(each, np.mean), "", 1)


def _cosmic_rays(report: Report, usable: list[FrameScore]) -> None:
    total: dict[str, CosmicRayCounts] = defaultdict(lambda: CosmicRayCounts(0, 0, 0, 0))
    for score in usable:
        for name, counts in score.cosmic_rays.items():
            total[name] = total[name] + counts
    for name, c in total.items():
        ours = name == "drpflow"
        found, false = share(c.hit_masked, c.hit), share(c.core_masked, c.core)
        report.add(f"cosmic-ray pixels > 10 sigma masked, {name}, %", found, "≥ 95" * ours, 2, 100)
        report.add(f"star-core pixels masked falsely, {name}, %", false, "≤ 0.1" * ours, 3, 100)


def attainable(truth: TruthSurvey, store: Store, camera: Camera) -> dict[str, list[float]]:
    """Return what noise alone would leave, for each usable detector."""
    frames = [f for f in truth.frames() if f.usable]
    psf = [attainable_psf(f) for f in frames]
    pointed = [f for f in frames if store.exists("visit_info", visit=f.visit)]
    return {
        "WCS error, median, pix": [
            attainable_wcs_pix(f, camera, store.get("visit_info", visit=f.visit)) for f in pointed
        ],
        "zero point error, median, mmag": [attainable_zero_point_mmag(f) for f in frames],
        "PSF size σ error, median, %": [size for size, _ in psf],
        "PSF ellipticity error, median": [shape for _, shape in psf],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument("--rivals", action="store_true", help="run astroscrappy too")
    parser.add_argument("--visits", type=int, nargs="*", default=[], help="these visits only")
    parser.add_argument("--json", type=Path, help="write numbers, and those of each frame, here")
    arguments = parser.parse_args()
    truth = TruthSurvey(arguments.survey)
    store = Store(arguments.results or arguments.survey / "results")
    scores = scores_of(truth, store, arguments.rivals, set(arguments.visits))
    camera = load_camera(arguments.survey / "camera.yaml")
    report = summarise(scores, attainable(truth, store, camera))
    print(f"{arguments.survey.name}: {len(scores)} detectors\n")
    print(report.text())
    lost = [(s.visit, s.detector) for s in scores if s.usable and not s.calibrated]
    print(f"\nusable detectors that did not calibrate: {lost or 'none'}")
    if arguments.json:
        frames_out = [{"visit": s.visit, "detector": s.detector, **s.numbers} for s in scores]
        document = {"figures": report.numbers(), "frames": frames_out}
        arguments.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
