"""makeWarp: a visit resampled to a patch, as it is and with a matched PSF.

    pixels of the detectors with their final calibrations -> resampled, one by one
    -> PSF matched to the target of the plan, one by one -> side by side on the canvas of the patch

``docs/tasks/makeWarp.md`` has inputs, products and figures, ``docs/algorithms/warp.md`` the method.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.psf_match.match import match_psf
from drpflow.algorithms.warp.inverse_map import footprint
from drpflow.algorithms.warp.mosaic import empty_warp, mosaic
from drpflow.algorithms.warp.resample import missing_parts, warp_exposure
from drpflow.data.coadd_psf import CoaddPsf
from drpflow.errors import AlgorithmError, DrpflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drpflow.algorithms.warp.resample import WarpedDetector
    from drpflow.config.make_warp import MakeWarpConfig
    from drpflow.data.exposure import Exposure
    from drpflow.data.geometry import Box
    from drpflow.data.psf import Psf
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.visit_info import VisitInfo

    Numbers: TypeAlias = dict[str, float | int | str]


@dataclass(frozen=True, eq=False)
class WarpOf:
    """What is to be resampled where.

    Parameters
    ----------
    info
        Metadata of the visit.
    tract_wcs, box
        WCS of the tract and the pixels of it that are wanted.
    planned
        Detectors that the plan uses and that may reach the patch; for each, why it is not to be
        matched, empty if it is.
    unused
        Detectors that the plan leaves out, with its reasons.
    target
        PSF to which visits are matched; None if the plan has none.
    """

    info: VisitInfo
    tract_wcs: SkyWcs
    box: Box
    planned: Mapping[int, str]
    unused: Mapping[int, str]
    target: Psf | None


@dataclass(frozen=True, eq=False)
class MadeWarp:
    """What makeWarp makes.

    Parameters
    ----------
    direct, matched
        The warps; empty ones where there is nothing.
    numbers
        Figures for the status file.
    problem
        Why detectors are missing that should be there; None if none are.
    """

    direct: Exposure
    matched: Exposure
    numbers: Numbers
    problem: AlgorithmError | None


@dataclass(eq=False)
class _Found:
    """The detectors so far; what is None does not reach the patch."""

    warped: dict[int, WarpedDetector] = field(default_factory=dict)
    matched: dict[int, Exposure] = field(default_factory=dict)
    lost: dict[int, str] = field(default_factory=dict)
    unmatched: dict[int, str] = field(default_factory=dict)


def make_warp(of: WarpOf, opened: Callable[[int], Exposure], config: MakeWarpConfig) -> MadeWarp:
    """Resample the detectors of a visit to a patch.

    Parameters
    ----------
    of
        What is to be resampled where.
    opened
        Returns the recalibrated exposure of a detector, unread.
    config
        The section ``makeWarp``.

    Returns
    -------
    MadeWarp
        Complete also where nothing reaches the patch.

    Raises
    ------
    AlgorithmError
        If the plan uses detectors, and all that may reach the patch have failed.
    """
    found = _Found()
    for detector in sorted(of.planned):
        try:
            _one(of, detector, opened, config, found)
        except DrpflowError as failure:
            found.lost[detector] = str(failure)
    if found.lost and not found.warped:
        raise _problem(found.lost, len(of.planned), "resampled")
    direct = _direct(of, found)
    matched = _matched(of, found)
    return MadeWarp(direct, matched, _numbers(of, found, direct, matched), _what_failed(of, found))


def _one(
    of: WarpOf,
    detector: int,
    opened: Callable[[int], Exposure],
    config: MakeWarpConfig,
    found: _Found,
) -> None:
    """Resample and match one detector."""
    exposure = opened(detector)
    if not _may_reach(exposure, of):
        return
    lost = missing_parts(exposure)
    if lost:
        found.lost[detector] = lost
        return
    is_matched = not of.planned[detector] and of.target is not None
    # Kernels reach so far beyond the canvas.
    margin = config.matching.max_kernel_size_pix // 2 if is_matched else 0
    box = of.box.grow(margin)
    warped = warp_exposure(
        exposure, of.tract_wcs, box, config.resampling, visit=of.info.visit, detector=detector
    )
    if warped is None:
        return
    found.warped[detector] = warped
    if is_matched:
        assert of.target is not None
        try:
            match = match_psf(
                warped.exposure, of.target, config=config.matching, domain=warped.footprint
            )
        except DrpflowError as failure:
            found.unmatched[detector] = str(failure)
        else:
            found.matched[detector] = match.exposure


def _may_reach(exposure: Exposure, of: WarpOf) -> bool:
    """Return whether a detector may lie on the patch; unknown without a WCS, so it may."""
    if exposure.wcs is None:
        return True
    area = footprint(of.tract_wcs, exposure.wcs, exposure.box)
    return area is not None and not area.intersect(of.box).is_empty


def _direct(of: WarpOf, found: _Found) -> Exposure:
    if not found.warped:
        why = next(iter(of.unused.values()), "no detector of the visit reaches the patch")
        return empty_warp(of.tract_wcs, of.box, why, visit_info=of.info)
    parts = {k: w.exposure for k, w in found.warped.items()}
    psfs = [(e.components["psf"], 1.0) for e in parts.values()]
    psf = CoaddPsf.combined(psfs)
    return mosaic(parts, of.tract_wcs, of.box, of.info.visit, psf, visit_info=of.info)


def _matched(of: WarpOf, found: _Found) -> Exposure:
    if found.matched:
        visit = of.info.visit
        return mosaic(found.matched, of.tract_wcs, of.box, visit, of.target, visit_info=of.info)
    return empty_warp(of.tract_wcs, of.box, _why_unmatched(of, found), visit_info=of.info)


def _why_unmatched(of: WarpOf, found: _Found) -> str:
    if found.unmatched:
        return next(iter(found.unmatched.values()))
    if not found.warped:
        return "the direct warp is empty"
    if of.target is None:
        return "the plan has no target PSF"
    return next(of.planned[detector] for detector in found.warped)


def _numbers(of: WarpOf, found: _Found, direct: Exposure, matched: Exposure) -> Numbers:
    """Return figures for the status file."""
    there = np.isfinite(direct.image)
    numbers: Numbers = {
        "planned": len(of.planned),
        "detectors": len(found.warped),
        "matched": len(found.matched),
        "lost": len(found.lost),
        "filled": float(there.mean()),
        "matched_filled": float(np.isfinite(matched.image).mean()),
    }
    if not found.warped:
        numbers["empty"] = direct.missing["psf"]
        return numbers
    warped = list(found.warped.values())
    numbers |= {
        "map_step_pix": min(w.pixel_map.step_pix for w in warped),
        "map_error_pix": max(w.pixel_map.error_pix for w in warped),
        "masked_fraction": float(np.mean([w.masked_fraction[w.good].mean() for w in warped])),
    }
    if there.any():
        numbers["noise_njy"] = float(np.sqrt(np.median(direct.variance[there])))
        numbers["noise_total"] = direct.components["noise_covariance"].total
    if not found.matched:
        numbers["unmatched"] = _why_unmatched(of, found)
    return numbers


def _what_failed(of: WarpOf, found: _Found) -> AlgorithmError | None:
    if found.lost:
        return _problem(found.lost, len(of.planned), "resampled")
    if found.unmatched:
        return _problem(found.unmatched, len(found.warped), "matched to the target PSF")
    return None


def _problem(lost: Mapping[int, str], number: int, verb: str) -> AlgorithmError:
    first, reason = next(iter(lost.items()))
    return AlgorithmError(
        f"{len(lost)} of {number} detectors could not be {verb}, such as {first}: {reason}",
        {"detectors_lost": len(lost)},
        "The report has the reasons of the tasks that should have made the components",
    )


def nothing(of: WarpOf, why: str) -> tuple[Exposure, Exposure]:
    """Return the two empty warps of a visit that failed."""
    warp = empty_warp(of.tract_wcs, of.box, why, visit_info=of.info)
    return warp, warp
