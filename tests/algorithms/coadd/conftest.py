"""Stacks of warps with a truth are drawn by a module of the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))


@pytest.fixture(scope="session")
def stack():
    """Eight visits of one field, what is in them, and their box."""
    from warp_stacks import StackConfig, make_stack

    return make_stack(StackConfig(side=560, visits=8, seed=5, trail_visits=0.5))


@pytest.fixture(scope="session")
def found(stack):
    """What is found in them."""
    from warp_stacks import TARGET_FWHM_PIX

    from drpflow.algorithms.coadd.artifacts import find_artifacts
    from drpflow.algorithms.coadd.static_sky import find_static_sky
    from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig

    warps, truth, box = stack
    config = CompareWarpAssembleCoaddConfig()
    sky = find_static_sky(warps, box, config)
    return sky, find_artifacts(warps, sky, TARGET_FWHM_PIX, truth.sharpness, config)
