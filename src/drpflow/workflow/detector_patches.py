"""Which patches each detector of a visit touches: the inverse of ``TractOverlaps``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, TypeAlias

from drpflow.workflow.batch import command_words
from drpflow.workflow.number_lists import grouped_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from drpflow.workflow.tract_overlaps import TractOverlaps

    Patches: TypeAlias = dict[int, list[int]]
    """Patches, ascending, by tract."""


class DetectorPatches:
    """Patches by visit and detector.

    Parameters
    ----------
    tracts
        Which visits touch which patches with which detectors. A detector that touches none is
        known as such, also in a visit that touches none.
    """

    def __init__(self, tracts: TractOverlaps) -> None:
        self._tracts = tracts
        self._found: dict[str, dict[int, Patches]] = {}
        for (tract, patch, visit), detectors in tracts.detectors.items():
            of_visit = self._found.setdefault(visit, {})
            for detector in detectors:
                of_visit.setdefault(detector, {}).setdefault(int(tract), []).append(int(patch))

    def of_detector(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the input function that fills in band and patches of a detector of a visit."""
        return lambda wildcards: list(
            self._paths(pattern, wildcards.visit, [int(wildcards.detector)])
        )

    def of_visit(self, pattern: str) -> Callable[[Any], list[str]]:
        """Return the same for all detectors of a visit."""

        def paths(wildcards: Any) -> list[str]:
            visit = wildcards.visit
            return list(dict.fromkeys(self._paths(pattern, visit, self._of(visit))))

        return paths

    def opened(self, pattern: str) -> Callable[[Any], str]:
        """Return the function that fills in visit and band, and leaves tract and patch open."""

        def path(wildcards: Any) -> str:
            known = {"visit": wildcards.visit, "band": self._tracts.band_of[wildcards.visit]}
            return pattern.format(**known, tract="{tract}", patch="{patch}")

        return path

    def patch_option(self, wildcards: Any) -> str:
        """Return what the command line says of a detector's patches, for the shell.

        They are in few words, such as ``0:3-4;1:12``: tracts and their patches.
        """
        return self._option(wildcards.visit, int(wildcards.detector))

    def patch_options(self, detectors: Iterable[str]) -> Callable[[Any], str]:
        """Return the function that says the same of each of many detectors."""
        numbers = [int(detector) for detector in detectors]

        def options(wildcards: Any) -> str:
            return command_words({n: self._option(wildcards.visit, n) for n in numbers})

        return options

    def _of(self, visit: str) -> dict[int, Patches]:
        return self._found.get(visit, {})

    def _option(self, visit: str, detector: int) -> str:
        patches = self._of(visit).get(detector, {})
        found = ";".join(grouped_spans({tract: patches[tract]}) for tract in sorted(patches))
        return f"--patches {shlex.quote(found)}"

    def _paths(self, pattern: str, visit: str, detectors: Iterable[int]) -> Iterator[str]:
        band, of = self._tracts.band_of[visit], self._of(visit)
        for detector in detectors:
            for tract, patches in of.get(detector, {}).items():
                for patch in patches:
                    yield pattern.format(tract=tract, patch=patch, band=band, visit=visit)
