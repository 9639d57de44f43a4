"""The stars of a solution as a catalogue: same places, same magnitudes, same errors."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.astrometric_fit.result import StarFlag
from drpflow.algorithms.solved_reference import ASTROMETRY_COLUMNS, solved_reference
from drpflow.errors import AlgorithmError

N = 5


def astrometry(flag: list[int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(0.1, 0.9, N) for name in ASTROMETRY_COLUMNS}
    columns |= {"isolated_star_id": np.array([50, 40, 30, 20, 10]), "flag": np.array(flag)}
    return columns


def photometry() -> dict[str, np.ndarray]:
    """g of all stars but 30, r of the variable star 40 and of a star without a place."""
    return {
        "isolated_star_id": np.array([10, 20, 40, 50, 40, 99]),
        "band": np.array(["g"] * 4 + ["r"] * 2),
        "mag_std": np.array([20.0, 21.0, np.nan, 22.5, 18.0, 18.0]),
        "mag_err": np.array([0.001, 0.01, np.nan, 0.1, 0.01, 0.01]),
        "variable": np.array([False] * 4 + [True, False]),
    }


def test_values_and_errors() -> None:
    given = astrometry([0, 1, 2, 16, 0])
    found = solved_reference(given, photometry())
    np.testing.assert_array_equal(found.id, [10, 20, 30, 40, 50])
    backwards = slice(None, None, -1)
    for name in ("ra", "dec", "epoch", "pm_ra", "parallax_err"):
        np.testing.assert_array_equal(getattr(found, name), given[name][backwards])
    sigma, correlation = given["ra_err"] * given["pm_dec_err"], given["ra_pm_dec_corr"]
    np.testing.assert_allclose(found.covariance()[:, 0, 3], (sigma * correlation)[backwards])
    # Float64 magnitudes through fluxes and back.
    wanted = [20.0, 21.0, np.nan, np.nan, 22.5]
    np.testing.assert_allclose(found.magnitude("g"), wanted, atol=1e-9)
    error_mag = 2.5 / np.log(10) * found.flux_err_njy["g"] / found.flux_njy["g"]
    np.testing.assert_allclose(error_mag, [0.001, 0.01, np.nan, np.nan, 0.1], rtol=1e-9)
    assert np.isnan(found.flux_njy["r"]).all(), "variable, or without a place"


def test_stars_that_contradict_themselves_are_left_out() -> None:
    flags = [int(StarFlag.VARIABLE), int(StarFlag.NO_OBSERVATION), 1, 8, 4]
    np.testing.assert_array_equal(
        solved_reference(astrometry(flags), photometry()).id, [10, 20, 30]
    )
    with pytest.raises(AlgorithmError, match="no star has a place"):
        solved_reference(astrometry([32] * N), photometry())
