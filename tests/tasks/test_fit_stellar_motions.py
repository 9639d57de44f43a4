"""What fitStellarMotions makes of groups: values, errors, flags, reasons, broken input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.algorithms.stellar_motions.result import (
    ASTRAY,
    NO_COLOR,
    PARAMETERS,
    SCATTERS,
    STILL,
    TIED,
    UNSEEN,
)
from drpflow.config.fit_stellar_motions import FitStellarMotionsConfig
from drpflow.data.motion_input import MotionInput, SolvedVisits
from drpflow.data.reference_stars import CORRELATION_COLUMNS, ReferenceStars
from drpflow.io.schemas import load_schema
from drpflow.tasks.fit_stellar_motions import StellarMotions, fit_stellar_motions

from .motion_scene import DEC, MJD, PARALLAX, PM_DEC, PM_RA, RA, scene, without

CONFIG = FitStellarMotionsConfig()
TRUE = {"raPM": PM_RA, "decPM": PM_DEC, "parallax": PARALLAX}


def fit(given: MotionInput, **changes: object) -> StellarMotions:
    return fit_stellar_motions(given, CONFIG.model_copy(update=changes))


def changed(section: str, **values: object) -> dict[str, object]:
    return {section: getattr(CONFIG, section).model_copy(update=values)}


def pulls(stars: dict[str, NDArray]) -> NDArray:
    return np.array([(stars[n] - true) / stars[f"{n}Err"] for n, true in TRUE.items()])


def catalog(n: int, error: float = 0.1, **values: object) -> ReferenceStars:
    """Every star as it is, at the epoch of a catalogue."""
    years = (57388.5 - MJD.mean()) / 365.25
    place = {
        "ra": np.full(n, RA + PM_RA * years / 3.6e6 / np.cos(np.radians(DEC))) % 360,
        "dec": np.full(n, DEC + PM_DEC * years / 3.6e6),
        "pm_ra": np.full(n, PM_RA),
        "pm_dec": np.full(n, PM_DEC),
        "parallax": np.full(n, PARALLAX),
    }
    errors = {f"{name}_err": np.full(n, error) for name in place}
    about = {"id": 1 + np.arange(n), "epoch": np.full(n, 57388.5)}
    correlations = {name: np.full(n, 0.2) for name in CORRELATION_COLUMNS}
    return ReferenceStars.from_columns(about | place | errors | correlations | values)


def tied(given: MotionInput, stars: ReferenceStars) -> MotionInput:
    matches = given.matches | {"reference_id": 1 + np.arange(given.matches["ra"].size)}
    return replace(given, matches=matches, references=stars)


def test_motions_and_parallaxes_with_right_errors() -> None:
    stars = fit(scene(400)).stars
    p = pulls(stars)
    np.testing.assert_allclose(p.mean(axis=1), 0, atol=0.17)
    np.testing.assert_allclose(p.std(axis=1), 1, atol=0.13)
    np.testing.assert_allclose(np.median(stars["color"]), 1.0, atol=0.02)
    assert (stars["flag"] & ~NO_COLOR == 0).all()
    assert (stars["reason"] == "").all()
    assert stars["chi2"].sum() / stars["dof"].sum() == pytest.approx(1.0, abs=0.05)


def test_covariances_are_those_of_the_scatter() -> None:
    """400 equal stars: their covariance matrix is the stated one."""
    stars = fit(scene(400)).stars
    offset = np.stack(
        [
            (stars["ra"] - RA + 180) % 360 - 180,
            stars["dec"] - DEC,
            *(stars[n] for n in PARAMETERS[2:]),
        ]
    )
    offset[0] *= np.cos(np.radians(DEC))
    found = np.corrcoef(offset)
    for i, one in enumerate(PARAMETERS):
        for j in range(i + 1, 5):
            other = PARAMETERS[j]
            stated = stars[f"{one}_{other}_Cov"] / (stars[f"{one}Err"] * stars[f"{other}Err"])
            assert found[i, j] == pytest.approx(np.median(stated), abs=0.15)


def test_columns_are_those_of_the_schema() -> None:
    names = {c.name for c in load_schema("stellar_motions").columns} - {"skypix"}
    assert names <= set(fit(scene(3)).stars)


def test_red_stars_move_no_more_than_others() -> None:
    """Refraction turns with the visits: without colours, motions would be wrong by many errors."""
    for color in (0.8, 2.5):
        given = scene(100, error_mas=3.0, color=color)
        flux = given.rows["psfFlux"].copy()
        in_g = np.isin(given.rows["visit"], [v for v, b in given.band.items() if b == "g"])
        flux[in_g] *= 10 ** (-0.4 * (color - 1.0))
        error = flux * 0.01
        told = replace(given, rows=given.rows | {"psfFlux": flux, "psfFluxErr": error})
        assert np.abs(pulls(fit(told).stars).mean(axis=1)).max() < 0.5
    blind = replace(told, solved=replace(told.solved, refraction_mas=np.zeros((10, 2))))
    assert np.abs(pulls(fit(blind, **changed("noise", find_floors=False)).stars)).mean() > 2


def test_spoilt_positions_are_left_out() -> None:
    given = scene(60)
    given.rows["dec"][::11] += 0.4 / 3600
    stars = fit(given).stars
    assert (stars["n_rejected"] == np.bincount(np.arange(0, 600, 11) // 10, minlength=60)).all()
    np.testing.assert_allclose(pulls(stars).std(axis=1), 1, atol=0.3)


def test_stars_whose_positions_scatter_are_flagged() -> None:
    given = scene(20)
    own = given.rows["source_match_id"] == 1000
    given.rows["ra"][own] += np.random.default_rng(1).normal(0, 0.3 / 3600, own.sum())
    flag = fit(given, **changed("noise", find_floors=False)).stars["flag"]
    assert flag[0] & SCATTERS
    assert not (flag[1:] & SCATTERS).any()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.34])
def test_only_stars_that_scatter_are_flagged_whatever_may_be_left_out(share: float) -> None:
    """Four visits, of which one may be left out or none, and one star that is far off in two."""
    given = scene(20)
    given = without(given, ~np.isin(given.rows["visit"], (1, 3, 5, 8)))
    far = (given.rows["source_match_id"] == 1000) & np.isin(given.rows["visit"], (3, 5))
    given.rows["dec"][far] += np.array([0.5, -0.5]) / 3600
    noise = changed("noise", max_clipped=share, find_floors=False)
    flag = fit(given, **noise).stars["flag"]
    assert flag[0] & SCATTERS
    assert not (flag[1:] & SCATTERS).any()


def test_the_catalogue_makes_errors_smaller() -> None:
    given = scene(200)
    free, held = fit(given).stars, fit(tied(given, catalog(200))).stars
    assert (held["flag"] & TIED > 0).all()
    assert (held["raPMErr"] < 0.1 * free["raPMErr"]).all()
    np.testing.assert_allclose(held["raPM"], PM_RA, atol=0.1)
    np.testing.assert_allclose(held["ref_parallax"], PARALLAX)
    np.testing.assert_allclose(held["ref_dec"], DEC + PM_DEC * 0, atol=1e-6)
    assert np.isnan(free["ref_ra"]).all()


def unknown(stars: ReferenceStars, *names: str) -> ReferenceStars:
    """Return a catalogue that lacks some columns."""
    nan = np.full(len(stars), np.nan)
    return replace(stars, **{n + e: nan for n in names for e in ("", "_err")})


def test_what_the_catalogue_does_not_know_is_not_told() -> None:
    stars = fit(tied(scene(3), unknown(catalog(3), "pm_ra", "pm_dec", "parallax"))).stars
    for name in ("raPM", "decPM", "parallax"):
        assert np.isnan(stars[f"ref_{name}"]).all()
    np.testing.assert_allclose(stars["ref_dec"], catalog(3).dec, atol=1e-9)
    assert (stars["flag"] & TIED > 0).all()


@pytest.mark.parametrize("observer", ["barycenter", "earth"])
def test_a_catalogue_without_parallaxes_does_not_tell_all(observer: str) -> None:
    """Stars seen twice have no parallax, from wherever the catalogue has seen them."""
    given = scene(4)
    stars = replace(unknown(catalog(4), "parallax"), observer=observer)
    found = fit(tied(without(given, given.rows["visit"] > 2), stars)).stars
    assert set(found["reason"]) == {"few visits"}
    assert np.isnan(found["parallax"]).all()
    assert np.isnan(found["ref_parallax"]).all()
    np.testing.assert_allclose(found["ref_raPM"], PM_RA)


def test_the_zero_point_of_parallaxes_is_taken_off() -> None:
    given = tied(scene(5), catalog(5, error=0.001))
    shifted = fit(given, **changed("reference", parallax_zero_point_mas=0.5)).stars
    np.testing.assert_allclose(shifted["parallax"], PARALLAX - 0.5, atol=0.02)
    np.testing.assert_allclose(shifted["ref_parallax"], PARALLAX - 0.5)


def test_a_catalogue_that_is_wrong_is_not_believed() -> None:
    wrong = catalog(10)
    pm = wrong.pm_ra.copy()
    pm[3] += 80.0
    stars = fit(tied(scene(10, error_mas=5.0), replace(wrong, pm_ra=pm))).stars
    assert stars["flag"][3] & ASTRAY
    assert not stars["flag"][3] & TIED
    assert stars["raPM"][3] == pytest.approx(PM_RA, abs=5 * stars["raPMErr"][3])
    assert (np.delete(stars["flag"], 3) & (ASTRAY | TIED) == TIED).all()


@pytest.mark.parametrize(
    ("visits", "reason"),
    [
        ((1, 2), "few visits"),
        ((1, 2, 3), "not determined"),
        ((1, 3, 5), ""),
        ((1, 4, 7), ""),
    ],
)
def test_motions_are_told_where_there_are_visits_enough(
    visits: tuple[int, ...], reason: str
) -> None:
    given = scene(4)
    stars = fit(without(given, ~np.isin(given.rows["visit"], visits))).stars
    assert np.isfinite(stars["ra"]).all()
    assert set(stars["reason"]) == {reason}
    told = stars["reason"] == ""
    np.testing.assert_array_equal(np.isfinite(stars["raPM"]), told)
    np.testing.assert_array_equal(np.isfinite(stars["decPM_parallax_Cov"]), told)
    np.testing.assert_array_equal(stars["flag"] & STILL > 0, ~told)


def test_two_nights_do_not_tell_motion_and_parallax() -> None:
    given = scene(4)
    times = {v: 60000.0 + 200 * (v % 2) + 0.01 * v for v in given.mjd}
    stars = fit(replace(given, mjd=times)).stars
    assert set(stars["reason"]) == {"not determined"}
    short = fit(replace(given, mjd={v: 60000.0 + v for v in given.mjd})).stars
    assert set(short["reason"]) == {"short time"}
    assert np.isnan(short["parallax"]).all()
    # What is not told is in the errors of the place.
    assert (short["raErr"] * 3.6e6 > 0.3).all()


def test_places_are_not_lost_to_parallaxes_that_hardly_anything_tells() -> None:
    """Two runs of three nights a year apart: the sources lie within 0.05 arcsec of the star."""
    given = scene(50)
    rows = given.rows["visit"] > 4
    times = dict(enumerate((60000.0, 60003.0, 60363.0, 60366.0), start=1))
    given = without(replace(given, mjd=given.mjd | times), rows)
    for name in ("ra", "dec"):
        first = given.rows[name][given.rows["visit"] == 1]
        given.rows[name] = np.repeat(first, 4)
        given.rows[name] += np.random.default_rng(5).normal(0, 0.02 / 3600, given.rows[name].size)
    stars = fit(given).stars
    assert set(stars["reason"]) == {"not determined"}
    for name in ("ra", "dec"):
        seen = given.rows[name].reshape(-1, 4).mean(axis=1)
        off = (stars[name] - seen + 180) % 360 - 180
        assert 3600 * np.abs(off).max() < 0.05
        assert 3600 * stars[f"{name}Err"].max() < 0.05


def test_the_catalogue_tells_motions_of_stars_seen_once_or_twice() -> None:
    given = scene(4)
    few = tied(without(given, given.rows["visit"] > 2), catalog(4))
    np.testing.assert_allclose(fit(few).stars["raPM"], PM_RA, atol=0.2)


def test_nothing_depends_on_the_order_of_rows() -> None:
    given = scene(12)
    order = np.random.default_rng(3).permutation(given.rows["ra"].size)
    turned = replace(given, rows={n: v[order] for n, v in given.rows.items()})
    one, other = fit(given).stars, fit(turned).stars
    for name, values in one.items():
        np.testing.assert_array_equal(other[name], values)


@pytest.mark.parametrize("column", ["ra", "xErr", "localWcs_CDMatrix_1_1"])
def test_sources_without_place_or_error_do_not_count(column: str) -> None:
    given = scene(10)
    given.rows[column][::10] = np.nan
    assert (fit(given).stars["n_good"] == 9).all()


def test_flagged_sources_do_not_count() -> None:
    given = scene(10)
    given.rows["usable"][:10] = False
    stars = fit(given).stars
    assert stars["n_good"][0] == 0
    assert stars["flag"][0] & UNSEEN
    assert np.isnan(stars["raErr"][0])
    assert (stars["n_good"][1:] == 10).all()


def test_no_visit_that_can_be_read_leaves_places_without_errors() -> None:
    given = scene(3)
    none = {name: values[:0] for name, values in given.detectors.items()}
    given.rows["usable"][:] = False
    found = fit(replace(given, detectors=none, mjd={}, band={}))
    assert (found.stars["flag"] & UNSEEN > 0).all()
    assert np.isnan(found.stars["raErr"]).all()
    assert found.numbers["detections"] == 0


def test_visits_of_which_no_solution_tells_are_named() -> None:
    given = scene(10)
    none = SolvedVisits(*(np.zeros(0, int),) * 2, np.zeros(0), np.zeros((0, 2)), np.zeros((0, 2)))
    found = fit(replace(given, solved=none))
    assert any("10 visits" in note for note in found.notes)
    assert any("colours" in note for note in found.notes)
    assert (found.stars["flag"] & NO_COLOR > 0).all()
    assert np.isfinite(found.stars["raPM"]).all()


def test_errors_of_centroids_are_scaled_where_all_residuals_say_so() -> None:
    given = scene(300)
    for name in ("xErr", "yErr"):
        given.rows[name] /= 1.5
    found = fit(given, **changed("noise", find_floors=False))
    assert found.numbers["centroid_scale"] == pytest.approx(1.5, rel=0.05)
    assert any("1.5" in note or "1.4" in note for note in found.notes)
    assert fit(scene(300)).numbers["centroid_scale"] == 1.0


def test_the_scatter_of_a_visit_is_found() -> None:
    given = scene(300, error_mas=5.0)
    rng = np.random.default_rng(2)
    own = given.rows["visit"] == 4
    given.rows["dec"][own] += rng.normal(0, 20 / 3.6e6, own.sum())
    given.rows["ra"][own] += rng.normal(0, 20 / 3.6e6, own.sum()) / np.cos(np.radians(DEC))
    floor = fit(given).floors["floor"]
    assert floor[3] == pytest.approx(20.0, rel=0.1)
    assert np.delete(floor, 3).max() < 2.5


def test_without_groups_there_are_no_rows() -> None:
    given = scene(2)
    found = fit(given, min_sources=11)
    assert found.stars == {}
    assert found.numbers["stars"] == 0
