"""Where the parts of drpflow that are no Python modules lie.

In a source checkout they stand at its top; an installed wheel carries them in
``drpflow/share``. Both have one layout: ``Snakefile``, ``workflow/``, ``profiles/``,
``scripts/``, ``config/``, ``envs/``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from drpflow.errors import InputError, suggest

_PACKAGE = Path(__file__).parent


def share_root() -> Path:
    """Return the folder that holds the Snakefile.

    Raises
    ------
    FileNotFoundError
        If this installation has none, which a broken build alone can cause.
    """
    for root in (_PACKAGE.parents[1], _PACKAGE / "share"):
        if (root / "Snakefile").is_file() and (root / "scripts").is_dir():
            return root
    raise FileNotFoundError(f"no Snakefile beside {_PACKAGE}; install drpflow again")


def snakefile() -> Path:
    """Return the workflow's Snakefile."""
    return share_root() / "Snakefile"


def script(task: str) -> Path:
    """Return the script of a task: the label's words, as Python writes them.

    >>> script("makeVisitInfo").name
    'make_visit_info.py'
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", task).lower()
    return share_root() / "scripts" / f"{words}.py"


def profile(name: str = "default") -> Path:
    """Return the folder of a Snakemake profile.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    folder = share_root() / "profiles"
    if not (folder / name / "config.yaml").is_file():
        known = sorted(p.parent.name for p in folder.glob("*/config.yaml"))
        raise InputError(
            "--profile",
            f"there is no profile {name!r}{suggest(name, known)}",
            f"Known profiles: {', '.join(known)}",
        )
    return folder / name


def camera_file(name: str | Path) -> Path:
    """Return the camera file for a path or for a name in ``config/cameras``.

    Raises
    ------
    InputError
        If neither a file nor a camera of that name exists.
    """
    given = Path(name)
    if given.suffix in {".yaml", ".yml"}:
        if given.is_file():
            return given
        raise InputError(given, "the camera file does not exist", "Check the path")
    folder = share_root() / "config" / "cameras"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml"))
        raise InputError(
            str(name),
            f"there is no camera of this name{suggest(str(name), known)}",
            f"Give one of {', '.join(known)}, or the path of a camera file (*.yaml)",
        )
    return path


def user_cache() -> Path:
    """Return drpflow's folder in the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache``)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "drpflow"
