"""Visits that are processed in one job a task instead of one a detector.

Snakemake's outputs cannot depend on the visit other than by its name. Such a job therefore has
one fixed set of detectors, the one that most visits have; visits with another set are processed
detector by detector, and so are those whose command line would be longer than Linux allows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from drpflow.workflow.batch import command_words

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from drpflow.workflow.survey import Survey

ANY_VISIT: Final = r"\d+"
NO_VISIT: Final = r"(?!)"
"""Regular expressions."""
# Linux takes no argument above 128 kB, and the whole shell command is one.
_LONGEST: Final = 100_000


class _Wildcards(NamedTuple):
    visit: str
    detector: str


class VisitBatch:
    """Look-ups for rules that process all detectors of a visit.

    Parameters
    ----------
    survey
        The frames.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        sets = Counter(frozenset(detectors) for detectors in survey.detectors.values())
        full = max(sets, key=lambda item: (sets[item], len(item), sorted(item)))
        self.detectors = tuple(sorted(full, key=int))

    @cached_property
    def visits(self) -> frozenset[str]:
        """The visits that are processed in one job."""
        full = set(self.detectors)
        candidates = (v for v, found in self._survey.detectors.items() if set(found) == full)
        return frozenset(visit for visit in candidates if self._fits(visit))

    @cached_property
    def visit_pattern(self) -> str:
        """Regular expression of these visits."""
        return _pattern(self.visits, set(self._survey.visits) - self.visits)

    @cached_property
    def other_pattern(self) -> str:
        """Regular expression of the visits that go detector by detector."""
        return _pattern(set(self._survey.visits) - self.visits, self.visits)

    def of_detectors(self, pattern: str) -> list[str]:
        """Return a path pattern filled with the detectors; the visit stays open."""
        return [pattern.replace("{detector}", detector) for detector in self.detectors]

    def of_visit(self, pattern: str) -> Callable[[Any], str]:
        """Return the function for ``params:`` that fills in the visit; the detector stays open."""
        return lambda wildcards: pattern.replace("{visit}", wildcards.visit)

    def frame_files(self, wildcards: Any) -> dict[str, list[str]]:
        """Return the files that the frames need and that are there, by name."""
        found: dict[str, dict[str, None]] = {}
        for key in self._keys(wildcards.visit):
            for name, path in self._survey.frame_files(key).items():
                found.setdefault(name, {})[path] = None
        return {name: list(paths) for name, paths in found.items()}

    def frame_options(self, wildcards: Any) -> str:
        """Return what the command line says of the frames' files, for the shell."""
        keys = self._keys(wildcards.visit)
        return command_words({int(k.detector): self._survey.frame_options(k) for k in keys})

    def detector_options(self, wildcards: Any) -> str:  # noqa: ARG002 - called by Snakemake
        """Return the same for scripts that know their files from the detector alone."""
        return command_words(dict.fromkeys(map(int, self.detectors), ""))

    def camera_digest(self, wildcards: Any) -> str:
        """Return a digest of what of the camera file matters for the frames."""
        digests = [self._survey.camera_digest(key) for key in self._keys(wildcards.visit)]
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]

    def _keys(self, visit: str) -> list[_Wildcards]:
        return [_Wildcards(visit, detector) for detector in self.detectors]

    def _fits(self, visit: str) -> bool:
        """Return whether the command of a visit is short enough."""
        files = (self._survey.frame_files(key) for key in self._keys(visit))
        rough = sum(len(name) + len(path) + 40 for item in files for name, path in item.items())
        return rough < _LONGEST or len(self.frame_options(_Wildcards(visit, ""))) < _LONGEST


def _pattern(visits: AbstractSet[str], others: AbstractSet[str]) -> str:
    """Return a regular expression of `visits` and not of `others`, whichever is shorter."""
    if not visits:
        return NO_VISIT
    if not others:
        return ANY_VISIT
    if len(others) < len(visits):
        return rf"(?!(?:{_listed(others)})(?!\d))\d+"
    return rf"(?:{_listed(visits)})"


def _listed(visits: AbstractSet[str]) -> str:
    return "|".join(sorted(visits, key=int))
