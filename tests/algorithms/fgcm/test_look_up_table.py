"""Weights of the passband integrals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.algorithms.fgcm.look_up_table import (
    FilterThroughput,
    build_look_up_table,
    node_weights,
    share_within,
)
from drpflow.errors import AlgorithmError
from drpflow.io.absorption import read_absorption
from tests.data.look_up_tables import STANDARD, bell

NODES = np.arange(300.0, 1100.1, 2.0)
ONE = np.zeros(1, np.int32)


@given(st.floats(310, 700), st.floats(5, 350))
def test_a_constant_throughput(first: float, width: float) -> None:
    wavelength = np.array([first, first + width])
    by_photon, by_wavelength = node_weights(wavelength, np.ones(2), NODES)
    assert by_photon.sum() == pytest.approx(np.log(wavelength[1] / wavelength[0]), rel=1e-8)
    assert by_wavelength.sum() == pytest.approx(width, rel=1e-12)
    # A transmission linear in the wavelength is integrated exactly.
    assert by_wavelength @ NODES == pytest.approx((wavelength[1] ** 2 - first**2) / 2, rel=1e-12)


def test_throughput_beyond_the_nodes_is_left_out() -> None:
    weights = node_weights(np.array([200.0, 1300.0]), np.ones(2), NODES)
    assert weights[1].sum() == pytest.approx(800.0)
    assert not node_weights(np.array([1200.0, 1300.0]), np.ones(2), NODES).any()


def test_share_between_wavelengths() -> None:
    curve = (np.array([1000.0, 1200.0]), np.ones(2))
    assert share_within(*curve, 300, 1100) == pytest.approx(np.log(1.1) / np.log(1.2), rel=1e-4)
    assert share_within(*curve, 300, 1000) == 0.0
    assert share_within(*curve, 300, 2000) == pytest.approx(1.0)
    assert share_within(curve[0], np.zeros(2), 300, 2000) == 0.0


def test_filters_of_a_band_share_its_standard_passband() -> None:
    first = FilterThroughput("r", "r", (bell(620.0, 130.0),), ONE)
    second = FilterThroughput("r2", "r", (bell(626.0, 130.0),), ONE)
    table = build_look_up_table([first, second], [0], read_absorption(), STANDARD)
    assert table.bands == ("r",)
    assert table.standard("r2") == table.standard("r")
    assert table.evaluate("r", 0, *STANDARD.values()).i10 == pytest.approx(0.0, abs=1e-9)
    assert table.evaluate("r2", 0, *STANDARD.values()).i10 == pytest.approx(6.0, abs=0.3)


def test_effective_wavelength_moves_with_the_air() -> None:
    item = FilterThroughput("g", "g", (bell(480.0, 130.0),), ONE)
    air = read_absorption()
    found = [
        build_look_up_table([item], [0], air, replace(STANDARD, sec_z=s)).standard("g")
        for s in (1.0, 2.0)
    ]
    assert 475 < found[0].wavelength_nm < found[1].wavelength_nm - 0.5


def test_a_filter_where_the_air_is_unknown() -> None:
    item = FilterThroughput("J", "j", ((np.array([1150.0, 1350.0]), np.ones(2)),), ONE)
    with pytest.raises(AlgorithmError, match="filter J lets nothing through between 300 and 1100"):
        build_look_up_table([item], [0], read_absorption(), STANDARD)
