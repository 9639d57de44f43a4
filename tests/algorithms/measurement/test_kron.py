"""Kron fluxes of stars and galaxies, and of what has no shape."""

from __future__ import annotations

import numpy as np
import pytest
import sep

from drpflow.algorithms.measurement.kron import kron_columns, rows_for
from drpflow.algorithms.measurement.work_image import WorkImage, plain_scene
from drpflow.config.measurement import KronConfig

SIGMAS = ((2.0, 2.0, 0.0), (4.0, 2.5, 0.6), (6.0, 3.0, -1.0))
PLACES = ((70.2, 70.4), (70.3, 200.1), (200.4, 130.2))


@pytest.fixture(scope="module")
def field() -> tuple[WorkImage, dict[str, np.ndarray]]:
    """Three Gaussians without noise, the first a point source."""
    v, u = np.mgrid[:270, :270]
    image, rows = np.zeros(v.shape), []
    for (a, b, angle), (x, y) in zip(SIGMAS, PLACES, strict=True):
        c, s = np.cos(angle), np.sin(angle)
        along, across = (u - x) * c + (v - y) * s, (v - y) * c - (u - x) * s
        image += (
            1e4 / (2 * np.pi * a * b) * np.exp(-0.5 * (along / a) ** 2 - 0.5 * (across / b) ** 2)
        )
        moments = (a * c) ** 2 + (b * s) ** 2, (a * s) ** 2 + (b * c) ** 2, (a**2 - b**2) * c * s
        rows.append((x, y, *moments))
    image = image.astype(np.float32)
    bad = np.zeros(image.shape, bool)
    work = WorkImage(plain_scene(image, np.full_like(image, 4), bad), image, bad)
    columns = dict(zip(("x", "y", "ixx", "iyy", "ixy"), np.array(rows).T, strict=True))
    columns |= {"ixxPSF": np.full(3, 4.0), "iyyPSF": np.full(3, 4.0), "ixyPSF": np.zeros(3)}
    return work, columns


def test_radii_and_fluxes_are_those_of_sep(field: tuple[WorkImage, dict[str, np.ndarray]]) -> None:
    work, columns = field
    found = kron_columns(work, columns)
    a, b, angle = np.array(SIGMAS).T
    x, y = np.array(PLACES).T
    radius, _ = sep.kron_radius(work.original, x, y, a, b, angle, np.full(3, 6.0))
    flux, _, _ = sep.sum_ellipse(work.original, x, y, a, b, angle, 2.5 * radius, subpix=0)
    np.testing.assert_allclose(found["kronRad"], radius * np.sqrt(a * b), rtol=1e-4)
    np.testing.assert_allclose(found["kronFlux_instFlux"], flux, rtol=5e-4)
    assert not found["kronFlux_flag"].any()


def test_no_radius_is_below_that_of_a_point(field: tuple[WorkImage, dict[str, np.ndarray]]) -> None:
    work, columns = field
    wide = columns | {"ixxPSF": np.full(3, 50.0), "iyyPSF": np.full(3, 50.0)}
    least = 1.2533 * np.sqrt(50)
    np.testing.assert_allclose(kron_columns(work, wide)["kronRad"], least, rtol=1e-4)


def test_what_has_no_moments_has_the_aperture_of_a_point(
    field: tuple[WorkImage, dict[str, np.ndarray]],
) -> None:
    work, columns = field
    lost = columns | {"ixx": np.array([np.nan, *columns["ixx"][1:]])}
    found = kron_columns(work, lost)
    assert found["kronFlux_flag"].tolist() == [True, False, False]
    assert np.isclose(found["kronRad"][0], 1.2533 * 2, rtol=1e-2)
    nowhere = columns | {"x": np.array([np.nan, *columns["x"][1:]])}
    assert np.isnan(kron_columns(work, nowhere)["kronFlux_instFlux"][0])


def test_fluxes_do_not_depend_on_the_unit(field: tuple[WorkImage, dict[str, np.ndarray]]) -> None:
    work, columns = field
    scaled = WorkImage(
        plain_scene(7 * work.original, 49 * work.scene.variance, work.occupied),
        7 * work.original,
        work.occupied,
    )
    one, other = kron_columns(work, columns), kron_columns(scaled, columns)
    for name in ("kronFlux_instFlux", "kronFlux_instFluxErr"):
        np.testing.assert_allclose(other[name], 7 * one[name], rtol=1e-5)


def test_an_aperture_beyond_the_image_is_flagged(
    field: tuple[WorkImage, dict[str, np.ndarray]],
) -> None:
    work, columns = field
    edge = columns | {"x": np.array([2.0, *columns["x"][1:]])}
    assert kron_columns(work, edge, KronConfig())["kronFlux_flag"][0]


def test_rows_without_footprints_are_added(field: tuple[WorkImage, dict[str, np.ndarray]]) -> None:
    scene = rows_for(field[0].scene, 5)
    assert scene.first_span.size == scene.first_value.size == 6
    assert rows_for(scene, 3) is scene
