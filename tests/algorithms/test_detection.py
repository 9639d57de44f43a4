"""Detection recovers stars of known places and is right about noise, masks and crowds."""

from __future__ import annotations

import numpy as np
import pytest
import sep
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from drpflow.algorithms.detection import Detection, detect, detect_adaptive, grown_mask
from drpflow.algorithms.significance import smooth
from drpflow.config.detection import AdaptiveDetectionConfig
from tests.algorithms.star_fields import add_stars, observed

SIGMA = 1.8
NOISE = 10.0
FLUX_ERROR = NOISE * np.sqrt(4 * np.pi) * SIGMA
"""Error of the least-squares flux of a Gaussian of that width in white noise."""

Float64 = NDArray[np.float64]


def white(shape: tuple[int, int], seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, NOISE, shape).astype(np.float32), np.full(shape, NOISE**2, np.float32)


def grid(shape: tuple[int, int], step: int, seed: int) -> tuple[Float64, Float64]:
    """Return places on a loose grid, at random within a pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[step // 2 : shape[0] - step // 2 : step, step // 2 : shape[1] - 8 : step]
    return x.ravel() + rng.uniform(-0.5, 0.5, x.size), y.ravel() + rng.uniform(-0.5, 0.5, x.size)


def recovered(found: Detection, x: Float64, y: Float64) -> tuple[float, int]:
    """Return the share of stars that a peak was found near, and the number of other peaks."""
    peaks = np.column_stack([found.footprints.peak_x, found.footprints.peak_y])
    return _score(peaks, x, y)


def _score(peaks: Float64, x: Float64, y: Float64) -> tuple[float, int]:
    stars = np.column_stack([x, y])
    near, _ = cKDTree(peaks).query(stars)
    far, _ = cKDTree(stars).query(peaks)
    return float(np.mean(near < 2.5)), int(np.count_nonzero(far > 5))


def test_significance_of_noise_has_unit_width() -> None:
    image, variance = white((400, 400), 1)
    significance = smooth(image, variance, np.zeros(image.shape, bool), SIGMA)
    assert significance.mean() == pytest.approx(0.0, abs=0.02)
    assert significance.std() == pytest.approx(1.0, abs=0.02)
    assert significance[:3].std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("hidden", [0, 1, 4])
def test_significance_of_a_star_is_its_flux_over_its_error(hidden: int) -> None:
    """Also where columns of it are masked: from what is left of the kernel."""
    image = np.zeros((61, 61))
    add_stars(image, np.array([30.0]), np.array([30.0]), np.array([1e4]), SIGMA)
    bad = np.zeros(image.shape, bool)
    bad[:, 30 : 30 + hidden] = True
    image[bad] = np.nan
    variance = np.full(image.shape, NOISE**2, np.float32)
    significance = smooth(image.astype(np.float32), variance, bad, SIGMA)
    offset = np.arange(-7, 8)
    kernel = np.exp(-0.5 * (offset**2 + offset[:, None] ** 2) / SIGMA**2)
    kernel /= 2 * np.pi * SIGMA**2
    left = np.sqrt((kernel[:, ~bad[30, 23:38]] ** 2).sum())
    assert significance[30, 30] == pytest.approx(1e4 * left / NOISE, rel=1e-3)


def test_pixels_without_value_or_variance_do_not_count() -> None:
    image, variance = white((64, 64), 2)
    bad = np.zeros(image.shape, bool)
    image[10, 10], image[20, 20], variance[30, 30], variance[40, 40] = np.nan, np.inf, 0, np.nan
    bad[10, 10] = bad[20, 20] = bad[30, 30] = bad[40, 40] = True
    want = smooth(np.nan_to_num(image), np.nan_to_num(variance, nan=1.0), bad, SIGMA)
    got = smooth(image, variance, np.zeros(image.shape, bool), SIGMA)
    np.testing.assert_array_equal(got, want)


def test_stars_of_signal_to_noise_ten_are_complete() -> None:
    image, variance = white((600, 600), 3)
    x, y = grid(image.shape, 24, 4)
    signal = np.zeros(image.shape)
    add_stars(signal, x, y, np.full(x.size, 10 * FLUX_ERROR), SIGMA)
    image += signal.astype(np.float32)
    found = detect(image, variance, np.zeros(image.shape, bool), SIGMA, 5.0, grow_pix=4.0)
    share, false = recovered(found, x, y)
    assert share >= 0.995
    assert false <= 2
    tree = cKDTree(np.column_stack([found.footprints.peak_x, found.footprints.peak_y]))
    distance, _ = tree.query(np.column_stack([x, y]))
    # The best that noise allows is √2 σ / (S/N) along each axis.
    assert np.sqrt(np.mean(np.minimum(distance, 2.5) ** 2)) < 1.1 * 2 * SIGMA / 10


def test_at_signal_to_noise_five_not_below_sep_at_equal_false_rate() -> None:
    """Thresholds of both are set where each finds as many peaks in noise alone."""
    shape = (700, 700)
    x, y = grid(shape, 20, 5)
    signal = np.zeros(shape)
    add_stars(signal, x, y, np.full(x.size, 5 * FLUX_ERROR), SIGMA)
    offset = np.arange(-7, 8)
    kernel = np.exp(-0.5 * (offset**2 + offset[:, None] ** 2) / SIGMA**2)
    bad = np.zeros(shape, bool)

    def own(image: NDArray[np.float32], variance: NDArray[np.float32]) -> tuple[Float64, ...]:
        f = detect(image, variance, bad, SIGMA, 3.5).footprints
        return np.column_stack([f.peak_x, f.peak_y]), f.peak_significance.astype(np.float64)

    def by_sep(image: NDArray[np.float32], variance: NDArray[np.float32]) -> tuple[Float64, ...]:
        level = 3.5 * NOISE * np.sqrt((kernel**2).sum()) / kernel.sum()
        found = sep.extract(
            image, level, filter_kernel=kernel, filter_type="conv", minarea=1, deblend_cont=1e-4
        )
        return np.column_stack([found["xcpeak"], found["ycpeak"]]), found["cpeak"]

    shares = []
    for method in (own, by_sep):
        noise_heights = np.sort(method(*white(shape, 6))[1])[::-1]
        image, variance = white(shape, 7)
        peaks, height = method(image + signal.astype(np.float32), variance)
        shares.append(_score(peaks[height >= noise_heights[10]], x, y)[0])
    assert shares[0] >= shares[1] - 0.01
    assert shares[0] > 0.7


def test_false_peaks_are_as_rare_as_those_of_a_gaussian_field() -> None:
    """u exp(-u²/2) / ((2π)^(3/2) · 2σ²) maxima above u in a unit area (Adler 1981)."""
    image, variance = white((1500, 1500), 8)
    found = detect(image, variance, np.zeros(image.shape, bool), SIGMA, 4.0)
    u = 4.0
    expected = image.size * u * np.exp(-(u**2) / 2) / ((2 * np.pi) ** 1.5 * 2 * SIGMA**2)
    count = found.footprints.peak_x.size
    assert abs(count - expected) < 4 * np.sqrt(expected) + 0.1 * expected


def test_noise_on_a_halo_is_no_source() -> None:
    """A halo of 2.5 sigma of a point source makes 5 sigma of noise of 2.5 sigma."""
    image, variance = white((600, 600), 21)
    y, x = np.mgrid[:600, :600]
    halo = 2.5 * FLUX_ERROR / (4 * np.pi * SIGMA**2)
    image += (halo * np.exp(-0.5 * ((x - 300) ** 2 + (y - 300) ** 2) / 90**2)).astype(np.float32)
    bad = np.zeros(image.shape, bool)
    risen = smooth(image, variance, bad, SIGMA) > 5
    assert np.count_nonzero(risen) > 20, "the halo does not lift noise above the threshold"
    assert detect(image, variance, bad, SIGMA, 5.0, grow_pix=4.0).footprints.peak_x.size <= 1
    stars = np.array([260.0, 300.0, 340.0])
    signal = np.zeros(image.shape)
    add_stars(signal, stars, stars, np.full(3, 10 * FLUX_ERROR), SIGMA)
    image += signal.astype(np.float32)
    share, others = recovered(detect(image, variance, bad, SIGMA, 5.0, grow_pix=4.0), stars, stars)
    assert share == 1.0
    assert others <= 1


def test_stars_on_a_galaxy_are_found() -> None:
    rng = np.random.default_rng(9)
    truth = np.full((200, 200), 200.0)
    add_stars(truth, np.array([100.0]), np.array([100.0]), np.array([3e5]), 12.0)
    x, y = np.array([100.0, 118.0, 84.0]), np.array([121.0, 97.0, 86.0])
    add_stars(truth, x, y, np.full(3, 2500.0), SIGMA)
    image, variance = observed(truth, rng)
    bad = np.zeros(image.shape, bool)
    found = detect(image - np.float32(200), variance, bad, SIGMA, 5.0).footprints
    assert len(found) == 1
    distance, _ = cKDTree(np.column_stack([found.peak_x, found.peak_y])).query(
        np.column_stack([x, y])
    )
    assert distance.max() < 1.5
    assert found.n_peaks()[0] <= 6


def test_bright_stars_do_not_break_into_pieces() -> None:
    rng = np.random.default_rng(10)
    truth = np.full((300, 300), 200.0)
    x, y = np.array([80.0, 220.0]), np.array([90.0, 210.0])
    add_stars(truth, x, y, np.array([3e5, 1e6]), SIGMA, wings=0.1)
    image, variance = observed(truth, rng)
    bad = np.zeros(image.shape, bool)
    found = detect(image - np.float32(200), variance, bad, SIGMA, 5.0).footprints
    assert found.n_peaks().tolist() == [1, 1]


@pytest.mark.parametrize("flip", ["transpose", "x", "y"])
def test_turned_image_turned_detection(flip: str) -> None:
    turn = {"transpose": np.transpose, "x": np.fliplr, "y": np.flipud}[flip]
    image, variance = white((90, 70), 11)
    image[40:44, 30:34] += 60.0
    bad = np.zeros(image.shape, bool)
    bad[20:30, 42] = True
    kwargs = {"grow_pix": 3.0, "min_prominence": 0.5}
    direct = detect(image, variance, bad, SIGMA, 2.0, **kwargs).footprints
    turned = [np.ascontiguousarray(turn(a)) for a in (image, variance, bad)]
    other = detect(*turned, SIGMA, 2.0, **kwargs).footprints
    want = turn(direct.labels(image.shape) > 0)
    np.testing.assert_array_equal(other.labels(want.shape) > 0, want)
    assert sorted(other.areas()) == sorted(direct.areas())
    assert sorted(other.n_peaks()) == sorted(direct.n_peaks())


def test_limits_on_area_and_peak() -> None:
    image = np.zeros((80, 80), np.float32)
    image[20, 20], image[60, 60] = 300.0, 3000.0
    variance, bad = np.full(image.shape, 100, np.float32), np.zeros(image.shape, bool)
    both = detect(image, variance, bad, SIGMA, 2.0)
    assert len(both.footprints) == 2
    assert len(detect(image, variance, bad, SIGMA, 2.0, peak_threshold=20).footprints) == 1
    area = int(both.footprints.areas().min()) + 1
    assert len(detect(image, variance, bad, SIGMA, 2.0, min_area=area).footprints) == 1


def test_every_footprint_holds_its_peaks_brightest_first() -> None:
    image, variance = white((300, 300), 12)
    found = detect(image, variance, np.zeros(image.shape, bool), SIGMA, 2.0, grow_pix=2.0)
    footprints = found.footprints
    labels = footprints.labels(image.shape)
    owner = np.repeat(np.arange(len(footprints)), footprints.n_peaks())
    column = np.floor(footprints.peak_x + 0.5).astype(int)
    row = np.floor(footprints.peak_y + 0.5).astype(int)
    assert footprints.n_peaks().min() >= 1
    assert np.mean(labels[row, column] == owner + 1) == 1.0
    assert (np.diff(footprints.peak_significance)[np.diff(owner) == 0] <= 0).all()


def test_mask_of_both_signs_is_even() -> None:
    image, variance = white((300, 300), 13)
    significance = smooth(image, variance, np.zeros(image.shape, bool), SIGMA)
    mask = grown_mask(significance, 2.0, 3.0, both_signs=True)
    np.testing.assert_array_equal(mask, grown_mask(-significance, 2.0, 3.0, both_signs=True))
    assert grown_mask(significance, 2.0, 3.0, both_signs=False).mean() < mask.mean()


def crowd(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a field like that of the Galactic bulge: many faint stars, few bright ones."""
    rng = np.random.default_rng(seed)
    truth = np.full((512, 512), 200.0)
    x, y = rng.uniform(0, 512, (2, n))
    add_stars(truth, x, y, np.minimum(50 + 300 * rng.pareto(0.9, n), 1e6), SIGMA)
    image, variance = observed(truth, rng)
    return image - np.float32(np.percentile(image, 20)), variance


def test_crowded_field_does_not_collapse_into_one_footprint() -> None:
    image, variance = crowd(8000, 14)
    bad = np.zeros(image.shape, bool)
    fixed = detect(image, variance, bad, SIGMA, 5.0, grow_pix=2.4 * SIGMA)
    assert fixed.history[0].most_peaks > 0.8 * fixed.history[0].n_peaks
    found = detect_adaptive(image, variance, bad, SIGMA, AdaptiveDetectionConfig())
    trial = next(t for t in found.history if t.threshold == found.threshold)
    assert trial.n_isolated >= 15
    assert trial.most_peaks < 0.3 * trial.n_peaks
    assert len(found.history) <= 20


def test_adaptive_keeps_peaks_within_limits() -> None:
    image, variance = crowd(2000, 15)
    config = AdaptiveDetectionConfig(max_peaks=40)
    found = detect_adaptive(image, variance, np.zeros(image.shape, bool), SIGMA, config)
    assert 10 <= found.footprints.peak_x.size <= 40


def test_adaptive_goes_down_where_there_is_little() -> None:
    image, variance = white((300, 300), 16)
    x, y = grid(image.shape, 60, 17)
    signal = np.zeros(image.shape)
    add_stars(signal, x, y, np.full(x.size, 35 * FLUX_ERROR), SIGMA)
    image += signal.astype(np.float32)
    found = detect_adaptive(
        image, variance, np.zeros(image.shape, bool), SIGMA, AdaptiveDetectionConfig()
    )
    assert found.history[0].n_footprints == 0
    assert found.threshold < 10
    # 33 sigma is the limit on peaks that it stops at.
    assert recovered(found, x, y)[0] >= 0.8


def test_nothing_to_detect() -> None:
    image, variance = np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32)
    for bad in (np.zeros(image.shape, bool), np.ones(image.shape, bool)):
        assert len(detect(image, variance, bad, SIGMA, 5.0, grow_pix=3.0).footprints) == 0
        adaptive = detect_adaptive(image, variance, bad, SIGMA, AdaptiveDetectionConfig())
        assert len(adaptive.footprints) == 0
