import numpy as np
import pytest
from accuracy_fgcm_pixels import NAMES, Survey, detector_errors, figures


def survey(per_image: int, seed: int) -> Survey:
    """Return a clear and a cloudy visit of 400 detectors; zero points are 3 and 8 mmag off."""
    rng = np.random.default_rng([seed, per_image])
    visit = np.repeat([1, 2], 400 * per_image)
    detector = np.tile(np.repeat(np.arange(400), per_image), 2)
    wrong = np.stack([rng.normal(0, 0.003, 400), rng.normal(0, 0.008, 400)])[visit - 1, detector]
    error = np.full(visit.size, 0.005)
    true = rng.uniform(16, 19, visit.size)
    mag = true + 0.1 + wrong + rng.normal(0, error)
    return Survey(
        {1: 0.0, 2: 0.4},
        visit,
        detector,
        np.arange(visit.size),
        np.full(visit.size, "r"),
        true,
        error,
        dict.fromkeys(NAMES, mag),
        np.where(visit == 1, 0.003, 0.008),
    )


@pytest.mark.parametrize("per_image", [5, 30])
def test_noise_of_the_comparison_is_that_of_its_stars(per_image: int) -> None:
    found = detector_errors(survey(per_image, 1), "fgcm")
    noise = np.sqrt(np.mean([row[2] ** 2 for row in found]))
    # From the median absolute deviation of five stars it would be 0.82 of that.
    assert noise == pytest.approx(5.0 / np.sqrt(per_image), rel=0.06)


def test_errors_and_pulls_are_those_put_in() -> None:
    table = figures([survey(30, 2)])
    noise = 5.0 / np.sqrt(30)
    for what, size in (("photometric", 3.0), ("cloudy", 8.0)):
        found = table[f"zero points, {what} visits, rms"]["fgcm"].value
        assert found == pytest.approx(np.hypot(size, noise), rel=0.1)
        assert table[f"pull width, {what}"]["fgcm"].value == pytest.approx(1.0, abs=0.12)
