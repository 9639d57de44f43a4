"""Matching of stars and references for the zero point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.photometry import (
    calibrate_photometry,
    photometry_candidates,
    reference_colors,
)
from drpflow.config.photometry import PhotometryConfig
from drpflow.data.geometry import Box
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.errors import AlgorithmError
from tests.data.wcs_cases import camera

BOX = Box(0, 2048, 0, 4096)
CONFIG = PhotometryConfig()


def scene(n: int = 80) -> tuple[dict[str, Any], SkyWcs, ReferenceStars]:
    rng = np.random.default_rng(1)
    wcs = SkyWcs.from_camera(camera(), 1, 359.9, 20.0, 30.0)
    x, y = rng.uniform(0, 2048, n), rng.uniform(0, 4096, n)
    ra, dec = wcs.pixel_to_world_values(x, y)
    flux = 10 ** rng.uniform(3.5, 5, n)
    columns = {
        "x": x + 0.05 * rng.normal(size=n),
        "y": y + 0.05 * rng.normal(size=n),
        "psfFlux_instFlux": flux,
        "psfFlux_instFluxErr": np.sqrt(flux + 1e4),
        "psfFlux_flag": np.zeros(n, bool),
        "detect_isPrimary": np.ones(n, bool),
        "extendedness": np.zeros(n),
    }
    order = rng.permutation(n)
    reference = ReferenceStars.from_columns(
        {
            "id": 1000 + order,
            "ra": ra[order],
            "dec": dec[order],
            "epoch": np.full(n, 6e4),
            "flux_g": flux[order],
            "flux_r": 2.0 * flux[order],
            "flux_r_err": 0.01 * flux[order],
        }
    )
    return columns, wcs, reference


def test_stars_find_their_references() -> None:
    columns, wcs, reference = scene()
    found = calibrate_photometry(columns, wcs, reference, "r", BOX, CONFIG)
    assert len(found.source_rows) == 80
    np.testing.assert_array_equal(reference.id[found.reference_rows] - 1000, found.source_rows)
    assert found.zero_point.mean == pytest.approx(2.0, rel=3e-3)
    assert found.separation_arcsec.max() < 0.1


def test_flagged_and_extended_sources_are_no_candidates() -> None:
    columns, _, _ = scene(10)
    columns["psfFlux_flag"][0] = True
    columns["extendedness"][1] = 1.0
    columns["extendedness"][2] = np.nan
    columns["detect_isPrimary"][3] = False
    columns["psfFlux_instFlux"][4] = 6.0 * columns["psfFlux_instFluxErr"][4]
    columns["pixelFlags_saturated"] = np.arange(10) == 5
    columns["x"][6] = np.nan
    assert list(np.flatnonzero(~photometry_candidates(columns, CONFIG))) == [0, 1, 3, 4, 5, 6]


def test_the_first_colour_that_the_catalogue_has_counts() -> None:
    _, _, reference = scene()
    color, bands = reference_colors(reference, CONFIG)
    assert bands == ("g", "r")
    np.testing.assert_allclose(color, 2.5 * np.log10(2) - 0.58)
    one_band = ReferenceStars.from_columns(
        {k: v for k, v in reference.to_columns().items() if not k.startswith("flux_g")}
    )
    color, bands = reference_colors(one_band, CONFIG)
    assert bands is None
    assert np.isnan(color).all()


def test_a_band_that_the_catalogue_lacks_is_told() -> None:
    columns, wcs, reference = scene()
    with pytest.raises(AlgorithmError, match=r"no fluxes in band 'z' \(it has: g, r\)"):
        calibrate_photometry(columns, wcs, reference, "z", BOX, CONFIG)


def test_a_catalogue_of_another_place_is_told() -> None:
    columns, wcs, reference = scene()
    empty = reference.select(np.zeros(0, int))
    for other in (empty, reference.at_epoch(6e4).select(slice(0, 2))):
        with pytest.raises(AlgorithmError, match="stars match the reference catalogue"):
            calibrate_photometry(columns, wcs, other, "r", BOX, CONFIG)
