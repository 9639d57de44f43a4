"""The whole of ``drpflow ingest``: folders in, sheets out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drpflow.errors import InputError
from drpflow.ingest.header_map import check_header_map
from drpflow.ingest.scan import Scan, fits_files, scan
from drpflow.ingest.visits import Survey, assemble
from drpflow.io.sheets import (
    CALIBRATIONS,
    EXPOSURES,
    REJECTED,
    VISITS,
    CalibrationRow,
    ExposureRow,
    RejectedRow,
    VisitRow,
    read_calibrations,
    read_exposures,
    read_rejected,
    read_visits,
    write_sheet,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drpflow.data.camera import Camera


@dataclass(frozen=True)
class IngestResult:
    """What an ingest found and wrote.

    Parameters
    ----------
    scan
        What was found in the folders.
    survey
        All rows of the visit and exposure sheets, those of earlier ingests included.
    calibrations
        All rows of the calibration sheet.
    gone
        Exposures of the earlier sheet whose files have left the folder.
    changed
        The sheets that are new or differ from what they were.
    """

    scan: Scan
    survey: Survey
    calibrations: Sequence[CalibrationRow]
    gone: Sequence[ExposureRow]
    changed: Sequence[Path]

    @property
    def accepted(self) -> int:
        """Number of science frames and calibrations that were accepted."""
        return len(self.scan.frames) + len(self.scan.calibrations)


def ingest(
    folder: Path,
    camera: Camera,
    output: Path,
    *,
    calibrations: Path | None = None,
    pattern: str = "*",
    deep: bool = False,
) -> IngestResult:
    """Write the sheets of a folder of frames.

    Rows that earlier ingests into the same sheets made from other folders are kept. Rows of
    files below these folders are made anew, so that one ingest of unchanged folders after
    another leaves identical sheets.

    Parameters
    ----------
    folder
        Frames; also searched for calibration masters.
    camera
        The camera.
    output
        Folder of the sheets.
    calibrations
        Folder of calibration masters.
    pattern
        Glob pattern on the names of the frames' files.
    deep
        Read compressed files to their end, which finds damage that headers do not show.

    Raises
    ------
    InputError
        If a folder is absent or empty, the camera file does not say how headers are read, or
        the sheets that are there cannot be read.
    """
    faults = check_header_map(camera)
    if faults:
        raise InputError(
            f"camera {camera.name}", faults[0], "Complete the camera file; see docs/cameras.md"
        )
    folders = [folder] if calibrations is None else [folder, calibrations]
    old = _Sheets.read(output)
    kept = old.without(folders)
    found = scan(fits_files(folder, pattern), camera, deep=deep)
    if calibrations is not None:
        _add_calibrations(found, calibrations, camera, deep)
    survey = assemble(found, Survey(kept.visits, kept.exposures), camera)
    new = _Sheets(
        visits=survey.visits,
        exposures=survey.exposures,
        calibrations=(*kept.calibrations, *_unique(found.calibrations)),
        rejected=(*kept.rejected, *found.rejected),
    )
    present = {(row.visit, row.detector) for row in new.exposures}
    gone = [row for row in old.exposures if (row.visit, row.detector) not in present]
    return IngestResult(found, survey, new.calibrations, gone, new.write(output))


def _add_calibrations(found: Scan, folder: Path, camera: Camera, deep: bool) -> None:
    extra = scan(fits_files(folder), camera, deep=deep, calibrations_only=True)
    found.calibrations += extra.calibrations
    # What lies in the frames' folder was judged there already.
    judged = {Path(row.path).resolve() for row in found.rejected}
    judged |= {Path(frame.path).resolve() for frame in found.frames}
    for row in extra.rejected:
        if Path(row.path).resolve() not in judged:
            found.rejected.append(row)
            found.categories["not a calibration"] += 1


def _unique(rows: Iterable[CalibrationRow]) -> list[CalibrationRow]:
    """Leave out files that both folders hold."""
    return list({Path(row.path).resolve(): row for row in rows}.values())


@dataclass(frozen=True)
class _Sheets:
    """The rows of all four sheets."""

    visits: Sequence[VisitRow] = ()
    exposures: Sequence[ExposureRow] = ()
    calibrations: Sequence[CalibrationRow] = ()
    rejected: Sequence[RejectedRow] = ()

    @classmethod
    def read(cls, folder: Path) -> _Sheets:
        """Read the sheets of a folder, which may have none yet."""
        visits = read_visits(folder / VISITS) if (folder / VISITS).is_file() else []
        exposures = (
            read_exposures(folder / EXPOSURES, visits) if (folder / EXPOSURES).is_file() else []
        )
        return cls(
            visits,
            exposures,
            read_calibrations(folder / CALIBRATIONS),
            read_rejected(folder / REJECTED),
        )

    def without(self, folders: Iterable[Path]) -> _Sheets:
        """Return the rows whose files lie in none of these folders."""
        roots = [folder.resolve() for folder in folders]

        def elsewhere(path: str) -> bool:
            resolved = Path(path).resolve()
            return not any(resolved.is_relative_to(root) for root in roots)

        exposures = [row for row in self.exposures if elsewhere(row.path)]
        numbers = {row.visit for row in exposures}
        return _Sheets(
            [row for row in self.visits if row.visit in numbers],
            exposures,
            [row for row in self.calibrations if elsewhere(row.path)],
            [row for row in self.rejected if elsewhere(row.path)],
        )

    def write(self, folder: Path) -> list[Path]:
        """Write the sheets that differ from what is there; return those."""
        changed = [
            write_sheet(folder / VISITS, VisitRow, self.visits),
            write_sheet(folder / EXPOSURES, ExposureRow, self.exposures),
            write_sheet(folder / CALIBRATIONS, CalibrationRow, self.calibrations),
            write_sheet(folder / REJECTED, RejectedRow, self.rejected),
        ]
        names = (VISITS, EXPOSURES, CALIBRATIONS, REJECTED)
        return [folder / name for name, new in zip(names, changed, strict=True) if new]
