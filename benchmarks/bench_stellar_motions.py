"""CPU time and memory of matchSource and fitStellarMotions, through their scripts and files.

Run ``python benchmarks/bench_stellar_motions.py [--stars 118000]``. A field of 1.4 degrees in one
HEALPix pixel of order 3, 20 visits of it, stars of which most are seen in each: two million
sources, 10⁵ stars × 20 epochs. The scripts run twice, so that kernels are compiled. Ten million
sources are five such pieces of the sky.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from motion_tables import ORDER, SOLVED_PIECE, catalog_of, visits_of

from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.table import Table
from drpflow.data.visit_info import VisitInfo
from drpflow.io.records import write_component_json
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.tables import write_table
from drpflow.paths import share_root
from drpflow.sim.motion_survey import (
    BANDS,
    PIXEL_ARCSEC,
    REFERENCE_COLOR,
    MotionConfig,
    MotionSurvey,
    simulate_motions,
)


def path_of(folder: Path, kind: str, visit: int | str) -> Path:
    suffix = "json" if kind == "visit_info" else "parquet"
    return folder / kind / f"visit={visit}" / f"{kind}.{suffix}"


def write_survey(folder: Path, survey: MotionSurvey) -> None:
    """Write what the tasks read."""
    flags = FitStellarMotionsConfig().noise.bad_flags
    for visit, given in zip(survey.visits, visits_of(survey), strict=True):
        v, columns = visit.number, given.sources
        n = columns["ra"].size
        columns = columns | {f: np.zeros(n, bool) for f in flags if f not in columns}
        write_table(path_of(folder, "source", v), columns, data_id={"visit": v})
        summary = {
            "detector": np.zeros(1, np.int32),
            "wcs_skypix": np.array([SOLVED_PIECE]),
            "wcs_error": np.array([survey.config.wcs_mas * 1.4 / 1000]),
        }
        write_table(path_of(folder, "final_visit_summary", v), summary, data_id={"visit": v})
        band = BANDS[visit.band]
        info = VisitInfo(v, physical_filter=band, band=band, mjd=visit.mjd)
        write_component_json(path_of(folder, "visit_info", v), info)
    meta = {"reference_color": REFERENCE_COLOR, "color_bands": ["g", "i"]}
    solved = Table.from_columns(survey.visit_table, meta=meta)
    write_table(folder / "final_astrometry_visits.parquet", solved)
    write_reference_stars(folder / "reference.parquet", catalog_of(survey))


def run(script: str, words: list[str], folder: Path) -> tuple[float, float, dict[str, int]]:
    """Return CPU seconds, peak memory in MB and the figures of one run of a script."""
    status = folder / "status.json"
    command = [sys.executable, str(share_root() / "scripts" / script), *words]
    with subprocess.Popen([*command, "--status", str(status)]) as process:
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    told = json.loads(status.read_text())
    assert told["outcome"] == "done", told["reason"]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, told["numbers"]


def words_of(folder: Path, survey: MotionSurvey) -> tuple[list[str], list[str]]:
    """Return the arguments of both scripts."""
    pixel = int(pixels_of_deg(ORDER, survey.config.ra_deg, survey.config.dec_deg))
    shared = ["--skypix", str(pixel), "--order", str(ORDER)]
    shared += ["--visits", f"1-{len(survey.visits)}"]
    shared += ["--reference-stars", str(folder / "reference.parquet")]
    for kind in ("visit_info", "source"):
        shared += [f"--{kind.replace('_', '-')}", str(path_of(folder, kind, "{visit}"))]
    for kind in ("source_matches", "source_matches_join"):
        shared += [f"--{kind.replace('_', '-')}", str(folder / f"{kind}.parquet")]
    fit = ["--pieces", str(SOLVED_PIECE)]
    fit += ["--final-visit-summary", str(path_of(folder, "final_visit_summary", "{visit}"))]
    fit += ["--final-astrometry-visits", str(folder / "final_astrometry_visits.parquet")]
    fit += ["--stellar-motions", str(folder / "stellar_motions.parquet")]
    return [*shared, "--pixel-arcsec", str(PIXEL_ARCSEC)], [*shared, *fit]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stars", type=int, default=118_000)
    args = parser.parse_args()
    config = MotionConfig(
        seed=5,
        stars=args.stars,
        side_deg=1.4,
        faint_mag=22.5,
        nights=(0, 95, 370, 731),
        false_per_visit=1000,
    )
    survey = simulate_motions(config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_survey(folder, survey)
        match, fit = words_of(folder, survey)
        for script, words, what in (
            ("match_source.py", match, "sources"),
            ("fit_stellar_motions.py", fit, "detections"),
        ):
            run(script, words, folder)
            cpu_s, memory_mb, numbers = run(script, words, folder)
            per_million = 1e6 * cpu_s / numbers[what]
            print(
                f"{script}: {numbers[what]} {what}, {numbers.get('matches', numbers.get('stars'))} "
                f"objects: {cpu_s:.1f} CPU s ({per_million:.1f} a million), {memory_mb:.0f} MB"
            )


if __name__ == "__main__":
    main()
