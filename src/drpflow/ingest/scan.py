"""From a folder to frames: which files there are, what each holds, and why some are refused."""

from __future__ import annotations

import fnmatch
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from drpflow.errors import InputError
from drpflow.ingest.calibration_files import calibration_row
from drpflow.ingest.frame import (
    Frame,
    check_instrument,
    check_is_science,
    check_shape,
    find_detector,
    is_amplifier_hdu,
    read_frame,
)
from drpflow.ingest.header_map import HeaderReader, RejectedError
from drpflow.io.headers import read_headers
from drpflow.io.sheets import RejectedRow
from drpflow.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drpflow.data.camera import Camera, Detector
    from drpflow.io.headers import FileHeaders, Hdu
    from drpflow.io.sheets import CalibrationRow

_FITS_NAME: Final = re.compile(r".+\.(fits?|fts)(\.(gz|bz2|fz))?|.+\.fz", re.IGNORECASE)


@dataclass
class Scan:
    """What was found in the files of a folder.

    Parameters
    ----------
    frames
        Accepted science frames, in the order of their paths.
    calibrations
        Calibration masters.
    rejected
        What was refused, and why.
    categories
        How many were refused for each kind of reason.
    companions
        Number of weight and mask files that belong to accepted frames.
    notes
        Optional values that could not be read, with how many frames have them.
    """

    frames: list[Frame] = field(default_factory=list)
    calibrations: list[CalibrationRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    categories: Counter[str] = field(default_factory=Counter)
    companions: int = 0
    notes: Counter[str] = field(default_factory=Counter)

    def reject(self, path: str, hdu: int | str, fault: InputError) -> None:
        """Add a refusal."""
        category = fault.category if isinstance(fault, RejectedError) else "unreadable"
        self.rejected.append(RejectedRow(path, hdu, fault.without_source))
        self.categories[category] += 1


def fits_files(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the FITS files below a folder whose names match a glob pattern, in order.

    Links to folders are followed, each folder once. Hidden files and folders are left out:
    transfer programs keep unfinished files there.

    Raises
    ------
    InputError
        If the folder does not exist, or none of its files is a FITS file of such a name.
    """
    if not folder.is_dir():
        raise InputError(folder, "there is no such folder", "Check the path")
    found = sorted(
        path
        for path in _walk(folder)
        if _FITS_NAME.fullmatch(path.name) and fnmatch.fnmatch(path.name, pattern)
    )
    if not found:
        which = "" if pattern == "*" else f" whose name matches {pattern!r}"
        raise InputError(
            folder,
            f"there is no FITS file{which} in this folder",
            "Files count as FITS by their names: .fits .fit .fts .fz, also with .gz or .bz2",
        )
    return found


def _walk(folder: Path) -> Iterator[Path]:
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in names if not name.startswith("."))


def scan(
    files: Iterable[Path], camera: Camera, *, deep: bool = False, calibrations_only: bool = False
) -> Scan:
    """Read the headers of files and sort out what they are.

    Parameters
    ----------
    files
        FITS files; their paths appear in the sheets as they stand here.
    camera
        The camera.
    deep
        Read compressed files to their end.
    calibrations_only
        Refuse everything that is not a calibration master.
    """
    files = list(files)
    result = Scan()
    companions = {} if calibrations_only else _companions(files, camera)
    own = {path: science for science, paths in companions.items() for path in paths.values()}
    accepted = set()
    for path in track(files, len(files), "reading headers"):
        if path in own:
            continue
        before = len(result.frames)
        _scan_file(path, camera, result, deep, calibrations_only)
        if len(result.frames) > before:
            accepted.add(path)
            names = {kind: str(p) for kind, p in companions.get(path, {}).items()}
            result.frames[before:] = [
                replace(frame, weight_path=names.get("weight", ""), mask_path=names.get("mask", ""))
                for frame in result.frames[before:]
            ]
    for path, science in own.items():
        if science in accepted:
            result.companions += 1
        else:
            problem = f"it belongs to {science.name}, which was not accepted"
            fault = RejectedError("companion of a rejected frame", path, problem, "See there")
            result.reject(str(path), 0, fault)
    return result


def _companions(files: list[Path], camera: Camera) -> dict[Path, dict[str, Path]]:
    """Return the weight and mask file of each science file that has some, by kind."""
    rule = camera.companions
    if rule is None:
        return {}
    present = set(files)
    found = {}
    for path in files:
        if not re.search(rule.science, path.name):
            continue
        names = {
            kind: path.with_name(re.sub(rule.science, template, path.name))
            for kind, template in (("weight", rule.weight), ("mask", rule.mask))
            if template is not None
        }
        found[path] = {kind: p for kind, p in names.items() if p in present and p != path}
    return found


def _scan_file(
    path: Path, camera: Camera, result: Scan, deep: bool, calibrations_only: bool
) -> None:
    try:
        file = read_headers(path, all_hdus=_wants_all_hdus(camera), deep=deep)
        row = calibration_row(file, camera)
        if row is not None:
            result.calibrations.append(row)
            return
        if calibrations_only:
            raise RejectedError(
                "not a calibration",
                path,
                "its header has no CALTYPE, which marks a calibration master",
                "Add CALTYPE (bias, dark, flat, defects …), or take the file away",
            )
        hdus = _science_hdus(file, camera)
    except InputError as fault:
        result.reject(str(path), 0, fault)
        return
    if _wants_all_hdus(camera):
        _scan_amplifiers(file, camera, hdus, result)
        return
    for hdu in hdus:
        _scan_hdu(file, camera, hdu, result)


def _wants_all_hdus(camera: Camera) -> bool:
    """Whether amplifiers have HDUs of their own, so that the first image is not the frame."""
    return any(amp.raw_hdu is not None for d in camera.detectors for amp in d.amplifiers)


def _science_hdus(file: FileHeaders, camera: Camera) -> list[Hdu]:
    """Return the image HDUs of a file that may be frames.

    Raises
    ------
    RejectedError
        If there is none, or the file's name is not that of a science frame.
    """
    hdus = file.frames()
    if not hdus:
        raise RejectedError(
            "not a frame",
            file.path,
            f"it holds no two-dimensional image: {', '.join(h.describe() for h in file.hdus[:4])}"
            + (" …" if len(file.hdus) > 4 else ""),
            "Nothing is needed if it is a catalogue or a model; else give the frame itself",
        )
    rule = camera.companions
    if rule is not None and not re.search(rule.science, file.path.name):
        raise RejectedError(
            "not a science frame",
            file.path,
            f"its name lacks {rule.science!r}, which marks science frames of {camera.name}, and "
            "it is not the weight or mask of one here",
            "Rename it, or correct 'companions:' in the camera file",
        )
    ignored = re.compile(camera.ignore_hdus) if camera.ignore_hdus else None
    return [h for h in hdus if ignored is None or not ignored.fullmatch(h.name)]


def _scan_hdu(file: FileHeaders, camera: Camera, hdu: Hdu, result: Scan) -> None:
    reader = HeaderReader(camera, file, hdu)
    try:
        check_instrument(reader)
        check_is_science(reader)
        detector = find_detector(reader)
        check_shape(camera, detector, file, [hdu])
        frame = read_frame(reader, str(file.path), detector)
    except InputError as fault:
        result.reject(str(file.path), hdu.index, fault)
        return
    result.frames.append(frame)
    result.notes.update(reader.unread)


def _scan_amplifiers(file: FileHeaders, camera: Camera, hdus: list[Hdu], result: Scan) -> None:
    """Scan a file in which every amplifier has an HDU: one frame for each detector."""
    groups: dict[int, tuple[Detector, list[Hdu]]] = {}
    for hdu in hdus:
        reader = HeaderReader(camera, file, hdu)
        try:
            check_instrument(reader)
            check_is_science(reader)
            detector = find_detector(reader)
        except InputError as fault:
            result.reject(str(file.path), hdu.index, fault)
            if fault.category != "unknown detector":  # type: ignore[attr-defined]
                return
            continue
        groups.setdefault(detector.id, (detector, []))[1].append(hdu)
    for detector, members in groups.values():
        try:
            frame, unread = _assembled_frame(file, camera, detector, members)
        except InputError as fault:
            result.reject(str(file.path), members[0].index, fault)
            continue
        result.frames.append(frame)
        result.notes.update(unread)


def _assembled_frame(
    file: FileHeaders, camera: Camera, detector: Detector, hdus: list[Hdu]
) -> tuple[Frame, list[str]]:
    """Return the frame of a detector whose amplifiers have HDUs of their own."""
    own = []
    for amp in detector.amplifiers:
        matching = [hdu for hdu in hdus if is_amplifier_hdu(amp, hdu)]
        if not matching:
            raise RejectedError(
                "missing amplifier",
                file.path,
                f"amplifier {amp.name} of detector {detector.name} has no HDU {amp.raw_hdu!r}",
                "Replace the file, or correct raw_hdu in the camera file",
            )
        own.append(matching[0])
    check_shape(camera, detector, file, own)
    reader = HeaderReader(camera, file, own[0])
    return read_frame(reader, str(file.path), detector), reader.unread
