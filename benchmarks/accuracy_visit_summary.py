"""updateVisitSummary and the pixels that are read through it, against the truth.

    (simulate and run a survey up to updateVisitSummary)
    python benchmarks/accuracy_visit_summary.py demo [--results ROOT…]

Prints one table: the figure, its 95 % interval by resampling detectors, what is wanted; beside it
the same of calibrateImage and consolidateVisit. Products are looked for in the given roots, in
that order.

The true aperture correction is the light of a star, aureole and spikes included, in 12 pixels over
its flux by the PSF model in hand; the star has the colour at which fluxes are taken.

The true zero point is that of a star of 5500 K in the electrons that detrended pixels hold, in the
mean over the detector. Flats are relative to the camera's median: one number a band, the median
over all frames, is not theirs to know, and is taken off; it is in sky, limiting magnitude and
effective time as well. The true limiting magnitude follows from the true effective area, sky and
read noise by the same formula.

Pixels: ``recalibrated_pvi`` and ``initial_pvi`` less the noiseless light of all sources, nJy.
*Scale* is the median of pixel over truth where the truth is brighter than 30 times the noise; what
lies beyond the aperture to which fluxes are corrected makes it larger than one, alike everywhere:
its scatter between detectors counts. *Level* is the mean of pixels without light, of *noise* the
robust scatter of pixel less truth over its stated error there.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy_final_psf import color_of
from final_psf_scores import star_image
from frame_scores import wcs_error_pix
from scoring import Figure, resampled, rms, robust_sigma
from truth_survey import TruthSurvey

from drpflow import Store
from drpflow.algorithms.calibrate_image.frame import UNUSABLE
from drpflow.algorithms.depth import limiting_magnitude
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.errors import DrpflowError
from drpflow.io.camera_yaml import load_camera
from drpflow.sim.scene import render_sky
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from truth_survey import TruthFrame

    Floats = NDArray[np.float64]

STAGES = {"initial_visit_summary": "initial_pvi", "final_visit_summary": "recalibrated_pvi"}
"""Summaries, and the images that belong to them."""
_GRID = 9
_BRIGHT, _DARK = 30.0, 0.02
"""Of the noise: true light above which a pixel is bright, below which it holds none."""
_MIN_BRIGHT, _MIN_DARK = 50, 1000
"""Pixels."""
_APERTURE_PIX = 12.0
_PLACES = (0.2, 0.5, 0.8)
"""Of the detector's size, in x; in y the other way."""
_COOLEST_K, _HOTTEST_K = 3000.0, 12000.0
# (name, label, unit, statistic over detectors, factor, digits, wanted)
FIGURES: tuple[tuple[str, str, Any, float, int, str], ...] = (
    ("wcs", "WCS, rms, pixels", rms, 1, 4, "0.012"),
    ("wcs", "WCS, median, pixels", np.median, 1, 4, "0.007"),
    ("zero_point", "zero point, rms, mag", rms, 1, 4, "0.02"),
    ("psf_sigma", "PSF size σ, relative, mean", np.mean, 1, 5, ""),
    ("psf_sigma", "PSF size σ, relative, rms", rms, 1, 5, "0.02"),
    ("ap_corr", "aperture correction of PSF fluxes, mean, mmag", np.mean, 1, 2, ""),
    ("ap_corr", "aperture correction of PSF fluxes, rms, mmag", rms, 1, 2, "2"),
    ("ap_corr_pull", "the same over stated errors, robust width", robust_sigma, 1, 2, "1"),
    ("mag_lim", "limiting magnitude, rms, mag", rms, 1, 4, "0.02"),
    ("sky", "sky level, relative, rms", rms, 1, 4, ""),
    ("eff_time", "effective time, relative, rms", rms, 1, 4, "0.05"),
    ("scale", "pixels: scale, scatter between detectors, mag", robust_sigma, 1.086, 4, ""),
    ("level", "pixels: level over noise, rms", rms, 1, 4, ""),
    ("noise", "pixels: noise over stated", np.mean, 1, 3, "1"),
)  # fmt: skip


class Roots:
    """Stores that are searched in their order."""

    def __init__(self, roots: list[Path]) -> None:
        self.store = Store(roots)

    def component(self, name: str, frame: TruthFrame) -> Any:
        """Return a component of a frame, None if there is none."""
        try:
            return self.store.get(name, visit=frame.visit, detector=frame.detector)
        except DrpflowError:
            return None


class Scores:
    """Figures of all frames, by stage and name."""

    def __init__(self, folder: Path, roots: list[Path]) -> None:
        self.truth, self.roots = TruthSurvey(folder), Roots(roots)
        self.camera = load_camera(folder / "camera.yaml")
        self.values: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.color_of = color_of(folder)
        self.bands: dict[str, list[str]] = defaultdict(list)
        self.lost: dict[str, int] = defaultdict(int)

    def add(self, frame: TruthFrame, *, pixels: bool) -> None:
        """Score a frame."""
        true = true_njy(frame) if pixels else None
        for summary, image in STAGES.items():
            parts = {
                name: self.roots.component(f"{summary}.{name}", frame)
                for name in ("wcs", "summary_stats", "photo_calib")
            }
            if any(part is None for part in parts.values()):
                self.lost[summary] += 1
                continue
            found = self._figures(frame, parts["wcs"], parts["summary_stats"])
            found |= self._correction(summary, frame)
            found |= dict.fromkeys(("scale", "level", "noise"), np.nan)
            if true is not None:
                found |= self._pixels(frame, image, true)
            self.bands[summary].append(str(frame.row["band"]))
            for name, value in found.items():
                self.values[summary, name].append(value)

    def _figures(self, frame: TruthFrame, wcs: Any, stats: Any) -> dict[str, float]:
        nx, ny = self.camera.detector(frame.detector).size_pix
        xx, yy, xy = frame.shapes(np.array([(nx - 1) / 2]), np.array([(ny - 1) / 2]))
        size = np.log(stats.value("psfSigma") / float((xx * yy - xy**2)[0] ** 0.25))
        zero_point, lamp = true_zero_point(frame)
        amplifiers = self.camera.detector(frame.detector).amplifiers
        noise = float(np.mean([a.read_noise**2 for a in amplifiers]))
        variance = (frame.row["sky_electron"] + noise) / lamp**2
        limit = limiting_magnitude(zero_point, frame.row["effective_area_pix"], variance)
        off = stats.value("zeroPoint") - zero_point
        sky = float(np.log(stats.value("skyBg") * lamp / frame.row["sky_electron"]))
        return {
            "wcs": wcs_error_pix(wcs, frame),
            "zero_point": off,
            "psf_sigma": float(size),
            "mag_lim": stats.value("magLim") - limit,
            "sky": sky,
            # t (1/σ)² 10^(0.8 Z)/sky
            "eff_time": float(0.8 * np.log(10) * off - 2 * size - sky),
        }

    def _correction(self, summary: str, frame: TruthFrame) -> dict[str, float]:
        """Return the mean error of the aperture correction at some places, mmag."""
        psf, ap_corr, final = (
            self.roots.component(name, frame)
            for name in (f"{summary}.psf", f"{summary}.ap_corr", "final_visit_summary.psf")
        )
        if psf is None or ap_corr is None:
            return dict.fromkeys(("ap_corr", "ap_corr_pull"), np.nan)
        color = None if final is None else final.color_ref
        size = self.camera.detector(frame.detector).size_pix
        errors = []
        for share in _PLACES:
            x, y = share * size[0], (1 - share) * size[1]
            true = star_image(frame, x, y, temperature_of(color, self.color_of))
            seen = ap_corr.evaluate("psfFlux", x, y) * psf_flux(true, psf, x, y)
            errors.append(-2500 * np.log10(seen / light_within(true, x, y)))
        off, stated = float(np.mean(errors)), ap_corr.error("psfFlux")
        return {"ap_corr": off, "ap_corr_pull": off / (1086 * stated)}

    def _pixels(self, frame: TruthFrame, name: str, true: Floats) -> dict[str, float]:
        exposure = self.roots.component(name, frame)
        if exposure is None:
            return {}
        error = np.sqrt(exposure.variance.astype(np.float64))
        usable = ~exposure.mask.any(UNUSABLE)
        return pixel_scores(exposure.image.astype(np.float64), error, usable, true)

    def figure(self, stage: str, name: str, statistic: Any) -> Figure:
        """Return a figure of all frames of a stage."""
        values = np.array(self.values[stage, name])
        if name in ("zero_point", "mag_lim", "sky", "eff_time", "scale"):
            values = less_medians(values, np.array(self.bands[stage]))
        return resampled(values, statistic)

    def text(self) -> str:
        """Return the table in Markdown."""
        lines = ["| figure | first | final | wanted |", "|---|---|---|---|"]
        for name, label, statistic, factor, digits, wanted in FIGURES:
            cells = [self.figure(stage, name, statistic).text(digits, factor) for stage in STAGES]
            lines.append(f"| {label} | {cells[0]} | {cells[1]} | {wanted} |")
        counts = {stage: len(self.values[stage, "wcs"]) for stage in STAGES}
        lines += ["", f"detectors {counts}, without a component {dict(self.lost)}"]
        for stage in STAGES:
            shifts = self._offsets(stage)
            lines.append(f"{stage}: taken off, zero point [mag] by band {shifts}")
        return "\n".join(lines)

    def _offsets(self, stage: str) -> dict[str, float]:
        values, bands = np.array(self.values[stage, "zero_point"]), np.array(self.bands[stage])
        return {b: round(float(np.nanmedian(values[bands == b])), 4) for b in np.unique(bands)}


def pixel_scores(
    image: Floats, error: Floats, usable: NDArray[np.bool_], true: Floats
) -> dict[str, float]:
    """Return scale, level and noise of pixels, none where too few are bright or dark.

    Parameters
    ----------
    image, error
        Pixels and their stated errors, nJy.
    usable
        Which are not masked.
    true
        The noiseless light of all sources, nJy.
    """
    usable = usable & np.isfinite(image) & (error > 0)
    if not usable.any():
        return {}
    noise = float(np.median(error[usable]))
    bright, dark = usable & (true > _BRIGHT * noise), usable & (true < _DARK * noise)
    if bright.sum() < _MIN_BRIGHT or dark.sum() < _MIN_DARK:
        return {}
    scale = float(np.median(image[bright] / true[bright]))
    left = (image - scale * true)[dark] / error[dark]
    return {
        "scale": float(np.log(scale)),
        "level": float(np.clip(left, -5, 5).mean()),
        "noise": robust_sigma(left),
    }


def less_medians(values: Floats, bands: NDArray[np.str_]) -> Floats:
    """Return values less the median of their band; what is not known stays so."""
    values = values.copy()
    for band in np.unique(bands[np.isfinite(values)]):
        values[bands == band] -= np.nanmedian(values[bands == band])
    return values


def true_zero_point(frame: TruthFrame) -> tuple[float, float]:
    """Return the zero point of detrended electrons, mean over the detector, and the lamp's light.

    Flats divide by the light of the lamp; the zero point is that of the mean of starlight over it.
    """
    model = frame.survey.model(frame.visit)
    true = model.optics.detectors[frame.detector]
    nx, ny = true.place.size_pix
    columns, rows = (np.linspace(0, n - 1, _GRID).astype(int) for n in (nx, ny))
    x, y = (a.ravel().astype(float) for a in np.meshgrid(columns, rows))
    light = relative_light(frame, x, y)
    lamp = frame.survey.survey.dome_illumination(frame.detector, model.truth.physical_filter)
    seen = lamp[np.ix_(rows, columns)].ravel()
    mean = float(np.mean(light / seen)) * frame.row["electron_per_reference_njy"]
    return NJY_ZERO_POINT_MAG + 2.5 * np.log10(mean), float(lamp[ny // 2, nx // 2])


def relative_light(frame: TruthFrame, x: Floats, y: Floats) -> Floats:
    """Return the light of a star at pixels over that in the middle of the detector."""
    model = frame.survey.model(frame.visit)
    true = model.optics.detectors[frame.detector]
    nx, ny = true.place.size_pix
    x_mm, y_mm = true.to_focal(np.append(x, nx / 2), np.append(y, ny / 2))
    light = model.optics.illumination(x_mm, y_mm)
    light = light * 10 ** (-0.4 * model.cloud_extinction_mag(x_mm, y_mm))
    return np.asarray(light[:-1] / light[-1])


def true_njy(frame: TruthFrame) -> Floats:
    """Return the noiseless light of all sources in each pixel, nJy of stars of 5500 K."""
    model = frame.survey.model(frame.visit)
    light = frame.image("ELECTRONS").astype(np.float64) - render_sky(model, frame.detector)
    ny, nx = light.shape
    x, y = np.meshgrid(np.arange(nx, dtype=float), np.arange(ny, dtype=float))
    relative = relative_light(frame, x.ravel(), y.ravel()).reshape(ny, nx)
    return np.asarray(light / (frame.row["electron_per_reference_njy"] * relative))


def temperature_of(color: float | None, color_of: Any) -> float:
    """Return the temperature [K] of stars of a colour; of reference stars where none is given."""
    if color is None:
        return float(REFERENCE_TEMPERATURE_K)
    temperatures = np.geomspace(_COOLEST_K, _HOTTEST_K, 200)
    colors = np.array([color_of(t) for t in temperatures])
    return float(temperatures[np.argmin(np.abs(colors - color))])


def psf_flux(image: Floats, psf: Any, x: float, y: float) -> float:
    """Return the flux by a PSF model of the image of a star in the middle of a square."""
    model = psf.compute_images([x], [y])[0][0]
    half = min(len(image), len(model)) // 2
    seen, model = (_middle(stamp, half) for stamp in (image, model))
    return float((seen * model).sum() / np.square(model).sum())


def light_within(image: Floats, x: float, y: float) -> float:
    """Return the light of such a star within the aperture, pixels at its edge by their share."""
    n, fine = len(image), 10
    offset = (np.arange(n * fine) + 0.5) / fine - 0.5 - n // 2
    dx, dy = offset - (x - np.floor(x + 0.5)), offset - (y - np.floor(y + 0.5))
    inside = np.hypot(dx, dy[:, None]) < _APERTURE_PIX
    return float((image * inside.reshape(n, fine, n, fine).mean(axis=(1, 3))).sum())


def _middle(stamp: Floats, half: int) -> Floats:
    middle = len(stamp) // 2
    cut = slice(middle - half, middle + half + 1)
    return stamp[cut, cut]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, nargs="*", help="output roots, in their order")
    parser.add_argument("--pixels-of", type=int, nargs="*", help="pixels of these visits only")
    arguments = parser.parse_args()
    roots = arguments.results or [arguments.survey / "results"]
    scores = Scores(arguments.survey, roots)
    for frame in scores.truth.frames():
        wanted = arguments.pixels_of is None or frame.visit in arguments.pixels_of
        if frame.usable:
            scores.add(frame, pixels=wanted)
    print(scores.text())


if __name__ == "__main__":
    main()
