"""Time calibrateImage on one detector of 4096² pixels with 5,000 sources, and each of its parts.

Run ``python benchmarks/bench_calibrate_image.py [--preset detector] [--folder DIR] [--run RUN]``.
The frame is simulated (preset ``detector``) and detrended by isr. Then
``scripts/calibrate_image.py`` runs as the workflow calls it; the first run compiles the kernels
(if that has not been done on this machine), the others count. Its CPU time includes the start
of Python, reading and writing. Then the same is done in this process: what a second pass in one
process costs is the task's own work, what the script costs beyond it (start, imports, loading
of compiled kernels) is overhead. A third pass has a clock about each function.

Where Debian's source-extractor and psfex are installed, they follow on the same frame.

With ``--run``, the folder of a run that kept ``post_isr_image``, the overhead is also measured
on the detectors of that run's first visit, one by one and all in one job (``batch: visit``).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from drpflow.io.run_yaml import load_run
from drpflow.workflow.plan import Plan, load_plan
from drpflow.workflow.task_runner import main as run_task
from drpflow.workflow.task_runner import start_process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SCRIPT = Path(__file__).parents[1] / "scripts/calibrate_image.py"
OUTPUTS = (
    "initial_pvi", "initial_background", "initial_stars_detector",
    "initial_stars_footprints_detector", "initial_thumbnail",
)  # fmt: skip
RUNS = 5


class Cost(NamedTuple):
    """What a process used."""

    wall_s: float
    cpu_s: float
    memory_mb: float


def drpflow(folder: Path, *words: str) -> None:
    """Run a drpflow command in a folder."""
    subprocess.run([sys.executable, "-m", "drpflow.cli", *words], cwd=folder, check=True)


def make_run(folder: Path, preset: str) -> None:
    """Simulate a survey and detrend it."""
    drpflow(folder, "simulate", preset, "--output", "sim", "--cores", "1")
    options = ["--camera", "sim/camera.yaml", "--calibrations", "sim/calib"]
    drpflow(folder, "ingest", "sim/raw", *options, "--output", "sheets")
    config = {
        "camera": "sim/camera.yaml",
        "sheets": "sheets",
        "reference_stars": "sim/reference/reference_stars.parquet",
        "keep": ["post_isr_image"],
    }
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    plan = open_plan(folder)
    visit, detector = next(iter(plan.survey.frames))
    path = plan.table.path(plan.root, "post_isr_image", visit=int(visit), detector=int(detector))
    drpflow(folder, "run", str(path), "--cores", "1")


def open_plan(folder: Path) -> Plan:
    """Enter a run folder and return its plan."""
    os.chdir(folder)
    return load_plan(load_run("config/config.yaml"))


def command_line(plan: Plan, output: Path, visit: int, detector: int | str) -> list[str]:
    """Return the arguments of the script; `detector` may be ``{detector}``."""
    table, root = plan.table, plan.root

    def path(root: str | Path, name: str) -> str:
        return f"{root}/{table.path_template(name)}".format(visit=visit, detector=detector)

    words = ["--post-isr-image", path(root, "post_isr_image")]
    words += ["--visit-info", path(root, "visit_info"), "--camera", plan.run.camera]
    words += ["--detector", str(detector), "--config", plan.run.section("calibrateImage")]
    words += ["--reference-stars", str(plan.run.reference_stars)]
    for name in OUTPUTS:
        words += [f"--{name.replace('_', '-')}", path(output, name)]
    status = f"{output}/{table.status_template('calibrateImage')}"
    return [*words, "--status", status.format(visit=visit, detector=detector)]


def run_script(arguments: Sequence[str], script: Path = SCRIPT) -> Cost:
    """Run the script to its end."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "DRPFLOW_LOG_LEVEL": "ERROR"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"scripts/{script.name} ended with {process.returncode}")
    wall_s = time.perf_counter() - started
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Clock:
    """CPU time spent in functions, less that in the timed functions that they call."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = defaultdict(float)
        self._inner_s = [0.0]

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is timed."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            self._inner_s.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                spent_s = time.process_time() - started
                self.cpu_s[name] += spent_s - self._inner_s.pop()
                self._inner_s[-1] += spent_s

        return wrapper

    def watch(self, task: str = "calibrate_image", files: str = "calibrate") -> None:
        """Time what a task calls of algorithms and of reading and writing."""
        packages = (f"drpflow.tasks.{task}", "drpflow.algorithms", f"drpflow.io.{files}")
        modules = [m for name, m in sys.modules.items() if name.startswith(packages)]
        made: dict[FunctionType, Callable[..., Any]] = {}
        for module in modules:
            for name, item in list(vars(module).items()):
                if isinstance(item, FunctionType) and item.__module__.startswith(packages):
                    if name.startswith("_"):
                        continue
                    label = f"{item.__module__.removeprefix('drpflow.')}.{item.__name__}"
                    made.setdefault(item, self.timed(label, item))
                    setattr(module, name, made[item])


def load_task(script: Path = SCRIPT) -> Any:
    """Return the task that the script declares."""
    spec = importlib.util.spec_from_file_location(f"{script.stem}_script", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TASK


def own_work_s(task: Any, arguments: Sequence[str]) -> float:
    """Return the CPU time of the task in this process, after a first pass."""
    spent_s = []
    for _ in range(RUNS):
        started = time.process_time()
        if run_task(task, list(arguments)):
            raise SystemExit("calibrateImage failed")
        spent_s.append(time.process_time() - started)
    return min(spent_s[1:])


def measure(plan: Plan, output: Path) -> None:
    """Print times, memory, overhead and where the time goes, for the first frame of a run."""
    visit, detector = next((int(v), int(d)) for v, d in plan.survey.frames)
    arguments = command_line(plan, output, visit, detector)
    costs = [run_script(arguments) for _ in range(1 + RUNS)]
    best = min(costs[1:], key=lambda cost: cost.cpu_s)
    for label, cost in (("first run (may compile)", costs[0]), ("best of the others", best)):
        print(f"{label:28s} {cost.wall_s:6.1f} s {cost.cpu_s:7.2f} CPU s {cost.memory_mb:6.0f} MB")
    status = Path(arguments[arguments.index("--status") + 1])
    print(json.loads(status.read_text()))
    task = load_task()
    work_s = own_work_s(task, arguments)
    print(f"{'the same within a process':28s} {work_s:17.2f} CPU s")
    overhead_s = best.cpu_s - work_s
    print(f"{'overhead of a job':28s} {overhead_s:17.2f} CPU s, {overhead_s / best.cpu_s:.1%}")
    clock = Clock()
    clock.watch()
    started = time.process_time()
    run_task(task, arguments)
    whole_s = time.process_time() - started
    pixels = plan.survey.megapixels
    print(f"\n{'function':62s} {'CPU s':>7s} {'ms per Mpixel':>14s}")
    for name, cpu_s in sorted(clock.cpu_s.items(), key=lambda item: -item[1]):
        if cpu_s > 0.005 * whole_s:
            print(f"{name:62s} {cpu_s:7.2f} {1e3 * cpu_s / pixels:14.1f}")
    rest_s = whole_s - sum(cpu for cpu in clock.cpu_s.values() if cpu > 0.005 * whole_s)
    print(f"{'the rest':62s} {rest_s:7.2f} {1e3 * rest_s / pixels:14.1f}")


def compare_batch(plan: Plan, output: Path) -> None:
    """Print the overhead on the detectors of a visit, one by one and in one job."""
    visit = int(next(iter(plan.survey.visits)))
    detectors = [int(d) for d in plan.survey.detectors[str(visit)]]
    task = load_task()
    single = sum(
        min(run_script(command_line(plan, output, visit, d)).cpu_s for _ in range(2))
        for d in detectors
    )
    together = [*command_line(plan, output, visit, "{detector}"), "--for-detectors"]
    together += [",".join(map(str, detectors)), ""]
    batch = min(run_script(together).cpu_s for _ in range(2))
    work_s = sum(own_work_s(task, command_line(plan, output, visit, d)) for d in detectors)
    print(f"\nvisit {visit}: {len(detectors)} detectors, {plan.survey.megapixels:.1f} Mpixel each")
    for label, cpu_s in (("a job a detector", single), ("a job a visit", batch)):
        share = 1 - work_s / cpu_s
        print(f"{label:28s} {cpu_s:7.2f} CPU s, overhead {cpu_s - work_s:6.2f} s, {share:.1%}")


def measure_rivals(plan: Plan, output: Path) -> None:
    """Print what source-extractor, psfex and source-extractor again cost on the same frame.

    They get the cosmic rays that calibrateImage found, and its seeing.
    """
    from frame_scores import DEAD
    from rivals import run_rivals

    from drpflow import Store

    visit, detector = next((int(v), int(d)) for v, d in plan.survey.frames)
    key = {"visit": visit, "detector": detector}
    detrended = Store(plan.root).get("post_isr_image", **key)
    calibrated = Store(output).get("initial_pvi", **key)
    ny, nx = detrended.shape
    fwhm_pix = 2.355 * float(calibrated.psf.compute_sigma(nx / 2, ny / 2))
    scale_arcsec = float(calibrated.wcs.pixel_scale_arcsec(nx / 2, ny / 2))
    bad = calibrated.mask.any((*DEAD, "CR"))
    image, variance = detrended.image, detrended.variance
    runs = [run_rivals(image, variance, bad, fwhm_pix, scale_arcsec) for _ in range(2)]
    best = min(runs, key=lambda run: sum(run.cpu_s.values()))
    print(f"\nsource-extractor, psfex, source-extractor: {len(best.catalog)} sources")
    parts = ", ".join(f"{step} {cpu_s:.2f}" for step, cpu_s in best.cpu_s.items())
    print(f"{sum(best.cpu_s.values()):.2f} CPU s ({parts}), {best.peak_mb:.0f} MB")


def restart_with_one_thread() -> None:
    """Start this program anew if numpy, loaded by now, may use several threads."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        os.environ["OMP_NUM_THREADS"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> None:
    restart_with_one_thread()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", default="detector", help="simulation that is processed")
    parser.add_argument("--folder", type=Path, help="where to work, kept; else a temporary folder")
    parser.add_argument("--run", type=Path, help="run folder of small detectors, for batch: visit")
    args = parser.parse_args()
    start_process()
    run = args.run.resolve() if args.run else None
    with tempfile.TemporaryDirectory() as name:
        folder = (args.folder or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "config").exists():
            make_run(folder, args.preset)
        plan = open_plan(folder)
        measure(plan, Path(name) / "products")
        if shutil.which("psfex"):
            measure_rivals(plan, Path(name) / "products")
        if run is not None:
            compare_batch(open_plan(run), Path(name) / "products")
        os.chdir(Path(__file__).parent)


if __name__ == "__main__":
    main()
