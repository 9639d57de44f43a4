"""Config files of runs: reading ``config/config.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from drpflow.config.run import build_run
from drpflow.errors import InputError
from drpflow.io.strict_yaml import strict_loader

if TYPE_CHECKING:
    from drpflow.config.run import RunConfig


def load_run(path: str | Path) -> RunConfig:
    """Read and validate the config file of a run.

    Raises
    ------
    InputError
        If the file is absent or no YAML, or holds a key twice, an unknown key or a bad value.
    """
    return build_run(read_config_file(path), path)


def read_config_file(path: str | Path) -> Any:
    """Return what a config file holds, not validated.

    Raises
    ------
    InputError
        If the file is absent, is no YAML, or holds a key twice.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise InputError(
            path,
            "the config file does not exist",
            "Name one with --config, or make a run folder with 'drpflow init FOLDER'",
        )
    try:
        return yaml.load(path.read_text(), Loader=strict_loader())  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise InputError(path, f"{where}no YAML: {problem}", "Mend the line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"it cannot be read ({error})", "Check the file") from None
