"""The PSF of a visit against the field that its stars were drawn with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.final_characterization.cutouts import (
    DetectorPixels,
    cut_stars,
    half_size_pix,
    neighbors_of,
)
from drpflow.algorithms.final_characterization.fit import DetectorStars, VisitFit, fit_visit
from drpflow.algorithms.final_characterization.predicted import Predicted
from drpflow.config.final_psf import FinalPsfConfig
from drpflow.data.mask import Mask
from drpflow.data.psf import adaptive_moments
from drpflow.errors import AlgorithmError
from tests.algorithms.final_characterization.visit_images import (
    COLOR_SLOPE,
    REFERENCE_COLOR,
    SIDE,
    DetectorImage,
    detector_image,
    make_detector,
    true_shape,
)

CONFIG = FinalPsfConfig()
SIGMA_PIX = 2.0


def images(
    numbers: tuple[int, ...], rotations: tuple[float, ...], seed: int
) -> list[DetectorImage]:
    rng = np.random.default_rng(seed)
    return [
        detector_image(make_detector(k, rotations[k]), number, rng)
        for k, number in enumerate(numbers)
    ]


def stars_of(
    found: DetectorImage, config: FinalPsfConfig = CONFIG, sigma_place: float = np.nan
) -> DetectorStars:
    pixels = DetectorPixels(found.image, found.variance, Mask.zeros(found.image.shape))
    peaks = found.x, found.y
    neighbors = neighbors_of(pixels, peaks, peaks, None, found.place, SIGMA_PIX, config)
    at = Predicted(found.x, found.y, np.full(len(found.x), sigma_place))
    start = found.x + 0.2, found.y - 0.1, 0.8 * found.flux
    half = half_size_pix(SIGMA_PIX, config)
    return cut_stars(pixels, neighbors, found.place, start, found.color, at, half)


def errors(image: DetectorImage, fit: VisitFit, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors of the size and errors of both ellipticities on a grid."""
    x, y = (v.ravel() for v in np.meshgrid(*[np.linspace(0.1, 0.9, 4) * SIDE] * 2))
    color = np.full(16, REFERENCE_COLOR)
    seen = fit.detectors[row].psf.compute_shape(x, y, color)
    true = true_shape(image.place, x, y, color)
    size = seen.determinant_radius / true.determinant_radius - 1
    return size, np.array([seen.e1 - true.e1, seen.e2 - true.e2])


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


@pytest.fixture(scope="module")
def visit() -> list[DetectorImage]:
    return images((36, 3, 30, 34), (0.0, 0.0, 0.0, 0.0), 1)


@pytest.fixture(scope="module")
def together(visit: list[DetectorImage]) -> VisitFit:
    return fit_visit([stars_of(v) for v in visit], CONFIG)


@pytest.mark.parametrize("row", range(4))
def test_sizes_and_ellipticities_are_recovered(
    visit: list[DetectorImage], together: VisitFit, row: int
) -> None:
    """The detector with three stars among them: its neighbours know its PSF."""
    size, ellipticity = errors(visit[row], together, row)
    assert rms(size) < 0.008
    assert rms(ellipticity) < 0.009


def test_three_stars_alone_are_worse(visit: list[DetectorImage], together: VisitFit) -> None:
    alone = fit_visit([stars_of(visit[1])], CONFIG.model_copy(update={"method": "detectors"}))
    with_others = rms(errors(visit[1], together, 1)[1])
    assert alone.order == 0
    assert rms(errors(visit[1], alone, 0)[1]) > 1.5 * with_others


def test_trend_with_color_is_recovered(visit: list[DetectorImage], together: VisitFit) -> None:
    psf = together.detectors[0].psf
    assert psf.color_ref == together.color_ref
    sizes = psf.compute_sigma([160.0, 160.0], [160.0, 160.0], [0.5, 1.5])
    assert np.log(sizes[1] / sizes[0]) == pytest.approx(COLOR_SLOPE, abs=0.006)


def test_centroid_of_the_model_is_its_centre(together: VisitFit) -> None:
    x, y = np.random.default_rng(3).uniform(20, 300, (2, 12))
    for color in (None, np.full(12, 2.0)):
        images_ = together.detectors[2].psf.compute_kernel_images(x, y, color)
        _, dx, dy = adaptive_moments(images_)
        assert np.hypot(dx, dy).max() < 2e-3


def test_turned_detectors_are_of_one_focal_plane() -> None:
    turned = images((30, 4, 30, 30), (0.0, 90.0, 30.0, 180.0), 5)
    found = fit_visit([stars_of(v) for v in turned], CONFIG)
    for row, image in enumerate(turned):
        size, ellipticity = errors(image, found, row)
        assert rms(size) < 0.012
        assert rms(ellipticity) < 0.014


def test_a_detector_without_stars_is_known_by_the_others() -> None:
    some = images((35, 0, 35, 30), (0.0, 0.0, 0.0, 0.0), 6)
    found = fit_visit([stars_of(v) for v in some], CONFIG)
    size, ellipticity = errors(some[1], found, 1)
    assert rms(size) < 0.02
    assert rms(ellipticity) < 0.02
    assert found.detectors[1].used.shape == (0,)


def test_unknown_colors_are_no_colour(visit: list[DetectorImage]) -> None:
    stars = [stars_of(v) for v in visit]
    unknown = [DetectorStars(s.place, s.stamps, s.places, np.full(len(s), np.nan)) for s in stars]
    found = fit_visit(unknown, CONFIG)
    assert found.color_ref is None
    assert found.detectors[0].psf.color_basis is None


def test_a_prior_of_places_is_honoured(visit: list[DetectorImage]) -> None:
    """Where places are known, a star that is pulled to one side by a blend is not followed."""
    stars = [stars_of(v, sigma_place=0.01) for v in visit]
    assert stars[0].prior is not None
    found = fit_visit(stars, CONFIG)
    size, ellipticity = errors(visit[0], found, 0)
    assert rms(size) < 0.008
    assert rms(ellipticity) < 0.009


def test_too_few_stars_are_a_declared_failure(visit: list[DetectorImage]) -> None:
    few = stars_of(visit[1]).select(np.array([True, True, False]))
    with pytest.raises(AlgorithmError, match="2 stars are too few"):
        fit_visit([few], CONFIG)


def test_equal_input_gives_equal_bytes(visit: list[DetectorImage], together: VisitFit) -> None:
    again = fit_visit([stars_of(v) for v in visit], CONFIG)
    for one, other in zip(again.detectors, together.detectors, strict=True):
        assert np.array_equal(one.psf.coefficients, other.psf.coefficients)


def test_a_model_without_a_size_is_no_star(visit: list[DetectorImage], together: VisitFit) -> None:
    fit, place = together.detectors[0], visit[0].place
    assert fit.is_star(place)
    grid = fit.psf.coefficients
    hollow = np.zeros_like(grid)
    hollow[0, [0, -1]] = 1 / grid.shape[2]
    hollow[0, 1:-1] = -0.5 / grid[0].size
    for wrong in (-grid, hollow):
        assert not replace(fit, psf=replace(fit.psf, coefficients=wrong)).is_star(place)
