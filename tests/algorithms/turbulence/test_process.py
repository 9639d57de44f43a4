from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.turbulence.process import ResidualSet, VisitProcess
from drpflow.algorithms.turbulence.spectrum import Spectrum, modes
from tests.algorithms.turbulence.fields import drawn, polynomial_design, seen

SPECTRUM = Spectrum(8.0, 0.08, 0.3, -0.2, curl_fraction=0.1)


def covariance_of(
    spectrum: Spectrum, x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray
) -> np.ndarray:
    """Covariance of the displacements at two sets of places, (2 N1, 2 N2)."""
    from scipy.ndimage import map_coordinates

    spacing, n = 0.002, 1024
    tables = [np.fft.fftshift(c) for c in modes(spectrum, (n, n), spacing).correlation()]
    place = np.stack([y1[:, None] - y2, x1[:, None] - x2]) / spacing + n / 2
    xx, yy, xy = (map_coordinates(t, place, order=1) for t in tables)
    return np.block([[xx, xy], [xy, yy]])


def noise_of(known: ResidualSet) -> np.ndarray:
    """Covariance of the errors of residuals, (2 N, 2 N)."""
    return np.block(
        [[np.diag(known.xx), np.diag(known.xy)], [np.diag(known.xy), np.diag(known.yy)]]
    )


def dense_prediction(
    spectrum: Spectrum, known: ResidualSet, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """The mean of the process by a factorisation of all covariances."""
    places = (known.x_deg, known.y_deg)
    k = covariance_of(spectrum, *places, *places)
    alpha = np.linalg.solve(k + noise_of(known), np.r_[known.dx_mas, known.dy_mas])
    return (covariance_of(spectrum, x, y, *places) @ alpha).reshape(2, -1)


def dense_with_polynomial(spectrum: Spectrum, known: ResidualSet, order: int) -> np.ndarray:
    """Field and free polynomial at the stars, by generalised least squares."""
    from scipy.linalg import block_diag

    x, y = known.x_deg, known.y_deg
    terms = polynomial_design(x / 0.2, y / 0.2, order)
    design = block_diag(terms, terms)
    k = covariance_of(spectrum, x, y, x, y)
    vectors = np.r_[known.dx_mas, known.dy_mas]
    inverse = np.linalg.inv(k + noise_of(known))
    b = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ vectors)
    field = k @ inverse @ (vectors - design @ b)
    return (field + design @ b).reshape(2, -1)


def test_it_agrees_with_a_factorisation() -> None:
    known, _ = seen(drawn(SPECTRUM, 0.4, 1), 250, 0.4, 2.0, 1)
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-0.18, 0.18, (2, 100))
    exact = dense_prediction(SPECTRUM, known, x, y)
    field = VisitProcess(known, SPECTRUM, nodes=8).field
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
    assert VisitProcess(tilted, SPECTRUM, nodes=8).field.at(x, y) == pytest.approx(exact, abs=0.6)
    assert np.abs(VisitProcess(known, SPECTRUM).field.at(x, y) - exact).max() > 0.5


def test_dense_stars_give_the_field_between_them() -> None:
    truth = drawn(SPECTRUM, 0.4, 3)
    known, _ = seen(truth, 1500, 0.4, 1.0, 3)
    other, true = seen(truth, 300, 0.36, 1.0, 4)
    left = VisitProcess(known, SPECTRUM).field.at(other.x_deg, other.y_deg) - true
    assert np.mean(left**2) < 0.05 * np.mean(true**2)


def test_noise_alone_gives_next_to_nothing() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-0.2, 0.2, (2, 400))
    dx, dy = rng.normal(0, 30.0, (2, 400))
    known = ResidualSet(x, y, dx, dy, np.full(400, 900.0), np.zeros(400), np.full(400, 900.0))
    assert np.std(VisitProcess(known, SPECTRUM.with_rms(3.0)).field.values_mas) < 1.5


def test_the_grid_covers_the_box_and_fades_without_stars() -> None:
    known, _ = seen(drawn(SPECTRUM, 0.2, 1), 100, 0.2, 1.0, 1)
    field = VisitProcess(known, SPECTRUM, box_deg=(-0.9, 0.5, -0.3, 0.8)).field
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
    field = VisitProcess(
        known, Spectrum(10.0, 0.1, curl_fraction=0.5), box_deg=(-0.2, 0.2, -0.2, 0.2)
    ).field
    assert field.at(0 * one, 0 * one)[:, 0] == pytest.approx([10 * 100 / 101, 0], abs=0.2)
    assert field.at(0.1 * one, 0 * one)[0, 0] == pytest.approx(10 * np.exp(-1), abs=0.2)


def test_what_others_predict_is_what_a_field_without_the_star_says() -> None:
    known, true = seen(drawn(SPECTRUM, 0.4, 6), 400, 0.4, 3.0, 6)
    fold = np.arange(400) % 4
    plain, predicted = VisitProcess(known, SPECTRUM).predicted_by_others(fold)
    assert not plain.any()
    box = (-0.2, 0.2, -0.2, 0.2)
    for k in (0, 3):
        alone = VisitProcess(known.take(fold != k), SPECTRUM, box_deg=box).field
        exact = alone.at(known.x_deg, known.y_deg)[:, fold == k]
        assert np.std(predicted[:, fold == k] - exact) < 0.06 * np.std(exact)
    vectors = np.stack([known.dx_mas, known.dy_mas])
    own = VisitProcess(known, SPECTRUM).field.at(known.x_deg, known.y_deg)
    # The whole field follows the noise of its stars; what others predict does not.
    assert np.std(vectors - own) < 0.95 * np.std(vectors - true)
    assert np.std(vectors - predicted) > np.std(vectors - true)


def test_a_polynomial_that_goes_with_the_field_is_free() -> None:
    """Whatever cubic the maps took before, field and polynomial together are the same."""
    sizes = (1e4,) * 4
    known, _ = seen(drawn(SPECTRUM, 0.4, 7), 250, 0.4, 2.0, 7)
    terms = polynomial_design(known.x_deg / 0.2, known.y_deg / 0.2, 3)
    shift = terms @ np.random.default_rng(8).normal(0, 30.0, (10, 2))
    moved = replace(known, dx_mas=known.dx_mas + shift[:, 0], dy_mas=known.dy_mas + shift[:, 1])
    one, other = (VisitProcess(item, SPECTRUM, free_mas=sizes) for item in (known, moved))
    assert other.field.at(known.x_deg, known.y_deg) == pytest.approx(
        one.field.at(known.x_deg, known.y_deg), abs=0.15
    )
    assert other.polynomial - one.polynomial == pytest.approx(shift.T, abs=0.15)


def test_field_and_polynomial_agree_with_a_factorisation() -> None:
    known, _ = seen(drawn(SPECTRUM, 0.4, 1), 250, 0.4, 2.0, 1)
    design = polynomial_design(known.x_deg / 0.2, known.y_deg / 0.2, 2)
    left = [
        d - design @ np.linalg.lstsq(design, d, rcond=None)[0] for d in (known.dx_mas, known.dy_mas)
    ]
    known = replace(known, dx_mas=left[0], dy_mas=left[1])
    exact = dense_with_polynomial(SPECTRUM, known, 2)
    process = VisitProcess(known, SPECTRUM, nodes=8, free_mas=(1e4,) * 3)
    whole = process.field.at(known.x_deg, known.y_deg) + process.polynomial
    assert np.std(whole - exact) < 0.03 * np.std(exact)


def test_others_predict_with_a_polynomial_of_their_own() -> None:
    known, _ = seen(drawn(SPECTRUM.with_rms(0.01), 0.4, 2), 300, 0.4, 1.0, 2)
    known = replace(known, dx_mas=known.dx_mas + 50.0, dy_mas=known.dy_mas + 200.0 * known.x_deg)
    process = VisitProcess(known, SPECTRUM.with_rms(0.01), free_mas=(1e4,) * 2)
    plain, whole = process.predicted_by_others(np.arange(300) % 5)
    for predicted in (plain, whole):
        assert predicted[0] == pytest.approx(50.0, abs=1.0)
        assert predicted[1] == pytest.approx(200.0 * known.x_deg, abs=1.0)
