"""How long jobs may take, for batch systems that end jobs which take longer.

A job asks for ten minutes, for the start of processes, slow file systems and kernels to compile,
and for four times the CPU seconds that its task took when it was measured; a second try asks for
twice that. Measured were detectors of 4096² and 1024² (benchmarks/README.md); where the two differ
for each pixel, the larger figure stands here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from drpflow.workflow.plan import Plan

_LEAST_MIN: Final = 10.0
_MARGIN: Final = 4.0


class Cost(NamedTuple):
    """CPU seconds of a job.

    Parameters
    ----------
    seconds
        For each of what follows.
    each
        What they count: megapixels of a detector, of all detectors of a visit, of a patch, of
        all warps of a patch; visits of the survey, of a tract, of a piece of the association or
        of the astrometric solution.
    """

    seconds: float
    each: Literal[
        "detector", "focal plane", "patch", "warps", "survey", "tract", "piece", "solution"
    ]


COSTS: Final = {
    "makeVisitInfo": Cost(0.0, "detector"),
    "isr": Cost(0.5, "detector"),
    "calibrateImage": Cost(1.5, "detector"),
    "consolidateVisit": Cost(0.15, "focal plane"),
    "measureSky": Cost(0.3, "focal plane"),
    "associateIsolatedStars": Cost(0.25, "piece"),
    "fgcmMakeLookUpTable": Cost(0.0, "detector"),
    "fgcm": Cost(1.5, "survey"),
    "solveAstrometry": Cost(2.0, "solution"),
    "makeSkyFrame": Cost(1.0, "survey"),
    "modelVisitBackground": Cost(0.4, "focal plane"),
    "finalizeCharacterization": Cost(1.0, "focal plane"),
    "finalizeAstrometry": Cost(2.0, "solution"),
    "updateVisitSummary": Cost(0.6, "focal plane"),
    "planCoaddition": Cost(0.05, "tract"),
    "makeWarp": Cost(2.0, "patch"),
    "compareWarpAssembleCoadd": Cost(0.4, "warps"),
    "finalizeImage": Cost(2.0, "detector"),
    "consolidateSourceTable": Cost(0.2, "focal plane"),
    "matchSource": Cost(0.5, "piece"),
    "fitStellarMotions": Cost(0.5, "piece"),
    "compressImage": Cost(0.5, "detector"),
    "rebuildImage": Cost(0.5, "detector"),
    "makeReport": Cost(5.0, "survey"),
}
"""What jobs of each task cost."""


def runtime_min(plan: Plan, task: str, *, of_visit: bool = False) -> Callable[[Any, int], int]:
    """Return the minutes that a job asks for, by attempt, as a function for ``resources:``.

    Parameters
    ----------
    plan
        The run, which knows the sizes of detectors and patches and the number of visits.
    task
        The task.
    of_visit
        Whether one job does all detectors of a visit.
    """
    cost = COSTS[task]

    def minutes(wildcards: Any, attempt: int) -> int:
        seconds = cost.seconds * _count(plan, cost.each, wildcards, of_visit=of_visit)
        return attempt * math.ceil(_LEAST_MIN + _MARGIN * seconds / 60)

    return minutes


def _count(plan: Plan, each: str, wildcards: Any, *, of_visit: bool) -> float:
    """Return how many of what a cost is for a job has."""
    if each in {"detector", "focal plane"}:
        whole = of_visit or each == "focal plane"
        return plan.survey.megapixels * (plan.survey.most_detectors if whole else 1)
    if each in {"patch", "warps"}:
        visits = 1 if each == "patch" else len(plan.tracts.of_patch("")(wildcards))
        return plan.tracts.patch_megapixels * visits
    if each == "tract":
        return len(plan.tracts.visits_of_tract[wildcards.tract, wildcards.band])
    if each == "survey":
        return len(plan.survey.visits)
    pieces = plan.overlaps.visits if each == "piece" else plan.astrometry.visits
    return len(pieces[wildcards.skypix])
