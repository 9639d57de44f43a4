from types import SimpleNamespace

import numpy as np
import pytest

from drpflow.algorithms.turbulence.residuals import fitted_residuals
from drpflow.data.astrometric_tables import Observations, Stars, Visits

FLOOR_MAS, NOISE_MAS = 3.0, 4.0
V = FLOOR_MAS**2 + NOISE_MAS**2


def two_visits(
    dx: list[list[float]],
    variance: list[float],
    shares: list[float],
    rejected: tuple[int, ...] = (),
) -> tuple[Observations, Visits, Stars, SimpleNamespace]:
    """Stars (rows of `dx`) seen by visits (columns), solved with places of these variances.

    `shares` is the sum of the shares that a star's rows have in its place.
    """
    values = np.array(dx)
    star, visit = (w.ravel() for w in np.indices(values.shape))
    seen = np.isfinite(values.ravel())
    star, visit, dx_mas = star[seen], visit[seen], values.ravel()[seen]
    n, zero = star.size, np.zeros(star.size)
    observations = Observations(star, visit, zero, zero, zero, zero + 1, zero, zero + 1)
    visits = Visits(("g",), [1, 2], [60000.0, 60365.25], [0, 0], [10.0] * 2, [0.0] * 2, [0.0] * 2)
    stars = Stars(
        np.arange(len(dx)), np.full(len(dx), 10.0), np.zeros(len(dx)), np.zeros(len(dx)),
        np.zeros(len(dx), bool),
    )  # fmt: skip
    covariance = np.zeros((len(dx), 5, 5))
    covariance[:, 0, 0] = covariance[:, 1, 1] = variance
    number = np.isfinite(values).sum(axis=1)
    off = np.isin(np.arange(n), rejected)
    solution = SimpleNamespace(
        residuals=SimpleNamespace(
            x_deg=zero, y_deg=zero, dx_mas=dx_mas, dy_mas=-dx_mas, xx=zero + NOISE_MAS**2, xy=zero,
            yy=zero + NOISE_MAS**2, used=~off, rejected=off,
        ),
        stars=SimpleNamespace(
            covariance=covariance, flag=np.zeros(len(dx), int), epoch_mjd=60000.0,
            n_observations=number, dof=2 * (number - np.array(shares)),
        ),
        visits=SimpleNamespace(floor_mas=np.full(2, FLOOR_MAS)),
    )  # fmt: skip
    return observations, visits, stars, solution


def found(*args: object, **kwargs: object) -> dict:
    tables = two_visits(*args, **kwargs)
    nothing = np.zeros((2, len(tables[0])))
    return fitted_residuals(*tables, (nothing, nothing))


def test_a_star_seen_twice_is_missed_by_the_whole_distance() -> None:
    """It lies in the middle: what the other row alone expects is twice as far."""
    visits = found([[3.0, -3.0]], [V / 2], [1.0])
    rows, item = visits[0]
    assert rows.tolist() == [0]
    assert item.dx_mas[0] == pytest.approx(6.0)
    assert item.dy_mas[0] == pytest.approx(-6.0)
    # The error of the centroid, and that of the place from the other row.
    assert item.xx[0] == pytest.approx(NOISE_MAS**2 + V, abs=0.1)


def test_a_star_that_nothing_else_fixes_tells_nothing() -> None:
    visits = found([[0.0, np.nan], [5.0, np.nan]], [V, 0.5], [1.0, 0.5 / V])
    rows, item = visits[0]
    assert rows.tolist() == [1]
    assert item.dx_mas[0] == pytest.approx(5.0 / (1 - 0.5 / V))
    assert found([[0.0, np.nan]], [V], [1.0]) == {}


def test_the_error_of_a_place_is_that_at_the_time_of_the_visit() -> None:
    tables = two_visits([[1.0, 1.0]], [0.5], [5.0 / V])
    tables[3].stars.covariance[0, 2, 2] = tables[3].stars.covariance[0, 3, 3] = 4.0
    nothing = np.zeros((2, 2))
    early, late = (fitted_residuals(*tables, (nothing, nothing))[v][1] for v in (0, 1))
    assert early.dx_mas[0] == pytest.approx(1 / (1 - 0.5 / V))
    assert late.dx_mas[0] == pytest.approx(1 / (1 - 4.5 / V), rel=1e-3)


def test_rejected_rows_do_not_count_and_what_was_taken_comes_back() -> None:
    tables = two_visits([[1.0, 1.0], [2.0, 2.0]], [0.0, 0.0], [0.0, 0.0], rejected=(2,))
    before = np.array([[10.0, 20.0, 30.0, 40.0], [0.0] * 4])
    parts = fitted_residuals(*tables, (np.zeros((2, 4)), before))
    assert parts[0][0].tolist() == [0]
    assert parts[0][1].dx_mas.tolist() == pytest.approx([11.0])
    assert parts[1][1].dx_mas.tolist() == pytest.approx([21.0, 42.0])


def test_errors_of_the_maps_are_no_share_of_a_row() -> None:
    """They are in the stated error of a place; its own rows have not made them smaller."""
    places = [found([[3.0, -3.0]], [variance], [1.0])[0][1] for variance in (V / 2, 2 * V)]
    assert places[0].dx_mas == pytest.approx(places[1].dx_mas)
    assert places[0].xx == pytest.approx(places[1].xx)
