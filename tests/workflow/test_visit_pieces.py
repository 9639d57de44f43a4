"""Pieces of the sky by visit: the inverse of the visits by piece."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from drpflow.workflow.astrometry_pieces import AstrometryPieces
from drpflow.workflow.number_lists import numbers
from drpflow.workflow.visit_pieces import VisitPieces
from tests.workflow.test_overlaps import overlaps, wide_camera


@pytest.mark.parametrize("order", [3, 6])
def test_pieces_are_those_that_name_the_visit(order: int) -> None:
    fine = overlaps(wide_camera(), 0.0, 6)[1]
    coarse = AstrometryPieces(fine, order)
    found = VisitPieces(fine, coarse)
    visits = {visit for seen in fine.visits.values() for visit in seen}
    assert set(found.association) == set(found.solved) == visits
    for visit in visits:
        assert found.association[visit] == sorted(
            int(piece) for piece, seen in fine.visits.items() if visit in seen
        )
        shift = 2 * (6 - order)
        assert found.solved[visit] == sorted({p >> shift for p in found.association[visit]})


def test_what_the_rules_look_up() -> None:
    fine = overlaps(wide_camera(), 0.0, 6)[1]
    found = VisitPieces(fine, AstrometryPieces(fine, 3))
    wildcards = SimpleNamespace(visit="4")
    pieces = found.association["4"]
    assert found.of_association("a/{skypix}")(wildcards) == [f"a/{p}" for p in pieces]
    assert found.of_solution("b/{skypix}")(wildcards) == [f"b/{p}" for p in found.solved["4"]]
    assert numbers(found.association_list(wildcards)) == pieces
    assert numbers(found.solution_list(wildcards)) == found.solved["4"]
