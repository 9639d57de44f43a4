"""Surveys for the tests of the sky simulation."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from drpflow.config.base import validate
from drpflow.sim.config import SurveyConfig, _overlay, _read
from drpflow.sim.survey import Survey

SIMULATIONS = Path(__file__).parents[2] / "config" / "simulations"

# Everything that makes a frame other than sky and compact sources under a clear, still air.
QUIET: dict[str, Any] = {
    "observing": {
        "special": [],
        "pointing_error_arcsec": 0,
        "rotation_error_deg": 0,
        "rotation_jitter_deg": 0,
    },
    "turbulence": {"rms_mas": 0},
    "sky": {"gradient": 0, "scattered": 0, "brightness_scatter_mag": 0},
    "artifacts": {"trails_per_visit": 0, "ghosts": False, "aureole": False, "spikes": False},
    "stars": {"variable_fraction": 0},
    "transients": {"supernovae": 0, "flares": 0, "asteroids_per_night": 0},
}


def survey_config(name: str = "tiny", *changes: dict[str, Any]) -> SurveyConfig:
    """Return a preset with changes laid over it."""
    values = _read(SIMULATIONS / f"{name}.yaml", ())
    for change in changes:
        values = _overlay(values, change)
    return validate(SurveyConfig, values, name)


def build(*changes: dict[str, Any], name: str = "tiny") -> Survey:
    """Return a survey made from a preset with changes."""
    return Survey.build(survey_config(name, *changes))


@lru_cache(maxsize=1)
def tiny() -> Survey:
    """Return the tiny survey as it is."""
    return build()


@lru_cache(maxsize=1)
def quiet() -> Survey:
    """Return the tiny survey without disturbances."""
    return build(QUIET)
