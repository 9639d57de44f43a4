"""Rotations of the sphere, affine maps, and the party of detectors that agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.algorithms.visit_geometry import fit_affine, fit_pointing, wahba_rotation
from drpflow.config.consolidate_visit import PointingConfig
from drpflow.data.reference_stars import unit_vectors
from drpflow.data.sky_wcs import SkyWcs
from tests.tasks.visit_scene import camera, scene

CONFIG = PointingConfig()


@given(st.integers(0, 2**32 - 1))
def test_wahba_finds_any_rotation_and_never_a_mirror_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation = q * np.sign(np.linalg.det(q))
    before = rng.normal(size=(20, 3))
    before /= np.linalg.norm(before, axis=1, keepdims=True)
    np.testing.assert_allclose(wahba_rotation(before, before @ rotation.T), rotation, atol=1e-12)
    plane = before * [1, 1, 0]
    found = wahba_rotation(plane, plane @ rotation.T + 1e-3 * rng.normal(size=(20, 3)))
    assert np.linalg.det(found) == pytest.approx(1.0)


def test_an_affine_map_stays_near_the_identity_where_nothing_holds_it() -> None:
    point = np.array([[0.3, -0.2]])
    found = fit_affine(point, point + 0.01, np.array([1e-5]), 1e-4)
    np.testing.assert_allclose(found.matrix, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(found.offset, 0.01)
    rng = np.random.default_rng(1)
    before = rng.uniform(-0.1, 0.1, (50, 2))
    matrix = np.array([[1.0002, -1e-4], [3e-4, 0.9999]])
    found = fit_affine(before, before @ matrix.T + [0.01, 0.02], np.full(50, 1e-7), 1e-3)
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-6)
    np.testing.assert_allclose(found.offset, [0.01, 0.02], atol=1e-7)


@pytest.mark.parametrize("dec", [-35.0, 89.9, -90.0])
def test_a_perfect_camera_is_pointed_exactly(dec: float) -> None:
    truth = {
        d: SkyWcs.from_camera(camera(), d, 10.01, min(dec + 0.004, 90), 77.0) for d in (0, 4, 8)
    }
    info = scene(1, density=5).visit_info.with_pointing(10.0, dec, 76.5)
    found = fit_pointing(truth, camera(), info, CONFIG)
    assert found is not None
    assert max(found.offset_arcsec.values()) < 1e-5
    model = found.wcs(2)
    true = SkyWcs.from_camera(camera(), 2, 10.01, min(dec + 0.004, 90), 77.0)
    a, b = (unit_vectors(*w.pixel_to_world_values(100.0, 200.0)) for w in (model, true))
    assert np.linalg.norm(a - b) * 206265 < 1e-3


def test_nothing_comes_from_nothing() -> None:
    given = scene(1, density=5)
    assert fit_pointing({}, camera(), given.visit_info, CONFIG) is None
