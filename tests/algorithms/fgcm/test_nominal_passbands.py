"""Passbands that nobody has told."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.fgcm.nominal_passbands import nominal_passband


@pytest.mark.parametrize(
    ("physical_filter", "band", "given_nm", "center_nm", "width_nm", "words"),
    [
        ("I", "i", 798.0, 798.0, 154.0, "a common I filter at 798 nm"),
        ("i", "i", None, 762.0, 153.0, "a common i filter"),
        ("bokr", "r", 629.2, 629.2, 137.0, "a common r filter at 629.2 nm"),
        ("Y", "y", None, 971.0, 90.0, "a common y filter"),
        (
            "NB921",
            "nb",
            921.0,
            921.0,
            184.2,
            "a filter a fifth as wide as its wavelength at 921 nm",
        ),
        ("filter2", "filter2", None, 640.0, 450.0, "a CCD without a filter"),
    ],
)
def test_what_is_known_of_a_filter(
    physical_filter: str,
    band: str,
    given_nm: float | None,
    center_nm: float,
    width_nm: float,
    words: str,
) -> None:
    (wavelength, throughput), origin = nominal_passband(physical_filter, band, given_nm)
    area = np.trapezoid(throughput, wavelength)
    assert area == pytest.approx(width_nm)
    center = np.trapezoid(throughput * wavelength, wavelength) / area
    assert center == pytest.approx(center_nm, abs=0.01 * width_nm)
    assert origin == words
