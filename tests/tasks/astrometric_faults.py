"""Surveys with something wrong, and what solveAstrometry declares of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.astrometric_survey import VisitInput
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.star_color import ColorMeaning
from tests.tasks.astrometric_run import MJD, SIZE_PIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.data.astrometric_survey import AstrometricSurvey

VISIT, DETECTOR = 2, 1
"""Rows of what is wrong."""
NUMBER = 20 + VISIT


@dataclass(frozen=True)
class Fault:
    """A fault and its outcome.

    Parameters
    ----------
    change
        Makes it.
    said
        What is told.
    lost
        Why the visit `NUMBER` has no solution; empty if it has.
    limit_mas
        Median error of the WCSs over the detectors.
    """

    change: Callable[[AstrometricSurvey], AstrometricSurvey]
    said: str
    lost: str = ""
    limit_mas: float = 2.5


def moved_visit(survey: AstrometricSurvey, degrees: float) -> AstrometricSurvey:
    """Return the survey with a visit whose pointing and WCSs are elsewhere."""
    visits = list(survey.visits)
    info, (ra, dec, turn) = visits[VISIT].info, visits[VISIT].boresight_deg
    wcs = {
        d.id: SkyWcs.from_camera(survey.camera, d, ra, dec + degrees, turn)
        for d in survey.camera.detectors
    }
    there = info.dec_deg or 0.0
    info = replace(info, dec_deg=there + degrees)
    visits[VISIT] = VisitInput(info, (ra, dec + degrees, turn), wcs)
    return replace(survey, visits=visits)


def alone(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with a visit of another part of the sky."""
    survey = moved_visit(survey, 2.0)
    obs, stars, wcs = survey.observations, survey.stars, survey.visits[VISIT].wcs
    rows = np.flatnonzero(obs.visit == VISIT)
    place = np.empty((2, rows.size))
    for k, detector in enumerate(survey.camera.detectors):
        mine = obs.detector[rows] == k
        first = wcs[detector.id]
        assert first is not None
        place[:, mine] = first.pixel_to_world_values(obs.x[rows[mine]], obs.y[rows[mine]])
    star = obs.star.copy()
    star[rows] = len(stars) + np.arange(rows.size)
    none = np.zeros(rows.size)
    more = replace(
        stars,
        id=np.concatenate([stars.id, stars.id.max() + 1 + np.arange(rows.size)]),
        ra_deg=np.concatenate([stars.ra_deg, place[0]]),
        dec_deg=np.concatenate([stars.dec_deg, place[1]]),
        color=np.concatenate([stars.color, none + 0.8]),
        reserved=np.concatenate([stars.reserved, none.astype(bool)]),
    )
    owned = np.ones(len(more), np.bool_)
    return replace(survey, observations=replace(obs, star=star), stars=more, owned=owned)


def wrong_first_wcs(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with a visit whose first WCSs are ten arcsec off."""
    return moved_visit(survey, 10 / 3600)


def wrong_stars(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with a visit whose stars are mixed up."""
    obs = survey.observations
    star = obs.star.copy()
    rows = np.flatnonzero(obs.visit == VISIT)
    star[rows] = np.random.default_rng(5).permutation(star[rows])
    return replace(survey, observations=replace(obs, star=star))


def _kept(survey: AstrometricSurvey, rows: NDArray[np.bool_]) -> AstrometricSurvey:
    return replace(survey, observations=survey.observations.take(rows))


def sparse_detector(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with 12 observations on a detector."""
    on = survey.observations.detector == DETECTOR
    return _kept(survey, ~on | (np.cumsum(on) % (on.sum() // 12) == 0))


def one_detector(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with a visit of which one detector was read out."""
    visits, obs = list(survey.visits), survey.observations
    item = visits[VISIT]
    visits[VISIT] = replace(item, wcs={DETECTOR: item.wcs[DETECTOR]})
    rows = (obs.visit != VISIT) | (obs.detector == DETECTOR)
    return replace(_kept(survey, rows), visits=visits)


def corner(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with stars in a corner of each detector alone."""
    obs = survey.observations
    return _kept(survey, (obs.x < 0.4 * SIZE_PIX) & (obs.y < 0.4 * SIZE_PIX))


def no_catalogue(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey without reference stars."""
    return replace(survey, references=None)


def no_colors(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey of stars of unknown colour."""
    unknown = np.full(len(survey.stars), np.nan)
    return replace(survey, stars=replace(survey.stars, color=unknown), color=ColorMeaning())


def one_epoch(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with all visits in a night."""
    visits = [
        replace(item, info=replace(item.info, mjd=MJD + 0.01 * k))
        for k, item in enumerate(survey.visits)
    ]
    return replace(survey, visits=visits)


def no_time(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with a visit of which nobody knows when it was."""
    visits = list(survey.visits)
    visits[VISIT] = replace(visits[VISIT], info=replace(visits[VISIT].info, mjd=None))
    return replace(survey, visits=visits)


def duplicates(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with 30 rows twice, and 20 stars at two places of a visit."""
    obs = survey.observations
    again = np.concatenate([np.arange(len(obs)), np.arange(0, 300, 10), np.arange(5, 405, 20)])
    twice = obs.take(again)
    x = twice.x.copy()
    x[-20:] += 3.0
    return replace(survey, observations=replace(twice, x=x))


def unusable_rows(survey: AstrometricSurvey) -> AstrometricSurvey:
    """Return the survey with rows without place, or with errors that none can have."""
    obs = survey.observations
    x, xx = obs.x.copy(), obs.xx.copy()
    x[:7] = np.nan
    xx[10:15], xx[20:31] = 0.0, 100.0
    return replace(survey, observations=replace(obs, x=x, xx=xx))


FAULTS = {
    "alone": Fault(alone, "", "it shares 0 stars with other visits and the catalogue"),
    "first WCS": Fault(wrong_first_wcs, "", "its first WCS is"),
    "wrong stars": Fault(wrong_stars, "", "its first WCS is"),
    "no time": Fault(no_time, "", "its time is unknown"),
    "sparse detector": Fault(sparse_detector, "detector 1: too few stars"),
    "corner": Fault(corner, "", limit_mas=120.0),
    "no catalogue": Fault(no_catalogue, "no reference star takes part", limit_mas=60.0),
    "no colours": Fault(no_colors, "no star has a colour: no differential refraction is fitted"),
    "one epoch": Fault(one_epoch, "the visits span 0.00 years"),
    "duplicates": Fault(duplicates, "30 observations given twice left out"),
    "unusable rows": Fault(unusable_rows, "12 observations without place or error left out"),
}
