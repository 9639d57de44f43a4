"""CPU time and memory of planning and running a survey, without what its tasks do.

Run ``python benchmarks/bench_dag.py [--visits 80 ...] [--detectors 62] [--plans detector ...]``:

- ``drpflow shards`` of these surveys, the first time and with their look-ups kept;
- ``snakemake --dry-run`` of the shard ``first-look`` of each, a job a detector and a job a visit,
  and of as many jobs of a rule with one input and one output and nothing else, which is what
  Snakemake itself costs on this machine at this moment; and the power of the number of jobs with
  which time and memory grow from one survey to the next;
- ``drpflow status`` when isr has ended everywhere;
- with ``--run``, a run of the shard with tasks that do nothing: what a job costs beside its task;
- with ``--largest 2000``, nothing of these, but a dry run of each shard of that size (with
  ``--sample`` of the first of each stage), with empty files for the products of earlier stages.

Raw frames and calibrations are empty files; planning looks whether they are there and no more.
Visits lie on 100 fields side by side, in three filters.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import yaml

from drpflow.io.run_yaml import load_run
from drpflow.io.sheets import CalibrationRow, ExposureRow, VisitRow, write_sheet
from drpflow.paths import profile, script, share_root, snakefile
from drpflow.workflow.fingerprint import SourceTree
from drpflow.workflow.plan import load_plan
from drpflow.workflow.shards import STAGES, Shard, Stage, shards, snakemake_words
from drpflow.workflow.status import read_status

if TYPE_CHECKING:
    from drpflow.workflow.plan import Plan

SNAKEMAKE = [
    sys.executable,
    "-m",
    "snakemake",
    "--cores",
    "1",
    "--workflow-profile",
    str(profile()),
]
BANDS = "gri"
KINDS = ("bias", "dark", "flat", "defects", "ptc", "linearizer", "crosstalk", "brighter_fatter")
FAKE = '    shell:\n        "touch {output:q}"\n'
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


Costs: TypeAlias = dict[str, tuple[int, Cost]]
"""Number of jobs and cost by kind of plan."""


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
    side = math.isqrt(n_detectors - 1) + 1
    places = [
        [(d % side - (side - 1) / 2) * 33.0, (d // side - (side - 1) / 2) * 64.0]
        for d in range(n_detectors)
    ]
    return {
        "name": "manycam",
        "optics": {"plate_scale_arcsec_per_mm": 17.0},
        "detectors": [
            {"id": d, "name": f"ccd{d}", "center_mm": places[d], **detector}
            for d in range(n_detectors)
        ],
        "filters": [{"physical_filter": f"{band}1", "band": band} for band in BANDS],
    }


def make_survey(folder: Path, n_visits: int, n_detectors: int) -> None:
    """Write camera, sheets, config and empty files."""
    visits = [
        VisitRow(
            v, f"n{v // 100}", f"{BANDS[v // 100 % 3]}1", BANDS[v // 100 % 3], 30.0,
            61000.0 + v / 1000, 150.0 + v % 10 * 1.2, -5.0 + v // 10 % 10 * 1.2, 0.0,
        )
        for v in range(1, n_visits + 1)
    ]  # fmt: skip
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
    config = {"camera": "camera.yaml", "sheets": "sheets", "keep": []}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))


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


def time_shards(folder: Path) -> None:
    """Print what cutting a survey into shards costs."""
    os.chdir(folder)
    command = [sys.executable, "-m", "drpflow.cli", "shards"]
    for label in ("first time", "look-ups kept"):
        cost = measure(command, folder)
        print(f"drpflow shards, {label:<14} {cost.cpu_s:6.1f} CPU s, {cost.memory_mb:.0f} MB")
    plan = load_plan(load_run("config/config.yaml"))
    found = shards(plan)
    print(f"{len(found)} shards, {sum(shard.n_jobs for shard in found)} jobs")


def time_all_shards(folder: Path, largest: int, *, sample: bool) -> None:
    """Print what planning each shard costs, one after the other, or the first of each stage.

    The others of a stage are then taken to cost as much for each job as the first.
    """
    os.chdir(folder)
    plan = load_plan(load_run("config/config.yaml"))
    faked: set[Stage] = set()
    total_s, n_jobs, per_job_s = 0.0, 0, dict[Stage, float]()
    found = shards(plan, largest)
    for shard in found:
        n_jobs += shard.n_jobs
        stage = shard.stages[0]
        if not (sample and stage in per_job_s):
            for earlier in STAGES[: STAGES.index(stage)]:
                if earlier not in faked:
                    fake_products(plan, earlier)
                    faked.add(earlier)
            words = snakemake_words(plan, shard)
            command = [*SNAKEMAKE, "shard", "--dry-run", "--quiet", "rules"]
            cost = measure([*command, "--snakefile", str(snakefile()), *words], folder)
            tell(str(shard)[:26], shard.n_jobs, cost)
            per_job_s[stage] = cost.cpu_s / shard.n_jobs
        total_s += per_job_s[stage] * shard.n_jobs
    print(f"{len(found)} shards, {n_jobs} jobs: {total_s:.0f} CPU s")


def fake_products(plan: Plan, stage: Stage) -> None:
    """Write empty files for all that a stage makes."""
    patterns = [plan.job_file("status", task, ".json") for task in stage.tasks]
    for name, entry in plan.table.datasets.items():
        if entry.task in stage.tasks:
            patterns.append(f"{plan.root}/{plan.table.path_template(name)}")
    for path in plan.expand(patterns):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def time_plans(folder: Path, n_visits: int, n_detectors: int, kinds: list[str]) -> Costs:
    """Print what planning the first look at all visits costs; return it with numbers of jobs."""
    os.chdir(folder)
    first = Shard(STAGES[:1])
    costs: Costs = {}
    for batch in ("detector", "visit"):
        if batch not in kinds:
            continue
        run = load_run("config/config.yaml").model_copy(update={"batch": batch})
        words = snakemake_words(load_plan(run), first)
        command = [*SNAKEMAKE, "shard", "--dry-run", "--quiet", "rules"]
        command += ["--snakefile", str(snakefile()), *words, f"batch={batch}"]
        count = n_visits * (3 + 2 * (n_detectors if batch == "detector" else 1)) + 1
        costs[batch] = count, measure(command, folder)
        tell(f"dry run, batch: {batch}", *costs[batch])
    if "bare" in kinds:
        costs["bare"] = time_bare_rules(folder, n_visits * (3 + 2 * n_detectors) + 1)
    return costs


def time_bare_rules(folder: Path, count: int) -> tuple[int, Cost]:
    """Print what planning so many jobs costs that have one input and one output."""
    bare = folder / "bare"
    bare.mkdir()
    (bare / "in.txt").touch()
    (bare / "Snakefile").write_text(BARE.format(n_jobs=count - 1))
    cost = measure([*SNAKEMAKE, "--dry-run", "-q", "rules"], bare)
    tell("dry run, bare rules", count, cost)
    return count, cost


def tell_growth(before: Costs, now: Costs) -> None:
    """Print the powers of the number of jobs with which time and memory have grown."""
    for kind in before.keys() & now.keys():
        (few, small), (many, large) = before[kind], now[kind]
        time_power, memory_power = (
            math.log(after / first) / math.log(many / few)
            for first, after in zip(small, large, strict=True)
        )
        print(f"growth, {kind}: time {time_power:.2f}, memory {memory_power:.2f}")


def time_run(folder: Path, n_visits: int, n_detectors: int) -> None:
    """Print what running the first look costs where no task does anything."""
    code = folder / "code"
    code.mkdir()
    for name in ("Snakefile", "workflow", "profiles", "scripts", "config", "envs"):
        source = share_root() / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, code / name)
    for path in (code / "workflow/rules").glob("*.smk"):
        text = re.sub(r"(?m)^    shell:\n(?:        .*\n)+", FAKE, path.read_text())
        path.write_text(text)
    os.chdir(folder)
    words = snakemake_words(load_plan(load_run("config/config.yaml")), Shard(STAGES[:1]))
    command = [*SNAKEMAKE, "shard", "--quiet", "rules", "--snakefile", str(code / "Snakefile")]
    cost = measure([*command, *words], folder)
    tell("run, tasks that do nothing", n_visits * (3 + 2 * n_detectors) + 1, cost)


def tell(label: str, n_jobs: int, cost: Cost) -> None:
    per_job_ms = 1000 * cost.cpu_s / n_jobs
    print(
        f"{label:<26} {n_jobs:6d} jobs  {cost.cpu_s:6.1f} CPU s, "
        f"{per_job_ms:.1f} ms a job, {cost.memory_mb:.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visits", type=int, nargs="+", default=[8, 80, 157])
    parser.add_argument("--detectors", type=int, default=62)
    parser.add_argument("--plans", nargs="+", default=["detector", "visit", "bare"])
    parser.add_argument("--run", action="store_true", help="run the first of these surveys, too")
    parser.add_argument("--largest", type=int, help="plan all shards of so many jobs instead")
    parser.add_argument("--sample", action="store_true", help="only the first shard of a stage")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        costs: Costs = {}
        for n_visits in args.visits:
            folder = Path(name).resolve() / str(n_visits)
            folder.mkdir()
            make_survey(folder, n_visits, args.detectors)
            print(f"{n_visits} visits of {args.detectors} detectors")
            if args.largest:
                time_all_shards(folder, args.largest, sample=args.sample)
                continue
            time_shards(folder)
            now = time_plans(folder, n_visits, args.detectors, args.plans)
            tell_growth(costs, now)
            costs = now
            if args.run and n_visits == args.visits[0]:
                time_run(folder, n_visits, args.detectors)
        if not args.largest:
            time_look_ups(folder)
            time_status(folder)


if __name__ == "__main__":
    main()
