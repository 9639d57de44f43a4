"""finalizeCharacterization against the true images of stars, beside the first PSF.

    (simulate and run a survey up to finalizeCharacterization)
    python benchmarks/accuracy_final_psf.py demo [--results RESULTS] [--final FINAL]

Prints one table: the figure, its 95 % interval over detectors (means of all: over visits), what is
wanted, and what an oracle that knows how the field correlates would leave of the noise of the same
stars. The truth is the whole star of 5500 K, its aureole and spikes included, on a grid over each
detector. ``--final`` names another root for the products of finalizeCharacterization.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from final_psf_scores import (
    FrameTruth,
    StarNoise,
    TrueField,
    rho1,
    score_psf,
    star_image,
)
from scoring import Figure, resampled, rms
from truth_survey import TruthSurvey, read_columns

from drpflow import Store
from drpflow.data.flux_errors import own_errors
from drpflow.data.sky_wcs import detector_map
from drpflow.errors import DrpflowError
from drpflow.io.camera_yaml import load_camera
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K

if TYPE_CHECKING:
    from truth_survey import TruthFrame

    from drpflow.data.camera import Camera

# (name, statistic over detectors, digits, wanted)
FIGURES = {
    "mean_t": ("|mean dT/T|", np.mean, 5, "5e-4"),
    "rms_t": ("rms dT/T", rms, 5, "5e-3"),
    "mean_e1": ("mean de1", np.mean, 5, "3e-4"),
    "mean_e2": ("mean de2", np.mean, 5, "3e-4"),
    "rms_e": ("rms de, each component", rms, 5, "2e-3"),
    "size": ("rms dσ/σ", rms, 5, ""),
    "color": ("dT/T by a magnitude of colour", np.mean, 5, "3e-3"),
}
CORRECTED = ("psfFlux", "gaussianFlux", "compGaussianFlux3", "compGaussianFlux5")
_RHO_BINS_ARCMIN = np.array([0.5, 1.5, 3.0, 6.0])
_BRIGHT = 100.0


class Scores:
    """Scores of all frames of a survey."""

    def __init__(self, folder: Path, results: Store, final: Store) -> None:
        self.truth = TruthSurvey(folder)
        self.results, self.final = results, final
        self.camera: Camera = load_camera(folder / "camera.yaml")
        self.color_of = color_of(folder)
        self.frames: dict[str, list[dict[str, float]]] = {"first": [], "final": []}
        self.limits: list[tuple[float, float]] = []
        self.pairs = np.zeros((2, len(_RHO_BINS_ARCMIN) - 1))
        self.offsets: dict[str, list[float]] = {name: [] for name in CORRECTED}
        self.lost: list[str] = []

    def add_visit(self, visit: int) -> None:
        """Score the frames of a visit."""
        stars = self.final.get("final_characterization_stars", visit=visit)
        truths: list[tuple[TruthFrame, FrameTruth]] = []
        for frame in self.truth.frames():
            if frame.visit != visit or not frame.usable:
                continue
            truth = FrameTruth.of_frame(frame)
            key = {"visit": visit, "detector": frame.detector}
            for which, store, name in (
                ("first", self.results, "initial_visit_summary"),
                ("final", self.final, "final_characterization_summary"),
            ):
                try:
                    psf = store.get(f"{name}.psf", **key)
                except DrpflowError as fault:
                    self.lost.append(f"{which} {key}: {fault}")
                    continue
                self.frames[which].append({**key, **score_psf(psf, truth, self.color_of)})
            truths.append((frame, truth))
        if truths:
            self.limits.append(self._limit(truths, stars))
        self._add_pairs(stars)
        self._add_offsets(stars)

    def _limit(
        self, truths: list[tuple[TruthFrame, FrameTruth]], stars: Any
    ) -> tuple[float, float]:
        """Return the rms errors of dT/T and of a distortion that an oracle would leave."""
        frame = truths[0][0]
        model = frame.survey.model(frame.visit)
        config = frame.survey.survey.config
        x, y, shapes = [], [], []
        for each, truth in truths:
            place = detector_map(self.camera.detector(each.detector))
            mm = place.forward(truth.x, truth.y)
            xx, yy, xy = truth.shapes
            shapes.append(np.stack([np.log(xx + yy), (xx - yy) / (xx + yy), 2 * xy / (xx + yy)], 1))
            x.append(mm[0])
            y.append(mm[1])
        gx, gy = np.concatenate(x), np.concatenate(y)
        scale = self.camera.optics.plate_scale_arcsec_per_mm
        psf, per_mm = model.psf, scale / 3600
        air = psf.ellipticity_rms * psf.ellipticity(gx * per_mm, gy * per_mm)
        coherence_mm = config.psf.atmospheric_ellipticity_arcmin * 60 / scale
        field = TrueField(gx, gy, np.concatenate(shapes), coherence_mm, air.T, psf.ellipticity_rms)
        sx, sy, snr = self._used(stars)
        read = self.camera.detectors[0].amplifiers[0].read_noise
        middle = frame.grid["x"].max() / 2
        image = star_image(frame, middle, middle, REFERENCE_TEMPERATURE_K)
        noise = StarNoise.of_image(image, frame.row["sky_electron"] + read**2)
        errors = np.stack([noise.trace(snr), *[noise.distortion(snr)] * 2], axis=1)
        trace, e1, e2 = field.oracle((sx, sy), errors)
        return float(trace), float(rms([e1, e2]))

    def _used(self, stars: Any) -> tuple[Any, Any, Any]:
        """Return places [mm] and signal-to-noise ratio of the stars of a visit's model."""
        parts = []
        for detector in self.camera.detectors:
            rows = stars["calib_psf_used"] & (stars["detector"] == detector.id)
            x, y = detector_map(detector).forward(stars["x"][rows], stars["y"][rows])
            parts.append((x, y, photon_snr(stars, rows)))
        x, y, snr = (np.concatenate(v) for v in zip(*parts, strict=True))
        good = np.isfinite(x + y + snr)
        return x[good], y[good], snr[good]

    def _add_pairs(self, stars: Any) -> None:
        """Add to ρ1 the bright reserved stars of a visit."""
        snr = stars["psfFlux_instFlux"] / stars["psfFlux_instFluxErr"]
        rows = stars["calib_psf_reserved"] & ~stars["shape_flag"] & (snr > _BRIGHT)
        xx, yy, xy, mxx, myy, mxy = (
            stars[f"i{axis}{of}"][rows] for of in ("", "PSF") for axis in ("xx", "yy", "xy")
        )
        de1 = (xx - yy) / (xx + yy) - (mxx - myy) / (mxx + myy)
        de2 = 2 * xy / (xx + yy) - 2 * mxy / (mxx + myy)
        scale = self.camera.optics.plate_scale_arcsec_per_mm / 60
        x, y = np.zeros((2, rows.sum()))
        for detector in self.camera.detectors:
            here = stars["detector"][rows] == detector.id
            place = detector_map(detector)
            x[here], y[here] = place.forward(stars["x"][rows][here], stars["y"][rows][here])
        self.pairs += np.array(rho1(x * scale, y * scale, de1, de2, _RHO_BINS_ARCMIN))

    def _add_offsets(self, stars: Any) -> None:
        """Add how corrected fluxes of reserved stars differ from those of the aperture, mmag."""
        flux, error = stars["ap12Flux_instFlux"], stars["ap12Flux_instFluxErr"]
        rows = stars["calib_psf_reserved"] & ~stars["ap12Flux_flag"] & (flux > _BRIGHT * error)
        for name, offsets in self.offsets.items():
            good = rows & ~stars[f"{name}_flag"]
            ratio = stars[f"{name}_instFlux"][good] / flux[good]
            offsets.extend((-2500 * np.log10(ratio)).tolist())

    def figure(self, which: str, name: str) -> Figure:
        """Return a figure of all frames."""
        values = [frame[name] for frame in self.frames[which]]
        return resampled(values, FIGURES[name][1])

    def text(self) -> str:
        """Return the table in Markdown."""
        number = len(self.frames["final"])
        lines = [
            f"{number} detectors",
            "",
            "| figure | first PSF | final PSF | oracle | wanted |",
        ]
        lines.append("|---|---|---|---|---|")
        attained = {"rms_t": 0, "rms_e": 1}
        for name, (label, _, digits, wanted) in FIGURES.items():
            first, final = (self.figure(w, name).text(digits) for w in ("first", "final"))
            limit = ""
            if name in attained and self.limits:
                limit = f"{rms([v[attained[name]] for v in self.limits]):.5f}"
            lines.append(f"| {label} | {first} | {final} | {limit} | {wanted} |")
        with np.errstate(invalid="ignore", divide="ignore"):
            values = self.pairs[0] / self.pairs[1]
        for k, value in enumerate(values):
            low, high = _RHO_BINS_ARCMIN[k : k + 2]
            pairs = int(self.pairs[1][k])
            lines.append(f"| ρ1, {low:g}′ to {high:g}′, {pairs} pairs | | {value:.1e} | | 2e-5 |")
        for name, values_mmag in self.offsets.items():
            found = resampled(values_mmag, np.median)
            label = f"{name} of reserved stars against 12-pixel aperture, median, mmag"
            lines.append(f"| {label} | | {found.text(2)} ({found.number} stars) | | 2 |")
        return "\n".join([*lines, "", *self.lost])


def photon_snr(stars: Any, rows: Any) -> Any:
    """Return flux over its noise, without what the error of the aperture correction adds."""
    parts = (stars[f"psfFlux_{part}"][rows] for part in ("instFluxErr", "apCorr", "apCorrErr"))
    flux = stars["psfFlux_instFlux"][rows]
    return flux / own_errors(flux, *parts)


def color_of(folder: Path) -> Any:
    """Return the function from temperature [K] to the colour of a star, g - i."""
    stars = read_columns(folder / "truth/stars.parquet")
    order = np.argsort(stars["temperature_k"])
    color = (stars["mag_g"] - stars["mag_i"])[order]
    return lambda t: float(np.interp(t, stars["temperature_k"][order], color))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument("--final", type=Path, help="root of final products; the same by default")
    parser.add_argument("--visits", type=int, nargs="*", default=[], help="these visits only")
    parser.add_argument("--json", type=Path, help="write the scores of each frame here")
    arguments = parser.parse_args()
    results = arguments.results or arguments.survey / "results"
    scores = Scores(arguments.survey, Store(results), Store(arguments.final or results))
    for visit in sorted({frame.visit for frame in scores.truth.frames()}):
        exists = scores.final.exists("final_characterization_stars", visit=visit)
        if exists and (not arguments.visits or visit in arguments.visits):
            scores.add_visit(visit)
    print(scores.text())
    if arguments.json:
        arguments.json.write_text(json.dumps(scores.frames, default=float, indent=1) + "\n")


if __name__ == "__main__":
    main()
