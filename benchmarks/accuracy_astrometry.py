"""Score the global astrometric solution against the truth of simulated surveys.

Run ``python benchmarks/accuracy_astrometry.py [--seeds 11 12 13] [--case small] [--json FILE]``.
The surveys are centroids without pixels (``drpflow.sim.astrometric_survey``): static distortions
of each detector, polynomials and differential refraction of each visit, proper motions,
parallaxes, coherent turbulence, outliers, a reference catalogue with errors. Figures are pooled
over the seeds, with 95 % intervals by resampling. Columns:

fit             the solution as it is
no reference    without reference catalogue; one linear map of the sky is free and taken out
no refraction   without differential refraction
turbulence      with the turbulence of each visit taken out
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrometry_scores import Scores, attainable_mas, figures, score
from astrometry_tables import detectors_of, observations_of, stars_of, starts_of, visits_of
from scoring import resampled, rms

from drpflow.algorithms.astrometric_fit import solve
from drpflow.algorithms.turbulence.solution import solve_with_turbulence
from drpflow.config.solve_astrometry import SolveAstrometryConfig
from drpflow.sim.astrometric_config import AstrometricConfig
from drpflow.sim.astrometric_survey import simulate_astrometry

if TYPE_CHECKING:
    from scoring import Figure

    from drpflow.algorithms.astrometric_fit.result import AstrometrySolution
    from drpflow.sim.astrometric_survey import AstrometricSurvey

WIDE = {"columns": 8, "rows": 8, "without": (0, 63), "detector_deg": 0.3, "side_pix": 4096}

CASES: dict[str, dict[str, Any]] = {
    "20 x 9 x 300": {},
    "100 x 62 x 200": {
        "camera": WIDE,
        "field": {"stars_per_detector": 200, "dither_deg": 2.5},
        "visits": {"visits_per_night": 25},
    },
    "15 mas over 5 arcmin": {"turbulence": {"rms_mas": 15.0, "coherence_deg": 0.083}},
    "15 mas over 3 arcmin": {"turbulence": {"rms_mas": 15.0, "coherence_deg": 0.05}},
    "15 mas over 2 arcmin": {"turbulence": {"rms_mas": 15.0}},
    "no turbulence": {"turbulence": {"rms_mas": 0.0}},
    "fixed rotator": {"field": {"rotations_deg": (0.0,)}},
    "one night": {"visits": {"days": (0,), "visits_per_night": 20}},
    "one detector": {
        "camera": {"columns": 1, "rows": 1, "detector_deg": 0.3},
        "field": {"stars_per_detector": 600, "dither_deg": 0.1},
    },
    "30 stars a detector": {"field": {"stars_per_detector": 30}},
}
"""What the simulated surveys differ in from the default one."""
VARIANTS = ("fit", "no reference", "no refraction", "turbulence")


def survey_of(case: str, seed: int) -> AstrometricSurvey:
    """Return a survey."""
    return simulate_astrometry(AstrometricConfig.model_validate({"seed": seed, **CASES[case]}))


def config_of(variant: str) -> SolveAstrometryConfig:
    """Return the configuration: defaults but for what the variant leaves out."""
    values: dict[str, Any] = {}
    if variant == "no refraction":
        values = {"model": {"dcr_mas": 0.0}}
    elif variant == "turbulence":
        values = {"method": "turbulence"}
    return SolveAstrometryConfig.model_validate(values)


def solve_survey(
    survey: AstrometricSurvey, config: SolveAstrometryConfig, variant: str = "fit"
) -> AstrometrySolution:
    """Run the fit from the coordinate systems that single images would have."""
    method = solve_with_turbulence if config.method == "turbulence" else solve
    return method(
        observations_of(survey),
        visits_of(survey),
        detectors_of(survey),
        stars_of(survey, reference=variant != "no reference"),
        config,
        start=starts_of(survey),
    )


def scored(survey: AstrometricSurvey, variant: str) -> Scores:
    """Return the scores of a variant, and tell its cost."""
    config = config_of(variant)
    started = time.process_time()
    solution = solve_survey(survey, config, variant)
    spent = time.process_time() - started
    passes = len(solution.history)
    print(f"# {variant} {survey.config.seed}: CPU {spent:.1f} s, {passes} passes", flush=True)
    for note in solution.notes:
        print(f"#   {note}", flush=True)
    color = config.model.reference_color_mag
    return score(survey, solution, color, tied=variant != "no reference")


def table_text(columns: dict[str, dict[str, Figure]]) -> str:
    """Return figures as a Markdown table, a column a variant."""
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in next(iter(columns.values())):
        factor, digits = (100.0, 2) if name.endswith("[%]") else (1.0, 2)
        cells = [columns[v][name].text(digits, factor) for v in columns]
        lines.append(f"| {name.replace('[%]', '%')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--case", choices=CASES, nargs="+", default=["20 x 9 x 300"])
    parser.add_argument("--variants", choices=VARIANTS, nargs="+", default=["fit"])
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    document: dict[str, Any] = {}
    for case in arguments.case:
        scores: dict[str, list[Scores]] = {variant: [] for variant in arguments.variants}
        sizes, floors = [], []
        for seed in arguments.seeds:
            survey = survey_of(case, seed)
            sizes.append(f"{len(survey.visits)} visits, {len(survey.centroids)} measurements")
            order = config_of("fit").model.visit_order
            floors.append(resampled(attainable_mas(survey, order), rms, resamplings=200))
            for variant in arguments.variants:
                scores[variant].append(scored(survey, variant))
        print(f"\n{case}: seeds {arguments.seeds}; {'; '.join(sizes)}")
        told = ", ".join(floor.text(2) for floor in floors)
        print(f"A polynomial fitted to the truth of each visit: {told} mas\n")
        columns = {variant: figures(found) for variant, found in scores.items()}
        print(table_text(columns) + "\n", flush=True)
        document[case] = {
            v: {n: [f.value, f.low, f.high, f.number] for n, f in c.items()}
            for v, c in columns.items()
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
