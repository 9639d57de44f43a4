"""What solveAstrometry makes of bad input, with either method: a declared outcome each."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.config.solve_astrometry_task import SolveAstrometryTaskConfig
from drpflow.tasks.solve_astrometry import Solved, solve_astrometry
from tests.tasks.astrometric_faults import DETECTOR, FAULTS, NUMBER, one_detector
from tests.tasks.astrometric_run import SmallAstrometry, small_astrometry

METHODS = ("polynomials", "turbulence")
NO_MOTION, RESERVED = 16, 1


@pytest.fixture(scope="module")
def given() -> SmallAstrometry:
    return small_astrometry()


@pytest.fixture(scope="module")
def solved(given: SmallAstrometry) -> dict[tuple[str, str], Solved]:
    """Return the solutions by fault and method."""
    return {
        (name, method): solve_astrometry(
            fault.change(given.survey), SolveAstrometryTaskConfig(method=method)
        )
        for name, fault in FAULTS.items()
        for method in METHODS
    }


def errors_mas(given: SmallAstrometry, found: Solved) -> list[float]:
    """Return rms errors of the WCSs of all visits but `NUMBER`."""
    return [
        float(np.sqrt(np.mean(given.errors_mas(v, d, row.components["wcs"]) ** 2)))
        for v, table in found.wcs.items()
        for d, row in table.rows.items()
        if v != NUMBER
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_declared_outcome(
    name: str,
    method: str,
    given: SmallAstrometry,
    solved: dict[tuple[str, str], Solved],
) -> None:
    fault, found = FAULTS[name], solved[name, method]
    assert any(fault.said in note for note in found.notes), found.notes
    reasons = dict(zip(found.visits["visit"], found.visits["reason"], strict=True))
    assert fault.lost in reasons[NUMBER]
    assert [v for v, reason in reasons.items() if reason] == ([NUMBER] if fault.lost else [])
    missing = [row.missing.get("wcs", "") for row in found.wcs[NUMBER].rows.values()]
    assert len(missing) == 4
    assert {*missing} == {reasons[NUMBER]}
    if fault.lost:
        assert found.problem is not None
        assert f"visit {NUMBER}" in found.problem.message
    else:
        assert found.problem is None
    assert np.median(errors_mas(given, found)) < fault.limit_mas


@pytest.mark.parametrize("method", METHODS)
def test_stars_in_a_corner_leave_stated_errors(
    method: str, given: SmallAstrometry, solved: dict[tuple[str, str], Solved]
) -> None:
    found = solved["corner", method]
    stated = 1e3 * np.concatenate([t.columns["wcs_error"] for t in found.wcs.values()])
    whole = solved["duplicates", method]
    usual = 1e3 * np.concatenate([t.columns["wcs_error"] for t in whole.wcs.values()])
    assert np.median(stated) > 3 * np.median(usual)
    # The worst are not believed to be good.
    assert np.median(errors_mas(given, found)) < 3 * np.median(stated)


@pytest.mark.parametrize("method", METHODS)
def test_one_epoch_has_no_motions(method: str, solved: dict[tuple[str, str], Solved]) -> None:
    stars = solved["one epoch", method].stars
    free = stars["reference_id"] == 0
    assert (stars["flag"][free] & NO_MOTION > 0).all()
    assert np.isnan(stars["pm_ra_err"][free]).all()
    assert np.isfinite(stars["pm_ra_err"][~free & (stars["flag"] & RESERVED == 0)]).any()


@pytest.mark.parametrize("method", METHODS)
def test_rows_that_stand_twice_count_once(
    method: str, given: SmallAstrometry, solved: dict[tuple[str, str], Solved]
) -> None:
    found = solved["duplicates", method]
    assert any("of a star at several places of one visit" in note for note in found.notes)
    n = len(given.survey.observations)
    assert n - 60 < found.residuals["used"].sum() + found.residuals["rejected"].sum() < n


@pytest.mark.parametrize("method", METHODS)
def test_no_catalogue_is_told_as_left_open(
    method: str, solved: dict[tuple[str, str], Solved]
) -> None:
    found = solved["no catalogue", method]
    assert any("position" in sentence for sentence in found.held)
    assert (found.stars["reference_id"] == 0).all()
    assert "position" in str(found.numbers["held"])


@pytest.mark.parametrize("method", METHODS)
def test_a_sparse_detector_has_worse_errors(
    method: str, solved: dict[tuple[str, str], Solved]
) -> None:
    errors = np.array(
        [t.columns["wcs_error"] for t in solved["sparse detector", method].wcs.values()]
    )
    others = [d for d in range(4) if d != DETECTOR]
    assert np.median(errors[:, DETECTOR]) > 1.5 * np.median(errors[:, others])


@pytest.mark.parametrize("method", METHODS)
def test_a_visit_of_one_detector(method: str, given: SmallAstrometry) -> None:
    config = SolveAstrometryTaskConfig(method=method)
    found = solve_astrometry(one_detector(given.survey), config)
    assert found.problem is None
    wcs = found.wcs[NUMBER].component("wcs", DETECTOR)
    assert list(found.wcs[NUMBER].rows) == [DETECTOR]
    # A quarter of the stars, which the maps of the other visits spare the shape of the detector.
    assert np.median(given.errors_mas(NUMBER, DETECTOR, wcs)) < 6
    assert np.median(errors_mas(given, found)) < 2.5
