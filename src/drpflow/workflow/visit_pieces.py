"""Which pieces of the sky a visit touches: those of the association, and the coarser ones.

The inverse of :mod:`drpflow.workflow.overlaps`, for tasks that work on a visit and read what was
made of pieces of the sky.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from drpflow.workflow.input_functions import filled
from drpflow.workflow.number_lists import spans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from drpflow.workflow.astrometry_pieces import AstrometryPieces
    from drpflow.workflow.overlaps import Overlaps


class VisitPieces:
    """Pieces of the sky by visit.

    Parameters
    ----------
    overlaps
        Which visits touch which pieces of the association.
    astrometry
        The same of the pieces in which astrometry is solved.
    """

    def __init__(self, overlaps: Overlaps, astrometry: AstrometryPieces) -> None:
        self.association = _inverse(overlaps.visits)
        """Pieces of the association, ascending, by visit."""
        self.solved = _inverse(astrometry.visits)
        """Pieces of the astrometric solution by visit."""

    def of_association(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills a path pattern with the pieces of a visit."""
        return filled(pattern, "skypix", self.association, "visit")

    def of_solution(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the same for the pieces of the astrometric solution."""
        return filled(pattern, "skypix", self.solved, "visit")

    def association_list(self, wildcards: Any) -> str:
        """Return the pieces of a visit in few words."""
        return spans(self.association[wildcards.visit])

    def solution_list(self, wildcards: Any) -> str:
        """Return the pieces of the astrometric solution of a visit in few words."""
        return spans(self.solved[wildcards.visit])


def _inverse(visits_of: Mapping[str, Sequence[str | int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for piece in sorted(map(int, visits_of)):
        for visit in visits_of[str(piece)]:
            found[str(visit)].append(piece)
    return dict(found)
