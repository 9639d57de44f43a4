"""Transmission curves."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.transmission import TransmissionCurve, TransmissionFactor

WAVELENGTH = np.array([400.0, 450.0, 500.0, 550.0])
FILTER = TransmissionCurve.from_table(WAVELENGTH, [0.0, 0.8, 0.9, 0.0])
ATMOSPHERE = TransmissionCurve.from_table([300.0, 480.0, 700.0], [0.2, 0.7, 0.9])


def shifting_filter() -> TransmissionCurve:
    """Bluer away from the axis, as interference filters are."""
    table = np.array([[0.0, 0.8, 0.9, 0.0], [0.0, 0.9, 0.8, 0.0]])
    factor = TransmissionFactor(
        WAVELENGTH, table, radius=np.array([0.0, 100.0]), center=(50.0, 50.0)
    )
    return TransmissionCurve((factor,))


def tilted_filter() -> TransmissionCurve:
    basis = Basis2D(1, Domain(0, 100, 0, 100))
    table = np.array([[0.0, 0.8, 0.9, 0.0], [0.0, 0.05, 0.0, 0.0], [0.0, 0.0, 0.02, 0.0]])
    return TransmissionCurve((TransmissionFactor(WAVELENGTH, table, basis=basis),))


def test_interpolates_and_ends_in_zero() -> None:
    found = FILTER.throughput([300.0, 400.0, 475.0, 500.0, 525.0, 551.0])
    assert found == pytest.approx([0, 0, 0.85, 0.9, 0.45, 0])
    assert FILTER.throughput(475.0) == pytest.approx(0.85)


def test_product_is_the_product_everywhere() -> None:
    both = FILTER * ATMOSPHERE
    wavelength = np.linspace(350, 600, 101)
    assert both.throughput(wavelength) == pytest.approx(
        FILTER.throughput(wavelength) * ATMOSPHERE.throughput(wavelength)
    )
    assert both.wavelength_nm.tolist() == [400, 450, 480, 500, 550]
    assert both.is_constant
    mixed = both * shifting_filter() * tilted_filter()
    assert not mixed.is_constant
    assert mixed.throughput(470.0, 30.0, 90.0) == pytest.approx(
        both.throughput(470.0)
        * shifting_filter().throughput(470.0, 30.0, 90.0)
        * tilted_filter().throughput(470.0, 30.0, 90.0)
    )


def test_radius_and_polynomial() -> None:
    at = shifting_filter().throughput
    assert at(450.0, 50.0, 50.0) == pytest.approx(0.8)
    assert at(450.0, 100.0, 50.0) == pytest.approx(0.85)
    assert at(450.0, 500.0, 50.0) == pytest.approx(0.9), "constant beyond the last radius"
    assert tilted_filter().throughput(450.0, 100.0, 0.0) == pytest.approx(0.85)
    assert tilted_filter().throughput(500.0, 0.0, 0.0) == pytest.approx(0.88)


def test_shapes() -> None:
    places = np.zeros((4, 1)), np.zeros((1, 5))
    assert shifting_filter().throughput(WAVELENGTH, *places).shape == (4, 5, 4)
    assert shifting_filter().throughput(450.0, *places).shape == (4, 5)
    assert FILTER.throughput(WAVELENGTH, *places).shape == (4, 5, 4)
    assert FILTER.throughput(WAVELENGTH).shape == (4,)
    assert shifting_filter().effective_wavelength_nm(*places).shape == (4, 5)
    with pytest.raises(ValueError, match="give x and y"):
        shifting_filter().throughput(450.0)


def test_effective_wavelength() -> None:
    flat = TransmissionCurve.from_table(np.linspace(500, 600, 2001), np.ones(2001))
    # ∫dλ / ∫dλ/λ of a top hat.
    assert flat.effective_wavelength_nm() == pytest.approx(100 / np.log(600 / 500), rel=1e-7)
    blue = shifting_filter().effective_wavelength_nm(150.0, 50.0)
    assert blue < shifting_filter().effective_wavelength_nm(50.0, 50.0)
    dark = TransmissionCurve.from_table([400.0, 500.0], [0.0, 0.0])
    assert np.isnan(dark.effective_wavelength_nm())


def test_nothing_in_the_way_passes_everything() -> None:
    assert TransmissionCurve().throughput([300.0, 900.0]).tolist() == [1.0, 1.0]
    assert (TransmissionCurve() * FILTER) == FILTER
    with pytest.raises(ValueError, match="no wavelengths"):
        TransmissionCurve().effective_wavelength_nm()
    with pytest.raises(ValueError, match="in common"):
        _ = (FILTER * TransmissionCurve.from_table([600.0, 700.0], [1.0, 1.0])).wavelength_nm


@pytest.mark.parametrize(
    "change",
    [
        {"throughput": np.ones((2, 4))},
        {"throughput": np.full((1, 4), np.nan)},
        {"wavelength_nm": WAVELENGTH[::-1]},
        {"wavelength_nm": np.array([1.0]), "throughput": np.ones((1, 1))},
        {"radius": np.array([1.0]), "basis": Basis2D(0, Domain(0, 1, 0, 1))},
        {"radius": np.array([2.0, 1.0]), "throughput": np.ones((2, 4))},
    ],
)
def test_impossible_factors_are_refused(change: dict) -> None:
    with pytest.raises(ValueError):
        TransmissionFactor(**{"wavelength_nm": WAVELENGTH, "throughput": np.ones((1, 4)), **change})
