from dataclasses import dataclass

import numpy as np
import pytest
from astrometry_scores import (
    allowed_mas,
    attainable_mas,
    figures,
    pooled_groups,
    score,
    true_motion,
)
from astrometry_tables import (
    detectors_of,
    observations_of,
    stars_of,
    starts_of,
    visits_of,
)

from drpflow.algorithms.astrometric_fit.result import (
    AstrometrySolution,
    Residuals,
    SolvedImages,
    SolvedStars,
    SolvedVisits,
)
from drpflow.data.astrometric_tables import check_tables
from drpflow.sim.astrometric_config import AstrometricConfig
from drpflow.sim.astrometric_survey import AstrometricSurvey, simulate_astrometry

COLOR = 0.8


@pytest.fixture(scope="module")
def survey() -> AstrometricSurvey:
    values = {
        "field": {"stars_per_detector": 150, "reserved_fraction": 0.3},
        "visits": {"visits_per_night": 2},
        "turbulence": {"coherence_deg": 0.08},
    }
    return simulate_astrometry(AstrometricConfig.model_validate({"seed": 5, **values}))


@dataclass
class TrueWcs:
    """The truth, moved."""

    survey: AstrometricSurvey
    visit: int
    detector: int
    north_mas: float

    def pixel_to_world_values(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ra, dec = self.survey.pixel_to_sky(self.visit, self.detector, x, y, COLOR)
        return ra, dec + self.north_mas / 3.6e6


def solution(
    survey: AstrometricSurvey, wrong_mas: np.ndarray, star_mas: float = 0.0
) -> AstrometrySolution:
    """The truth, with errors of the images (V, D), and of the stars."""
    visits, detectors = (w.ravel() for w in np.indices(wrong_mas.shape))
    pairs = zip(visits.tolist(), detectors.tolist(), strict=True)
    wcs = {(v, d): TrueWcs(survey, v, d, wrong_mas[v, d]) for v, d in pairs}
    number = np.zeros(visits.size)
    images = SolvedImages(visits, detectors, number + 1e-3, number, number, number, number)
    mjd, rng = 60900.0, np.random.default_rng(1)
    motion = true_motion(survey, mjd)
    off = star_mas * rng.normal(size=motion.shape)
    off[:, 0] /= 3.6e6 * np.cos(np.deg2rad(motion[:, 1]))
    off[:, 1] /= 3.6e6
    size = max(star_mas, 1e-9) ** 2
    count = np.bincount(survey.centroids.star, minlength=len(survey.stars))
    stars = SolvedStars(
        *(motion + off).T, np.tile(size * np.eye(5), (len(survey.stars), 1, 1)), mjd, count,
        0 * count, 0.0 * count, 0.0 * count, 0 * count,
    )  # fmt: skip
    c = survey.centroids
    mas = 3.6e6 * survey.camera.scale_deg
    moved = [(c.x - c.true_x) * mas, (c.y - c.true_y) * mas]
    residuals = Residuals(c.x, c.y, *moved, c.xx, c.xy, c.yy, ~c.spoilt, c.spoilt)
    nothing = SolvedVisits(*[np.zeros(len(survey.visits))] * 10)
    return AstrometrySolution(wcs, images, nothing, stars, residuals, number, number, (), ())


def test_tables_belong_together(survey: AstrometricSurvey) -> None:
    tables = observations_of(survey), visits_of(survey), detectors_of(survey), stars_of(survey)
    check_tables(*tables)
    assert stars_of(survey, reference=False).reference is None
    known = tables[3].reference.known
    assert np.array_equal(known, np.isfinite(survey.stars.reference.ra))


def test_first_coordinate_systems_are_near_the_truth(survey: AstrometricSurvey) -> None:
    starts = starts_of(survey)
    assert len(starts) == 8 * 9
    x, y = np.array([0.0, 1000.0, 2047.0]), np.array([30.0, 1000.0, 2000.0])
    for key in list(starts)[::11]:
        ra, dec = starts[key].pixel_to_world_values(x, y)
        true = survey.pixel_to_sky(*key, x, y)
        assert np.abs(dec - true[1]).max() * 3.6e6 < 400
        assert np.abs(ra - true[0]).max() * 3.6e6 < 400


def test_the_truth_has_no_error(survey: AstrometricSurvey) -> None:
    table = figures([score(survey, solution(survey, np.zeros((8, 9))), COLOR)])
    assert table["WCS error, rms [mas]"].value < 1e-3
    assert table["bright stars, reserved: position, rms [mas]"].value < 1e-3
    turbulent = table["WCS error with the turbulence of the visit, rms [mas]"].value
    assert turbulent == pytest.approx(5 * np.sqrt(2), rel=0.15)
    assert table["outliers rejected [%]"].value == 1
    assert table["good measurements lost [%]"].value == 0
    assert table["detector images solved [%]"].value == 1


def test_known_errors_are_found(survey: AstrometricSurvey) -> None:
    rng = np.random.default_rng(2)
    wrong = rng.normal(0, 3.0, (8, 9))
    table = figures([score(survey, solution(survey, wrong, 2.0), COLOR)])
    assert table["WCS error, rms [mas]"].value == pytest.approx(
        np.sqrt((wrong**2).mean()), rel=1e-3
    )
    assert table["WCS error over quoted, rms"].value == pytest.approx(3.0, rel=0.3)
    assert table["bright stars, reserved: position, rms [mas]"].value == pytest.approx(2, rel=0.2)
    for what in ("position", "motion", "parallax"):
        assert table[f"{what} pull width, all"].value == pytest.approx(1, abs=0.1)


def test_without_catalogue_the_frame_does_not_count(survey: AstrometricSurvey) -> None:
    moved = solution(survey, np.full((8, 9), 40.0))
    tied = figures([score(survey, moved, COLOR)])
    free = figures([score(survey, moved, COLOR, tied=False)])
    assert tied["WCS error, rms [mas]"].value == pytest.approx(40, rel=1e-3)
    assert free["WCS error, rms [mas]"].value < 0.1


def test_what_is_attainable_falls_with_the_turbulence(survey: AstrometricSurvey) -> None:
    found = attainable_mas(survey, 3, visits=4)
    # 10 terms of each coordinate, of some 9 patches (4.87 coherence lengths squared) and noise.
    assert 2.0 < np.sqrt((found**2).mean()) < 8.0


def test_intervals_are_those_of_visits(survey: AstrometricSurvey) -> None:
    """Detectors of one visit that err together say it once."""
    wrong = np.repeat(np.random.default_rng(3).normal(0, 3.0, (8, 1)), 9, axis=1)
    scores = score(survey, solution(survey, wrong), COLOR)
    assert np.unique(scores.groups["wcs"]).size == 8
    found = figures([scores])["WCS error, rms [mas]"]
    assert found.high - found.low > 0.6 * found.value
    assert scores.groups["residual reserved"].size == scores.samples["residual reserved"].size
    both = pooled_groups([scores, scores], "wcs")
    assert np.unique(both).size == 16


def test_what_noise_allows_falls_with_the_visits_and_the_catalogue(
    survey: AstrometricSurvey,
) -> None:
    least, s = allowed_mas(survey, 60900.0), survey.stars
    count = np.bincount(survey.centroids.star[~survey.centroids.spoilt], minlength=len(s))
    alone = np.isnan(s.reference.ra)
    bright = s.mag < np.percentile(s.mag, 30)
    # Turbulence of 5 mas, and a centroid of 1 to 5, of as many visits; motions cost a little.
    mean = np.median(least[alone & bright & (count == 8), 0])
    assert 5.0 / np.sqrt(8) < mean < 9.0 / np.sqrt(8)
    assert mean < np.median(least[alone & bright & (count == 4), 0])
    assert np.median(least[~alone & bright & (count == 8), 0]) < mean
    assert np.isfinite(least).all()
