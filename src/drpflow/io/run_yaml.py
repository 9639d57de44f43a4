"""Config files of runs: reading ``config/config.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow.config.run import build_run
from drpflow.io.config_file import read_config_file

if TYPE_CHECKING:
    from pathlib import Path

    from drpflow.config.run import RunConfig


def load_run(path: str | Path) -> RunConfig:
    """Read and validate the config file of a run.

    Raises
    ------
    InputError
        If the file is absent or no YAML, or holds a key twice, an unknown key or a bad value.
    """
    return build_run(read_config_file(path), path)
