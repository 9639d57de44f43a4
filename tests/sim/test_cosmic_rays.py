import numpy as np
import pytest

from drpflow.sim.cosmic_rays import (
    LONGEST_UM,
    MOST_PROBABLE_PER_UM,
    energy_loss,
    hit_image,
    muon,
    spot,
    worm,
)
from drpflow.sim.detector_config import CosmicRays

THICKNESS_UM = 200.0
PIXEL_UM = 15.0


def test_rate() -> None:
    config, exposure_s, shape = CosmicRays(), 30.0, (128, 128)
    area_cm2 = 128 * 128 * (PIXEL_UM * 1e-4) ** 2
    expected = config.rate_cm2_s * area_cm2 * exposure_s * 40
    rng = np.random.default_rng(3)
    number = sum(hit_image(config, shape, PIXEL_UM, exposure_s, rng)[1] for _ in range(40))
    assert abs(number - expected) < 4 * np.sqrt(expected)


def test_no_time_no_hits() -> None:
    image, number = hit_image(CosmicRays(), (32, 32), PIXEL_UM, 0.0, np.random.default_rng(1))
    assert number == 0
    assert not image.any()


def test_muons_lose_what_silicon_takes() -> None:
    rng = np.random.default_rng(5)
    tracks = [muon(THICKNESS_UM, rng) for _ in range(2000)]
    # Length of each, from its projection and the depth.
    step = np.array([np.hypot(t.x_um[-1], t.y_um[-1]) for t in tracks])
    number = np.array([t.depth.size for t in tracks])
    projected = step * number / np.maximum(number - 0.5, 1)
    length = np.hypot(projected, THICKNESS_UM)
    per_um = np.array([t.electron.sum() for t in tracks]) / length
    # 70 to 80 pairs per µm at the most probable loss in 200 to 300 µm (PDG), a long tail above.
    assert 65 < np.median(per_um) < 90
    assert np.percentile(per_um, 1) > 0.8 * MOST_PROBABLE_PER_UM
    assert np.percentile(per_um, 99) > 1.5 * np.median(per_um)


def test_muons_are_straight_and_of_all_slopes() -> None:
    rng = np.random.default_rng(6)
    tracks = [muon(THICKNESS_UM, rng) for _ in range(2000)]
    for track in tracks[:50]:
        cross = track.x_um * track.y_um[-1] - track.y_um * track.x_um[-1]
        assert np.abs(cross).max() < 1e-6 * (1 + np.abs(track.x_um).max() ** 2)
        assert np.all(np.diff(track.depth) < 0)
    reach = np.array([np.hypot(t.x_um[-1], t.y_um[-1]) for t in tracks])
    assert reach.max() < LONGEST_UM
    # cos θ has the median 0.5^(1/4), hence tan θ = 0.643.
    assert np.median(reach) == pytest.approx(0.643 * THICKNESS_UM, rel=0.06)
    assert (reach > 5 * THICKNESS_UM).any()


def test_energy_loss_of_thin_layers_is_positive_and_skew() -> None:
    charge = energy_loss(np.full(50_000, 5.0), np.random.default_rng(7))
    assert charge.min() >= 0
    assert charge.mean() > np.median(charge)
    # Landau's mean loss is about 80 a micron, with the knock-on electrons.
    assert charge.mean() / 5 == pytest.approx(85, rel=0.15)


def test_worms_stop_and_wander() -> None:
    rng = np.random.default_rng(8)
    tracks = [worm(THICKNESS_UM, rng) for _ in range(300)]
    total = np.array([t.electron.sum() for t in tracks])
    assert total.min() > 0
    assert total.max() < 1e6
    path = np.array([t.x_um.size * 5.0 for t in tracks])
    reach = np.array([np.hypot(t.x_um[-1], t.y_um[-1]) for t in tracks])
    long = path > 200
    assert long.any()
    assert np.median(reach[long] / path[long]) < 0.9
    assert all(np.all((t.depth >= 0) & (t.depth <= 1)) for t in tracks)


def test_spots_are_points() -> None:
    rng = np.random.default_rng(9)
    charge = np.array([spot(rng).electron[0] for _ in range(1000)])
    assert charge.min() >= 200
    assert charge.max() <= 20000
    assert np.median(charge) < 3000


def test_charge_of_the_image_is_that_of_the_tracks() -> None:
    # Spots alone: mean of 200·100^(u^1.5), far from the edges of a large detector.
    config = CosmicRays(muon_fraction=0, worm_fraction=0, rate_cm2_s=20.0)
    image, number = hit_image(config, (512, 512), PIXEL_UM, 60.0, np.random.default_rng(10))
    u = (np.arange(10_000) + 0.5) / 10_000
    values = 200 * 100 ** (u**1.5)
    expected = number * values.mean()
    assert image.sum() == pytest.approx(expected, abs=4 * np.sqrt(number) * values.std())
    assert image.min() >= 0


def test_same_generator_same_image() -> None:
    images = [
        hit_image(CosmicRays(), (64, 64), PIXEL_UM, 300.0, np.random.default_rng(s))[0]
        for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert np.any(images[0] != images[2])
