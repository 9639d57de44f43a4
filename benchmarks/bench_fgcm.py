"""Time the fit of the global photometric calibration, and how its cost grows.

Run ``python benchmarks/bench_fgcm.py [--sizes 4 5 6 7] [--survey]``. Each size runs in a process of
its own, simulation apart: 10^size observations of 62 detectors (below 10⁶, of 9). ``--survey``
times one survey of 100 visits of 62 detectors in 3 bands with 1.26 million observations.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

WIDE = {"columns": 8, "rows": 8, "without": (0, 63), "detector_deg": 0.25}
SURVEY: dict[str, Any] = {
    "seed": 21,
    "camera": WIDE,
    "field": {"stars_per_detector": 210.0, "dither_deg": 2.15},
    "nights": {"days": (0, 1, 7, 40), "visits_per_night": 25},
}
"""100 visits in 4 nights, 62 detectors."""


def settings(size: float) -> dict[str, Any]:
    """Return a survey of about 10^size observations."""
    number = 10.0**size
    if number < 3e5:
        # 9 detectors, 24 to 72 visits, as many stars as it takes.
        visits = int(np.clip(number / (9 * 120), 24, 72)) // 6 * 6
        stars = number / (9 * visits) * 1.15
        field = {"stars_per_detector": stars, "dither_deg": 0.45}
        return {"seed": 21, "field": field, "nights": {"visits_per_night": visits // 6}}
    visits = int(np.clip(number / (62 * 200), 48, 800)) // 6 * 6
    stars = number / (62 * visits) * 1.12
    return {
        "seed": 21,
        "camera": WIDE,
        "field": {"stars_per_detector": stars, "dither_deg": 2.15},
        "nights": {"visits_per_night": visits // 6},
    }


def child(values: dict[str, Any]) -> None:
    """Simulate, fit and print what the fit cost."""
    from accuracy_fgcm import STANDARD_AIR, config_of
    from fgcm_tables import detectors_of, observations_of, stars_of, table_of, visits_of

    from drpflow.algorithms.fgcm import calibrate
    from drpflow.io.absorption import read_absorption
    from drpflow.sim.photometric_config import PhotometricConfig
    from drpflow.sim.photometric_survey import simulate_photometry

    started = time.process_time()
    survey = simulate_photometry(PhotometricConfig.model_validate(values))
    tables = (observations_of(survey), visits_of(survey), detectors_of(survey), stars_of(survey))
    look_up, config = table_of(survey, read_absorption(), STANDARD_AIR), config_of(survey, "fgcm")
    simulation = time.process_time() - started
    numbers = {
        "visits": len(survey.exposures),
        "stars": len(survey.stars),
        "observations": len(survey.measurements),
    }
    del survey
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.process_time()
    calibrate(*tables, look_up, config)
    used = resource.getrusage(resource.RUSAGE_SELF)
    numbers |= {
        "simulation CPU s": round(simulation, 2),
        "fit CPU s": round(time.process_time() - started, 2),
        "memory before MB": round(before),
        "peak memory MB": round(used.ru_maxrss / 1024),
    }
    print(json.dumps(numbers))


def measure(values: dict[str, Any]) -> dict[str, float]:
    """Run one size in a process of its own, on one thread."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(threads, "1")}
    command = [sys.executable, __file__, "--child", json.dumps(values)]
    text = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(text.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="*", default=[4.0, 5.0, 6.0])
    parser.add_argument("--survey", action="store_true", help="the survey of 1.26 million only")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(json.loads(arguments.child))
        return
    # Kernels are compiled once and kept.
    measure(settings(3.5))
    runs = [SURVEY] if arguments.survey else [settings(size) for size in arguments.sizes]
    found = [measure(values) for values in runs]
    names = list(found[0])
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row in found:
        print("| " + " | ".join(f"{row[name]:g}" for name in names) + " |")
    if len(found) > 1:
        x, y = (np.log([row[name] for row in found]) for name in ("observations", "fit CPU s"))
        print(f"\nCPU time grows as observations to the power {np.polyfit(x, y, 1)[0]:.2f}")


if __name__ == "__main__":
    main()
