"""Coarse pieces of the sky: their visits, and the stars that these see."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from drpflow.config.base import validate
from drpflow.config.skypix import SkypixConfig
from drpflow.errors import InputError
from drpflow.io.datasets import DatasetTable
from drpflow.workflow.astrometry_pieces import AstrometryPieces, skypix_level
from tests.workflow.test_overlaps import overlaps, wide_camera


def pieces(order: int) -> tuple[dict[str, list[str]], AstrometryPieces]:
    fine = overlaps(wide_camera(), 0.0, 6)[1]
    return fine.visits, AstrometryPieces(fine, order)


@pytest.mark.parametrize("order", [0, 3, 5, 6])
def test_visits_are_those_of_the_pieces_within(order: int) -> None:
    fine, found = pieces(order)
    shift = 2 * (6 - order)
    wanted: dict[str, set[int]] = {}
    for pixel, visits in fine.items():
        wanted.setdefault(str(int(pixel) >> shift), set()).update(map(int, visits))
    assert found.visits == {pixel: sorted(visits) for pixel, visits in wanted.items()}
    assert list(found.visits) == sorted(found.visits, key=int)


@pytest.mark.parametrize("order", [0, 3, 6])
def test_stars_are_those_of_whole_visits(order: int) -> None:
    """Also those beyond the border of the piece."""
    fine, found = pieces(order)
    for pixel, visits in found.visits.items():
        wanted = [int(p) for p, seen in fine.items() if {*map(int, seen)} & {*visits}]
        assert found.pieces[pixel] == sorted(wanted)


@pytest.mark.parametrize("order", [0, 3, 6])
def test_the_other_way_about(order: int) -> None:
    """Coarse pieces that the visits of a piece of the association touch."""
    fine, found = pieces(order)
    for pixel, visits in fine.items():
        wanted = [p for p, seen in found.visits.items() if {*seen} & {*map(int, visits)}]
        wildcards = SimpleNamespace(skypix=pixel)
        assert found.about_piece("{skypix}")(wildcards) == wanted
        assert found.list_about_piece(wildcards)


def test_what_the_rules_look_up() -> None:
    found = pieces(3)[1]
    pixel = next(p for p, visits in found.visits.items() if visits == [4])
    wildcards = SimpleNamespace(skypix=pixel)
    assert found.of_visits("a/{visit}")(wildcards) == ["a/4"]
    assert found.of_pieces("b/{skypix}")(wildcards) == [f"b/{p}" for p in found.pieces[pixel]]
    assert found.visit_list(wildcards) == "4"
    assert found.piece_list(wildcards)
    assert found.memory_mb(wildcards, 2) == 2 * found.memory_mb(wildcards, 1)
    assert f"c/{pixel}" in found.expand("c/{skypix}")
    assert f"c/{pixel}/4" in found.expand("c/{skypix}/{visit}")
    assert len(found.expand("{skypix}{visit}")) == sum(map(len, found.visits.values()))


def test_which_order_a_path_means() -> None:
    table = DatasetTable.load()
    levels = {"isolated_stars": "association", "solved_astrometry_stars": "astrometry"}
    for name, level in levels.items():
        assert skypix_level(table, f"results/{table.path_template(name)}") == level
    for task, level in (
        ("associateIsolatedStars", "association"),
        ("solveAstrometry", "astrometry"),
    ):
        assert skypix_level(table, f"results/{table.status_template(task)}") == level
        assert skypix_level(table, f"results/logs/{task}/skypix={{skypix}}.log") == level
    assert skypix_level(table, "results/isolated_stars_of_mine/x") is None


def test_coarse_pieces_hold_fine_ones() -> None:
    values = {"association_order": 4, "astrometry_order": 5}
    with pytest.raises(InputError, match="astrometry_order 5 is finer than association_order 4"):
        validate(SkypixConfig, values, "config.yaml")
