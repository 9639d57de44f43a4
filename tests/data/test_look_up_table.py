"""Integrals of passbands and their derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.data import look_up_table
from drpflow.data.air import PARAMETERS, AirState
from drpflow.data.look_up_table import LookUpTable
from drpflow.data.record import from_record
from tests.data.look_up_tables import BANDS, DETECTORS, STANDARD, bell, small_table

TABLE = small_table()


def airs(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    ranges = ((0.3, 12), (200, 350), (0.005, 0.3), (0.0, 2.0), (1.0, 2.5), (600, 1013))
    return [rng.uniform(*limits, n) for limits in ranges]


@pytest.mark.parametrize("band", BANDS)
def test_integrals_are_those_of_the_product(band: str) -> None:
    """Trapezoids of 0.01 nm, the transmission linear between the wavelengths of the air."""
    fine = np.arange(300, 1100, 0.01)
    for index, shift in enumerate((0.0, 2.0)):
        throughput = np.interp(fine, *bell(BANDS[band][0] + shift, BANDS[band][1]), 0.0, 0.0)
        for state in (STANDARD, AirState(9.0, 330.0, 0.2, 1.6, 2.2, 620.0)):
            product = throughput * TABLE.atmosphere(state).throughput(fine)
            i0 = np.trapezoid(product / fine, fine)
            i1 = np.trapezoid(product, fine) - TABLE.effective_wavelength_nm(band) * i0
            found = TABLE.evaluate(band, index, *state.values())
            assert found.i0 == pytest.approx(i0, rel=1e-7)
            assert found.i10 == pytest.approx(i1 / i0, abs=1e-5)


@pytest.mark.parametrize("band", BANDS)
def test_derivatives_agree_with_differences(band: str) -> None:
    air = airs(40)
    found = TABLE.evaluate(band, None, *air)
    for k, name in enumerate(PARAMETERS):
        step = 1e-4 * (1 if name.startswith("ln") else np.median(air[k]))
        both = []
        for sign in (1, -1):
            moved = [p.copy() for p in air]
            moved[k] = (
                moved[k] * np.exp(sign * step) if name[:2] == "ln" else moved[k] + sign * step
            )
            both.append(TABLE.evaluate(band, None, *moved))
        for value, slope in (("i0", "d_i0"), ("i10", "d_i10")):
            difference = (getattr(both[0], value) - getattr(both[1], value)) / (2 * step)
            largest = np.abs(difference).max()
            assert getattr(found, slope)[..., k] == pytest.approx(difference, abs=1e-6 * largest)


def test_detectors_by_index_or_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    air = airs(50)
    every = TABLE.evaluate("r", None, *air)
    assert every.i0.shape == (50, 3)
    assert every.d_i10.shape == (50, 3, 6)
    assert (every.i0[:, 0] == every.i0[:, 2]).all()
    assert (every.i10[:, 0] < every.i10[:, 1]).all()
    monkeypatch.setattr(look_up_table, "_CHUNK", 700)
    one_by_one = TABLE.evaluate("sim_r", np.arange(3), *(p[:, None] for p in air))
    for name in ("i0", "i10", "d_i0", "d_i10"):
        assert getattr(one_by_one, name) == pytest.approx(getattr(every, name), rel=1e-9, abs=1e-12)


def test_scalars_give_scalars() -> None:
    found = TABLE.evaluate("g", 1, *STANDARD.values())
    assert np.ndim(found.i0) == 0
    assert found.d_i0.shape == (6,)


def test_unknown_pressure_is_the_standard_one() -> None:
    unknown = TABLE.evaluate("g", None, *replace(STANDARD, pressure_hpa=np.nan).values())
    assert (unknown.i0 == TABLE.evaluate("g", None, *STANDARD.values()).i0).all()


def test_standard_passband_is_the_mean_of_the_detectors() -> None:
    for band in TABLE.bands:
        found = TABLE.evaluate(band, None, *STANDARD.values())
        standard = TABLE.standard(band)
        assert found.i0.mean() == pytest.approx(standard.i0, rel=1e-12)
        assert (found.i0 * found.i10).mean() == pytest.approx(0.0, abs=1e-10)
        assert standard.i10 == 0.0


def test_thicker_air_shifts_passbands_to_the_red() -> None:
    low, high = (TABLE.evaluate("g", 0, *replace(STANDARD, sec_z=s).values()) for s in (1.0, 2.0))
    assert high.i0 < low.i0
    assert high.i10 > low.i10 + 0.5


def test_names() -> None:
    assert TABLE.filters == ("sim_g", "sim_r", "sim_z")
    assert TABLE.bands == ("g", "r", "z")
    assert TABLE.detectors == DETECTORS
    with pytest.raises(KeyError, match="no filter or band 'sim_h'; did you mean"):
        TABLE.evaluate("sim_h", 0, *STANDARD.values())


def test_record_round_trip() -> None:
    again = from_record(TABLE.to_record())
    assert isinstance(again, LookUpTable)
    assert again == TABLE
    assert (
        again.evaluate("z", 1, *STANDARD.values()).i0
        == TABLE.evaluate("z", 1, *STANDARD.values()).i0
    )
    empty = LookUpTable((), DETECTORS, STANDARD, TABLE.air)
    assert from_record(empty.to_record()) == empty


def test_shapes_that_do_not_fit() -> None:
    first = TABLE.tables[0]
    with pytest.raises(ValueError, match="weights must be of shape"):
        replace(first, weights=first.weights[:, :, 1:])
    with pytest.raises(ValueError, match="needs a throughput curve that exists"):
        replace(first, curve=np.array([0, 2, 0]))
    with pytest.raises(ValueError, match="curves for 3 detectors, the camera 2"):
        replace(TABLE, detectors=(1, 2))
    with pytest.raises(ValueError, match="a filter stands twice"):
        replace(TABLE, tables=(first, first))
