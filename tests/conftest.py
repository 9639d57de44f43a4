"""What all tests share: reproducible random examples, one thread, no network."""

from __future__ import annotations

import os
from pathlib import Path

# Before numpy and numba are imported, which read them once.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402
from astropy.utils import iers  # noqa: E402
from hypothesis import settings  # noqa: E402

iers.conf.auto_download = False
iers.conf.iers_degraded_accuracy = "warn"

# A run must not fail on an example that no earlier run has seen: the examples are a fixed
# sample. `pytest --hypothesis-profile=explore` searches for new ones.
settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("fixed")

REAL_DATA = Path(__file__).parents[2] / "shared/data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real frames, which is not part of the project."""
    if not REAL_DATA.is_dir():
        pytest.skip("the real frames are not here (../shared/data)")
    return REAL_DATA
