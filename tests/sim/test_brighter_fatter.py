import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drpflow.sim.brighter_fatter import ChargeCollection, boundary_density, boundary_shifts
from drpflow.sim.detector_config import BrighterFatter

CONFIG = BrighterFatter()
LEVEL = 40000.0


def flat_pairs(config: BrighterFatter, number: int = 6, size: int = 256) -> list[np.ndarray]:
    """Return differences of flats over √2, electrons."""
    collection = ChargeCollection(config)
    rng = np.random.default_rng(11)
    expected = np.full((size, size), LEVEL, np.float32)

    def flat() -> np.ndarray:
        return collection.collect(rng.poisson(expected).astype(np.float32), expected)

    return [(flat() - flat()).astype(np.float64) / np.sqrt(2) for _ in range(number)]


@pytest.fixture(scope="module")
def differences() -> list[np.ndarray]:
    return flat_pairs(CONFIG)


def covariance(differences: list[np.ndarray], dx: int, dy: int) -> float:
    products = [(d[: d.shape[0] - dy, : d.shape[1] - dx] * d[dy:, dx:]).mean() for d in differences]
    return float(np.mean(products))


def test_own_area_shrinks_by_the_configured_amount() -> None:
    shifts, r = boundary_shifts(CONFIG), CONFIG.range_pix
    # Light at the right side is pushed to the right, out of the pixel; at the left to the left.
    lost = shifts.right[r, r + 1] - shifts.right[r, r]
    lost += shifts.upper[r + 1, r] - shifts.upper[r, r]
    assert lost == pytest.approx(CONFIG.area_loss_per_electron, rel=1e-12)
    assert shifts.right[r, r + 1] > 0 > shifts.right[r, r]


def test_shifts_are_antisymmetric_and_fall_off() -> None:
    shifts, r = boundary_shifts(CONFIG), CONFIG.range_pix
    np.testing.assert_allclose(shifts.right, -shifts.right[:, ::-1])
    np.testing.assert_allclose(shifts.right, shifts.right[::-1])
    outward = shifts.right[r, r + 1 :]
    assert np.all(np.diff(outward) < 0)
    assert np.all(outward > 0)
    ratio = shifts.right[r, r + 1] / shifts.upper[r + 1, r]
    assert ratio == pytest.approx(CONFIG.serial_to_parallel)


@given(st.integers(0, 2**31), st.floats(10, 5e4))
def test_charge_is_conserved(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    expected = (level * rng.uniform(0.05, 2, (20, 26))).astype(np.float32)
    arrived = rng.poisson(expected).astype(np.float32)
    charge = ChargeCollection(CONFIG).collect(arrived, expected)
    assert charge.sum(dtype=float) == pytest.approx(arrived.sum(dtype=float), rel=1e-6)


def test_even_light_is_unchanged() -> None:
    even = np.full((48, 48), LEVEL, np.float32)
    np.testing.assert_allclose(ChargeCollection(CONFIG).collect(even, even), even, rtol=1e-5)


def test_no_area_loss_is_no_effect() -> None:
    rng = np.random.default_rng(1)
    light = rng.uniform(0, LEVEL, (32, 32)).astype(np.float32)
    config = BrighterFatter(area_loss_per_electron=0.0)
    np.testing.assert_allclose(ChargeCollection(config).collect(light, light), light, rtol=1e-6)


def test_variance_of_flats_is_reduced(differences: list[np.ndarray]) -> None:
    # Astier et al. (2019): V / μ = (1 - exp(-2 a μ)) / (2 a μ), to the first order 1 - a μ; the
    # neighbours' response is of the second order.
    deficit = 1 - covariance(differences, 0, 0) / LEVEL
    expected = CONFIG.area_loss_per_electron * LEVEL
    assert deficit == pytest.approx(expected, rel=0.15)


def test_neighbors_correlate(differences: list[np.ndarray]) -> None:
    noise = LEVEL / np.sqrt(len(differences) * differences[0].size)
    right, up = covariance(differences, 1, 0), covariance(differences, 0, 1)
    assert right > 5 * noise
    assert up > 5 * noise
    # Not more than the pixel itself loses, and falling with distance.
    loss = CONFIG.area_loss_per_electron * LEVEL**2
    assert 2 * (right + up) < loss
    assert covariance(differences, 3, 0) < 0.5 * right


def test_covariance_is_that_of_the_boundaries(differences: list[np.ndarray]) -> None:
    shifts, r = boundary_shifts(CONFIG), CONFIG.range_pix
    # Change of the area of the right-hand neighbour by one electron: what enters minus leaves.
    change = shifts.right[r, r + 1] - shifts.right[r, r + 2]
    change += shifts.upper[r, r + 1] - shifts.upper[r + 1, r + 1]
    noise = LEVEL / np.sqrt(len(differences) * differences[0].size)
    # The second order takes about a μ, 7 %, off.
    assert covariance(differences, 1, 0) == pytest.approx(
        change * LEVEL**2, abs=4 * noise + 0.1 * change * LEVEL**2
    )


def test_stars_become_wider_in_proportion_to_their_flux() -> None:
    y, x = np.mgrid[:41, :41] - 20.0
    star = np.exp(-(x**2 + y**2) / (2 * 1.8**2))

    def growth(peak: float) -> float:
        light = (peak * star).astype(np.float32)
        charge = ChargeCollection(CONFIG).collect(light, light).astype(float)
        second = (x**2 + y**2) * (charge / charge.sum() - light / light.sum())
        return float(second.sum() / (2 * 1.8**2) / 2)

    faint, bright = growth(5000.0), growth(50000.0)
    assert 0.003 < bright < 0.05
    assert bright / faint == pytest.approx(10, rel=0.1)


def test_more_steps_change_little() -> None:
    y, x = np.mgrid[:41, :41] - 20.0
    light = (50000 * np.exp(-(x**2 + y**2) / (2 * 1.8**2))).astype(np.float32)
    coarse = ChargeCollection(CONFIG).collect(light, light)
    fine = ChargeCollection(BrighterFatter(steps=24)).collect(light, light)
    assert np.abs(coarse - fine).max() < 0.03 * np.abs(fine - light).max()


def test_density_is_exact_for_cubics_between_its_pixels() -> None:
    edges = np.arange(13.0)
    # f = 1000 + t³ is monotonic, so that no value is clipped.
    integral = 1000 * edges + edges**4 / 4
    pixels = np.diff(integral).astype(np.float32)[None, :]
    density = boundary_density(pixels, 1)
    np.testing.assert_allclose(density[0, 1:-1], 1000 + edges[2:-2] ** 3, rtol=1e-5)
    np.testing.assert_allclose(boundary_density(pixels.T, 0), density.T)
