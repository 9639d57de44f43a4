"""What all tests share: reproducible random examples, one thread, no network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Before numpy and numba are imported, which read them once.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# Tests and the jobs that they start compile each kernel once.
_kernels = Path(__file__).parents[1] / ".pytest_cache/numba"
os.environ.setdefault("NUMBA_CACHE_DIR", str(_kernels))

import pytest  # noqa: E402
from astropy.utils import iers  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.once import made_once  # noqa: E402

iers.conf.auto_download = False
iers.conf.iers_degraded_accuracy = "warn"

# A run must not fail on an example that no earlier run has seen: the examples are a fixed
# sample. `pytest --hypothesis-profile=explore` searches for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("fixed")

REAL_DATA = Path(__file__).parents[2] / "shared/data"
# Folders of which some modules take minutes: begun last, they would keep the other workers waiting.
LONG = ("workflow", "cluster", "truth", "tasks")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a worker whole modules, so that their fixtures are made once.

    All that runs Snakemake shares a survey that has been run.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return "workflow" if Path(module).parent.name == "workflow" else module

    return ByModule(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest where workers share the tests."""
    if hasattr(config, "workerinput"):
        items.sort(key=_begins)


def _begins(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return LONG.index(folder) if folder in LONG else len(LONG)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated survey ``tiny``, made once for all workers; not to be changed."""

    def make(folder: Path) -> None:
        from drpflow.sim.production import simulate
        from tests.sim.surveys import survey_config

        simulate(survey_config(), folder)

    return made_once(tmp_path_factory, "tiny", make)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real frames, which is not part of the project."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real frames are not here (../shared/data)")
    return REAL_DATA
