"""A whole simulation on disk: calibrations, raw frames, camera, reference catalogue and truth.

Every file appears whole or not at all, and each depends on the configuration alone, so that an
interrupted simulation is taken up where it stopped. ``simulation.partial.json`` marks one that
is under way, ``simulation.json`` one that is complete.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

import drpflow
from drpflow.errors import InputError
from drpflow.io.atomic import remove_strays, write_json, write_text
from drpflow.memory import keep_freed_memory
from drpflow.progress import track
from drpflow.sim.calibration_files import calibration_paths, write_calibrations
from drpflow.sim.calibration_frames import calibrate_detector, finish_camera
from drpflow.sim.camera_file import THROUGHPUT_FOLDER, camera_text
from drpflow.sim.readout import Readout
from drpflow.sim.streams import FrameKind
from drpflow.sim.survey import Survey
from drpflow.sim.truth_detectors import collect_frame_tables, frame_table_path, write_hardware
from drpflow.sim.writer import raw_path, truth_path, write_raw, write_truth_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.sim.calibration_frames import DetectorCalibrations
    from drpflow.sim.config import SurveyConfig

COMPLETE = "simulation.json"
PARTIAL = "simulation.partial.json"


@dataclass(frozen=True)
class Outcome:
    """What a simulation consists of.

    Attributes
    ----------
    folder
        Where it is.
    visits, detectors, frames
        Numbers.
    made
        Raw frames made now; the others were there.
    """

    folder: Path
    visits: int
    detectors: int
    frames: int
    made: int


def simulate(config: SurveyConfig, folder: Path, cores: int = 1) -> Outcome:
    """Make a simulation, or what is missing of it.

    Parameters
    ----------
    config
        The survey.
    folder
        Where to; made if need be.
    cores
        Processes.

    Raises
    ------
    InputError
        If the folder holds another simulation or other files, or if photons make no noise.
    """
    if not config.detector.photon_noise:
        raise InputError(
            config.name,
            "detector.photon_noise is off, and gains cannot be measured without it",
            "Leave it on; noise-free images are part of the truth",
        )
    survey = Survey.build(config)
    frames = [(v.visit, d.id) for v in survey.visits for d in survey.instrument.detectors]
    numbers = (len(survey.visits), len(survey.instrument.detectors), len(frames))
    if not claim(folder, config):
        return Outcome(folder, *numbers, made=0)
    missing = [f for f in frames if not _raw(folder, survey, *f).is_file()]
    uncalibrated = not _calibrated(folder, survey)
    detectors = [d.id for d in survey.instrument.detectors] if uncalibrated else []
    jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
    jobs += [(_calibrate, (detector,)) for detector in detectors]
    jobs += [(_make_frame, (folder, *frame)) for frame in missing]
    results = track(_run_jobs(config, jobs, cores), len(jobs), f"simulating {config.name}")
    measured = [item for item in results if item is not None]
    if measured:
        for item in finish_camera(sorted(measured, key=lambda m: m.detector_id)):
            write_calibrations(folder / "calib", survey.instrument.name, item)
    _write_survey(survey, folder)
    write_json(folder / COMPLETE, _identity(config))
    (folder / PARTIAL).unlink(missing_ok=True)
    return Outcome(folder, *numbers, made=len(missing))


def claim(folder: Path, config: SurveyConfig) -> bool:
    """Mark a folder as that of a simulation; return whether there is anything to do.

    Raises
    ------
    InputError
        If it holds another simulation, or files of another kind.
    """
    identity = _identity(config)
    for name in (COMPLETE, PARTIAL):
        path = folder / name
        if path.is_file():
            _compare(path, identity)
            remove_strays(folder)
            return name == PARTIAL
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(
            folder, "is not empty, and holds no simulation", "Choose another folder with --output"
        )
    write_json(folder / PARTIAL, identity)
    return True


def _identity(config: SurveyConfig) -> dict[str, Any]:
    return {"version": drpflow.__version__, "config": config.model_dump(mode="json")}


def _compare(path: Path, identity: dict[str, Any]) -> None:
    """Raise InputError if a marker tells of a simulation with other settings."""
    remedy = "Choose another folder with --output, or remove this one"
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        raise InputError(path, "cannot be read", remedy) from None
    difference = first_difference(found, identity)
    if difference is not None:
        key, there, wanted = difference
        raise InputError(
            path.parent,
            f"holds another simulation: {key} is {there!r} there, {wanted!r} is wanted",
            remedy,
        )


def first_difference(found: Any, wanted: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """Return the first key, with its two values, in which two JSON values differ."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted(found.keys() | wanted.keys()):
            below = f"{key}.{name}" if key else name
            difference = first_difference(found.get(name), wanted.get(name), below)
            if difference is not None:
                return difference
        return None
    return None if found == wanted else (key, found, wanted)


def _raw(folder: Path, survey: Survey, visit: int, detector: int) -> Path:
    night = survey.visit(visit).night
    return raw_path(folder / "raw", survey.instrument.name, night, visit, detector)


def _calibrated(folder: Path, survey: Survey) -> bool:
    filters = tuple(f.physical_filter for f in survey.instrument.filters)
    return all(
        path.is_file()
        for d in survey.instrument.detectors
        for path in calibration_paths(
            folder / "calib", survey.instrument.name, d.id, filters
        ).values()
    )


def _write_survey(survey: Survey, folder: Path) -> None:
    """Write what belongs to no frame: camera, throughputs, reference catalogue, truth."""
    write_text(folder / "camera.yaml", camera_text(survey.instrument, survey.config.detector))
    survey.write_throughputs(folder / THROUGHPUT_FOLDER)
    survey.write_reference(folder / "reference" / "reference_stars.parquet")
    survey.write_truth(folder / "truth")
    write_hardware(survey, folder / "truth")
    collect_frame_tables(survey, folder / "truth")


def dome_light(survey: Survey, detector: int) -> dict[str, NDArray[np.float64]]:
    """Return the flat-field light on a detector by filter, 1 at the median of the camera."""
    found = {}
    for item in survey.instrument.filters:
        name = item.physical_filter
        # Every 16th pixel is plenty for the median of something smooth.
        samples = [
            survey.dome_illumination(d.id, name)[::16, ::16].ravel()
            for d in survey.instrument.detectors
        ]
        middle = float(np.median(np.concatenate(samples)))
        found[name] = survey.dome_illumination(detector, name) / middle
    return found


class _Worker:
    """What a process keeps from job to job."""

    survey: Survey
    readout: Readout


def _start(config: SurveyConfig) -> None:
    """Prepare a process; a survey is built in some hundredths of a second."""
    keep_freed_memory()
    _Worker.survey = Survey.build(config)
    _Worker.readout = Readout(config.detector, config.seed)


def _calibrate(detector: int) -> DetectorCalibrations:
    survey = _Worker.survey
    return calibrate_detector(
        _Worker.readout,
        survey.instrument.detector(detector),
        dome_light(survey, detector),
        len(survey.instrument.detectors),
    )


def _make_frame(folder: Path, visit: int, detector: int) -> None:
    """Make one raw frame; it is written last, so that where it is, its truth is too."""
    survey, readout = _Worker.survey, _Worker.readout
    truth, place = survey.visit(visit), survey.instrument.detector(detector)
    scene = survey.render(visit, detector)
    exposure = readout.expose(
        scene.electrons,
        place,
        truth.exposure_time_s,
        ids=(int(FrameKind.SCIENCE), visit),
        physical_filter=truth.physical_filter,
    )
    if survey.config.detector.truth_images:
        defects = np.zeros(scene.electrons.shape, bool)
        for defect in readout.sensor(place).defects:
            defects[defect.index] = True
        flags = {
            "SATURATED": exposure.truth["saturated"],
            "DEFECT": defects,
            "TRAIL": scene.trail_mask,
            "GHOST": scene.ghost_mask,
        }
        path = truth_path(folder / "truth", visit, detector)
        write_truth_images(path, scene.electrons, exposure, flags)
    numbers = {"visit": visit, "detector": detector, **exposure.numbers}
    write_json(frame_table_path(folder / "truth", visit, detector), numbers)
    path = _raw(folder, survey, visit, detector)
    write_raw(path, exposure, truth, place, survey.instrument, survey.config.detector)


def _run_jobs(
    config: SurveyConfig, jobs: list[tuple[Callable[..., Any], tuple[Any, ...]]], cores: int
) -> Iterator[Any]:
    """Yield the results of jobs in the order in which they end."""
    if cores <= 1 or len(jobs) <= 1:
        _start(config)
        for function, arguments in jobs:
            yield function(*arguments)
        return
    # Fresh processes: a fork of one that has threads (progress bar, BLAS) may hang.
    with (
        _single_threaded(),
        ProcessPoolExecutor(
            min(cores, len(jobs)), get_context("spawn"), initializer=_start, initargs=(config,)
        ) as pool,
    ):
        futures = [pool.submit(function, *arguments) for function, arguments in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let the processes started meanwhile use one thread each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
