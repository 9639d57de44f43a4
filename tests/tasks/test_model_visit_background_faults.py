"""What modelVisitBackground makes of bad input: a declared outcome each, neighbours unharmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drpflow.data.background import Background
from drpflow.data.geometry import Box
from drpflow.io.cache import ComponentCache
from drpflow.io.component_tables import ComponentRows
from drpflow.io.tables import read_table
from tests.tasks.sky_run import LEVEL, SIDE, STARS, VISITS, SkyRun, sky

BOX = Box(0, SIDE, 0, SIDE)
TWO_ARE_ENOUGH = '{"min_visits": 2}'
SPOILED, OTHERS = 2, (1, 3)


def background(run: SkyRun, visit: int, detector: int) -> Background:
    path = Path(run.path("visit_background", visit))
    rows = ComponentRows(path, "detector", ComponentCache())
    return rows.component("background", detector)  # type: ignore[return-value]


def error(run: SkyRun, visit: int, detector: int) -> float:
    """Return the mean size of background less sky, electrons, far from stars."""
    y, x = np.mgrid[:SIDE, :SIDE]
    far = np.ones((SIDE, SIDE), bool)
    if detector == 0:
        for u, v in STARS:
            far &= np.hypot(x - u, y - v) > 110
    found = background(run, visit, detector)
    bare = found.without(*{"wings"} & set(found.names)).image(BOX)
    return float(np.abs(bare - sky(detector))[far].mean())


def measure(run: SkyRun) -> None:
    for visit in VISITS:
        assert run.measure(visit)["outcome"] == "done"


def assert_unharmed(run: SkyRun) -> None:
    """The other visits have their backgrounds as if nothing had happened."""
    for visit in OTHERS:
        assert run.model(visit)["outcome"] == "done"
        assert max(error(run, visit, k) for k in (0, 1)) < 1.0


@pytest.fixture(scope="module")
def nebula() -> dict[int, np.ndarray]:
    """Light of up to 0.8 of the sky, in waves of 700 and 800 pixels, by detector."""
    found = {}
    for k in (0, 1):
        y, x = np.mgrid[:SIDE, :SIDE] + np.array([0, SIDE * k])[:, None, None]
        found[k] = 0.4 * LEVEL * (1 + np.sin(x / 110) * np.cos(y / 130))
    return found


def test_a_nebula_that_fills_the_field(tmp_path, nebula):
    run = SkyRun(tmp_path)
    run.add_light(SPOILED, nebula)
    measure(run)
    made = run.frame(config=TWO_ARE_ENOUGH)
    assert made["outcome"] == "done"
    assert made["numbers"]["visits"] == len(OTHERS)
    status = run.model(SPOILED)
    assert status["outcome"] == "partial"
    assert "nebula" in status["reason"]
    for k in (0, 1):
        taken = background(run, SPOILED, k).image(BOX)
        # One level times the shape of the empty sky, which is that of the faintest places.
        assert np.ptp(taken) < 0.05 * LEVEL
        left = sky(k) + nebula[k] - taken
        assert np.corrcoef(left.ravel(), nebula[k].ravel())[0, 1] > 0.98
    assert_unharmed(run)


def test_a_visit_with_one_detector(tmp_path):
    run = SkyRun(tmp_path)
    run.keep(SPOILED, 1)
    measure(run)
    assert run.frame(config=TWO_ARE_ENOUGH)["outcome"] == "done"
    status = run.model(SPOILED)
    assert status["outcome"] == "done"
    assert status["numbers"]["detectors"] == 1
    table = read_table(Path(run.path("visit_background", SPOILED)), ["detector"]).to_dict()
    assert table["detector"].tolist() == [1]
    assert "piston" not in background(run, SPOILED, 1).names
    assert error(run, SPOILED, 1) < 1.0
    assert_unharmed(run)


def test_a_filter_without_visits_enough_has_no_sky_frame(tmp_path):
    run = SkyRun(tmp_path)
    measure(run)
    assert run.frame("1-2")["outcome"] == "failed"
    for visit in VISITS:
        status = run.model(visit)
        assert status["outcome"] == "partial"
        assert "no sky frame of the filter" in status["reason"]
        assert max(error(run, visit, k) for k in (0, 1)) < 1.0


def test_a_sky_frame_that_lacks_a_detector(tmp_path):
    run = SkyRun(tmp_path)
    for visit in (1, 2):
        run.keep(visit, 0)
    measure(run)
    assert run.frame()["outcome"] == "done"
    assert run.model(1)["outcome"] == "done"
    status = run.model(3)
    assert status["outcome"] == "partial"
    assert "no sky frame of detector 1" in status["reason"]
    assert max(error(run, 3, k) for k in (0, 1)) < 1.0


def test_a_detector_without_wcs_has_no_wings(tmp_path):
    run = SkyRun(tmp_path)
    run.lose_wcs(SPOILED, 0)
    measure(run)
    assert run.frame(config=TWO_ARE_ENOUGH)["outcome"] == "done"
    assert run.model(SPOILED)["outcome"] == "done"
    assert "wings" not in background(run, SPOILED, 0).names
    assert error(run, SPOILED, 1) < 1.0
    assert_unharmed(run)
    assert "wings" in background(run, OTHERS[0], 0).names
