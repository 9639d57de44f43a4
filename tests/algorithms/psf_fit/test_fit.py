"""The PSF model against the profiles that the stars were drawn with."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.psf_fit import PsfFit, fit_psf
from drpflow.config.psf import PsfConfig
from drpflow.data.psf import adaptive_moments
from drpflow.errors import AlgorithmError
from tests.algorithms.psf_fit.star_images import StarField, star_field, true_shape


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([11, *key])


def fit(field: StarField, config: PsfConfig | None = None, seed: int = 0) -> PsfFit:
    return fit_psf(
        field.image,
        field.variance,
        field.bad,
        field.x + rng(seed).normal(0, 0.2, len(field.x)),
        field.y,
        1.1 * field.flux,
        field.box,
        config or PsfConfig(),
        rng(seed, 1),
    )


def errors(field: StarField, found: PsfFit) -> tuple[np.ndarray, np.ndarray]:
    """Relative error of the size, and of both ellipticities, on a grid over the detector."""
    size = field.image.shape[0]
    x, y = (v.ravel() for v in np.meshgrid(*[np.linspace(0.08, 0.92, 4) * size] * 2))
    model, truth = found.psf.compute_shape(x, y), true_shape(field, x, y)
    return (
        model.determinant_radius / truth.determinant_radius - 1,
        np.array([model.e1 - truth.e1, model.e2 - truth.e2]),
    )


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


@pytest.mark.parametrize("fwhm_pix", [1.9, 3.0, 4.5, 9.0])
def test_size_and_ellipticity_are_recovered(fwhm_pix: float) -> None:
    field = star_field(40, 512 if fwhm_pix < 6 else 900, fwhm_pix, rng(int(10 * fwhm_pix)))
    found = fit(field)
    size, ellipticity = errors(field, found)
    assert rms(size) < 0.01
    assert rms(ellipticity) < 0.008
    assert found.used.sum() >= 28
    assert not (found.used & found.reserved).any()
    assert found.reserved.sum() == 6
    assert np.nanmedian(found.chi2_per_pixel) == pytest.approx(1, abs=0.1)


def test_centroid_of_the_model_is_its_centre() -> None:
    field = star_field(30, 400, 3.5, rng(2))
    found = fit(field)
    x, y = rng(3).uniform(20, 380, (2, 20))
    _, dx, dy = adaptive_moments(found.psf.compute_kernel_images(x, y))
    assert np.hypot(dx, dy).max() < 1e-3


def test_cosmic_rays_neighbours_and_lost_pixels_do_not_change_it() -> None:
    field = star_field(40, 512, 4.0, rng(4))
    clean_size, clean_e = errors(field, fit(field))
    # Each second star gets a hit beside it; some get a bad column, one a galaxy on top.
    for k in range(0, 40, 2):
        column, row = int(field.x[k]) + 5, int(field.y[k]) - 4
        field.image[row : row + 3, column] += 3000
        field.variance[row : row + 3, column] += 3000
    for k in range(1, 40, 8):
        column = int(field.x[k]) + 6
        field.image[:, column] = np.nan
        field.bad[:, column] = True
    yy, xx = np.mgrid[:512, :512]
    blob = np.exp(-((xx - field.x[3] - 3) ** 2 + (yy - field.y[3]) ** 2) / 2 / 5**2)
    field.image += (0.02 * field.flux[3] * blob).astype(np.float32)
    size, ellipticity = errors(field, fit(field))
    assert rms(size) < max(1.5 * rms(clean_size), 0.01)
    assert rms(ellipticity) < max(1.5 * rms(clean_e), 0.008)


@pytest.mark.parametrize(("number", "order"), [(3, 0), (7, 0), (12, 1), (30, 2)])
def test_order_falls_with_the_number_of_stars(number: int, order: int) -> None:
    field = star_field(number, 300, 3.5, rng(5, number))
    found = fit(field)
    assert found.order == order
    assert found.psf.basis.order == order
    size, ellipticity = errors(field, found)
    assert rms(size) < 0.03
    assert rms(ellipticity) < 0.03
    if number <= 12:
        assert not found.reserved.any()


def test_galaxies_among_the_stars_are_dropped() -> None:
    field = star_field(36, 512, 3.5, rng(6))
    yy, xx = np.mgrid[:512, :512]
    for k in range(4):
        r2 = (xx - field.x[k]) ** 2 + (yy - field.y[k]) ** 2
        field.image += (field.flux[k] * np.exp(-r2 / 2 / 9) / (2 * np.pi * 9)).astype(np.float32)
    found = fit(field, PsfConfig(reserve_fraction=0.0))
    assert found.used[:4].sum() <= 1
    assert found.used[4:].sum() >= 27
    assert rms(errors(field, found)[0]) < 0.012


def test_stars_held_back_are_of_all_fluxes() -> None:
    field = star_field(40, 512, 3.5, rng(10))
    found = fit(field)
    rank = np.argsort(np.argsort(field.flux))[found.reserved]
    assert np.all(np.diff(np.sort(rank)) <= 13), "one of each seven"


def test_same_seed_same_model() -> None:
    field = star_field(20, 300, 3.5, rng(7))
    one, two = fit(field), fit(field)
    assert np.array_equal(one.psf.coefficients, two.psf.coefficients)
    assert np.array_equal(one.reserved, two.reserved)


def test_a_frame_in_other_units_gives_the_same_model() -> None:
    field = star_field(20, 300, 3.5, rng(8))
    one = fit(field).psf.compute_kernel_image(150, 150)
    field.image, field.variance, field.flux = field.image * 8, field.variance * 64, field.flux * 8
    two = fit(field).psf.compute_kernel_image(150, 150)
    assert np.abs(one - two).max() < 1e-3 * one.max()


def test_too_few_stars_are_a_declared_failure() -> None:
    field = star_field(3, 200, 3.5, rng(9))
    field.bad[:] = True
    with pytest.raises(AlgorithmError, match="0 stars are too few for a PSF model") as caught:
        fit(field)
    assert caught.value.numbers == {"stars": 0, "least": 3}
    empty = star_field(3, 200, 3.5, rng(9))
    empty.x = empty.y = empty.flux = np.zeros(0)
    with pytest.raises(AlgorithmError, match="too few"):
        fit(empty)


def test_noise_is_no_star() -> None:
    field = star_field(3, 200, 3.5, rng(10))
    field.image = rng(11).normal(0, 15, field.image.shape).astype(np.float32)
    with pytest.raises(AlgorithmError):
        fit(field)
