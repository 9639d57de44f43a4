"""The optical depth of the air."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.data.air import (
    ABSORPTION_COLUMNS,
    OZONE_KM,
    PARAMETERS,
    SEA_LEVEL_HPA,
    AirAbsorption,
    AirState,
    curve_of_growth,
    rayleigh_depth_per_hpa,
    shell_airmass,
    standard_pressure_hpa,
)

# A continuum, weak lines, strong lines, and no lines at all.
COLUMNS = {
    "wavelength_nm": np.array([400.0, 600.0, 820.0, 940.0, 1050.0]),
    "ozone": np.array([0.0, 1.2e-4, 1e-5, 0.0, 0.0]),
    "water_a": np.array([0.0, 2e-3, 0.016, 0.11, 0.0]),
    "water_b": np.array([0.0, 2e-3, 0.14, 0.9, 0.0]),
    "water_c": np.array([0.0, 0.9, 0.52, 0.39, 0.0]),
    "gas_a": np.array([3e-3, 1e-3, 0.3, 0.0, 0.01]),
    "gas_b": np.array([0.01, 0.0, 4.0, 0.0, 0.0]),
    "gas_c": np.array([0.7, 0.0, 0.5, 0.0, 0.0]),
}
AIR = AirAbsorption.from_columns(COLUMNS)
states = st.tuples(
    st.floats(0.2, 15), st.floats(150, 400), st.floats(0.003, 0.4), st.floats(-0.5, 2.5),
    st.floats(1.0, 2.8), st.floats(550, 1040),
)  # fmt: skip


def test_rayleigh_is_that_of_others() -> None:
    """Hansen & Travis (1974, Space Sci. Rev. 16, 527, equation 2.30), at sea level."""
    um = np.array([0.35, 0.4, 0.55, 0.7, 0.9])
    theirs = 0.008569 * um**-4 * (1 + 0.0113 * um**-2 + 0.00013 * um**-4)
    ours = rayleigh_depth_per_hpa(1e3 * um) * SEA_LEVEL_HPA
    assert ours == pytest.approx(theirs, rel=5e-3)


@pytest.mark.parametrize(("height_m", "pressure_hpa"), [(0, 1013.25), (2000, 795), (5000, 540)])
def test_pressure_falls_with_height(height_m: float, pressure_hpa: float) -> None:
    assert standard_pressure_hpa(height_m) == pytest.approx(pressure_hpa, abs=1.0)


def test_path_through_a_shell() -> None:
    sec_z = np.array([1.0, 2.0, 5.0])
    sin_z = np.sqrt(1 - sec_z**-2)
    inside = np.arcsin(sin_z * 6371 / (6371 + OZONE_KM))
    path, slope = shell_airmass(sec_z, OZONE_KM)
    assert path == pytest.approx(1 / np.cos(inside), rel=1e-12)
    step = 1e-6
    above, below = (shell_airmass(sec_z + s, OZONE_KM)[0] for s in (step, -step))
    assert slope == pytest.approx((above - below) / (2 * step), rel=1e-6)


def test_weak_lines_grow_as_the_column_and_strong_ones_as_its_root_and_that_of_the_pressure() -> (
    None
):
    lines = (0.3, 5.0, 0.5)
    weak = curve_of_growth(np.array([1e-6, 2e-6]), 0.7, lines)[0]
    assert weak[1] / weak[0] == pytest.approx(2.0, rel=1e-4)
    strong = curve_of_growth(np.array([1e6, 2e6]), 0.7, lines)[0]
    assert strong[1] / strong[0] == pytest.approx(np.sqrt(2), rel=1e-4)
    denser = curve_of_growth(np.array([1e6]), 1.4, lines)[0]
    assert denser[0] / strong[0] == pytest.approx(np.sqrt(2), rel=1e-4)


@given(states)
def test_derivatives_agree_with_differences(state: tuple[float, ...]) -> None:
    depth, slopes = AIR.depth_and_derivatives(*state)
    assert slopes.shape == (len(PARAMETERS), len(AIR))
    for k, name in enumerate(PARAMETERS):
        step = 1e-5 if name.startswith("ln") else 1e-5 * max(1.0, abs(state[k]))
        shifted = []
        for sign in (1, -1):
            values = list(state)
            values[k] = (
                values[k] * np.exp(sign * step) if name[:2] == "ln" else values[k] + sign * step
            )
            shifted.append(AIR.depth_and_derivatives(*values)[0])
        difference = (shifted[0] - shifted[1]) / (2 * step)
        # 1e-6 of the slope, and what rounding of the depth leaves.
        assert slopes[k] == pytest.approx(difference, rel=1e-6, abs=1e-9 * depth.max())


@given(states, st.integers(0, 5))
def test_more_of_anything_lets_less_through(state: tuple[float, ...], k: int) -> None:
    more = list(state)
    more[k] += 0.1
    less_light = AIR.transmission(*more) <= AIR.transmission(*state)
    # A larger exponent makes aerosols thicker on the blue side of 775 nm alone.
    assert less_light[: 2 if k == 3 else None].all()


def test_parameters_broadcast() -> None:
    standard = AirState(pressure_hpa=743.0)
    pwv, _, *rest = standard.values()
    found = AIR.transmission(
        pwv, np.array([[250.0], [300.0], [350.0]]), *rest[:2], [1.0, 1.5], 743.0
    )
    assert found.shape == (3, 2, 5)
    assert found[1, 1] == pytest.approx(AIR.transmission(pwv, 300.0, *rest[:2], 1.5, 743.0))


def test_chosen_wavelengths() -> None:
    part = AIR.take(np.array([3, 1]))
    whole = AIR.transmission(*AirState().values())
    assert part.transmission(*AirState().values()) == pytest.approx(whole[[3, 1]], rel=1e-14)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("water_b", -0.1, "water must be finite, not negative"),
        ("ozone", np.nan, "ozone must be finite"),
        ("wavelength_nm", 300.0, "do not rise"),
    ],
)
def test_impossible_coefficients(column: str, value: float, words: str) -> None:
    assert set(COLUMNS) == set(ABSORPTION_COLUMNS)
    wrong = {name: values.copy() for name, values in COLUMNS.items()}
    wrong[column][2] = value
    with pytest.raises(ValueError, match=words):
        AirAbsorption.from_columns(wrong)
