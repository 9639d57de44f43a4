"""Which visits were taken in each filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drpflow.workflow.input_functions import filled
from drpflow.workflow.number_lists import spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.workflow.survey import Survey


class FilterVisits:
    """Visits by filter.

    Parameters
    ----------
    survey
        The visits.
    """

    def __init__(self, survey: Survey) -> None:
        self._filter_of = {visit: row.physical_filter for visit, row in survey.visits.items()}
        self.visits: dict[str, list[str]] = {}
        """Visits, ascending, by filter."""
        for visit in sorted(self._filter_of, key=int):
            self.visits.setdefault(self._filter_of[visit], []).append(visit)

    def of_filter(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills a path pattern with the visits in a filter."""
        return filled(pattern, "visit", self.visits, "physical_filter")

    def of_visit(self, pattern: str) -> Callable[[Any], str]:
        """Return the input function that fills a path pattern with the filter of a visit."""
        return lambda wildcards: pattern.format(physical_filter=self._filter_of[wildcards.visit])

    def visit_list(self, wildcards: Any) -> str:
        """Return the visits in a filter in few words."""
        return spans(map(int, self.visits[wildcards.physical_filter]))

    def expand(self, pattern: str) -> list[str]:
        """Return a path pattern filled with every filter that visits were taken in."""
        return [pattern.format(physical_filter=name) for name in self.visits]
