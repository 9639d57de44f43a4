import numpy as np
import pytest

from drpflow.sim.wings import Wings, build_wings, wing_fraction

from .surveys import survey_config

WINGS = Wings(0.02, 10.0, 300.0, 0.004, 20.0, 1.7, 0.3)


def test_aureole_holds_its_share_of_the_light() -> None:
    image = np.zeros((801, 801))
    WINGS.add_aureole(image, 400.0, 400.0, 1e6, 1e-9)
    assert image.sum() == pytest.approx(0.02 * 1e6, rel=1e-3)
    assert image[400, 400] == pytest.approx(1e6 * WINGS.aureole_peak())


def test_aureole_falls_as_the_inverse_square_and_ends() -> None:
    image = np.zeros((1, 801))
    WINGS.add_aureole(image, 0.0, 0.0, 1e6, 1e-9)
    taper = (1 - (np.array([40, 80]) / 300) ** 2) ** 2
    a, b = image[0, [40, 80]] / taper
    assert a / b == pytest.approx((1 + 64) / (1 + 16), rel=1e-9)
    assert image[0, 301:].max() == 0


def test_spikes_hold_their_share_of_the_light() -> None:
    image = np.zeros((1201, 1201))
    WINGS.add_spikes(image, 600.0, 600.0, 1e8, 1e-3)
    # An arm 1/(1 + d/core)² that is cut at a distance D lacks core/(core + D).
    expected = 0.004 * 1e8
    assert 0.93 * expected < image.sum() < expected


def test_spikes_lie_along_the_spider() -> None:
    image = np.zeros((401, 401))
    WINGS.add_spikes(image, 200.0, 200.0, 1e7, 1e-3)
    y, x = np.indices(image.shape) - 200
    angle, r = np.arctan2(y, x), np.hypot(x, y)
    ring = (r > 60) & (r < 90)
    brightest = angle[ring][np.argsort(image[ring])[-40:]]
    assert np.abs((brightest - 0.3 + np.pi / 4) % (np.pi / 2) - np.pi / 4).max() < 0.05


def test_faint_stars_have_no_wings_drawn() -> None:
    image = np.zeros((50, 50))
    WINGS.add_aureole(image, 25.0, 25.0, 10.0, 1e-2)
    WINGS.add_spikes(image, 25.0, 25.0, 10.0, 1e-2)
    assert not image.any()
    assert WINGS.reach_pix(10.0, 1e-2) == 0


def test_stars_beyond_the_edge_shine_in() -> None:
    image = np.zeros((100, 100))
    WINGS.add_aureole(image, -50.0, 50.0, 1e7, 1e-2)
    assert image[50, 0] > image[50, 50] > 0
    before = image.copy()
    WINGS.add_aureole(image, -5000.0, 50.0, 1e7, 1e-2)
    np.testing.assert_array_equal(image, before)


def test_switches() -> None:
    on = survey_config("demo").artifacts
    off = survey_config("demo", {"artifacts": {"aureole": False, "spikes": False}}).artifacts
    assert wing_fraction(on) == pytest.approx(on.aureole_fraction + on.spike_fraction)
    assert wing_fraction(off) == 0
    assert build_wings(off, 0.2, 4.0, 0.0).aureole_fraction == 0
    turned = build_wings(on, 0.2, 4.0, 90.0)
    assert turned.angle_rad == pytest.approx(build_wings(on, 0.2, 4.0, 0.0).angle_rad - np.pi / 2)
