"""Which visits and which stars belong to each piece of the sky in which astrometry is solved.

Such a piece is a HEALPix pixel that holds whole pieces of the association. The visits that touch
it are solved with all their stars, also those beyond its border, so that no visit is known by a
corner alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drpflow.workflow.input_functions import filled
from drpflow.workflow.number_lists import spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drpflow.io.datasets import DatasetTable
    from drpflow.workflow.overlaps import Overlaps

# Memory of a process before it has read anything, and for each visit: 15,000 observations.
_PROCESS_MB = 600
_VISIT_MB = 12


class AstrometryPieces:
    """Visits and pieces of the association by coarse piece of the sky.

    Parameters
    ----------
    overlaps
        Which visits touch which pieces of the association.
    order
        HEALPix order of the coarse pieces, at most that of the association.
    """

    def __init__(self, overlaps: Overlaps, order: int) -> None:
        self.order = order
        self.association_order = overlaps.order
        shift = 2 * (overlaps.order - order)
        touched: dict[str, set[int]] = {}
        pieces_of: dict[int, set[int]] = {}
        for pixel, visits in overlaps.visits.items():
            numbers = [int(visit) for visit in visits]
            touched.setdefault(str(int(pixel) >> shift), set()).update(numbers)
            for visit in numbers:
                pieces_of.setdefault(visit, set()).add(int(pixel))
        self.visits = {pixel: sorted(touched[pixel]) for pixel in sorted(touched, key=int)}
        """Visits, ascending, that touch each coarse piece, by its number."""
        self.pieces = {
            pixel: sorted(set().union(*(pieces_of[visit] for visit in visits)))
            for pixel, visits in self.visits.items()
        }
        """Pieces of the association that these visits touch."""
        self._about = {
            pixel: sorted({piece >> shift for visit in visits for piece in pieces_of[int(visit)]})
            for pixel, visits in overlaps.visits.items()
        }

    def of_visits(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills a path pattern with the visits of a coarse piece."""
        return filled(pattern, "visit", self.visits, "skypix")

    def of_pieces(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills a path pattern with pieces of the association."""
        return filled(pattern, "skypix", self.pieces, "skypix")

    def visit_list(self, wildcards: Any) -> str:
        """Return the visits of a coarse piece in few words."""
        return spans(self.visits[wildcards.skypix])

    def piece_list(self, wildcards: Any) -> str:
        """Return the pieces of the association of a coarse piece in few words."""
        return spans(self.pieces[wildcards.skypix])

    def about_piece(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills in the coarse pieces about one of the association.

        They are those that its visits touch.
        """
        return filled(pattern, "skypix", self._about, "skypix")

    def list_about_piece(self, wildcards: Any) -> str:
        """Return these coarse pieces in few words."""
        return spans(self._about[wildcards.skypix])

    def memory_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of the job that solves a coarse piece."""
        return attempt * (_PROCESS_MB + _VISIT_MB * len(self.visits[wildcards.skypix]))

    @staticmethod
    def folder(pattern: str) -> str:
        """Return the folder that holds a dataset for all visits of a coarse piece.

        >>> AstrometryPieces.folder("wcs/skypix={skypix}/visit={visit}/wcs.parquet")
        'wcs/skypix={skypix}'
        """
        return pattern.partition("/visit=")[0]

    def expand(self, pattern: str) -> list[str]:
        """Return a path pattern filled with every coarse piece, or its visits one by one."""
        return list(_filled(pattern, self.visits.items()))


def _filled(pattern: str, visits_of: Iterable[tuple[str, list[int]]]) -> Iterable[str]:
    for pixel, visits in visits_of:
        if "{visit}" in pattern:
            yield from (pattern.format(skypix=pixel, visit=visit) for visit in visits)
        else:
            yield pattern.format(skypix=pixel)


def skypix_level(table: DatasetTable, path: str) -> str | None:
    """Return which HEALPix order ``skypix`` means in the path of a dataset or of a task's file.

    None if no folder of it is named after a dataset type or a task with pieces of the sky.
    """
    levels = {n: e.skypix_level for n, e in table.datasets.items() if e.skypix_level}
    levels |= {table.datasets[name].task: level for name, level in levels.items()}
    return next((levels[part] for part in reversed(path.split("/")) if part in levels), None)
