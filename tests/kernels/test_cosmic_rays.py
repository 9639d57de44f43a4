"""The kernels that look for sharp pixels, beside plain numpy."""

from __future__ import annotations

import numpy as np

from drpflow.kernels import cosmic_rays as k

RATIOS = np.array([0.8, 0.7, 0.6, 0.65])


def images() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    image = rng.normal(5, 20, (40, 50)).astype(np.float32)
    image[rng.integers(0, 40, 60), rng.integers(0, 50, 60)] += 150
    variance = rng.uniform(50, 150, image.shape).astype(np.float32)
    return image, variance, rng.random(image.shape) < 0.05


def twin(
    image: np.ndarray, variance: np.ndarray, bad: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """The four conditions on padded arrays."""
    image, variance = image.astype(float), variance.astype(float)
    padded = np.pad(np.where(bad, np.nan, image), 1, constant_values=np.nan)
    noise = np.pad(variance, 1)
    ny, nx = image.shape
    sharp = np.zeros(image.shape, bool)
    for ratio, i, j in zip(RATIOS, k.PAIR_ROWS, k.PAIR_COLUMNS, strict=True):
        ends = [
            (slice(1 + s * i, 1 + s * i + ny), slice(1 + s * j, 1 + s * j + nx)) for s in (-1, 1)
        ]
        mean = (padded[ends[0]] + padded[ends[1]]) / 2
        pair = sum(np.minimum(noise[end], variance) for end in ends) / 4
        excess = (1 - limits[2]) * ratio * image - mean
        sharp |= excess > limits[1] * np.sqrt(ratio**2 * variance + pair)
    return sharp & ~bad & (image > limits[0] * np.sqrt(variance))


def test_sharp_pixels() -> None:
    image, variance, bad = images()
    limits = np.array([3.0, 2.0, 0.1])
    rows, columns = k.find_sharp(image, variance, bad, RATIOS.reshape(1, 1, 4), 64, limits)
    found = np.zeros(image.shape, bool)
    found[rows, columns] = True
    want = twin(image, variance, bad, limits)
    assert 20 < want.sum() < 300
    np.testing.assert_array_equal(found, want)


def test_each_block_has_its_own_ratios() -> None:
    image, variance, bad = images()
    ratios = np.full((3, 4, 4), -10.0)  # nothing is as sharp as that
    ratios[1, 2] = RATIOS
    limits = np.array([3.0, 2.0, 0.1])
    rows, columns = k.find_sharp(image, variance, bad, ratios, 16, limits)
    want = twin(image, variance, bad, limits)
    inside = np.zeros(image.shape, bool)
    inside[16:32, 32:48] = True
    assert rows.size == (want & inside).sum() > 0
    assert inside[rows, columns].all()


def test_sharp_pixels_beside_others() -> None:
    image, variance, bad = images()
    limits = np.array([1.0, 0.5, 0.1])
    hit = np.zeros(image.shape, bool)
    hit[10, 10] = hit[20, 30] = hit[21, 31] = hit[0, 0] = True
    before = hit.copy()
    rows, columns = np.nonzero(hit)
    new_rows, new_columns = k.find_sharp_beside(
        image, variance, bad, hit, rows, columns, RATIOS.reshape(1, 1, 4), 64, limits
    )
    near = np.zeros((42, 52), bool)
    for i in range(3):
        for j in range(3):
            near[i : i + 40, j : j + 50] |= before
    want = near[1:-1, 1:-1] & ~before & twin(image, variance, bad, limits)
    assert want.sum() > 3
    np.testing.assert_array_equal(hit & ~before, want)
    assert {*zip(new_rows, new_columns, strict=True)} == {*zip(*np.nonzero(want), strict=True)}


def test_erased_pixels_have_the_least_mean_of_a_pair() -> None:
    y, x = np.mgrid[:9, :9]
    image = (10 * x + y * y).astype(np.float32)
    hit = np.zeros(image.shape, bool)
    hit[4, 4] = hit[0, 0] = True
    hit[6:9, 0:3] = True
    bad = np.zeros(image.shape, bool)
    changed = image.copy()
    changed[hit] = 1e6
    k.erase(changed, bad, hit, *np.nonzero(hit))
    assert changed[4, 4] == 56  # along the row; along the column 57
    assert changed[0, 0] == 1  # no pair: the least neighbour
    assert changed[7, 1] == 0  # nothing: zero
    np.testing.assert_array_equal(changed[~hit], image[~hit])


def test_widths_of_gaussian_peaks_do_not_depend_on_their_place() -> None:
    y, x = np.mgrid[:60, :60]
    image = np.zeros((60, 60))
    for x0, y0 in [(15.0, 15.5), (44.7, 15.2), (15.1, 44.3), (44.4, 44.0)]:
        image += 1000 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / 1.7**2)
    bad = np.zeros(image.shape, bool)
    widths = np.empty(10)
    variance = np.full((60, 60), 10, np.float32)
    count = k.peak_widths(image.astype(np.float32), variance, bad, 20.0, 1, widths)
    assert count == 4
    np.testing.assert_allclose(widths[:4], 1.7, rtol=1e-4)
    assert k.peak_widths(image.astype(np.float32), variance, bad, 20.0, 2, widths) == 4
    np.testing.assert_allclose(widths[:4], 1.7, rtol=1e-4)
    bad[15, 15] = True
    assert k.peak_widths(image.astype(np.float32), variance, bad, 20.0, 1, widths) == 3
    assert k.peak_widths(image.astype(np.float32), variance, bad, 20.0, 1, widths[:2]) == 2
