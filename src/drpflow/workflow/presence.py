"""Which of the files that the sheets name are there, and what to tell of those that are not.

A file that does not exist is no input of a job, since Snakemake would refuse the whole run; the
script is told of it nevertheless, finds it absent, and the frame is lost in the declared way,
alone. When the file comes, the job's set of inputs has grown, and it runs again.

Except where the frame has been processed: its files may be archived away without making it
stale.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from drpflow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from drpflow.io.sheets import CalibrationRow, ExposureRow

# At most so many files are named in a warning.
_NAMED = 5


class Presence:
    """Looks for files, each once.

    Parameters
    ----------
    is_done
        Tells whether a frame has been processed.
    """

    def __init__(self, is_done: Callable[[ExposureRow], bool]) -> None:
        self._is_done = is_done
        self._found: dict[str, bool] = {}

    def exists(self, path: str) -> bool:
        """Return whether a file is there, and may be read."""
        if path not in self._found:
            self._found[path] = os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113
        return self._found[path]

    def is_input(self, path: str, row: ExposureRow) -> bool:
        """Return whether a job of this frame shall have the file as input."""
        return self.exists(path) or self._is_done(row)

    def lost(self, exposures: Iterable[ExposureRow]) -> list[ExposureRow]:
        """Return the frames that lack a file and have not been processed."""
        lacking = (row for row in exposures if not all(map(self.exists, own_paths(row))))
        return [row for row in lacking if not self._is_done(row)]

    def warnings(
        self,
        exposures: list[ExposureRow],
        calibrations: list[CalibrationRow],
        sheets: tuple[Path, Path],
    ) -> list[str]:
        """Return what the user should know, a sentence for frames and one for calibrations.

        Parameters
        ----------
        exposures, calibrations
            Rows of the sheets.
        sheets
            The exposure sheet and the calibration sheet.

        Raises
        ------
        InputError
            If no frame at all is there: the run is in the wrong folder.
        """
        lost = self.lost(exposures)
        if exposures and len(lost) == len(exposures):
            raise InputError(
                sheets[0],
                f"none of its files exists, such as {own_paths(lost[0])[0]}",
                "Run in the folder that the paths are relative to, or run drpflow ingest again",
            )
        paths = [path for row in lost for path in own_paths(row)]
        told = self._sentence(sheets[0], paths, f"Cannot process {len(lost)} of the frames")
        paths = [row.path for row in calibrations]
        return told + self._sentence(sheets[1], paths, "Cannot process the frames that need it")

    def _sentence(self, sheet: Path, paths: list[str], effect: str) -> list[str]:
        lacking = list(dict.fromkeys(path for path in paths if not self.exists(path)))
        shut = [path for path in lacking if os.path.lexists(path)]
        absent = [path for path in lacking if path not in set(shut)]
        told = []
        if absent:
            what = _listed(absent, "does not exist", "do not exist")
            told.append(f"{sheet}: {what}. {effect}; put the files there, or remove the rows.")
        if shut:
            what = _listed(shut, "cannot be read", "cannot be read")
            told.append(f"{sheet}: {what}. {effect}; give yourself the right to (chmod).")
        return told


def own_paths(row: ExposureRow) -> list[str]:
    """Return the files of a frame: raw, and weight and mask where it has them."""
    return [path for path in (row.path, row.weight_path, row.mask_path) if path]


def _listed(paths: list[str], one: str, several: str) -> str:
    """Return e.g. ``a.fits, b.fits and 3 more files do not exist``."""
    named = ", ".join(paths[:_NAMED])
    more = len(paths) - _NAMED
    if more > 0:
        return f"{named} and {more} more files {several}"
    return f"{named} {one if len(paths) == 1 else several}"
