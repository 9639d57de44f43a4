"""The final PSF beside psfex and Piff on the frames of a survey.

    apt-get install source-extractor psfex; pip install piff
    python benchmarks/rivals_final_psf.py SURVEY --visits 2 7 [--results ROOT ...]

psfex selects its stars from the pixels that isr made (``keep: [post_isr_image]``), cosmic rays
masked by the truth. Piff (PixelGrid 25², polynomials of degree 2, Lanczos 11) and this project's
two methods get the same isolated stars of S/N ≥ ``--snr``. Errors are those against the true image
of a star on a grid over each detector, 95 % intervals over detectors; CPU times of Piff and of this
project are those of the whole task, measurement of all stars included.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_final_psf import FIGURES, color_of
from final_psf_scores import FrameTruth, score_psf
from folds_final_psf import read_visit
from frame_scores import DEAD
from rivals import psfex_images, run_rivals
from scoring import resampled
from truth_survey import TruthFrame, TruthSurvey

from drpflow import Store
from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.data.psf_moments import Moments, adaptive_moments
from drpflow.errors import DrpflowError
from drpflow.io import characterization_files as files
from drpflow.tasks import finalize_characterization as task

_SHOWN = ("mean_t", "rms_t", "rms_e")


@dataclass(frozen=True)
class PsfexModel:
    """A model of psfex as the scores want it."""

    hdu: Any
    color_ref: None = None

    def compute_shape(self, x: Any, y: Any, color: Any = None) -> Moments:
        """Return adaptive moments at pixels that count from 0."""
        del color
        step2 = self.hdu.header["PSF_SAMP"] ** 2
        found = adaptive_moments(psfex_images(self.hdu, np.asarray(x), np.asarray(y)))[0]
        return Moments(found.xx * step2, found.yy * step2, found.xy * step2)


class Race:
    """Scores and CPU times of all."""

    def __init__(self, survey: Path, store: Store, snr: float) -> None:
        self.survey, self.store, self.snr = survey, store, snr
        self.color_of = color_of(survey)
        self.scores: dict[str, list[dict[str, float]]] = {}
        self.cpu_s: dict[str, float] = {}

    def add_visit(self, visit: int, frames: list[TruthFrame]) -> None:
        """Run all on a visit."""
        truths = {f.detector: FrameTruth.of_frame(f) for f in frames}
        for frame in frames:
            self._psfex(frame, truths[frame.detector])
        for method in ("focal_plane", "detectors", "piff"):
            try:
                self._own(visit, method, truths)
            except DrpflowError as fault:
                print(f"{method}: {fault}")

    def _psfex(self, frame: TruthFrame, truth: FrameTruth) -> None:
        key = {"visit": frame.visit, "detector": frame.detector}
        if not self.store.exists("post_isr_image", **key):
            return
        exposure = self.store.get("post_isr_image", **key)
        bad = exposure.mask.any(DEAD) | (frame.image("COSMIC_RAYS") > 30)
        image, variance = (np.asarray(a) for a in (exposure.image, exposure.variance))
        run = run_rivals(image, variance, bad, frame.fwhm_pix, frame.pixel_arcsec)
        spent = run.cpu_s["first"] + run.cpu_s["psfex"]
        self._keep("psfex", score_psf(PsfexModel(run.psf), truth, self.color_of), spent)

    def _own(self, visit: int, method: str, truths: dict[int, FrameTruth]) -> None:
        section = {"stars": {"min_snr": self.snr}, "psf": {"method": method}}
        config = FinalizeCharacterizationConfig.model_validate(section)
        given, images = read_visit(self.store, self.survey / "camera.yaml", visit, config)
        start = time.process_time()
        made = task.finalize_characterization(given, files.exposure_opener(images), config)
        spent = (time.process_time() - start) / len(truths)
        for detector, truth in truths.items():
            psf = made.summary.rows[detector].components["psf"]
            if psf is not None:
                self._keep(method, score_psf(psf, truth, self.color_of), spent)

    def _keep(self, name: str, score: dict[str, float], cpu_s: float) -> None:
        self.scores.setdefault(name, []).append(score)
        self.cpu_s[name] = self.cpu_s.get(name, 0.0) + cpu_s

    def text(self) -> str:
        """Return the table in Markdown."""
        labels = [FIGURES[name][0] for name in _SHOWN]
        lines = [
            f"| | detectors | {' | '.join(labels)} | CPU s a detector |",
            "|---|---|---|---|---|---|",
        ]
        for name, scores in self.scores.items():
            figures = [resampled([s[n] for s in scores], FIGURES[n][1]).text(4) for n in _SHOWN]
            spent = self.cpu_s[name] / len(scores)
            lines.append(f"| {name} | {len(scores)} | {' | '.join(figures)} | {spent:.1f} |")
        return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, nargs="+", help="roots of products")
    parser.add_argument("--visits", type=int, nargs="+", required=True)
    parser.add_argument("--snr", type=float, default=50.0, help="least S/N of stars")
    arguments = parser.parse_args()
    store = Store(arguments.results or [arguments.survey / "results"])
    race = Race(arguments.survey, store, arguments.snr)
    for visit in arguments.visits:
        frames = [f for f in TruthSurvey(arguments.survey).frames() if f.visit == visit]
        race.add_visit(visit, [f for f in frames if f.usable])
    print(race.text())


if __name__ == "__main__":
    main()
