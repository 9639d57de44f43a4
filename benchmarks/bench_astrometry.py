"""Time the global astrometric solution, and how its cost grows.

Run ``python benchmarks/bench_astrometry.py [--sizes 4 5 6] [--survey NAME …]``. Each size is
simulated and solved in processes of their own, so that the memory told is that of the solution:
10^size observations of 62 detectors (below 3·10⁵, of 9). The surveys are those of
``accuracy_astrometry.py``, from coordinate systems 50 mas off.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WIDE = {"columns": 8, "rows": 8, "without": (0, 63), "detector_deg": 0.3, "side_pix": 4096}
SURVEYS: dict[str, dict[str, Any]] = {
    "20 x 9 x 300": {},
    "100 x 62 x 200": {
        "camera": WIDE,
        "field": {"stars_per_detector": 200, "dither_deg": 2.5},
        "visits": {"visits_per_night": 25},
    },
    "300 x 62 x 300": {
        "camera": WIDE,
        "field": {"stars_per_detector": 300, "dither_deg": 2.5},
        "visits": {"visits_per_night": 75},
    },
}
"""Visits, detectors, stars on a detector."""


def settings(size: float) -> dict[str, Any]:
    """Return a survey of about 10^size observations."""
    number = 10.0**size
    if number < 3e5:
        visits = int(np.clip(number / (9 * 120), 12, 80)) // 4 * 4
        stars = number / (9 * visits)
        return {
            "field": {"stars_per_detector": stars},
            "visits": {"visits_per_night": visits // 4},
        }
    visits = int(np.clip(number / (62 * 200), 24, 400)) // 4 * 4
    stars = number / (62 * visits)
    return {
        "camera": WIDE,
        "field": {"stars_per_detector": stars, "dither_deg": 2.5},
        "visits": {"visits_per_night": visits // 4},
    }


def simulate(values: dict[str, Any], path: Path) -> None:
    """Simulate and store what the solution gets."""
    from astrometry_tables import detectors_of, observations_of, stars_of, visits_of

    from drpflow.sim.astrometric_config import AstrometricConfig
    from drpflow.sim.astrometric_survey import simulate_astrometry

    survey = simulate_astrometry(AstrometricConfig.model_validate({"seed": 21, **values}))
    tables = (observations_of(survey), visits_of(survey), detectors_of(survey), stars_of(survey))
    import pickle

    with path.open("wb") as file:
        pickle.dump((*tables, survey.start_matrix, survey.start_offset_deg), file)


def child(path: Path, method: str) -> None:
    """Solve and print what it cost."""
    import pickle

    from astrometry_tables import Starts

    from drpflow.algorithms.astrometric_fit import solve
    from drpflow.algorithms.turbulence.solution import solve_with_turbulence
    from drpflow.config.solve_astrometry import SolveAstrometryConfig

    with path.open("rb") as file:
        observations, visits, detectors, stars, matrix, offset = pickle.load(file)
    config = SolveAstrometryConfig.model_validate({"method": method})
    run = solve_with_turbulence if method == "turbulence" else solve
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.process_time()
    start = Starts(visits, detectors, matrix, offset)
    solution = run(observations, visits, detectors, stars, config, start=start)
    spent = time.process_time() - started
    rejected = np.asarray(solution.residuals.rejected)
    numbers = {
        "visits": len(visits),
        "detector images": len(solution.wcs),
        "stars": int(np.unique(observations.star).size),
        "observations": len(observations),
        "rejected %": round(100 * float(rejected.mean()), 2),
        "passes": len(solution.history),
        "CPU s": round(spent, 2),
        "memory before MB": round(before),
        "peak memory MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(numbers))


def measure(values: dict[str, Any], method: str) -> dict[str, float]:
    """Simulate and solve one survey, each in a process of its own, on one thread."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(threads, "1")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.pickle"
        for arguments in (["--simulate", json.dumps(values)], ["--child", method]):
            command = [sys.executable, __file__, *arguments, "--path", str(path)]
            run = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            )
    return dict(json.loads(run.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="*", default=[4.0, 4.5, 5.0, 5.5, 6.0])
    parser.add_argument("--survey", nargs="+", choices=SURVEYS, help="these instead of sizes")
    parser.add_argument("--method", choices=("polynomials", "turbulence"), default="polynomials")
    parser.add_argument("--simulate", help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.simulate:
        simulate(json.loads(arguments.simulate), arguments.path)
        return
    if arguments.child:
        child(arguments.path, arguments.child)
        return
    # Kernels are compiled once and kept.
    measure(settings(3.5), arguments.method)
    runs = [SURVEYS[n] for n in arguments.survey or ()] or [settings(s) for s in arguments.sizes]
    found = [measure(values, arguments.method) for values in runs]
    names = list(found[0])
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row in found:
        print("| " + " | ".join(f"{row[name]:g}" for name in names) + " |")
    if len(found) > 1:
        x, y = (np.log([row[name] for row in found]) for name in ("observations", "CPU s"))
        print(f"\nCPU time grows as observations to the power {np.polyfit(x, y, 1)[0]:.2f}")


if __name__ == "__main__":
    main()
