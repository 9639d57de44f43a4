"""What Snakemake notes of each file in its folder ``.snakemake``, and a note that drpflow adds."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Final

from drpflow.io.atomic import write_json

_FOLDER: Final = Path(".snakemake")
# Longer names are cut into folders: the longest name of a file, less the mark of a folder.
_LONGEST: Final = 254


def recorded_inputs(output: str, folder: Path = _FOLDER) -> set[str] | None:
    """Return the inputs with which a file was made, as Snakemake has noted; None if it has not.

    Parameters
    ----------
    output
        The file, as the rule names it.
    folder
        Snakemake's notes.
    """
    try:
        return set(json.loads(_note(output, folder / "metadata").read_text())["input"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mark_incomplete(output: str, folder: Path = _FOLDER) -> None:
    """Note that the job of a file that is there has not come to its end.

    Snakemake then does it again, once it is asked for something that the job makes; until that
    has ended the note stays, whoever is interrupted.

    Parameters
    ----------
    output
        The file, as the rule names it.
    folder
        Snakemake's notes.
    """
    write_json(_note(output, folder / "incomplete"), {"external_jobid": None})


def is_incomplete(output: str, folder: Path = _FOLDER) -> bool:
    """Return whether Snakemake knows that the job of a file has not come to its end."""
    return _note(output, folder / "incomplete").is_file()


def _note(output: str, folder: Path) -> Path:
    name = urlsafe_b64encode(output.encode()).decode()
    parts = [name[i : i + _LONGEST] for i in range(0, len(name), _LONGEST)]
    return Path(folder, *(f"@{part}" for part in parts[:-1]), parts[-1])
