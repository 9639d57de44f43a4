"""Isolated stars of made-up skies: all found, once, and the same however the sky is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from associations import Found, associate_sky
from star_catalogs import Catalog, Sky, make_catalog, score

# Across the borders of pixels, the meridian and, in the last one, a pole.
SKIES = (
    Sky(seed=31, stars=20_000, radius_deg=0.35),
    Sky(seed=32, stars=20_000, radius_deg=0.35, ra_deg=45.0, dec_deg=41.8),
    Sky(seed=33, stars=20_000, radius_deg=0.35, ra_deg=100.0, dec_deg=89.9),
)
ORDERS = (6, 8)


@pytest.fixture(scope="module", params=SKIES, ids=lambda sky: f"dec={sky.dec_deg:g}")
def case(request: pytest.FixtureRequest) -> tuple[Sky, Catalog, dict[int, Found]]:
    sky = request.param
    catalog = make_catalog(sky)
    return sky, catalog, {order: associate_sky(catalog, sky, order) for order in ORDERS}


def test_stars_are_found_once_and_pure(case: tuple[Sky, Catalog, dict[int, Found]]) -> None:
    _, catalog, found = case
    result = score(catalog, found[6].stars, found[6].sources)
    assert result.wanted > 100
    assert result.found >= 0.995 * result.wanted
    assert result.false == 0
    assert result.galaxies <= 0.04 * result.made


def test_the_cut_of_the_sky_does_not_matter(
    case: tuple[Sky, Catalog, dict[int, Found]],
) -> None:
    """To the last digit, the reserved stars and the identifiers included."""
    _, _, found = case
    assert found[8].pieces > found[6].pieces > 1
    for kind in ("stars", "sources"):
        one, two = getattr(found[6], kind), getattr(found[8], kind)
        assert set(one) == set(two)
        for name, values in one.items():
            np.testing.assert_array_equal(values, two[name], err_msg=name)


def test_identifiers_are_unique_and_sources_are_of_one_star(
    case: tuple[Sky, Catalog, dict[int, Found]],
) -> None:
    stars, sources = case[2][8].stars, case[2][8].sources
    assert np.unique(stars["isolated_star_id"]).size == len(stars["isolated_star_id"])
    assert np.unique(sources["sourceId"]).size == len(sources["sourceId"])
    assert np.isin(stars["isolated_star_id"], sources["sourceId"]).all()
    times = np.bincount(np.searchsorted(stars["isolated_star_id"], sources["isolated_star_id"]))
    np.testing.assert_array_equal(times, stars["n_source"])
    same = sources["isolated_star_id"][1:] == sources["isolated_star_id"][:-1]
    assert (np.diff(sources["mjd"])[same] >= 0).all()
    assert (np.diff(sources["isolated_star_id"]) >= 0).all()


def test_positions_and_their_errors(case: tuple[Sky, Catalog, dict[int, Found]]) -> None:
    """Against the true places at the middle of the survey; turbulence is in the error."""
    _, catalog, found = case
    stars = found[6].stars
    first = dict(zip(*_owners(catalog, found[6]), strict=True))
    owner = np.array([first[i] for i in stars["isolated_star_id"].tolist()])
    cosine = np.cos(np.radians(stars["dec"]))
    bright = (stars["snr"] > 20) & (stars["n_source"] >= 8)
    turn = (stars["ra"] - catalog.ra[owner] + 180) % 360 - 180
    pull = np.concatenate(
        [
            (turn * cosine / stars["raErr"])[bright],
            ((stars["dec"] - catalog.dec[owner]) / stars["decErr"])[bright],
        ]
    )
    # The middle 68 per cent: a few stars move by more than the error of their place.
    assert 0.7 < np.percentile(np.abs(pull), 68) < 1.6


def _owners(catalog: Catalog, found: Found) -> tuple[list[int], list[int]]:
    ids = found.sources["isolated_star_id"].tolist()
    return ids, [catalog.of_source[i] for i in found.sources["sourceId"].tolist()]


def test_later_visits_change_no_identifier_and_few_reserved_stars() -> None:
    sky = replace(SKIES[0], radius_deg=0.25, wrong_visits=0)
    catalog = make_catalog(sky)
    half = replace(catalog, visits=catalog.visits[:10])
    before, after = associate_sky(half, sky, 7).stars, associate_sky(catalog, sky, 7).stars
    _, old, new = np.intersect1d(
        before["isolated_star_id"], after["isolated_star_id"], return_indices=True
    )
    bright = before["snr"][old] > 20
    assert old.size > 0.9 * len(before["snr"])
    assert (before["reserved"][old] != after["reserved"][new])[bright].mean() < 0.01
