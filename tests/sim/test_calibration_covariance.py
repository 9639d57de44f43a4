import numpy as np
import pytest

from drpflow.sim.brighter_fatter import ChargeCollection, boundary_shifts
from drpflow.sim.calibration_covariance import (
    brighter_fatter_kernel,
    correct,
    first_order,
    pair_covariances,
    solve_kernel,
    sum_covariances,
    unfold,
)
from drpflow.sim.detector_config import BrighterFatter

CONFIG = BrighterFatter(serial_to_parallel=1.0)
LEVEL = 40000.0


@pytest.fixture(scope="module")
def flats() -> list[np.ndarray]:
    collection = ChargeCollection(CONFIG)
    rng = np.random.default_rng(4)
    expected = np.full((384, 384), LEVEL, np.float32)
    return [
        collection.collect(rng.poisson(expected).astype(np.float32), expected) for _ in range(24)
    ]


@pytest.fixture(scope="module")
def kernel(flats: list[np.ndarray]) -> np.ndarray:
    pairs = zip(flats[::2], flats[1::2], strict=True)
    return brighter_fatter_kernel(sum_covariances([pair_covariances(a, b, 0.0) for a, b in pairs]))


def test_kernel_is_negative_and_symmetric(kernel: np.ndarray) -> None:
    assert kernel.argmin() == kernel.size // 2
    assert kernel.max() < 0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-20)


def test_kernel_is_that_of_the_boundaries(kernel: np.ndarray) -> None:
    shifts, r = boundary_shifts(CONFIG), CONFIG.range_pix
    change = shifts.right[:, :-1] - shifts.right[:, 1:] + shifts.upper[:-1] - shifts.upper[1:]
    true = solve_kernel(change)[r - 2 : r + 3, r - 2 : r + 3]
    found = kernel[6:11, 6:11]
    # The potential is known up to a constant; its gradients move the light.
    for axis in (0, 1):
        gradient = np.diff(true, axis=axis)
        error = np.abs(np.diff(found, axis=axis) - gradient).max()
        assert error < 0.1 * np.abs(gradient).max()


def test_correction_restores_poisson_noise(flats: list[np.ndarray], kernel: np.ndarray) -> None:
    def ratio(images: list[np.ndarray]) -> float:
        pairs = zip(images[::2], images[1::2], strict=True)
        return float(np.mean([(a - b).astype(float).var() / 2 / LEVEL for a, b in pairs]))

    deficit = 1 - ratio(flats[:12])
    left = 1 - ratio([correct(flat, kernel) for flat in flats[:12]])
    assert deficit > 0.05
    assert abs(left) < 0.1 * deficit


def test_correction_conserves_charge(flats: list[np.ndarray], kernel: np.ndarray) -> None:
    corrected = correct(flats[0], kernel)
    assert corrected.sum(dtype=float) == pytest.approx(flats[0].sum(dtype=float), rel=1e-7)


def test_no_effect_gives_no_kernel() -> None:
    rng = np.random.default_rng(5)
    flats = [rng.poisson(LEVEL, (384, 384)).astype(np.float32) for _ in range(8)]
    pairs = zip(flats[::2], flats[1::2], strict=True)
    sums = sum_covariances([pair_covariances(a, b, 0.0) for a, b in pairs])
    assert not brighter_fatter_kernel(sums).any()


def test_solution_satisfies_poissons_equation() -> None:
    change = np.random.default_rng(6).normal(size=(17, 17))
    padded = np.pad(solve_kernel(change), 1)
    laplacian = (
        padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
        - 4 * padded[1:-1, 1:-1]
    )  # fmt: skip
    np.testing.assert_allclose(laplacian, -change, atol=1e-12)


def test_first_order_inverts_the_growth() -> None:
    quadrant = np.zeros((9, 9))
    quadrant[0, 0], quadrant[0, 1], quadrant[1, 0] = -1.6e-6, 4e-7, 4e-7
    area = unfold(quadrant)
    z = LEVEL * np.fft.fft2(np.fft.ifftshift(area)).real
    z = np.where(np.abs(z) < 1e-12, 1e-12, z)
    grown = np.fft.fftshift(np.fft.ifft2(np.expm1(2 * z) / (2 * z) - 1).real) / LEVEL
    np.testing.assert_allclose(first_order(grown, LEVEL), area, atol=1e-10)
