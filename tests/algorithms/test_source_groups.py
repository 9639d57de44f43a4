"""Which sources are one object: pairs, stars that move, borders, the catalogue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.source_groups import (
    BY_CATALOG,
    CONTESTED,
    MOVING,
    SPLIT,
    Groups,
    Sources,
    displaced,
    group_sources,
    reference_of,
)
from drpflow.config.match_source import MatchSourceConfig
from drpflow.data.reference_stars import ReferenceStars, unit_vectors

CONFIG = MatchSourceConfig()
RADIUS = 0.5
RA, DEC = 359.9999, 35.0


class Scene:
    """Sources, put together at arcsec from a place; a visit every 100 days."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, int, float]] = []

    def add(self, x: float, y: float, visits: range | list[int], flux: float = 1e4) -> Scene:
        rng = np.random.default_rng(len(self.rows))
        for v in visits:
            dx, dy = rng.normal(0, 0.03, 2)
            self.rows.append((x + dx, y + dy, v, flux))
        return self

    def sources(self) -> tuple[Sources, np.ndarray]:
        x, y, visit, flux = (np.array(c) for c in zip(*self.rows, strict=True))
        visit = visit.astype(np.int64)
        ids = (visit << 20) + np.arange(visit.size)
        order = np.argsort(ids)
        ra = (RA + x / 3600 / np.cos(np.radians(DEC))) % 360
        columns = (ids, visit, 60000.0 + 100 * visit, ra, DEC + y / 3600)
        sources = Sources(*(c[order] for c in columns), np.full(visit.size, 0.03**2))
        return sources, flux[order]


def grouped(scene: Scene, catalog: ReferenceStars | None = None) -> tuple[Groups, Sources]:
    sources, flux = scene.sources()
    band = np.full(len(sources), "r")
    moved = displaced(sources, flux, band, catalog, RADIUS, CONFIG)
    return group_sources(sources, moved, RADIUS, CONFIG), sources


def catalog(**columns: Any) -> ReferenceStars:
    n = np.size(columns["ra"])
    default = {"id": np.arange(1, n + 1), "epoch": np.full(n, 57388.5)}
    return ReferenceStars.from_columns(default | {k: np.atleast_1d(v) for k, v in columns.items()})


def test_each_visit_adds_one_source_to_a_star() -> None:
    groups, _ = grouped(Scene().add(0, 0, range(10)).add(3, 0, range(8)))
    assert sorted(groups.n_source) == [8, 10]
    assert (groups.flag == 0).all()
    assert groups.chi2.sum() == pytest.approx(2 * 16, rel=0.5)


def test_a_pair_nearer_than_the_radius_is_two_stars() -> None:
    groups, sources = grouped(Scene().add(0, 0, range(10)).add(0.45, 0, range(10)))
    assert groups.n_source.tolist() == [10, 10]
    assert (groups.flag == SPLIT | CONTESTED).all()
    for g in range(2):
        assert len(set(sources.visit[groups.group == g])) == 10


def test_a_second_source_in_one_visit_is_another_object() -> None:
    groups, _ = grouped(Scene().add(0, 0, range(10)).add(0.3, 0, [4]))
    assert sorted(groups.n_source) == [1, 10]


def test_a_star_that_no_catalogue_has_is_followed() -> None:
    scene = Scene()
    for v in range(12):
        scene.add(0.25 * v, -0.1 * v, [v])
    groups, _ = grouped(scene)
    assert groups.n_source.tolist() == [12]
    assert groups.flag[0] == MOVING
    assert groups.separation_arcsec.max() < 0.2


def moving_star(pm_ra: float = 3000.0, **columns: Any) -> ReferenceStars:
    """A star that stands at the place in the middle of twelve visits."""
    years = (60550.0 - 57388.5) / 365.25
    ra = RA - pm_ra / 3.6e6 * years / np.cos(np.radians(DEC))
    return catalog(ra=ra % 360, dec=DEC, pm_ra=pm_ra, pm_dec=0.0, parallax=0.0, **columns)


def moving_scene(**values: Any) -> Scene:
    scene = Scene()
    for v in range(12):
        scene.add(3.0 * (100 * v - 550) / 365.25, 0, [v], **values)
    return scene


def test_a_fast_star_of_the_catalogue_is_followed_through_a_gap() -> None:
    star = moving_star()
    groups, _ = grouped(moving_scene(), star)
    assert groups.n_source.tolist() == [12]
    assert groups.flag[0] == BY_CATALOG
    row, separation = reference_of(groups, star, RADIUS)
    assert row[0] == 0
    assert separation[0] < 0.05
    without, _ = grouped(moving_scene())
    assert len(without) > 1


def test_the_place_of_a_fast_star_belongs_to_its_mean_time() -> None:
    """Early positions that are ten times better: the mean time is 0.8 years before the middle."""
    star = moving_star()
    sources, flux = moving_scene().sources()
    early = sources.mjd < np.median(sources.mjd)
    variance = np.where(early, 0.01, 0.1) ** 2
    sources = replace(sources, variance_arcsec2=variance)
    moved = displaced(sources, flux, np.full(len(sources), "r"), star, RADIUS, CONFIG)
    groups = group_sources(sources, moved, RADIUS, CONFIG)
    assert len(groups) == 1
    assert groups.mjd[0] < np.mean(sources.mjd) - 0.5 * 365.25
    there = star.at_epoch(float(groups.mjd[0]))
    off = groups.vectors[0] - unit_vectors(there.ra, there.dec)[0]
    assert 206265 * np.linalg.norm(off) < 0.05
    row, _ = reference_of(groups, star, 0.5)
    assert row.tolist() == [0]


def test_a_star_beside_the_way_is_not_taken_for_it() -> None:
    """A hundred times fainter than the catalogue says."""
    star = moving_star(flux_r=1e4, flux_r_err=10.0)
    faint = moving_scene(flux=1e2)
    groups, _ = grouped(faint, star)
    assert not (groups.flag & BY_CATALOG).any()


def test_the_nearest_object_has_the_star_of_the_catalogue() -> None:
    scene = Scene().add(0, 0, range(6)).add(0.45, 0, range(6)).add(5, 0, range(6))
    groups, _ = grouped(scene)
    stars = catalog(ra=[RA + 0.1 / 3600, RA + 30 / 3600], dec=[DEC, DEC])
    row, separation = reference_of(groups, stars, RADIUS)
    assert sorted(row) == [-1, -1, 0]
    assert separation[row == 0] == pytest.approx(0.1 * np.cos(np.radians(DEC)), abs=0.04)


def test_a_catalogue_of_other_places_says_nothing() -> None:
    groups, _ = grouped(Scene().add(0, 0, range(6)))
    row, separation = reference_of(groups, catalog(ra=[RA], dec=[DEC + 0.1]), RADIUS)
    assert row.tolist() == [-1]
    assert np.isnan(separation).all()


def test_groups_are_the_same_whatever_else_there_is() -> None:
    """Sources far away come and go; numbers of groups aside, nothing changes."""
    scene = Scene().add(0, 0, range(9)).add(0.45, 0.1, range(7)).add(0.2, 0.8, range(5))
    alone, few = grouped(scene)
    more, many = grouped(scene.add(40, 30, range(9)).add(-50, 3, range(4)))
    own = np.isin(many.source_id, few.source_id)
    np.testing.assert_array_equal(more.separation_arcsec[own], alone.separation_arcsec)
    same = alone.group[:, None] == alone.group
    np.testing.assert_array_equal(more.group[own][:, None] == more.group[own], same)


def test_nothing_gives_nothing() -> None:
    empty = Sources(*(np.zeros(0, kind) for kind in (int, int, float, float, float, float)))
    moved = displaced(empty, np.zeros(0), np.zeros(0, "U1"), moving_star(), RADIUS, CONFIG)
    assert len(group_sources(empty, moved, RADIUS, CONFIG)) == 0
