"""Sources of finalizeImage against truth: depth, purity, fluxes, errors, classes, pairs, trails.

    drpflow simulate demo-b --output demo-b        (ingest, run)
    python benchmarks/accuracy_final_sources.py --survey demo-b [--results ROOT] [--rivals]
    python benchmarks/accuracy_final_sources.py --scenes 101 102 103

The first compares ``final_source_detector`` with the truth of a simulated survey, beside sep with
the true PSF as its matched filter (--rivals, 5 s a detector). The second makes scenes of its own,
of close pairs, of small galaxies and of faint stars, one for each seed, whose PSF is known
exactly. Intervals hold 95 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import source_scenes
from final_source_scores import (
    SEP_THRESHOLDS,
    SourceScores,
    half_complete,
    score_frame,
    sep_depth,
)
from scoring import Figure, match, pull_figure, resampled, rms, robust_sigma, share
from truth_survey import TruthSurvey

from drpflow import Store
from drpflow.algorithms.measurement.classification import extendedness
from drpflow.config.finalize_image import FinalizeImageConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = ((5, 7), (7, 10), (10, 20), (20, 50), (50, 100), (100, 200), (200, 500))
CLASS_BINS = ((5, 10), (10, 20), (20, 50), (50, 5000))


class Lines:
    """Lines of a table in Markdown."""

    def __init__(self) -> None:
        self.lines = ["| figure | value (95 % interval) | from | wanted |", "|---|---|---|---|"]

    def add(
        self, name: str, figure: Figure, wanted: str = "", digits: int = 2, factor: float = 1.0
    ) -> None:
        """Add one line."""
        value = figure.text(digits, factor)
        self.lines.append(f"| {name} | {value} | {figure.number} | {wanted} |")


def survey_scores(truth: TruthSurvey, store: Store, *, rivals: bool) -> SourceScores:
    """Return the scores of all detectors that have products."""
    scores = SourceScores()
    for number, frame in enumerate(truth.frames()):
        key = {"visit": frame.visit, "detector": frame.detector}
        if not frame.usable or not store.exists("final_source_detector", **key):
            continue
        pvi = store.get("pvi", **key)
        score_frame(scores, number, frame, store.get("final_source_detector", **key), pvi)
        if rivals:
            sep_depth(scores, frame, pvi)
    return scores


def survey_table(scores: SourceScores) -> str:
    """Return the figures of a survey."""
    lines = Lines()
    _depth(lines, scores)
    _fluxes(lines, scores)
    _classes(lines, scores)
    flagged = scores["trail_flagged"]
    lines.add(
        "sources on trails that are flagged, %", share(flagged.sum(), flagged.size), "≥ 97", 1, 100
    )
    false = scores["trail_flagged"][scores["trail_false"]]
    lines.add("of those that are nothing else, %", share(false.sum(), false.size), "", 1, 100)
    lines.add("places of sky, mean psfFlux / sigma", resampled(scores["sky"], np.mean), "", 3)
    lines.add("places of sky, width of psfFlux / sigma", pull_figure(scores["sky"]))
    return "\n".join(lines.lines)


def _depth(lines: Lines, scores: SourceScores) -> None:
    """Add completeness and purity."""
    snr, found, isolated = (scores[f"depth_{n}"] for n in ("snr", "found", "isolated"))
    lines.add(
        "half of the isolated stars found at S/N", half_complete(snr[isolated], found[isolated])
    )
    false = int((scores["unexplained"] & scores["unexplained_away"]).sum())
    if "sep_snr" in scores.samples:
        theirs = [int(scores[f"sep_false_{t}"].sum()) for t in SEP_THRESHOLDS]
        halves = [
            half_complete(scores["sep_snr"], scores[f"sep_found_{t}"]) for t in SEP_THRESHOLDS
        ]
        # The highest threshold if even that has more false detections.
        k = next((i for i, n in enumerate(theirs) if n <= false), len(theirs) - 1)
        label = f"sep, true PSF, threshold {SEP_THRESHOLDS[k]} ({theirs[k]} false, here {false})"
        lines.add(label, halves[k], "not below ours")
        at_five = SEP_THRESHOLDS.index(5.0)
        lines.add(f"sep, true PSF, threshold 5 ({theirs[at_five]} false)", halves[at_five])
    ten = (snr >= 9) & (snr < 11)
    for name, which, wanted in (("isolated", ten & isolated, "≥ 99"), ("all, blends too", ten, "")):
        lines.add(
            f"complete at S/N 9 to 11, {name}, %",
            share(found[which].sum(), which.sum()),
            wanted,
            1,
            100,
        )
    away = scores["unexplained_away"]
    lines.add(
        "false, away from masks and true artifacts, %", share(false, away.sum()), "≤ 1", 2, 100
    )
    clean = ~scores["unexplained_flagged"]
    lines.add(
        "false among unflagged, trails and ghosts too, %",
        share((scores["unexplained"] & clean).sum(), clean.sum()),
        "≤ 1",
        2,
        100,
    )


def _fluxes(lines: Lines, scores: SourceScores) -> None:
    """Add biases and pulls by S/N."""
    star, snr = scores["star"], scores["snr"]
    bright = star & (snr >= 100) & (snr < 2000)
    each = [
        np.median(scores["ratio"][bright & (scores["frame"] == n)]) - 1
        for n in np.unique(scores["frame"][bright])
    ]
    lines.add(
        "psfFlux, S/N above 100, mean of detectors, mmag",
        resampled(each, np.mean),
        "within ± 2",
        2,
        1086,
    )
    lines.add("the same, rms of detectors, mmag", resampled(each, rms), "", 2, 1086)
    offset, of_band = band_offsets(scores["band"], scores["ratio"], bright)
    for band, value in offset.items():
        figure = Figure(value, value, value, int((bright & (scores["band"] == band)).sum()))
        lines.add(f"psfFlux of the band {band}, S/N above 100, median, mmag", figure, "", 2, 1086)
    about_band = (scores["ratio"] / (1 + of_band) - 1) / scores["relative_error"]
    for low, high in BINS:
        which = star & (snr >= low) & (snr < high)
        name = f"S/N {low} to {high}"
        bias = resampled(scores["relative"][which] - 1, np.median)
        wanted = "within ± 2" if low >= 10 else "(limit of detection)" if low == 5 else ""
        lines.add(f"psfFlux beside bright stars, {name}, mmag", bias, wanted, 1, 1086)
        for label, pull, limits in (
            ("psfFlux less the offset of its band", about_band, "0.95 to 1.1"),
            ("psfFlux, with the error of the zero point", scores["pull"], ""),
            ("psfFlux without it", scores["pull_own"], ""),
            ("psfFlux beside bright stars", scores["pull_relative"], ""),
            ("x", scores["pull_x"], "0.95 to 1.1"),
            ("y", scores["pull_y"], "0.95 to 1.1"),
        ):
            lines.add(f"pull of {label}, {name}", pull_figure(pull[which]), limits)
    _kron_and_sizes(lines, scores)


def _kron_and_sizes(lines: Lines, scores: SourceScores) -> None:
    """Add Kron fluxes of stars, and sizes of faint ones."""
    star, snr = scores["star"], scores["snr"]
    for low, high in ((20, 50), (100, 500)):
        which = star & (snr >= low) & (snr < high)
        lines.add(
            f"kronFlux of stars, S/N {low} to {high}, %",
            resampled(scores["kron"][which] - 1, np.nanmedian),
            "",
            2,
            100,
        )
        lines.add(f"pull of kronFlux, S/N {low} to {high}", pull_figure(scores["kron_pull"][which]))
    faint = star & (snr >= 7) & (snr < 15)
    lines.add(
        "size over PSF, S/N 7 to 15, %",
        resampled(scores["size"][faint] - 1, np.nanmean),
        "",
        2,
        100,
    )
    lines.add(
        "size over debiased PSF, S/N 7 to 15, %",
        resampled(scores["debiased"][faint] - 1, np.nanmedian),
        "",
        2,
        100,
    )


def band_offsets(
    band: NDArray[Any], ratio: NDArray[Any], bright: NDArray[Any]
) -> tuple[dict[str, float], NDArray[Any]]:
    """Return by how much fluxes of each band are off in common, and that of each source.

    What all zero points of a band have in common is known from the reference catalogue alone; its
    error stands apart from theirs (``localPhotoCalibOffsetErr``).
    """
    offset = {
        str(name): float(np.median(ratio[bright & (band == name)]) - 1)
        for name in np.unique(band)
        if (bright & (band == name)).any()
    }
    return offset, np.array([offset.get(str(name), np.nan) for name in band], float)


def _classes(lines: Lines, scores: SourceScores) -> None:
    """Add the shares that are called what they are."""
    known = np.isfinite(scores["extended"])
    for low, high in CLASS_BINS:
        inside = known & (scores["snr"] >= low) & (scores["snr"] < high)
        for name, kind, right, wanted in (
            ("stars", scores["star"], scores["extended"] < 0.5, "≥ 99"),
            ("galaxies", ~scores["star"], scores["extended"] > 0.5, "≥ 95"),
        ):
            which = inside & kind
            figure = share(right[which].sum(), which.sum())
            lines.add(
                f"{name} called so, S/N {low} to {high}, %",
                figure,
                wanted if low >= 50 else "",
                2,
                100,
            )


def scene_table(seeds: list[int]) -> str:
    """Return the figures of scenes."""
    lines = Lines()
    for separation in (0.8, 1.0, 1.2, 1.5, 2.0):
        scenes = [source_scenes.pairs(seed, separation) for seed in seeds]
        _pairs(lines, scenes, separation)
        _pair_limit(lines, scenes, separation)
    _galaxies(lines, [source_scenes.small_galaxies(seed) for seed in seeds])
    for snr in (5.0, 7.0, 10.0):
        _faint(lines, [source_scenes.faint_stars(seed, snr) for seed in seeds], snr)
    return "\n".join(lines.lines)


def _pair_limit(lines: Lines, scenes: list[source_scenes.SourceScene], separation: float) -> None:
    """Add the robust rms that photon noise alone would leave."""
    errors = np.concatenate([source_scenes.pair_limit(scene) for scene in scenes])
    drawn = np.random.default_rng(1).normal(size=(20, errors.size)) * errors
    name = f"pairs at {separation:g} FWHM, limit of photon noise: robust rms, %"
    lines.add(name, resampled([robust_sigma(row) for row in drawn], np.mean), "", 2, 100)


def pair_errors(x: Any, y: Any, flux: Any, scene: source_scenes.SourceScene) -> tuple[Any, Any]:
    """Return which pairs were found as two, and the relative errors of all their fluxes."""
    truth = scene.truth
    mine, true = match(x, y, truth["x"], truth["y"], 0.35 * scene.psf.fwhm_pix)
    row = np.full(truth["x"].size, -1)
    row[true] = mine
    two = (row[0::2] >= 0) & (row[1::2] >= 0)
    members = np.flatnonzero(np.repeat(two, 2))
    return two, np.asarray(flux)[row[members]] / truth["flux"][members] - 1


def _pairs(lines: Lines, scenes: list[source_scenes.SourceScene], separation: float) -> None:
    """Add pairs of one separation, and sep's."""
    for name, measure in (("here", _ours), ("sep", _sep)):
        found = [pair_errors(*measure(scene), scene) for scene in scenes]
        two = np.concatenate([f[0] for f in found])
        error = np.concatenate([f[1] for f in found])
        at = f"pairs at {separation:g} FWHM, {name}"
        lines.add(f"{at}: separated, %", share(two.sum(), two.size), "", 1, 100)
        wanted = "≤ 3" if (separation, name) == (1.0, "here") else ""
        lines.add(
            f"{at}: error of flux, robust rms, %",
            resampled(error, robust_sigma, resamplings=200),
            wanted,
            2,
            100,
        )
        lines.add(f"{at}: mean error, %", resampled(error, np.median), wanted, 2, 100)
        close = np.zeros(2 * two.size, bool)
        close[: error.size] = np.abs(error) < 0.03
        lines.add(f"{at}: of all members within 3 %", share(close.sum(), close.size), "", 1, 100)


def _ours(scene: source_scenes.SourceScene) -> tuple[Any, Any, Any]:
    columns = scene.catalog()
    real = ~columns["sky_source"]
    return columns["x"][real], columns["y"][real], columns["psfFlux_instFlux"][real]


def _sep(scene: source_scenes.SourceScene) -> tuple[Any, Any, Any]:
    """Return what sep separates best with: no filter, 64 levels, lowest contrast."""
    import sep

    noise = float(np.sqrt(np.median(scene.variance)))
    objects = sep.extract(
        scene.image, 1.5, err=noise, minarea=5, filter_kernel=None, deblend_nthresh=64,
        deblend_cont=1e-4, clean=False,
    )  # fmt: skip
    return objects["x"], objects["y"], objects["flux"]


def _galaxies(lines: Lines, scenes: list[source_scenes.SourceScene]) -> None:
    """Add the classes of small galaxies and stars."""
    classes = FinalizeImageConfig().measurement.classification
    kinds, sizes, values = [], [], []
    for scene in scenes:
        columns, truth = scene.catalog(), scene.truth
        real = np.flatnonzero(~columns["sky_source"])
        mine, true = match(columns["x"][real], columns["y"][real], truth["x"], truth["y"], 2.0)
        stars = real[mine[(truth["kind"][true] == 0) & (truth["snr"][true] > 100)]]
        columns |= _corrected(columns, stars)
        kinds.append(truth["kind"][true])
        sizes.append(truth["size"][true])
        values.append(extendedness(columns, classes)["extendedness"][real[mine]])
    kind, size, value = (np.concatenate(v) for v in (kinds, sizes, values))
    for k, name in enumerate(source_scenes.PROFILES):
        right = value < 0.5 if k == 0 else value > 0.5
        which = (kind == k) & np.isfinite(value)
        label = f"{name}, S/N above 50" + (", size 0.3 to 1.9 PSFs" if k else "")
        lines.add(
            f"{label}: called so, %",
            share(right[which].sum(), which.sum()),
            "≥ 95" if k else "≥ 99",
            2,
            100,
        )
        small = which & (size < 0.4)
        if k:
            lines.add(
                f"{name}, size 0.3 to 0.4: called so, %",
                share(right[small].sum(), small.sum()),
                "",
                2,
                100,
            )


def _corrected(columns: dict[str, NDArray[Any]], stars: Any) -> dict[str, NDArray[Any]]:
    """Bring the Gaussian flux of stars to their PSF flux, one factor a scene."""
    psf, gauss = (columns[f"{n}Flux_instFlux"] for n in ("psf", "gaussian"))
    factor = np.median(psf[stars] / gauss[stars])
    one = np.ones(psf.size)
    return {
        "gaussianFlux_instFlux": gauss * factor,
        "gaussianFlux_instFluxErr": columns["gaussianFlux_instFluxErr"] * factor,
        "gaussianFlux_apCorr": one * factor,
        "psfFlux_apCorr": one,
    }


def _faint(lines: Lines, scenes: list[source_scenes.SourceScene], snr: float) -> None:
    """Add depth and fluxes of faint stars, measured below the threshold too (4 sigma)."""
    base = FinalizeImageConfig()
    deep = base.model_copy(
        update={"detection": base.detection.model_copy(update={"threshold": 3.5})}
    )
    found, false, pulls, bias, x_pulls = 0, 0, [], [], []
    for scene in scenes:
        truth = scene.truth
        columns = scene.catalog()
        real = ~columns["sky_source"]
        mine, _ = match(columns["x"][real], columns["y"][real], truth["x"], truth["y"], 2.5)
        found += mine.size
        false += int(real.sum()) - mine.size
        columns = scene.catalog(deep)
        real = ~columns["sky_source"]
        mine, true = match(columns["x"][real], columns["y"][real], truth["x"], truth["y"], 2.5)
        flux, error = (columns[f"psfFlux_instFlux{e}"][real][mine] for e in ("", "Err"))
        pulls.append((flux - truth["flux"][true]) / error)
        bias.append(flux / truth["flux"][true] - 1)
        x_pulls.append((columns["x"][real][mine] - truth["x"][true]) / columns["xErr"][real][mine])
    total = sum(scene.truth["x"].size for scene in scenes)
    lines.add(
        f"lone stars of S/N {snr:g}: found above 5 sigma, %",
        share(found, total),
        "≥ 99" if snr == 10 else "",
        1,
        100,
    )
    lines.add(
        "the same, false detections a scene of 1024²",
        Figure(false / len(scenes), np.nan, np.nan, len(scenes)),
    )
    lines.add(
        "the same, found above 3.5 sigma: pull of psfFlux",
        pull_figure(np.concatenate(pulls)),
        "0.95 to 1.1",
    )
    lines.add("the same: pull of x", pull_figure(np.concatenate(x_pulls)), "0.95 to 1.1")
    lines.add("the same: mean flux, %", resampled(np.concatenate(bias), np.mean), "", 2, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument("--rivals", action="store_true", help="run sep too")
    parser.add_argument("--scenes", type=int, nargs="*", default=[], help="seeds of scenes")
    arguments = parser.parse_args()
    if arguments.survey:
        store = Store(arguments.results or arguments.survey / "results")
        truth = TruthSurvey(arguments.survey)
        print(survey_table(survey_scores(truth, store, rivals=arguments.rivals)))
    if arguments.scenes:
        print(scene_table(arguments.scenes))


if __name__ == "__main__":
    main()
