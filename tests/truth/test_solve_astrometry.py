"""The global astrometric solution against surveys of which everything is known."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy_astrometry import config_of, solve_survey
from astrometry_scores import figures, score
from astrometry_tables import detectors_of, observations_of
from scoring import Figure

from drpflow.algorithms.astrometric_fit.result import AstrometrySolution
from drpflow.algorithms.turbulence.solution import (
    TurbulenceSolution,
    _corrected,
    field_places,
)
from drpflow.data.displacement_map import TURBULENCE
from drpflow.data.sky_wcs import SkyWcs
from drpflow.sim.astrometric_config import AstrometricConfig
from drpflow.sim.astrometric_survey import AstrometricSurvey, simulate_astrometry

COLOR = config_of("fit").model.reference_color_mag


def survey_of(**sections: dict[str, object]) -> AstrometricSurvey:
    values = {"seed": 31, "field": {"stars_per_detector": 200}, "visits": {"visits_per_night": 3}}
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}  # type: ignore[dict-item]
    return simulate_astrometry(AstrometricConfig.model_validate(values))


@pytest.fixture(scope="module")
def scored() -> dict[str, Figure]:
    survey = survey_of(turbulence={"coherence_deg": 0.05})
    solution = solve_survey(survey, config_of("fit"))
    return figures([score(survey, solution, COLOR)])


def test_coordinate_systems(scored: dict[str, Figure]) -> None:
    # 7 mas of turbulence leave a cubic this far from the truth.
    assert scored["WCS error, rms [mas]"].value < 6.0
    assert 0.3 < scored["WCS error over quoted, rms"].value < 2.5
    assert scored["detector images solved [%]"].value == 1


def test_stars_and_their_errors(scored: dict[str, Figure]) -> None:
    assert scored["bright stars, reserved: position, rms [mas]"].value < 3.0
    for what in ("position", "motion", "parallax"):
        assert 0.8 < scored[f"{what} pull width, reserved"].value < 1.25
        assert 0.8 < scored[f"{what} pull width, all"].value < 1.25


def test_outliers(scored: dict[str, Figure]) -> None:
    assert scored["outliers rejected [%]"].value > 0.9
    assert scored["good measurements lost [%]"].value < 0.01


@pytest.fixture(scope="module")
def turbulent() -> tuple[AstrometricSurvey, AstrometrySolution, TurbulenceSolution]:
    survey = survey_of(
        turbulence={"rms_mas": 15.0, "coherence_deg": 0.083},
        field={"stars_per_detector": 300, "reserved_fraction": 0.2},
        visits={"visits_per_night": 3},
    )
    plain, whole = (solve_survey(survey, config_of(name)) for name in ("fit", "turbulence"))
    assert isinstance(whole, TurbulenceSolution)
    return survey, plain, whole


def test_turbulence_is_taken_out(
    turbulent: tuple[AstrometricSurvey, AstrometrySolution, TurbulenceSolution],
) -> None:
    survey, plain, whole = turbulent
    assert all(item.kept for item in whole.turbulence)
    before, after = (figures([score(survey, item, COLOR)]) for item in (plain, whole))
    name = "residuals of bright reserved stars, rms [mas]"
    assert (before[name].value / after[name].value) ** 2 > 4.0
    name = "WCS error with the turbulence of the visit, rms [mas]"
    assert after[name].value < 0.5 * before[name].value
    name = "bright stars, reserved: position, rms [mas]"
    assert after[name].value < before[name].value
    for what in ("position", "motion", "parallax"):
        assert 0.75 < after[f"{what} pull width, all"].value < 1.3


def test_what_is_stored_is_what_was_fitted(
    turbulent: tuple[AstrometricSurvey, AstrometrySolution, TurbulenceSolution],
) -> None:
    survey, _, whole = turbulent
    c, key = survey.centroids, (2, 4)
    wcs = whole.wcs[key]
    assert wcs.stage_names[-1] == TURBULENCE
    again = SkyWcs.from_record(wcs.to_record())
    rows = np.flatnonzero((c.visit == key[0]) & (c.detector == key[1]))
    place = again.pixel_to_world_values(c.x[rows], c.y[rows])
    back = again.world_to_pixel_values(*place)
    assert np.stack(back) == pytest.approx(np.stack([c.x[rows], c.y[rows]]), abs=1e-6)
    # The maps below it, given measurements without turbulence, have the stars at the same places.
    field = whole.turbulence[key[0]].field
    assert field is not None
    below = SkyWcs(wcs.stages[:-1], wcs.projection, wcs.pixel_shape)
    observations = observations_of(survey).take(rows)
    moved = field.at(*field_places(observations, {key: below}))
    quiet = _corrected(observations, detectors_of(survey), moved)
    off = np.stack(below.pixel_to_world_values(quiet.x, quiet.y)) - np.stack(place)
    # The pixels were moved by the camera file's scale, which is that of the maps to some 10⁻⁴.
    assert np.abs(off).max() * 3.6e6 < 5e-4 * np.abs(moved).max()


def test_still_air_is_left_alone() -> None:
    survey = survey_of(turbulence={"rms_mas": 0.0})
    whole = solve_survey(survey, config_of("turbulence"))
    assert isinstance(whole, TurbulenceSolution)
    assert not any(item.kept for item in whole.turbulence)
    assert any("in none of" in note for note in whole.notes)
    assert all(TURBULENCE not in wcs.stage_names for wcs in whole.wcs.values())
    found = figures([score(survey, whole, COLOR)])
    assert found["WCS error, rms [mas]"].value < 1.5
    assert 0.3 < found["WCS error over quoted, rms"].value < 1.4
