"""Score fgcm against the truth of simulated surveys, beside calibrations without a global fit.

Run ``python benchmarks/accuracy_fgcm.py [--seeds 11 12 13] [--case survey] [--json FILE]``.
The surveys are photometry without pixels (``drpflow.sim.photometric_survey``). All figures are
pooled over the seeds, with 95 % intervals by resampling. Magnitudes are in mmag, after one even
offset a band was taken out. Columns:

fgcm            the fit as it is
no reference    without reference catalogue
gray            all stars taken for one colour: neither air nor detectors have colour terms
medians         no fit: median zero point of each detector image against the reference catalogue,
                one colour term a band
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fgcm_baselines import median_zero_points
from fgcm_scores import Calibration, Scores, figures, score
from fgcm_tables import (
    detectors_of,
    observations_of,
    standard_transmission,
    stars_of,
    table_of,
    visits_of,
)
from scoring import Figure

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.slopes import sensitivities
from drpflow.config.fgcm import FgcmConfig
from drpflow.data.air import AirState
from drpflow.io.absorption import read_absorption
from drpflow.sim.config import FilterConfig
from drpflow.sim.photometric_config import FILTERS, PhotometricConfig
from drpflow.sim.photometric_survey import PhotometricSurvey, simulate_photometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.fgcm import FgcmResult

STANDARD_AIR = AirState(pressure_hpa=743.0)
NIGHT_MJD = 0.3

Z_FILTER = FilterConfig(physical_filter="sim_z", band="z", lower_nm=822, upper_nm=918, sky_mag=19.0)
Y_FILTER = FilterConfig(
    physical_filter="sim_y", band="y", lower_nm=928, upper_nm=1040, sky_mag=18.0
)

CASES: dict[str, dict[str, Any]] = {
    "survey": {},
    "one detector": {
        "camera": {"columns": 1, "rows": 1, "detector_deg": 0.4},
        "field": {"dither_deg": 0.3},
    },
    "four detectors": {"camera": {"columns": 2, "rows": 2}, "field": {"dither_deg": 0.3}},
    "30 stars a detector": {"field": {"stars_per_detector": 30}},
    "fixed rotator": {"field": {"rotations_deg": (0.0,), "dither_deg": 0.45}},
    "five bands": {
        "camera": {"filters": (*FILTERS, Z_FILTER, Y_FILTER)},
        "nights": {"visits_per_night": 20},
    },
    "one pointing": {"field": {"dither_deg": 0.02}},
    "thin cloud": {
        "gray": {"haze_fraction": 0.0, "cloud_fraction": 0.3, "cloud_mag": (0.005, 0.6)}
    },
    "heavy cloud": {"gray": {"cloud_fraction": 0.4, "cloud_mag": (0.05, 1.2)}},
    "62 detectors": {
        "camera": {"columns": 8, "rows": 8, "without": (0, 63), "detector_deg": 0.25},
        "field": {"stars_per_detector": 100, "dither_deg": 1.5},
    },
}
"""What the simulated surveys differ in from the default one."""
VARIANTS = ("fgcm", "no reference", "gray", "medians")
SHARES = "detector images", "cloudy visits", "photometric visits lost", "called cloudy"
NOTHING = Figure(np.nan, np.nan, np.nan, 0)


def survey_of(case: str, seed: int) -> PhotometricSurvey:
    """Return a survey, its truth in the standard passbands of the fit."""
    config = PhotometricConfig.model_validate({"seed": seed, **CASES[case]})
    return simulate_photometry(config, standard_transmission(read_absorption(), STANDARD_AIR))


def config_of(survey: PhotometricSurvey, variant: str) -> FgcmConfig:
    """Return the configuration: defaults, the date when the mirror was cleaned, the variant."""
    nights = survey.config.nights
    cleaned = nights.first_mjd + nights.cleaning_day - NIGHT_MJD
    values: dict[str, Any] = {"instrument": {"epochs_mjd": (cleaned,)}}
    if not nights.days[0] < nights.cleaning_day <= nights.days[-1]:
        values = {}
    if variant == "gray":
        no_color = {
            "sensitivity": dict.fromkeys(survey.bands, 0.0),
            "sensitivity_sigma": 0,
            "passband_nm": 0,
        }
        values = {"instrument": {**values.get("instrument", {}), **no_color}}
    return FgcmConfig.model_validate(values)


def run_fit(survey: PhotometricSurvey, variant: str) -> FgcmResult:
    """Run the fit."""
    return calibrate(
        observations_of(survey),
        visits_of(survey),
        detectors_of(survey),
        stars_of(survey, reference=variant != "no reference"),
        table_of(survey, read_absorption(), STANDARD_AIR),
        config_of(survey, variant),
    )


def calibration_of(survey: PhotometricSurvey, result: FgcmResult) -> Calibration:
    """Return what a fit says of each measurement."""
    observations = observations_of(survey)
    return Calibration(
        result.calibrated(observations) - observations.mag,
        result.zero_point,
        result.zero_point_error,
        result.photometric,
        result.standard_mag,
        {"cycles": len(result.history), "last change mmag": 1e3 * result.history[-1].change_mag},
        {"water": nightly(result, "ln_pwv"), "aerosols": nightly(result, "aerosol_tau")},
        sensitivity_of(survey, result),
    )


def sensitivity_of(survey: PhotometricSurvey, result: FgcmResult) -> NDArray[np.float64]:
    """Return κ of each band with its error: what is fitted is a factor of the configured one."""
    given = sensitivities(survey.bands, config_of(survey, "fgcm"))
    found = {p.band: (p.value, p.error) for p in result.parameters if p.name == "sensitivity"}
    if not result.reference_slope.any():  # all stars of one colour
        return np.zeros((0, 2))
    return given[:, None] * np.array([found[band] for band in survey.bands])


def nightly(result: FgcmResult, name: str) -> NDArray[np.float64]:
    """Return a parameter of each night with its error, shape (nights, 2)."""
    return np.array([[p.value, p.error] for p in result.parameters if p.name == name])


def calibrations(survey: PhotometricSurvey, variant: str) -> Calibration:
    """Return the calibration of a variant, with its CPU time among the numbers."""
    started = time.process_time()
    if variant == "medians":
        made = median_zero_points(survey)
    else:
        made = calibration_of(survey, run_fit(survey, variant))
    spent = time.process_time() - started
    return replace(made, numbers={**made.numbers, "CPU s": spent})


def table_text(columns: dict[str, dict[str, Figure]]) -> str:
    """Return figures as a Markdown table, a column a variant."""
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in next(iter(columns.values())):
        shares = name.startswith(SHARES)
        factor, digits = (100.0, 1) if shares else (1.0, 2)
        found = [columns[v].get(name, NOTHING) for v in columns]
        if not any(f.number for f in found):
            continue
        cells = [f.text(digits, factor) if f.number else "" for f in found]
        lines.append(f"| {name}{', %' if shares else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--case", choices=CASES, nargs="+", default=["survey"])
    parser.add_argument("--variants", choices=VARIANTS, nargs="+", default=list(VARIANTS))
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    document: dict[str, Any] = {}
    for case in arguments.case:
        surveys = [survey_of(case, seed) for seed in arguments.seeds]
        columns = {}
        for variant in arguments.variants:
            scores: list[Scores] = []
            for survey in surveys:
                made = calibrations(survey, variant)
                scores.append(score(survey, made))
                print(f"# {variant} {survey.config.seed}: {made.numbers}", flush=True)
            columns[variant] = figures(scores)
        sizes = np.array([[len(s.exposures), len(s.measurements)] for s in surveys])
        print(f"\n{case}: seeds {arguments.seeds}; visits, observations {sizes.tolist()}\n")
        print(table_text(columns) + "\n", flush=True)
        document[case] = {
            v: {n: [f.value, f.low, f.high, f.number] for n, f in c.items()}
            for v, c in columns.items()
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
