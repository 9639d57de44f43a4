"""Config files as they are written, before any section is validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drpflow.errors import InputError
from drpflow.io.strict_yaml import read_yaml


def read_config_file(path: str | Path) -> Any:
    """Return what a config file holds, not validated.

    Raises
    ------
    InputError
        If the file is absent, is no YAML, or holds a key twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            path,
            "the config file does not exist",
            "Name one with --config, or make a run folder with 'drpflow init FOLDER'",
        )
    return read_yaml(path)


def read_sections(path: Path | None) -> dict[str, Any]:
    """Return the sections of a config file, not validated; none without a file.

    Raises
    ------
    InputError
        As `read_config_file`, and if the file holds something else than sections.
    """
    if path is None:
        return {}
    values = read_config_file(path) or {}
    if not isinstance(values, dict):
        raise InputError(path, "it holds no sections", "Start from 'drpflow config show'")
    return values
