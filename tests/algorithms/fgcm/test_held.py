"""A later night with the instrument of an earlier solution, against the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from drpflow.algorithms.fgcm import calibrate
from drpflow.algorithms.fgcm.held import held_rows, without_held
from drpflow.algorithms.fgcm.layout import Block, Layout
from drpflow.algorithms.fgcm.pools import pools_of
from drpflow.algorithms.photometric_products import parameter_columns
from drpflow.algorithms.solved_reference import held_parameters
from drpflow.config.fgcm_task import FgcmTaskConfig
from drpflow.tasks.fgcm import in_own_system

from .made_up_survey import made_up_survey
from .test_calibrate import some_visits

MMAG = 1e-3
SURVEY = made_up_survey(4, cloudy_fraction=0.0)
LAST = SURVEY.visits.night == SURVEY.visits.night.max()
OWN = in_own_system(FgcmTaskConfig())


def fit(rows, config=None, stars=None, held=()):
    part = some_visits(SURVEY, np.flatnonzero(rows))
    if stars is not None:
        part = replace(part, stars=stars)
    return part, calibrate(*part.tables, config or part.config, None, held)


@cache
def before():
    return fit(~LAST)


@cache
def tied():
    """The stars, with the standard magnitudes of the nights before."""
    made = before()[1]
    mag, err = made.standard_mag.copy(), made.standard_err.copy()
    mag[made.stars.variable] = np.nan
    return replace(SURVEY.stars, reference_mag=mag, reference_err=err)


@cache
def instrument():
    return held_parameters(parameter_columns(before()[1]))


def errors(part, result) -> np.ndarray:
    """Of each observation, without what bright ones of the nights before have in common."""
    o, scale = part.observations, before()
    off = scale[1].calibrated(scale[0].observations) - scale[0].observations.mag
    off = off - scale[0].correction
    band = scale[0].visits.band[scale[0].observations.visit]
    common = np.array([np.nanmedian(off[band == b]) for b in range(len(part.visits.bands))])
    error = result.calibrated(o) - o.mag - part.correction
    return error - common[part.visits.band[o.visit]]


def rms_of_images(error: np.ndarray, part) -> tuple[float, float]:
    """Rms of the mean errors of images with stars, and about them."""
    o = part.observations
    group = o.visit * len(part.detectors) + o.detector
    good = np.isfinite(error) & (o.visit >= 0)
    number = np.bincount(group[good])
    mean = np.bincount(group[good], error[good]) / np.maximum(number, 1)
    within = error[good] - mean[group[good]]
    return float(np.sqrt(np.mean(mean[number > 0] ** 2))), float(np.sqrt(np.mean(within**2)))


def test_a_night_comes_out_as_in_a_fit_of_all_nights() -> None:
    """On the scale of the nights before; 108 images of some 60 stars."""
    part, extended = fit(LAST, OWN, tied(), instrument())
    whole, refit = fit(np.ones_like(LAST))
    new = LAST[whole.observations.visit]
    of_refit = rms_of_images(np.where(new, errors(whole, refit), np.nan), whole)
    held = rms_of_images(errors(part, extended), part)
    free = rms_of_images(errors(part, fit(LAST, None, tied())[1]), part)
    # Zero points, of some 60 stars of 2 mmag and more: half a mmag, and what the stars add.
    assert held[0] < 1.3 * of_refit[0] < 1.3 * MMAG
    # Star flats: with the stars alone they are those that one night tells.
    assert held[1] < 1.3 * of_refit[1]
    assert held[1] < 0.8 * free[1]


def test_the_instrument_stays_what_it_was_within_its_errors() -> None:
    _, extended = fit(LAST, OWN, tied(), instrument())
    now = {p[:1] + p[3:]: p for p in map(_fields, held_parameters(parameter_columns(extended)))}
    for item in map(_fields, instrument()):
        _, value, error, *_ = now[item[:1] + item[3:]]
        assert abs(value - item[1]) < 3 * item[2]
        assert error < item[2] * 1.001
    assert not [note for note in extended.notes if "earlier solution" in note]


def _fields(item) -> tuple:
    return tuple(getattr(item, name) for name in item.__dataclass_fields__)


def test_a_changed_instrument_is_found_anew_and_told() -> None:
    changed = tuple(
        replace(p, value=p.value + 0.02) if p.name == "star_flat_10" else p for p in instrument()
    )
    _, extended = fit(LAST, OWN, tied(), changed)
    alone = fit(LAST, OWN, tied())[1]
    np.testing.assert_array_equal(extended.zero_point, alone.zero_point)
    (note,) = [note for note in extended.notes if "earlier solution" in note]
    assert "epochs_mjd" in note


def test_parameters_find_their_places() -> None:
    """By filter, epoch, detector and term; what these visits have not is left out."""
    part = some_visits(SURVEY, np.flatnonzero(LAST))
    layout = Layout.of(part.visits, part.detectors, OWN)
    other = [replace(p, epoch=1) for p in instrument() if p.detector >= 0]
    other += [replace(p, detector=99) for p in instrument() if p.detector >= 0]
    other += [replace(instrument()[0], name="night_gray")]
    assert held_rows(other, layout, part.visits, part.detectors) == {}
    rows = held_rows(instrument(), layout, part.visits, part.detectors)
    flat = layout.block(Block.FLAT, np.arange(layout.size))
    assert {*flat.ravel().tolist()} < {*rows}
    assert len(rows) == flat.size + layout.n_bands
    item = rows[int(flat[layout.n_detectors + 2, 1])]
    filters = part.visits.physical_filters[layout.throughputs[1, 0]]
    assert (item.name, item.filter, item.detector) == ("star_flat_10", filters, 12)
    pools = without_held(pools_of(layout, OWN), rows)
    assert not {*flat.ravel().tolist()} & {row for pool in pools for row in pool.rows.tolist()}
