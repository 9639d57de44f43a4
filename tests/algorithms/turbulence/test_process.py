import numpy as np
import pytest

from drpflow.algorithms.turbulence.process import ResidualSet, VisitProcess, infer_field
from drpflow.algorithms.turbulence.spectrum import Spectrum, modes
from tests.algorithms.turbulence.fields import drawn, seen

SPECTRUM = Spectrum(8.0, 0.08, 0.3, -0.2, curl_fraction=0.1)


def dense_prediction(
    spectrum: Spectrum, known: ResidualSet, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """The mean of the process by a factorisation of all covariances."""
    from scipy.ndimage import map_coordinates

    spacing, n = 0.002, 1024
    tables = [np.fft.fftshift(c) for c in modes(spectrum, (n, n), spacing).correlation()]

    def covariance(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> np.ndarray:
        place = np.stack([y1[:, None] - y2, x1[:, None] - x2]) / spacing + n / 2
        xx, yy, xy = (map_coordinates(t, place, order=1) for t in tables)
        return np.block([[xx, xy], [xy, yy]])

    k = covariance(known.x_deg, known.y_deg, known.x_deg, known.y_deg)
    cross = np.block(
        [[np.diag(known.xx), np.diag(known.xy)], [np.diag(known.xy), np.diag(known.yy)]]
    )
    alpha = np.linalg.solve(k + cross, np.r_[known.dx_mas, known.dy_mas])
    return (covariance(x, y, known.x_deg, known.y_deg) @ alpha).reshape(2, -1)


def test_it_agrees_with_a_factorisation() -> None:
    known, _ = seen(drawn(SPECTRUM, 0.4, 1), 250, 0.4, 2.0, 1)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-0.18, 0.18, (2, 100))
    exact = dense_prediction(SPECTRUM, known, x, y)
    field = infer_field(known, SPECTRUM, nodes=8)
    assert field.steps < 150
    assert field.at(x, y) == pytest.approx(exact, abs=0.6)
    assert np.std(field.at(x, y) - exact) < 0.03 * np.std(exact)


def test_correlated_errors_count() -> None:
    known, _ = seen(drawn(SPECTRUM, 0.4, 1), 150, 0.4, 4.0, 1)
    tilted = ResidualSet(
        known.x_deg, known.y_deg, known.dx_mas, known.dy_mas, known.xx, 0.8 * known.xx, known.yy
    )
    x, y = np.linspace(-0.15, 0.15, 20), np.linspace(0.1, -0.1, 20)
    exact = dense_prediction(SPECTRUM, tilted, x, y)
    assert infer_field(tilted, SPECTRUM, nodes=8).at(x, y) == pytest.approx(exact, abs=0.6)
    assert np.abs(infer_field(known, SPECTRUM).at(x, y) - exact).max() > 0.5


def test_dense_stars_give_the_field_between_them() -> None:
    truth = drawn(SPECTRUM, 0.4, 3)
    known, _ = seen(truth, 1500, 0.4, 1.0, 3)
    other, true = seen(truth, 300, 0.36, 1.0, 4)
    left = infer_field(known, SPECTRUM).at(other.x_deg, other.y_deg) - true
    assert np.mean(left**2) < 0.05 * np.mean(true**2)


def test_noise_alone_gives_next_to_nothing() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-0.2, 0.2, (2, 400))
    dx, dy = rng.normal(0, 30.0, (2, 400))
    known = ResidualSet(x, y, dx, dy, np.full(400, 900.0), np.zeros(400), np.full(400, 900.0))
    assert np.std(infer_field(known, SPECTRUM.with_rms(3.0)).values_mas) < 1.5


def test_the_grid_covers_the_box_and_fades_without_stars() -> None:
    known, _ = seen(drawn(SPECTRUM, 0.2, 1), 100, 0.2, 1.0, 1)
    field = infer_field(known, SPECTRUM, box_deg=(-0.9, 0.5, -0.3, 0.8))
    (x0, y0), (_, ny, nx) = field.origin_deg, field.values_mas.shape
    assert x0 < -0.9
    assert y0 < -0.3
    assert x0 + nx * field.spacing_deg > 0.5
    assert y0 + ny * field.spacing_deg > 0.8
    far = field.at(np.array([-0.85]), np.array([0.7]))
    assert np.abs(far).max() < 0.2


def test_one_star_moves_its_surroundings() -> None:
    one = np.ones(1)
    known = ResidualSet(0 * one, 0 * one, 10 * one, 0 * one, one, 0 * one, one)
    field = infer_field(
        known, Spectrum(10.0, 0.1, curl_fraction=0.5), box_deg=(-0.2, 0.2, -0.2, 0.2)
    )
    assert field.at(0 * one, 0 * one)[:, 0] == pytest.approx([10 * 100 / 101, 0], abs=0.2)
    assert field.at(0.1 * one, 0 * one)[0, 0] == pytest.approx(10 * np.exp(-1), abs=0.2)


def test_what_others_predict_is_what_a_field_without_the_star_says() -> None:
    known, true = seen(drawn(SPECTRUM, 0.4, 6), 400, 0.4, 3.0, 6)
    fold = np.arange(400) % 4
    predicted = VisitProcess(known, SPECTRUM).predicted_by_others(fold)
    box = (-0.2, 0.2, -0.2, 0.2)
    for k in (0, 3):
        alone = infer_field(known.take(fold != k), SPECTRUM, box_deg=box)
        exact = alone.at(known.x_deg, known.y_deg)[:, fold == k]
        assert np.std(predicted[:, fold == k] - exact) < 0.06 * np.std(exact)
    vectors = np.stack([known.dx_mas, known.dy_mas])
    own = VisitProcess(known, SPECTRUM).field.at(known.x_deg, known.y_deg)
    # The whole field follows the noise of its stars; what others predict does not.
    assert np.std(vectors - own) < 0.95 * np.std(vectors - true)
    assert np.std(vectors - predicted) > np.std(vectors - true)
