"""The frames of a run and what belongs to each, as dictionaries made once.

Snakemake calls an input function once a job, with the wildcards as texts. Everything here is
therefore looked up under texts, and nothing is searched for: 10,000 jobs cost 10,000 look-ups.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from drpflow.config.isr import CalibrationKind
from drpflow.errors import InputError, suggest
from drpflow.io.sheets import (
    CALIBRATIONS,
    EXPOSURES,
    VISITS,
    CalibrationIndex,
    read_calibrations,
    read_exposures,
    read_visits,
)
from drpflow.workflow.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from drpflow.config.run import RunConfig
    from drpflow.data.camera import Camera
    from drpflow.io.sheets import CalibrationRow, ExposureRow, VisitRow

Key = tuple[str, str]
"""Visit and detector, as wildcards give them."""


class Frame(NamedTuple):
    """A detector's frame in a visit, and the calibrations that it takes."""

    exposure: ExposureRow
    calibrations: dict[str, CalibrationRow]


class Survey:
    """The visits and frames of a run.

    Parameters
    ----------
    visits
        The visits.
    frames
        The frames of these visits.
    camera
        The camera.
    presence
        Tells which files are there.
    warnings
        What the user should know about files that are not there, in sentences.
    """

    def __init__(
        self,
        visits: Iterable[VisitRow],
        frames: Iterable[Frame],
        camera: Camera,
        presence: Presence,
        warnings: Iterable[str] = (),
    ) -> None:
        self.visits = {str(row.visit): row for row in visits}
        self.frames: dict[Key, Frame] = {
            (str(f.exposure.visit), str(f.exposure.detector)): f for f in frames
        }
        self.camera = camera
        self.warnings = tuple(warnings)
        self._presence = presence
        self._digests: dict[tuple[int, str], str] = {}

    def frame_files(self, wildcards: Any) -> dict[str, str]:
        """Return the files that a frame needs and that are there, by name.

        That is ``raw``, ``weight``, ``mask`` and each kind of calibration. All at once, since
        each function that Snakemake calls for a job costs some 30 µs before the call.
        """
        frame = self.frames[wildcards.visit, wildcards.detector]
        files = _named_files(frame)
        is_input = self._presence.is_input
        return {name: path for name, path in files.items() if is_input(path, frame.exposure)}

    def frame_options(self, wildcards: Any) -> str:
        """Return what the command line says of a frame's files, there or not, for the shell.

        ``--<name> PATH`` for each, ``--hdu HDU`` for the raw file, and ``--<name>-hdu HDU`` for a
        calibration that does not stand where the script looks by itself.
        """
        frame = self.frames[wildcards.visit, wildcards.detector]
        words: list[str] = []
        for name, path in _named_files(frame).items():
            option = f"--{name.replace('_', '-')}"
            words += [option, path]
            calibration = frame.calibrations.get(name)
            if name == "raw":
                words += ["--hdu", str(frame.exposure.hdu)]
            elif calibration is not None and calibration.hdu not in {0, ""}:
                words += [f"{option}-hdu", str(calibration.hdu)]
        return shlex.join(words)

    def visit_row(self, wildcards: Any) -> str:
        """Return a row of the visit sheet as JSON, texts all, without what is unknown."""
        row = self.visits[wildcards.visit]._asdict()
        return json.dumps({k: str(value) for k, value in row.items() if value not in {None, ""}})

    def camera_digest(self, wildcards: Any) -> str:
        """Return a digest of what of the camera file matters for one frame.

        That is the detector itself, the optics, the filter and the observatory; not the other
        detectors and filters, nor where headers keep things, which ingest alone reads.
        """
        return self._frame_digest(wildcards.visit, wildcards.detector)

    def observatory_digest(self, wildcards: Any) -> str:  # noqa: ARG002 - called by Snakemake
        """Return a digest of what of the camera file matters for visit-wide metadata."""
        return _digest(self.camera.observatory.model_dump(mode="json"))

    def throughput_files(self, wildcards: Any) -> list[str]:  # noqa: ARG002 - called by Snakemake
        """Return the files of the filters' throughputs, as far as they are there."""
        from drpflow.io.camera_yaml import throughput_file

        pairs = ((f, d.id) for f in self.camera.filters for d in self.camera.detectors)
        found = dict.fromkeys(throughput_file(*pair) for pair in pairs)
        return [str(path) for path in found if path is not None and path.is_file()]

    def passband_digest(self, wildcards: Any) -> str:  # noqa: ARG002 - called by Snakemake
        """Return a digest of what matters for passbands, but the throughput files."""
        from drpflow.io.absorption import absorption_file

        wanted = {"name", "observatory", "filters"}
        parts = self.camera.model_dump(mode="json", include=wanted)
        ids = [d.id for d in self.camera.detectors]
        return _digest([parts, ids, absorption_file().read_text()])

    def visit_camera_digest(self, wildcards: Any) -> str:
        """Return a digest of what of the camera file matters for all frames of a visit."""
        keys = [(wildcards.visit, detector) for detector in self.detectors[wildcards.visit]]
        return _digest([self._frame_digest(*key) for key in keys])

    def survey_camera_digest(self, wildcards: Any) -> str:  # noqa: ARG002 - called by Snakemake
        """Return a digest of what of the camera file matters for all frames of the survey."""
        digests = {self._frame_digest(*key) for key in self.frames}
        return _digest(sorted(digests))

    @cached_property
    def detectors(self) -> dict[str, list[str]]:
        """The detectors of each visit, in the order of the exposure sheet."""
        found: dict[str, list[str]] = {visit: [] for visit in self.visits}
        for visit, detector in self.frames:
            found[visit].append(detector)
        return found

    def of_visit(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills a path pattern with a visit's detectors."""

        def paths(wildcards: Any) -> list[str]:
            visit = wildcards.visit
            return [pattern.format(visit=visit, detector=d) for d in self.detectors[visit]]

        return paths

    def expand(self, pattern: str | list[str]) -> list[str]:
        """Return a path pattern filled with every visit, or every visit and detector."""
        if not isinstance(pattern, str):
            return [path for item in pattern for path in self.expand(item)]
        if "{detector}" in pattern:
            return [pattern.format(visit=v, detector=d) for v, d in self.frames]
        if "{visit}" in pattern:
            return [pattern.format(visit=visit) for visit in self.visits]
        return [pattern]

    @cached_property
    def megapixels(self) -> float:
        """Size of the largest detector, in million pixels."""
        return max(d.size_pix[0] * d.size_pix[1] for d in self.camera.detectors) / 1e6

    @cached_property
    def most_detectors(self) -> int:
        """The largest number of detectors that a visit has."""
        return max(map(len, self.detectors.values()))

    @cached_property
    def largest_side_pix(self) -> int:
        """The longer side of the largest detector."""
        return max(max(d.size_pix) for d in self.camera.detectors)

    @cached_property
    def bands(self) -> list[str]:
        """Bands of the camera, in the order of its file."""
        return list(dict.fromkeys(f.band for f in self.camera.filters))

    @cached_property
    def pixel_arcsec(self) -> float:
        """Pixel scale at the centre of the field, the largest of all detectors."""
        pitch_mm = max(d.pixel_size_mm for d in self.camera.detectors)
        return round(pitch_mm * self.camera.optics.plate_scale_arcsec_per_mm, 6)

    def _frame_digest(self, visit: str, detector: str) -> str:
        row = self.frames[visit, detector].exposure
        key = row.detector, self.visits[visit].physical_filter
        if key not in self._digests:
            self._digests[key] = _digest(self._camera_parts(*key))
        return self._digests[key]

    def _camera_parts(self, detector: int, physical_filter: str) -> dict[str, Any]:
        wanted = {"name", "optics", "observatory", "raw_unit", "wcs_from"}
        parts = self.camera.model_dump(mode="json", include=wanted)
        parts["detector"] = self.camera.detector(detector).model_dump(mode="json")
        item = self.camera.filter(physical_filter)
        parts["filter"] = item.model_dump(
            mode="json", exclude={"throughput", "detector_throughput"}
        )
        return parts


def load_survey(
    run: RunConfig,
    camera: Camera,
    is_done: Callable[[ExposureRow], bool],
    *,
    kinds: Iterable[str] = get_args(CalibrationKind),
    warn: bool = True,
) -> Survey:
    """Read the sheets of a run.

    Parameters
    ----------
    run
        The run configuration.
    camera
        Its camera.
    is_done
        Tells whether a frame has been processed. Such a one needs its files no more.
    kinds
        Kinds of calibration that may stand in the sheet. Those that isr takes go to it.
    warn
        Look for all files at once, to warn of those that are not there.

    Raises
    ------
    InputError
        If a sheet is faulty, names a detector or filter that the camera has not or a kind of
        calibration that there is not, nothing is left to do, or no raw file is there.
    """
    visits_path = run.sheets / VISITS
    all_visits = read_visits(visits_path)
    exposures = read_exposures(run.sheets / EXPOSURES, all_visits)
    visits = {row.visit: row for row in all_visits if run.selects(row.visit)}
    exposures = [row for row in exposures if row.visit in visits]
    _check_camera(run, camera, visits.values(), exposures)
    calibrations = _isr_calibrations(run.sheets / CALIBRATIONS, set(kinds))
    if not exposures:
        raise InputError(
            run.sheets / EXPOSURES,
            "no frame is left to process",
            "Check `visits` in the config file, and the rows of the sheet",
        )
    presence = Presence(is_done)
    sheets = run.sheets / EXPOSURES, run.sheets / CALIBRATIONS
    warnings = presence.warnings(exposures, calibrations, sheets) if warn else []
    index = CalibrationIndex(calibrations, run.sheets / CALIBRATIONS)
    frames = [_frame(row, visits[row.visit], index) for row in exposures]
    used = {row.visit for row in exposures}
    rows = [row for visit, row in visits.items() if visit in used]
    return Survey(rows, frames, camera, presence, warnings)


def _frame(exposure: ExposureRow, visit: VisitRow, index: CalibrationIndex) -> Frame:
    return Frame(exposure, index.select(exposure.detector, visit.physical_filter, visit.mjd))


def _check_camera(
    run: RunConfig, camera: Camera, visits: Iterable[VisitRow], exposures: Iterable[ExposureRow]
) -> None:
    detectors = {d.id for d in camera.detectors}
    filters = {f.physical_filter for f in camera.filters}
    for visit in visits:
        if visit.physical_filter not in filters:
            raise InputError(
                run.sheets / VISITS,
                f"visit {visit.visit} has the filter {visit.physical_filter!r}",
                f"Camera {camera.name} has {', '.join(sorted(filters))}; add it to {run.camera}",
            )
    for row in exposures:
        if row.detector not in detectors:
            raise InputError(
                run.sheets / EXPOSURES,
                f"visit {row.visit} has a detector {row.detector}",
                f"Camera {camera.name} has no such detector; check `camera` in the config file",
            )


def _isr_calibrations(sheet: Path, kinds: set[str]) -> list[CalibrationRow]:
    """Return the rows of the calibration sheet that isr takes."""
    rows = read_calibrations(sheet)
    for row in rows:
        if row.kind not in kinds:
            raise InputError(
                sheet,
                f"{row.path} is of a kind {row.kind!r}{suggest(row.kind, kinds)}",
                f"Kinds: {', '.join(sorted(kinds))}",
            )
    taken = get_args(CalibrationKind)
    return [row for row in rows if row.kind in taken]


def _named_files(frame: Frame) -> dict[str, str]:
    """Return the files that a frame needs by name, there or not."""
    row = frame.exposure
    files = {"raw": row.path, "weight": row.weight_path, "mask": row.mask_path}
    files |= {kind: calibration.path for kind, calibration in frame.calibrations.items()}
    return {name: path for name, path in files.items() if path}


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
