"""CPU time and memory of planning a survey: ``snakemake --dry-run`` on sheets of 10,000 jobs.

Once with a job for each detector, once with a job for each visit (``batch: visit``).

And of looking at one: ``drpflow status`` when all these have ended.

Run ``python benchmarks/bench_dag.py [--visits 80] [--detectors 62]``. Raw frames and
calibrations are empty files; planning looks whether they are there and no more. Beside it, the
same number of jobs of a rule with one input and one output and nothing else, which is what
Snakemake itself costs on this machine at this moment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from drpflow.io.run_yaml import load_run
from drpflow.io.sheets import CalibrationRow, ExposureRow, VisitRow, write_sheet
from drpflow.paths import script, snakefile
from drpflow.workflow.fingerprint import SourceTree
from drpflow.workflow.plan import load_plan
from drpflow.workflow.status import read_status

# Jobs of a visit beside isr and calibrateImage: visit_info, consolidateVisit, second look.
_OF_VISIT = 6
KINDS = ("bias", "dark", "flat", "defects", "ptc", "linearizer", "crosstalk", "brighter_fatter")
BARE = """\
rule all:
    input: expand("out/{{n}}.txt", n=range({n_jobs}))

rule one:
    input: "in.txt"
    output: "out/{{n}}.txt"
    shell: "cp {{input}} {{output}}"
"""


class Cost(NamedTuple):
    """What a process used."""

    cpu_s: float
    memory_mb: float


def measure(command: list[str], folder: Path) -> Cost:
    """Run a command to its end."""
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        text = process.stderr.read()
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(text.decode()[-2000:])
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def camera(n_detectors: int) -> dict:
    """A camera of detectors with four amplifiers each."""
    amplifiers = [
        {
            "name": f"A{i}",
            "data_section": [512 * i, 512 * (i + 1), 0, 4096],
            "raw_data_section": [512 * i, 512 * (i + 1), 0, 4096],
            "gain": 1.5,
            "read_noise": 5.0,
            "saturation": 50000.0,
        }
        for i in range(4)
    ]
    detector = {"size_pix": [2048, 4096], "pixel_size_mm": 0.015, "amplifiers": amplifiers}
    return {
        "name": "manycam",
        "optics": {"plate_scale_arcsec_per_mm": 17.0},
        "detectors": [{"id": d, "name": f"ccd{d}", **detector} for d in range(n_detectors)],
        "filters": [{"physical_filter": "r1", "band": "r"}],
    }


def make_survey(folder: Path, n_visits: int, n_detectors: int) -> None:
    """Write camera, sheets, config and empty files."""
    visits = [
        VisitRow(v, "n1", "r1", "r", 30.0, 61000.0 + v / 1000, 10.0, -30.0)
        for v in range(1, n_visits + 1)
    ]
    frames = [
        ExposureRow(v.visit, d, f"raw/{v.visit}_{d}.fits")
        for v in visits
        for d in range(n_detectors)
    ]
    calibrations = [
        CalibrationRow(kind, d, "", None, None, f"calib/{kind}_{d}.fits")
        for kind in KINDS
        for d in range(n_detectors)
    ]
    for name in ("raw", "calib", "config"):
        (folder / name).mkdir()
    for row in [*frames, *calibrations]:
        (folder / row.path).touch()
    write_sheet(folder / "sheets/visits.tsv", VisitRow, visits)
    write_sheet(folder / "sheets/exposures.tsv", ExposureRow, frames)
    write_sheet(folder / "sheets/calibrations.tsv", CalibrationRow, calibrations)
    (folder / "camera.yaml").write_text(yaml.safe_dump(camera(n_detectors)))
    config = {"camera": "camera.yaml", "sheets": "sheets", "keep": ["post_isr_image"]}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))


def count_of_survey(folder: Path) -> int:
    """Return the number of jobs that are of no single visit, with that of the target."""
    os.chdir(folder)
    plan = load_plan(load_run("config/config.yaml"))
    kept = ("fgcmMakeLookUpTable", "fgcm", "makeReport", "associateIsolatedStars")
    kept += ("solveAstrometry", "finalizeAstrometry", "makeSkyFrame")
    return 1 + sum(len(plan.expand(plan.job_file("status", task, ".json"))) for task in kept)


def time_look_ups(folder: Path) -> None:
    """Print what reading sheets, camera and code costs before Snakemake makes its first job."""
    os.chdir(folder)
    started = time.process_time()
    plan = load_plan(load_run("config/config.yaml"))
    print(f"sheets, camera, fingerprints   {time.process_time() - started:6.2f} CPU s")
    scripts = [script(task) for task in plan.tasks]
    for label, cache in (("cold", folder / "none.json"), ("cached", None)):
        started = time.process_time()
        tree = SourceTree(cache=cache)
        for path in scripts:
            tree.fingerprint(path)
        print(f"fingerprints, {label:<6}           {time.process_time() - started:6.2f} CPU s")


def time_status(folder: Path) -> None:
    """Print what reading the status files of all jobs costs."""
    os.chdir(folder)
    plan = load_plan(load_run("config/config.yaml"))
    for visit, detector in plan.survey.frames:
        data_id = {"visit": int(visit), "detector": int(detector)}
        path = plan.table.status_path(plan.root, "isr", **data_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"task": "isr", "data_id": data_id, "outcome": "done", "reason": "", "hint": ""}
        path.write_text(json.dumps(record | {"numbers": {}}))
    started = time.process_time()
    status = read_status(plan)
    assert status.total("isr").done == len(plan.survey.frames)
    print(f"status of all jobs             {time.process_time() - started:6.2f} CPU s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visits", type=int, default=80)
    parser.add_argument("--detectors", type=int, default=62)
    args = parser.parse_args()
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--quiet", "rules"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "bare").mkdir()
        (folder / "bare/in.txt").touch()
        (folder / "run").mkdir()
        make_survey(folder / "run", args.visits, args.detectors)
        of_survey = count_of_survey(folder / "run")
        n_jobs = args.visits * (2 * args.detectors + _OF_VISIT) + of_survey
        (folder / "bare/Snakefile").write_text(BARE.format(n_jobs=n_jobs))
        print(f"{n_jobs} jobs: {args.visits} visits of {args.detectors} detectors")
        drpflow = [*snakemake, "--snakefile", str(snakefile())]
        by_visit = [*drpflow, "--config", "batch=visit"]
        for label, command, place, count in (
            ("drpflow", drpflow, "run", n_jobs),
            ("batch: visit", by_visit, "run", (2 + _OF_VISIT) * args.visits + of_survey),
            ("bare rules", snakemake, "bare", n_jobs),
        ):
            cost = measure(command, folder / place)
            per_job_ms = 1000 * cost.cpu_s / count
            print(
                f"dry run, {label:<12} {count:6d} jobs  {cost.cpu_s:6.1f} CPU s, "
                f"{per_job_ms:.1f} ms a job, {cost.memory_mb:.0f} MB"
            )
        time_look_ups(folder / "run")
        time_status(folder / "run")


if __name__ == "__main__":
    main()
