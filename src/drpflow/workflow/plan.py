"""Everything that the rules look up, gathered when Snakemake reads the Snakefile."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shlex
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drpflow
from drpflow import paths
from drpflow.config.run import build_run
from drpflow.config.sky_map import USUAL_PATCH_PIX
from drpflow.data.sky_map import sky_map_from_json
from drpflow.errors import InputError, suggest
from drpflow.io.config_file import read_config_file
from drpflow.io.datasets import DatasetTable
from drpflow.io.sheets import CALIBRATIONS, REJECTED
from drpflow.io.status_files import read_outcome
from drpflow.workflow.astrometry_pieces import AstrometryPieces, skypix_level
from drpflow.workflow.code_notes import note_code
from drpflow.workflow.detector_patches import DetectorPatches
from drpflow.workflow.filter_visits import FilterVisits
from drpflow.workflow.fingerprint import fingerprints
from drpflow.workflow.job_server import client_prefix
from drpflow.workflow.number_lists import spans
from drpflow.workflow.overlaps import Overlaps, detector_circle, slack_deg
from drpflow.workflow.plan_cache import PlanCache
from drpflow.workflow.presence import Presence
from drpflow.workflow.runtime import runtime_min
from drpflow.workflow.shards import targets as shard_targets
from drpflow.workflow.snakemake_notes import recorded_inputs
from drpflow.workflow.survey import Survey, load_survey
from drpflow.workflow.tract_overlaps import TractOverlaps, shorter_side_deg, suggested_field
from drpflow.workflow.visit_batch import ANY_VISIT, VisitBatch
from drpflow.workflow.visit_pieces import VisitPieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.config.run import RunConfig
    from drpflow.io.sheets import ExposureRow

# Look-ups that take long for a large survey.
_LOOK_UPS = ("overlaps", "astrometry", "visit_pieces", "tracts", "patches")
# Memory of a task's process before it has read anything, MB: 270, and 560 where it compiles
# kernels.
_PROCESS_MB = 600
# Snakemake makes hundreds of objects a job, which live as long as the run. To search them for
# cycles of dead ones, again and again as their number grows, takes a sixth of the time of planning.
_NEW_OBJECTS_BEFORE_GC = 200_000


@dataclass(frozen=True)
class Plan:
    """A run, ready to be turned into jobs.

    Parameters
    ----------
    run
        The validated configuration.
    table
        The dataset types.
    survey
        The frames and what belongs to each.
    code
        Code fingerprint by task, of the tasks that exist.
    """

    run: RunConfig
    table: DatasetTable
    survey: Survey
    code: dict[str, str]

    @property
    def root(self) -> str:
        """Output root."""
        return str(self.run.output)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Labels of the tasks that exist, in the order of the table."""
        return tuple(self.code)

    @cached_property
    def overlaps(self) -> Overlaps:
        """Which visits touch which pieces of the sky."""
        return Overlaps(self.survey, self.run.skypix)

    @cached_property
    def filters(self) -> FilterVisits:
        """Which visits were taken in each filter."""
        return FilterVisits(self.survey)

    @cached_property
    def astrometry(self) -> AstrometryPieces:
        """Which visits and stars belong to the pieces of the sky in which astrometry is solved."""
        return AstrometryPieces(self.overlaps, self.run.skypix.astrometry_order)

    @cached_property
    def visit_pieces(self) -> VisitPieces:
        """Which pieces of the sky each visit touches."""
        return VisitPieces(self.overlaps, self.astrometry)

    @cached_property
    def sky_map(self) -> str:
        """The section skyMap as JSON, as scripts take it: with scale and size of patches.

        Raises
        ------
        InputError
            If the layout is a field, and none is given.
        """
        section = self.run.skyMap
        if section.layout == "field" and section.field is None:
            raise InputError(
                "skyMap (config)",
                "the layout field has no centre",
                f"Add field: {_yaml(suggested_field(self.survey))}, which is about the mean "
                "boresight and holds all visits",
            )
        # What decides on jobs alone makes none of them stale.
        jobs = {"tracts", "margin_deg"}
        values = section.model_dump(mode="json", exclude_defaults=True, exclude=jobs)
        values.setdefault("pixel_scale_arcsec", self.survey.pixel_arcsec)
        least, largest = USUAL_PATCH_PIX
        side = min(max(self.survey.largest_side_pix, least), largest)
        values.setdefault("patch_inner_pix", max(side, 2 * section.patch_border_pix))
        return json.dumps(values, sort_keys=True)

    @cached_property
    def tracts(self) -> TractOverlaps:
        """Which visits touch which tracts and patches."""
        sky_map = sky_map_from_json(self.sky_map)
        return TractOverlaps(self.survey, sky_map, self.margin_deg, self.run.skyMap.tracts)

    @cached_property
    def margin_deg(self) -> float:
        """How far detectors may be from their stated places, as coadds are laid out."""
        stated = self.run.skyMap.margin_deg
        if stated is not None:
            return stated
        return min(self.run.skypix.margin_deg, shorter_side_deg(self.survey.camera) / 2)

    @property
    def pointing_margin_deg(self) -> float:
        """How far a boresight may be from the stated one, as coadds are laid out."""
        camera = self.survey.camera
        shapes = [detector_circle(d, camera) for d in camera.detectors]
        return self.margin_deg + slack_deg(shapes, camera)

    @cached_property
    def patches(self) -> DetectorPatches:
        """Which patches each detector touches."""
        return DetectorPatches(self.tracts)

    def expand(self, pattern: str | list[str]) -> list[str]:
        """Return a path pattern filled with all visits, detectors, filters or pieces of sky."""
        if not isinstance(pattern, str):
            return [path for item in pattern for path in self.expand(item)]
        if "{tract}" in pattern:
            return self.tracts.expand(pattern)
        if "{physical_filter}" in pattern:
            return self.filters.expand(pattern)
        if "{skypix}" not in pattern:
            return self.survey.expand(pattern)
        if skypix_level(self.table, pattern) == "astrometry":
            return self.astrometry.expand(pattern)
        return self.overlaps.expand(pattern)

    @property
    def warnings(self) -> list[str]:
        """What the user should know of the run, in sentences."""
        strangers = (
            self._strange_pieces("isolated_stars", "association"),
            self._strange_pieces("solved_astrometry_stars", "astrometry"),
        )
        return [*self.survey.warnings, *filter(None, strangers)]

    def _strange_pieces(self, name: str, level: str) -> str:
        """Return a sentence on pieces of the sky that are there and are not of this run."""
        template = self.table.template(name)
        known = set(self.expand(template.template))
        found = (path.parent for path in Path(self.root).glob(template.glob({})))
        others = [p.name for p in found if f"{name}/{p.name}/{name}.parquet" not in known]
        if not others:
            return ""
        return (
            f"{self.root}/{name}: {len(others)} pieces of the sky, such as {min(others)}, "
            f"are not of this run (other visits, or another skypix.{level}_order). Remove "
            "their folders, or Store.get finds their stars too"
        )

    @cached_property
    def all_visits(self) -> str:
        """All visits, in few words."""
        return spans(map(int, self.survey.visits))

    @cached_property
    def all_skypix(self) -> str:
        """All pieces of the sky, in few words."""
        return spans(map(int, self.overlaps.visits))

    @property
    def by_visit(self) -> bool:
        """Whether all detectors of a visit are processed in one job."""
        return self.run.batch == "visit" and len(self.batch.detectors) > 1

    @cached_property
    def batch(self) -> VisitBatch:
        """Look-ups for jobs that process all detectors of a visit."""
        return VisitBatch(self.survey)

    @property
    def visits_by_detector(self) -> str:
        """Regular expression of the visits whose detectors are processed one a job."""
        return self.batch.other_pattern if self.by_visit else ANY_VISIT

    @property
    def reference_files(self) -> list[str]:
        """The reference catalogue where it is one file; Snakemake notices when it changes."""
        path = self.run.reference_stars
        return [] if path is None or path.is_dir() else [str(path)]

    @property
    def rejected(self) -> str:
        """The list of the files that ingest did not take, there or not."""
        return str(self.run.sheets / REJECTED)

    @property
    def rejected_files(self) -> list[str]:
        """That list, where it is there."""
        return [self.rejected] if Path(self.rejected).is_file() else []

    @property
    def bright_objects(self) -> list[str]:
        """The region file of bright objects that are marked on coadds, if there is one."""
        path = self.run.compareWarpAssembleCoadd.bright_objects
        return [] if path is None else [path]

    @property
    def reference_options(self) -> str:
        """What a command line says of the reference catalogue, for the shell."""
        path = self.run.reference_stars
        return "" if path is None else f"--reference-stars {shlex.quote(str(path))}"

    @cached_property
    def reference_digest(self) -> str:
        """Digest of names, sizes and times of a catalogue's files, where it is a folder."""
        path = self.run.reference_stars
        if path is None or not path.is_dir():
            return ""
        files = sorted(path.rglob("*.parquet"))
        about = [(str(f.relative_to(path)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return hashlib.sha256(repr(about).encode()).hexdigest()[:16]

    def is_temporary(self, name: str) -> bool:
        """Return whether a dataset type is deleted after use in this run."""
        return self.table.is_temporary(name) and name not in self.run.keep

    def is_folder(self, name: str) -> bool:
        """Return whether the rule of a dataset type declares a folder, of all visits of a piece."""
        entry = self.table.datasets[name]
        of_task = {*self.table.tasks[entry.task].dimensions}
        return "visit" in entry.dimensions and of_task.isdisjoint({"visit", "instrument"})

    @cached_property
    def shard_targets(self) -> list[str]:
        """Products of the shard that the configuration names."""
        return shard_targets(self, self.run.shard)

    def to_keep(self) -> dict[str, Any]:
        """Return what other processes of the run need not make again."""
        rows = list(self.survey.visits.values()), list(self.survey.frames.values())
        return {
            "survey": (*rows, self.survey.camera),
            "look_ups": {name: getattr(self, name) for name in _LOOK_UPS},
        }

    def memory_mb(self, bytes_per_pixel: float) -> Callable[[Any, int], int]:
        """Return the memory that a job asks for, by attempt, as a function for ``resources:``.

        Parameters
        ----------
        bytes_per_pixel
            Peak memory of the task beyond an empty process, per pixel of a detector.
        """
        first = round(_PROCESS_MB + bytes_per_pixel * self.survey.megapixels)
        return lambda wildcards, attempt: first * attempt  # noqa: ARG005 - names that Snakemake gives

    def survey_memory_mb(self, megabytes_per_visit: float) -> Callable[[Any, int], int]:
        """Return the memory that a job on all visits asks for, by attempt.

        Parameters
        ----------
        megabytes_per_visit
            Peak memory of the task beyond an empty process, for each visit.
        """
        first = round(_PROCESS_MB + megabytes_per_visit * len(self.survey.visits))
        return lambda wildcards, attempt: first * attempt  # noqa: ARG005 - names that Snakemake gives

    def runtime_min(self, task: str, *, of_visit: bool = False) -> Callable[[Any, int], int]:
        """Return the minutes that a job of a task asks for, as :func:`runtime_min` does."""
        return runtime_min(self, task, of_visit=of_visit)

    def job_file(self, folder: str, task: str, suffix: str) -> str:
        """Return the pattern of a file that each job of a task has, below the output root.

        >>> plan.job_file("logs", "isr", ".log")
        'results/logs/isr/visit={visit}/detector={detector}.log'
        """
        path = Path(self.table.status_template(task)).with_suffix(suffix)
        return str(self.run.output / folder / path.relative_to("status"))

    def visit_file(self, folder: str, task: str, suffix: str) -> str:
        """Return the pattern of a file of a job that does all detectors of a visit.

        >>> plan.visit_file("logs", "isr", ".log")
        'results/logs/isr/visit={visit}.log'
        """
        return str(Path(self.job_file(folder, task, "")).parent) + suffix


def load_plan(run: RunConfig, *, warn: bool = True) -> Plan:
    """Read what a run needs.

    Parameters
    ----------
    run
        The validated configuration.
    warn
        Look for all raw frames and calibrations at once, to warn of those that are not there.

    Raises
    ------
    InputError
        If the camera file or a sheet is faulty, or `keep` names no temporary dataset type.
    """
    from drpflow.io.camera_yaml import load_camera

    table = DatasetTable.load()
    _check_keep(run, table)
    _check_bright_objects(run)
    of_isr = [name for name, entry in table.datasets.items() if entry.task == "isr"]

    def is_done(row: ExposureRow) -> bool:
        """Return whether isr has made a frame."""
        job = {"visit": row.visit, "detector": row.detector}
        path = table.status_path(run.output, "isr", **job)
        try:
            return not read_outcome(run.output, path).failed
        except InputError:  # gone, or cut short: it tells nothing
            made_of = recorded_inputs(str(path))
            products = [table.path(run.output, name, **job) for name in of_isr]
            there = path.is_file() or any(product.is_file() for product in products)
            return there and (path.is_file() if made_of is None else row.path in made_of)

    cache = PlanCache(run)
    kept = cache.read()
    if kept is not None and not warn:
        visits, frames, camera = kept["survey"]
        survey = Survey(visits, frames, camera, Presence(is_done))
    else:
        camera = load_camera(run.camera)
        kinds = [name for name, entry in table.inputs.items() if entry.where == CALIBRATIONS]
        survey = load_survey(run, camera, is_done, kinds=kinds, warn=warn)
    plan = Plan(run, table, survey, fingerprints(_scripts(table), _schema_files(table)))
    if kept is not None:
        plan.__dict__.update(kept["look_ups"])
    plan.tracts  # noqa: B018 - made now, where a fault of the configuration is told in a sentence
    if kept is None and warn:
        cache.write(plan.to_keep())
    return plan


def plan_for_snakemake(values: dict[str, Any], workflow: Any) -> Plan:
    """Return the plan for the config that Snakemake has read.

    Parameters
    ----------
    values
        Snakemake's ``config``.
    workflow
        Snakemake's ``workflow``. Its jobs on other machines read the Snakefile again, and do
        not look for all the files of the survey.

    Raises
    ------
    SystemExit
        With one sentence, where the user's files are at fault.
    """
    gc.set_threshold(_NEW_OBJECTS_BEFORE_GC)
    sources = [str(path) for path in workflow.configfiles or workflow.overwrite_configfiles]
    try:
        for path in sources:
            read_config_file(path)  # Snakemake takes the last of keys that stand twice
        run = build_run(values, ", ".join(sources) or "--config")
        check_reference(run)
        plan = load_plan(run, warn=workflow.is_main_process)
        plan.shard_targets  # noqa: B018 - a name that is none is told in a sentence
    except InputError as error:
        sys.exit(f"drpflow: {error}")
    if workflow.is_main_process:
        note_code(plan.code, _scripts(plan.table), _schema_files(plan.table))
    return plan


def check_reference(run: RunConfig) -> None:
    """Raise if a reference catalogue is named and does not exist, or may not be read.

    Raises
    ------
    InputError
        Then.
    """
    path = run.reference_stars
    if path is not None and not path.exists():
        raise InputError(
            path,
            "the reference catalogue does not exist",
            "Make it with `drpflow reference`, or correct `reference_stars` in the config file; "
            "without that line, a run makes everything but WCS and zero point",
        )
    if path is not None and not os.access(path, os.R_OK):
        problem = "the reference catalogue cannot be read (permission denied)"
        raise InputError(path, problem, "Give yourself the right to read it (chmod)")


def shell_prefix(workflow: Any) -> str:
    """Return what stands before every shell command of the workflow.

    It says where the scripts are, and which Python runs them: this very one, whether or not its
    environment is activated; or, under ``--sdm conda``, that of the rule's environment, with
    this package.
    """
    methods = {method.name for method in workflow.deployment_settings.deployment_method}
    variables = {"DRPFLOW_SCRIPTS": str(paths.share_root() / "scripts")}
    if "CONDA" in methods:
        variables["PYTHONPATH"] = str(Path(drpflow.__file__).parents[1])
    else:
        variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    # Snakemake formats the prefix, so that braces must be doubled.
    words = f"set -euo pipefail; export {exports}; {client_prefix()}"
    return words.replace("{", "{{").replace("}", "}}")


def _scripts(table: DatasetTable) -> dict[str, Path]:
    """Return the scripts of the tasks that exist."""
    found = {task: paths.script(task) for task in table.tasks}
    return {task: path for task, path in found.items() if path.is_file()}


def _schema_files(table: DatasetTable) -> dict[str, list[Path]]:
    """Return the column schemas of the tables that each task writes."""
    folder = Path(drpflow.__file__).parent / "schemas"
    files: dict[str, list[Path]] = defaultdict(list)
    for entry in table.datasets.values():
        if entry.table_schema is not None:
            files[entry.task].append(folder / f"{entry.table_schema}.yaml")
    return files


def _yaml(values: dict[str, float]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"


def _check_bright_objects(run: RunConfig) -> None:
    path = run.compareWarpAssembleCoadd.bright_objects
    if path is not None and not Path(path).is_file():
        raise InputError(
            path,
            "the region file of bright objects does not exist",
            "Correct compareWarpAssembleCoadd.bright_objects in the config file, or leave it out",
        )


def _check_keep(run: RunConfig, table: DatasetTable) -> None:
    temporary = [name for name in table.datasets if table.is_temporary(name)]
    for name in run.keep:
        if name not in temporary:
            raise InputError(
                "keep (config)",
                f"{name!r} is no temporary dataset type{suggest(name, temporary)}",
                f"Temporary ones: {', '.join(temporary)}",
            )
