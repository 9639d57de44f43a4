"""What the task makes of visits: columns, figures, broken input."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from drpflow.config.associate_isolated_stars import AssociateIsolatedStarsConfig, DetectionConfig
from drpflow.data.healpix import pixels_of_deg
from drpflow.data.source_ids import make_source_ids
from drpflow.tasks.associate_isolated_stars import (
    CameraFacts,
    IsolatedStars,
    Piece,
    VisitStars,
    associate_isolated_stars,
    margin_arcsec,
)

CONFIG = AssociateIsolatedStarsConfig()
CAMERA = CameraFacts(("u", "g", "r"), 0.3)
RA, DEC, N = 150.3, 2.2, 40
PIECE = Piece(5, int(pixels_of_deg(5, RA, DEC)))


def stars_of(visit: int, n: int = N, seed: int = 1) -> dict[str, NDArray]:
    """The same n stars, a step of ten arcsec apart, with errors of 20 mas."""
    rng = np.random.default_rng([seed, visit])
    flags = {name: np.zeros(n, bool) for name in DetectionConfig().bad_flags}
    return flags | {
        "sourceId": make_source_ids(visit, 3, n),
        "detector": np.full(n, 3, np.int32),
        "ra": RA + np.arange(n) * 10 / 3600 + rng.normal(0, 0.02, n) / 3600,
        "dec": DEC + rng.normal(0, 0.02, n) / 3600,
        "raErr": np.full(n, 1e-6, np.float32),
        "decErr": np.full(n, 1e-6, np.float32),
        "detect_isPrimary": np.ones(n, bool),
        "blendedness": np.zeros(n, np.float32),
        "psfFlux_instFlux": np.full(n, 1e4),
        "psfFlux_instFluxErr": np.full(n, 100.0),
        "psfFlux": np.full(n, 1e4),
        "reference_id": np.arange(n) * 7,
        **{name: np.full(n, 4.0) for name in ("ixx", "iyy", "ixxPSF", "iyyPSF")},
        **{name: np.full(n, 0.05, np.float32) for name in ("ixxErr", "iyyErr")},
        "shape_flag": np.zeros(n, bool),
    }


def summary(**changes: object) -> dict[str, NDArray]:
    """One detector of half a degree about the stars."""
    corners = {"llc": (-1, -1), "lrc": (1, -1), "urc": (1, 1), "ulc": (-1, 1)}
    values: dict[str, object] = {"detector": 3, "magLim": 24.0, "wcs_error": np.nan, "lost": ""}
    for name, (x, y) in corners.items():
        values |= {f"{name}ra": RA + 0.25 * x, f"{name}dec": DEC + 0.25 * y}
    return {name: np.array([value]) for name, value in (values | changes).items()}


def visit(number: int, band: str = "g", **changes: object) -> VisitStars:
    mjd = 60000.0 - number
    return VisitStars(number, band, f"{band}1", mjd, stars_of(number), summary(**changes))


def associate(*visits: VisitStars) -> IsolatedStars:
    return associate_isolated_stars(visits, PIECE, CONFIG, CAMERA)


def test_columns_of_stars_and_sources() -> None:
    found = associate(visit(3, "r"), visit(1, "g"), visit(2, "r"))
    stars, sources = found.stars, found.sources
    assert stars["isolated_star_id"].tolist() == make_source_ids(1, 3, N).tolist()
    assert set(stars["bands"]) == {"g,r"}
    assert set(stars["n_source"]) == set(stars["n_expected"]) == set(stars["n_seen"]) == {3}
    assert stars["reference_id"].tolist() == (np.arange(N) * 7).tolist()
    np.testing.assert_allclose(stars["snr"], 100.0)
    np.testing.assert_allclose(stars["epoch"], 59998.0)
    floor = np.hypot(CONFIG.position_floor_arcsec, CONFIG.position_floor_pix * CAMERA.pixel_arcsec)
    expected = np.hypot(0.0036, floor) / np.sqrt(3) / 3600
    np.testing.assert_allclose(stars["raErr"], expected, rtol=1e-6)
    assert np.abs(stars["dec"] - DEC).max() * 3600 < 0.06
    # The later the visit's number, the earlier it was taken.
    assert sources["visit"][:3].tolist() == [3, 2, 1]
    assert sources["mjd"][:3].tolist() == [59997.0, 59998.0, 59999.0]
    assert sources["band"][:3].tolist() == ["r", "r", "g"]
    np.testing.assert_array_equal(sources["isolated_star_id"][::3], stars["isolated_star_id"])
    np.testing.assert_array_equal(sources["reserved"][::3], stars["reserved"])
    assert found.numbers["stars"] == N
    assert found.numbers["sources"] == 3 * N
    assert found.numbers["reserved"] == stars["reserved"].sum()


def test_figures_for_the_status() -> None:
    once = visit(4)
    once.stars["dec"] += 30 / 3600
    doubled = visit(3)
    doubled.stars["dec"][:5] += 1.5 / 3600
    wide = [visit(k) for k in (1, 2)]
    for one in (*wide, doubled):
        one.stars["ixx"][-2:] *= 2
    n = associate(*wide, doubled).numbers
    assert (n["groups"], n["not_alone"], n["not_starlike"]) == (N + 5, 5, 2)
    assert n["stars"] == N - 2
    assert n["disturbed"] == 5
    assert (n["visits_per_star_p10"], n["visits_per_star_p50"]) == (2, 3)
    assert n["stars_seen_once"] == 0
    assert associate(once).numbers["stars_seen_once"] == N


def test_a_single_visit() -> None:
    found = associate(visit(1))
    assert len(found.stars["ra"]) == N
    assert set(found.stars["n_source"]) == {1}
    assert (found.stars["position_chi2"] < 1e-9).all()


def test_what_one_visit_of_several_shows_is_no_star() -> None:
    others = [visit(k) for k in (1, 2, 3)]
    new = visit(4)
    new.stars["dec"][0] += 5 / 3600
    found = associate(*others, new)
    assert len(found.stars["ra"]) == N
    assert found.numbers["not_lasting"] == 1
    assert (found.stars["n_source"] == 4).sum() == N - 1


def test_a_detector_without_use_is_not_expected_to_see() -> None:
    lost = visit(2, lost="psf: too few stars")
    lost.stars.clear()
    shallow = visit(3, magLim=15.0)
    shallow.stars.clear()
    astray = visit(4, llcra=np.nan)
    astray.stars.clear()
    found = associate(visit(1), lost, shallow, astray)
    assert set(found.stars["n_expected"]) == {1}
    assert len(found.stars["ra"]) == N


def test_rows_that_stand_twice_count_once() -> None:
    once = associate(visit(1), visit(2))
    double = visit(2)
    stars = {name: np.concatenate([values, values]) for name, values in double.stars.items()}
    twice = associate(visit(1), VisitStars(2, "g", "g1", double.mjd, stars, double.summary))
    assert set(once.sources) == set(twice.sources)
    for name, values in once.sources.items():
        np.testing.assert_array_equal(values, twice.sources[name])


def test_values_that_are_not_known() -> None:
    broken = visit(2)
    broken.stars["psfFlux_instFlux"][0] = np.nan
    broken.stars["psfFlux_instFluxErr"][1] = 0.0
    broken.stars["raErr"][2] = np.nan
    broken.stars["ixx"][3] = np.nan
    broken.stars["shape_flag"][4] = True
    broken.stars["psfFlux"][5] = np.nan
    broken.stars["blendedness"][6] = np.nan
    found = associate(visit(1), broken, visit(3))
    times = found.stars["n_source"]
    assert len(times) == N
    assert np.flatnonzero(times == 2).tolist() == [0, 1, 4]
    assert (np.delete(times, [0, 1, 4]) == 3).all()
    assert np.isfinite(found.stars["ra"]).all()
    assert np.isfinite(found.stars["raErr"]).all()


def test_a_visit_of_unknown_time_leaves_the_epoch_to_the_others() -> None:
    undated = VisitStars(3, "g", "g1", float("nan"), stars_of(3), summary())
    epoch = associate(visit(1), visit(2), undated).stars["epoch"]
    assert len(epoch) == N
    np.testing.assert_allclose(epoch, 59998.5)


def test_the_error_of_a_borrowed_wcs_lowers_its_weight() -> None:
    poor = visit(2, wcs_error=0.3)
    poor.stars["dec"] += 0.3 / 3600
    found = associate(visit(1), visit(3), poor)
    assert np.abs(np.median(found.stars["dec"] - DEC)) * 3600 < 0.01
    found = associate(visit(1), visit(3), visit(2))
    assert len(found.stars["ra"]) == N


def test_children_count_and_their_blend_does_not() -> None:
    blended = visit(1)
    blended.stars["detect_isPrimary"][:5] = False
    assert len(associate(blended).stars["ra"]) == N - 5


def test_nothing_at_all() -> None:
    assert associate().stars == {}
    empty = visit(1)
    empty.stars.clear()
    found = associate(empty)
    assert (found.stars, found.sources) == ({}, {})
    assert found.numbers["stars"] == 0


def test_stars_of_another_piece_are_not_made() -> None:
    elsewhere = Piece(PIECE.order, PIECE.pixel + 100)
    found = associate_isolated_stars([visit(1)], elsewhere, CONFIG, CAMERA)
    assert len(found.stars["ra"]) == len(found.sources["ra"]) == 0
    assert found.numbers["stars"] == 0


@pytest.mark.parametrize(("pixel_arcsec", "margin"), [(0.2, 20.0), (1.5, 30.0)])
def test_margin(pixel_arcsec: float, margin: float) -> None:
    assert margin_arcsec(CONFIG, pixel_arcsec) == pytest.approx(margin)
