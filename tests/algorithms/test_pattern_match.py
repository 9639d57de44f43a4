"""The matcher finds poor pointings among spurious sources, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import poisson

from drpflow.algorithms.pattern_match import (
    PatternMatch,
    log10_poisson_tail,
    match_pattern,
    mutual_matches,
    similarity_votes,
)
from drpflow.config.astrometry import PatternMatchConfig

CONFIG = PatternMatchConfig()


@dataclass
class Sky:
    """Sources and references that share `n_true` stars, and how one lies on the other."""

    size: int
    x: NDArray
    y: NDArray
    brightness: NDArray
    reference_x: NDArray
    reference_y: NDArray
    reference_brightness: NDArray
    matrix: NDArray
    offset: NDArray

    def match(self, config: PatternMatchConfig = CONFIG) -> PatternMatch | None:
        return match_pattern(
            self.x,
            self.y,
            self.brightness,
            self.reference_x,
            self.reference_y,
            self.reference_brightness,
            (self.size, self.size),
            config,
        )

    def error(self, found: PatternMatch) -> float:
        """Largest distance between the true and the found map over the detector."""
        side = np.linspace(0, self.size - 1, 9)
        x, y = (g.ravel() for g in np.meshgrid(side, side))
        true = self.matrix @ np.array([x, y]) + self.offset[:, None]
        return float(np.hypot(*(np.array(found.apply(x, y)) - true)).max())


def make_sky(
    seed: int,
    n_true: int,
    n_spurious: int,
    references_per_source: float,
    size: int = 1024,
    shift: tuple[float, float] = (240.0, -235.0),
    rotation_deg: float = 0.9,
    rank_scatter: float = 0.5,
) -> Sky:
    """Draw a sky; sources are the brightest references on the detector and others."""
    rng = np.random.default_rng([seed, n_true, n_spurious])
    margin = 300.0
    area = ((size + 2 * margin) / size) ** 2
    n = int(references_per_source * n_true * area)
    u, v = rng.uniform(-margin, size + margin, (2, n))
    mag = 10 * rng.uniform(size=n) ** 0.4
    turn = np.radians(rotation_deg)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    center = np.full(2, (size - 1) / 2)
    offset = np.array(shift) + center - matrix @ center
    pixels = np.linalg.inv(matrix) @ (np.array([u, v]) - offset[:, None])
    inside = np.flatnonzero(((pixels > 0) & (pixels < size - 1)).all(axis=0))
    order = np.argsort(mag[inside] + rank_scatter * rng.normal(size=inside.size))
    stars = inside[order[:n_true]]
    found = pixels[:, stars] + rng.normal(scale=0.2, size=(2, stars.size))
    spurious = rng.uniform(0, size - 1, (2, n_spurious))
    faintest = mag[stars].max()
    spurious_mag = faintest * rng.uniform(size=n_spurious) ** 0.4
    x, y = np.concatenate([found, spurious], axis=1)
    brightness = -np.concatenate([mag[stars], spurious_mag])
    return Sky(size, x, y, brightness, u, v, -mag, matrix, offset)


@pytest.mark.parametrize(
    ("n_true", "n_spurious", "references_per_source", "size"),
    [
        (50, 0, 1.0, 1024),
        (50, 50, 20.0, 1024),
        (50, 450, 20.0, 1024),
        (12, 12, 3.0, 1024),
        (60, 60, 20.0, 256),
        (300, 300, 20.0, 4096),
    ],
    ids=["easy", "50% spurious", "90% spurious", "few", "small", "large"],
)
def test_poor_pointing_is_found(
    n_true: int, n_spurious: int, references_per_source: float, size: int
) -> None:
    for seed in range(5):
        sky = make_sky(seed, n_true, n_spurious, references_per_source, size)
        found = sky.match()
        assert found is not None
        assert found.log10_chance < CONFIG.max_log10_chance
        assert sky.error(found) < 1.5


def test_brightness_may_say_nothing() -> None:
    sky = make_sky(7, 60, 60, 20.0, rank_scatter=100.0)
    found = sky.match()
    assert found is not None
    assert found.log10_chance < CONFIG.max_log10_chance
    assert sky.error(found) < 1.5


@pytest.mark.parametrize("rotation_deg", [-170.0, 33.0])
def test_any_rotation_if_asked_for(rotation_deg: float) -> None:
    sky = make_sky(1, 30, 10, 2.0, size=512, shift=(60.0, -80.0), rotation_deg=rotation_deg)
    config = PatternMatchConfig(max_rotation_deg=180.0, max_scale_error=0.0, max_offset_pix=100.0)
    found = sky.match(config)
    assert found is not None
    assert found.log10_chance < config.max_log10_chance
    assert sky.error(found) < 1.5
    assert found.rotation_deg == pytest.approx(rotation_deg, abs=0.1)


def test_beyond_the_limits_nothing_is_found() -> None:
    sky = make_sky(2, 60, 10, 2.0, shift=(420.0, 0.0))
    found = sky.match()
    assert found is None or found.log10_chance > CONFIG.max_log10_chance


def test_order_of_rows_does_not_matter() -> None:
    sky = make_sky(3, 40, 20, 5.0)
    rng = np.random.default_rng(0)
    first = sky.match()
    rows, stars = rng.permutation(len(sky.x)), rng.permutation(len(sky.reference_x))
    shuffled = replace(
        sky,
        x=sky.x[rows],
        y=sky.y[rows],
        brightness=sky.brightness[rows],
        reference_x=sky.reference_x[stars],
        reference_y=sky.reference_y[stars],
        reference_brightness=sky.reference_brightness[stars],
    )
    second = shuffled.match()
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first.matrix, second.matrix, atol=1e-9)
    assert first.n_matched == second.n_matched


def test_fragments_of_bright_stars_and_bad_columns_make_no_match() -> None:
    # Twenty detections about each of five saturated stars, and forty along a column.
    rng = np.random.default_rng(6)
    for seed in range(10):
        sky = make_sky(seed, 50, 0, 4.0)
        centers = rng.uniform(0, 1023, (2, 5))
        clumps = (centers[:, :, None] + rng.normal(scale=4, size=(2, 5, 20))).reshape(2, -1)
        column = np.array([np.full(40, 511.3), np.linspace(10, 1000, 40)])
        sky.x, sky.y = np.concatenate([clumps, column], axis=1)
        sky.brightness = rng.uniform(size=sky.x.size)
        found = sky.match()
        assert found is None or found.log10_chance > CONFIG.max_log10_chance


def test_missing_values_are_passed_over() -> None:
    sky = make_sky(4, 40, 0, 3.0)
    sky.reference_x[::7] = np.nan
    sky.reference_brightness[::5] = np.nan
    found = sky.match()
    assert found is not None
    assert found.log10_chance < CONFIG.max_log10_chance
    assert sky.error(found) < 1.5


def test_attempts_are_listed_in_full() -> None:
    with pytest.raises(ValueError, match="as many attempts"):
        PatternMatchConfig(sources=(100,), reference_ratio=(1.0, 2.0))


def test_a_handful_of_stars_is_no_match() -> None:
    sky = make_sky(5, 3, 0, 1.0)
    assert sky.match() is None


@pytest.mark.parametrize(("ratio", "turn_deg"), [(1.1, 5.0), (0.5, -40.0), (2.0, 178.0)])
def test_baselines_tell_scale_and_turn(ratio: float, turn_deg: float) -> None:
    rng = np.random.default_rng(8)
    z = rng.uniform(0, 1000, 40) + 1j * rng.uniform(0, 1000, 40)
    w = ratio * np.exp(1j * np.radians(turn_deg)) * z + 300 - 70j
    order = np.argsort(np.arange(40) + rng.normal(scale=4, size=40))[:35]
    strangers = rng.uniform(0, 1000, 25) + 1j * rng.uniform(0, 1000, 25)
    reference = np.insert(w[order], np.sort(rng.integers(0, 35, 25)), strangers)
    found, turn, significance = similarity_votes(z.real, z.imag, reference.real, reference.imag)
    assert found == pytest.approx(ratio, rel=0.02)
    assert (turn - turn_deg + 180) % 360 - 180 == pytest.approx(0, abs=1.5)
    assert significance > 9


def test_matches_are_one_to_one_and_nearest() -> None:
    tree = cKDTree([[0.0, 0.0], [10.0, 0.0]])
    rows, stars, distance = mutual_matches(
        tree, np.array([0.5, 0.2, 9.0, 30.0]), np.zeros(4), np.array([1.0, 1.0, 0.5, 1.0])
    )
    assert rows.tolist() == [1]
    assert stars.tolist() == [0]
    assert distance == pytest.approx([0.2])


@pytest.mark.parametrize("expected", [0.01, 1.0, 30.0])
def test_chance_is_an_upper_bound_and_a_close_one(expected: float) -> None:
    for n in np.unique(np.ceil(expected * np.array([1.5, 2, 4]) + 3)):
        exact = poisson.logsf(n - 1, expected) / np.log(10)
        bound = log10_poisson_tail(float(n), expected)
        assert exact <= bound <= exact + 2.0
    assert log10_poisson_tail(expected / 2, expected) == 0.0
