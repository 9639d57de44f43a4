"""The simulated surveys of moving stars are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.sim.motion_survey import (
    DISPERSION_MAS,
    REFERENCE_COLOR,
    MotionConfig,
    MotionSurvey,
    simulate_motions,
    true_directions,
)

CLEAN = {"outliers": 0.0, "false_per_visit": 0, "variable": 0.0, "wcs_mas": 0.0, "floor_mas": 0.0}


@pytest.fixture(scope="module")
def survey() -> MotionSurvey:
    return simulate_motions(MotionConfig(seed=5, stars=3000, **CLEAN))


def offsets(survey: MotionSurvey, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where sources of a visit are seen from where they should be, mas, and their stars."""
    own = survey.sources[k]
    star = own["true_star"]
    ra, dec = np.radians(own["ra"]), np.radians(own["dec"])
    seen = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    true = true_directions(survey.stars, survey.visits[k].mjd)[star]
    east = np.stack([-np.sin(ra), np.cos(ra), 0 * ra], axis=1)
    north = np.cross(seen, east)
    shift = (seen - true) * (180 * 3.6e6 / np.pi)
    return np.stack([(shift * east).sum(axis=1), (shift * north).sum(axis=1)], axis=1), star


def test_equal_seeds_give_equal_surveys(survey: MotionSurvey) -> None:
    again = simulate_motions(survey.config)
    for one, other in zip(survey.sources, again.sources, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(other[name], values)


def test_refraction_is_what_the_visit_says(survey: MotionSurvey) -> None:
    """Bright stars' offsets grow with colour by the dispersion times tan z, towards the horizon."""
    for k in (0, 4):
        shift, star = offsets(survey, k)
        bright = survey.sources[k]["true_snr"] > 100
        color = survey.stars["color"][star] - REFERENCE_COLOR
        slope = np.polyfit(color[bright], shift[bright], 1)[0]
        np.testing.assert_allclose(slope, survey.visits[k].dcr_mas, atol=1.2)
        assert np.hypot(*survey.visits[k].dcr_mas) < 3 * DISPERSION_MAS[survey.visits[k].band]


def test_positions_scatter_by_the_stated_error_times_the_ratio_of_fluxes(
    survey: MotionSurvey,
) -> None:
    shift, star = offsets(survey, 2)
    own = survey.sources[2]
    shift -= (survey.stars["color"][star] - REFERENCE_COLOR)[:, None] * survey.visits[2].dcr_mas
    stated = np.stack([own["xErr"], own["yErr"]], axis=1) * 200
    brighter = own["psfFlux"] / own["psfFluxErr"] / own["true_snr"]
    pulls = shift / stated / brighter[:, None]
    assert pulls.std() == pytest.approx(1.0, abs=0.03)
    correlation = own["x_y_Cov"] / (own["xErr"] * own["yErr"])
    assert np.corrcoef(pulls.T)[0, 1] == pytest.approx(correlation[0], abs=0.06)


def test_only_what_exceeds_the_threshold_is_found(survey: MotionSurvey) -> None:
    snr = np.concatenate([s["psfFlux"] / s["psfFluxErr"] for s in survey.sources])
    true = np.concatenate([s["true_snr"] for s in survey.sources])
    assert snr.min() > 5
    faint = true < 5.5
    assert (snr[faint] - true[faint]).mean() > 0.5


def test_the_catalogue_is_wrong_by_its_errors(survey: MotionSurvey) -> None:
    r = survey.reference
    good, star = ~r["wrong"], r["true_star"]
    pulls = np.stack(
        [(r[n] - survey.stars[n][star]) / r[f"{n}_err"] for n in ("pm_ra", "pm_dec", "parallax")]
    )[:, good]
    assert pulls.std() == pytest.approx(1.0, abs=0.12)
    assert np.corrcoef(pulls)[0, 1] == pytest.approx(0.3, abs=0.15)
