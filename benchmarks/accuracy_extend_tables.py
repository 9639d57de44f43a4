"""Score a last night that extends an earlier solution, beside a fit of all visits anew.

Run ``python benchmarks/accuracy_extend_tables.py [--what photometry] [--seeds 711 712]``.
Surveys are those of ``accuracy_fgcm.py`` and ``accuracy_astrometry.py``, catalogues without
pixels. The last night, or its first visits (``--visits`` in each band), is solved

refit       with all visits before it
catalogue   alone, with the stars of a solution of those before it like any reference catalogue
extend      alone, with these stars as the solution's own, and its instrument held

Zero points are mean errors of detector images without what the visits before have in common; errors
within are those of bright stars about that mean. WCSs are rms distances over a detector, without
turbulence and with it. 95 % intervals by resampling visits.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from typing import Any

import accuracy_astrometry
import accuracy_fgcm
import astrometry_tables
import fgcm_tables
import numpy as np
from astrometry_scores import wcs_errors
from extending import (
    astrometric_catalog,
    astrometric_instrument,
    observed,
    photometric_catalog,
    photometric_instrument,
    split,
    taken,
)
from fgcm_scores import BRIGHT_ERROR_MAG, detector_mean, visit_bands
from scoring import resampled_groups, rms

from drpflow.algorithms.astrometric_fit import solve
from drpflow.algorithms.fgcm import FgcmResult, calibrate
from drpflow.algorithms.turbulence.solution import solve_with_turbulence
from drpflow.config.fgcm_task import FgcmTaskConfig
from drpflow.io.absorption import read_absorption
from drpflow.tasks.fgcm import in_own_system

Errors = dict[str, np.ndarray]
VARIANTS = ("refit", "catalogue", "extend")


def photometry(seed: int, case: str, per_band: int) -> dict[str, Errors]:
    """Return the errors of the last night by variant, mmag, with the visit of each."""
    survey = accuracy_fgcm.survey_of(case, seed)
    given = accuracy_fgcm.config_of(survey, "fgcm").model_dump(exclude_unset=True)
    config = FgcmTaskConfig.model_validate(given)
    visits, stars = fgcm_tables.visits_of(survey), fgcm_tables.stars_of(survey)
    detectors = fgcm_tables.detectors_of(survey)
    table = fgcm_tables.table_of(survey, read_absorption(), accuracy_fgcm.STANDARD_AIR)
    old, new = split(visits.mjd, visits.band, per_band)

    def fit(rows: Any, stars: Any, config: FgcmTaskConfig, held: Any = ()) -> Any:
        """Return the result, and the error of each measurement of the survey, mmag."""
        part, seen = observed(fgcm_tables.observations_of(survey), rows)
        made: FgcmResult = calibrate(
            part, taken(visits, rows), detectors, stars, table, config, None, held
        )
        error = np.full(len(survey.measurements), np.nan)
        error[seen] = 1e3 * (
            made.calibrated(part) - part.mag - survey.measurements.correction[seen]
        )
        return made, error

    before, error_before = fit(old, stars, config)
    tied = photometric_catalog(stars, before)
    found = {
        "refit": fit(np.sort(np.concatenate([old, new])), stars, config)[1],
        "catalogue": fit(new, tied, config)[1],
        "extend": fit(new, tied, in_own_system(config), photometric_instrument(before))[1],
    }
    m, band = survey.measurements, visit_bands(survey)[survey.measurements.visit]
    bright = m.mag_err < BRIGHT_ERROR_MAG
    out = {}
    for name, error in found.items():
        scale = error if name == "refit" else error_before
        of_old = bright & np.isin(m.visit, old)
        common = [np.nanmedian(scale[of_old & (band == b)]) for b in range(len(survey.bands))]
        mean, _ = detector_mean(survey, error - np.array(common)[band])
        within = (error - np.array(common)[band] - mean[m.visit, m.detector])[
            bright & np.isin(m.visit, new) & np.isfinite(error) & survey.photometric[m.visit]
        ]
        out[name] = {"zero points, mmag": mean[new].ravel(), "within detectors, mmag": within}
        out[name] |= {
            "of zero points, mmag": np.repeat(new, mean.shape[1]),
            "of within detectors, mmag": m.visit[
                bright & np.isin(m.visit, new) & np.isfinite(error) & survey.photometric[m.visit]
            ],
        }
    return out


def astrometry(seed: int, case: str, per_band: int, variant: str) -> dict[str, Errors]:
    """Return the errors of the last night's WCSs by variant, mas, with the visit of each."""
    survey = accuracy_astrometry.survey_of(case, seed)
    config = accuracy_astrometry.config_of(variant)
    visits, stars = astrometry_tables.visits_of(survey), astrometry_tables.stars_of(survey)
    detectors = astrometry_tables.detectors_of(survey)
    old, new = split(visits.mjd, visits.band, per_band)
    method = solve_with_turbulence if config.method == "turbulence" else solve

    def fit(rows: Any, stars: Any, held: Any = ()) -> Any:
        """Return the solution, and WCSs by visit and detector of the survey."""
        part, _ = observed(astrometry_tables.observations_of(survey), rows)
        own = taken(visits, rows)
        begin = survey.start_matrix[rows], survey.start_offset_deg[rows]
        start = astrometry_tables.Starts(own, detectors, *begin)
        made = method(part, own, detectors, stars, config, start=start, held=held)
        return made, {(int(rows[v]), d): wcs for (v, d), wcs in made.wcs.items()}

    before, _ = fit(old, stars)
    tied = astrometric_catalog(stars, before)
    held = astrometric_instrument(before, visits.mjd[old])
    found = {
        "refit": fit(np.sort(np.concatenate([old, new])), stars)[1],
        "catalogue": fit(new, tied)[1],
        "extend": fit(new, tied, held)[1],
    }
    color, out = config.model.reference_color_mag, {}
    for name, wcs in found.items():
        mine = {key: item for key, item in wcs.items() if key[0] in new}
        out[name] = {}
        for what, turbulence in (("WCSs, mas", False), ("WCSs with turbulence, mas", True)):
            errors = wcs_errors(survey, mine, color, turbulence=turbulence)
            rows = [np.sqrt(np.mean((e**2).sum(axis=0))) for e in errors.values()]
            out[name] |= {what: np.array(rows), f"of {what}": np.array([v for v, _ in errors])}
    return out


def main() -> None:
    """Score the variants over seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=("photometry", "astrometry"), default="photometry")
    parser.add_argument("--case", help="of accuracy_fgcm.py or accuracy_astrometry.py")
    parser.add_argument("--method", choices=("fit", "turbulence"), default="fit")
    parser.add_argument("--visits", type=int, default=0, help="in each band; 0: the whole night")
    parser.add_argument("--seeds", type=int, nargs="+", default=[711, 712])
    args = parser.parse_args()
    pooled: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for seed in args.seeds:
        began = time.process_time()
        if args.what == "photometry":
            found = photometry(seed, args.case or "survey", args.visits)
        else:
            found = astrometry(seed, args.case or "20 x 9 x 300", args.visits, args.method)
        print(f"# {seed}: CPU {time.process_time() - began:.0f} s", flush=True)
        for variant, errors in found.items():
            for name, values in errors.items():
                own = values + 1000 * seed if name.startswith("of ") else values
                pooled[variant, name].append(own)
    names = [n for v, n in pooled if v == "refit" and not n.startswith("of ")]
    print(f"\n| rms | {' | '.join(VARIANTS)} |\n{'|---' * (len(VARIANTS) + 1)}|")
    for name in names:
        cells = []
        for variant in VARIANTS:
            values, group = (np.concatenate(pooled[variant, n]) for n in (name, f"of {name}"))
            known = np.isfinite(values)
            figure = resampled_groups(values[known], group[known], rms)
            cells.append(f"{figure.text(2)}")
        print(f"| {name} (n = {int(known.sum())}) | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
