"""The look-ups of a large survey, kept between the processes of a run.

Which visits touch which pieces of the sky, tracts and patches follows from sheets, camera and
configuration, and costs 0.15 ms of CPU time a frame. On a cluster every job reads the Snakefile
again; for 62,000 frames that would be ten seconds a job. The process that plans a run therefore
leaves the look-ups in ``.snakemake``, under a digest of everything that they follow from.
"""

from __future__ import annotations

import hashlib
import pickle
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import drpflow
from drpflow.io.atomic import write_bytes
from drpflow.io.sheets import CALIBRATIONS, EXPOSURES, VISITS
from drpflow.paths import camera_file

if TYPE_CHECKING:
    from drpflow.config.run import RunConfig

_FOLDER: Final = Path(".snakemake")
# Below this size of the exposure sheet (some thousand frames), making the look-ups takes less
# than half a second.
_LEAST_BYTES: Final = 100_000
# Packages whose code the look-ups are made by.
_PACKAGES: Final = ("workflow", "data", "io", "config")


@dataclass(frozen=True)
class PlanCache:
    """Look-ups on disk; without effect for a small survey.

    Parameters
    ----------
    run
        The run that they belong to.
    """

    run: RunConfig

    def read(self) -> dict[str, Any] | None:
        """Return what was written for exactly this run; None if nothing was, or it is broken."""
        if self._path is None:
            return None
        try:
            # The file is the run folder's own, as are the rules that are executed from there.
            return pickle.loads(self._path.read_bytes())  # noqa: S301
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it can be made again
            return None

    def write(self, values: dict[str, Any]) -> None:
        """Keep `values`, and no others; a folder that cannot be written is done without."""
        if self._path is None:
            return
        with suppress(OSError):
            for old in self._path.parent.glob("drpflow-plan-*.pickle"):
                old.unlink(missing_ok=True)
            write_bytes(self._path, pickle.dumps(values, pickle.HIGHEST_PROTOCOL))

    @cached_property
    def _path(self) -> Path | None:
        sheets = [self.run.sheets / name for name in (VISITS, EXPOSURES, CALIBRATIONS)]
        try:
            if sheets[1].stat().st_size < _LEAST_BYTES:
                return None
            files = [path.read_bytes() for path in (*sheets, camera_file(self.run.camera))]
        except OSError:
            return None
        digest = hashlib.sha256(
            self.run.model_copy(update={"shard": None}).model_dump_json().encode()
        )
        for content in (*files, _code()):
            digest.update(hashlib.sha256(content).digest())
        return _FOLDER / f"drpflow-plan-{digest.hexdigest()[:16]}.pickle"


def _code() -> bytes:
    """Return names, sizes and times of the code that makes look-ups."""
    root = Path(drpflow.__file__).parent
    files = sorted(path for name in _PACKAGES for path in (root / name).rglob("*.py"))
    about = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return repr((drpflow.__version__, about)).encode()
