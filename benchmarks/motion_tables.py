"""A simulated survey of moving stars in the form that the tasks take, and the truth of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig
from drpflow.config.match_source import MatchSourceConfig
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.motion_input import SOURCE_COLUMNS, MotionInput, SolvedVisits
from drpflow.data.reference_stars import ReferenceStars
from drpflow.sim.motion_survey import BANDS, PIXEL_ARCSEC, REFERENCE_COLOR, MotionSurvey
from drpflow.tasks.fit_stellar_motions import StellarMotions, fit_stellar_motions
from drpflow.tasks.match_source import Matches, VisitSources, match_source

Columns = dict[str, NDArray[Any]]
ORDER = 3
SOLVED_PIECE = 418


@dataclass(frozen=True)
class Fitted:
    """What the tasks make of a survey.

    Parameters
    ----------
    matches
        Groups.
    stars
        Stellar motions.
    true_star
        True star of each row of these, -1 for none: that of most of its sources.
    rows
        The sources of all groups, with the truth of each.
    """

    matches: Matches
    stars: StellarMotions
    true_star: NDArray[np.int64]
    rows: Columns


def visits_of(survey: MotionSurvey) -> list[VisitSources]:
    """Return what each visit has."""
    visits = []
    for visit, columns in zip(survey.visits, survey.sources, strict=True):
        errors = {
            f"{axis}Err": columns[f"{pixel}Err"] * (PIXEL_ARCSEC / 3600)
            for axis, pixel in (("ra", "x"), ("dec", "y"))
        }
        visits.append(VisitSources(visit.number, BANDS[visit.band], visit.mjd, columns | errors))
    return visits


def catalog_of(survey: MotionSurvey) -> ReferenceStars:
    """Return the reference catalogue."""
    apart = ("true_star", "wrong")
    return ReferenceStars.from_columns(
        {name: values for name, values in survey.reference.items() if name not in apart}
    )


def match(survey: MotionSurvey, config: MatchSourceConfig | None = None) -> Matches:
    """Match the sources of a survey that fits into one piece of the sky."""
    pixel = int(pixels_of_deg(ORDER, survey.config.ra_deg, survey.config.dec_deg))
    config = config or MatchSourceConfig()
    return match_source(visits_of(survey), (ORDER, pixel), catalog_of(survey), PIXEL_ARCSEC, config)


def rows_of(survey: MotionSurvey, matches: Matches) -> Columns:
    """Return the sources of all groups, a row each, with the truth of each."""
    columns = {n: np.concatenate([s[n] for s in survey.sources]) for n in survey.sources[0]}
    order = np.argsort(columns["sourceId"])
    place = np.searchsorted(columns["sourceId"], matches.join["sourceId"], sorter=order)
    rows = {name: values[order[place]] for name, values in columns.items()}
    join = {name: matches.join[name] for name in ("source_match_id", "visit", "detector")}
    return rows | join | {"usable": np.ones(place.size, bool)}


def solved_of(survey: MotionSurvey, *, refraction: bool = True) -> SolvedVisits:
    """Return what an astrometric solution would tell of the visits."""
    t = survey.visit_table
    pair = np.stack([t["dcr_east"], t["dcr_north"]], axis=1)
    errors = np.stack([t["dcr_east_err"], t["dcr_north_err"]], axis=1)
    return SolvedVisits(
        visit=t["visit"],
        skypix=np.full(t["visit"].size, SOLVED_PIECE),
        floor_mas=t["floor"],
        refraction_mas=pair * refraction,
        refraction_err_mas=errors * refraction,
        reference_color=REFERENCE_COLOR,
        color_bands=(BANDS[0], BANDS[-1]),
    )


def input_of(
    survey: MotionSurvey, matches: Matches, rows: Columns, *, refraction: bool = True
) -> MotionInput:
    """Return what the fit works on."""
    number = survey.visit_table["visit"]
    detectors = {
        "visit": number,
        "detector": np.zeros(number.size, np.int64),
        "wcs_skypix": np.full(number.size, SOLVED_PIECE),
        "wcs_error": np.full(number.size, survey.config.wcs_mas * np.sqrt(2) / 1000),
    }
    names = (*SOURCE_COLUMNS, "source_match_id", "visit", "detector", "usable")
    return MotionInput(
        matches=matches.matches,
        rows={name: rows[name] for name in names},
        mjd={v.number: v.mjd for v in survey.visits},
        band={v.number: BANDS[v.band] for v in survey.visits},
        detectors=detectors,
        solved=solved_of(survey, refraction=refraction),
        references=catalog_of(survey),
    )


def fit_survey(
    survey: MotionSurvey,
    config: FitStellarMotionsConfig | None = None,
    *,
    refraction: bool = True,
) -> Fitted:
    """Match and fit a survey."""
    matches = match(survey)
    rows = rows_of(survey, matches)
    given = input_of(survey, matches, rows, refraction=refraction)
    stars = fit_stellar_motions(given, config or FitStellarMotionsConfig())
    return Fitted(matches, stars, true_stars(stars.stars["source_match_id"], rows), rows)


def true_stars(ids: NDArray[np.int64], rows: Columns) -> NDArray[np.int64]:
    """Return the true star of most of the sources of each group, -1 for none."""
    place = np.minimum(np.searchsorted(ids, rows["source_match_id"]), ids.size - 1)
    own = ids[place] == rows["source_match_id"]
    pairs = np.stack([place[own], rows["true_star"][own]], axis=1)
    kinds, count = np.unique(pairs, axis=0, return_counts=True)
    found = np.full(ids.size, -1, np.int64)
    order = np.argsort(count, kind="stable")
    found[kinds[order, 0]] = kinds[order, 1]
    return found
