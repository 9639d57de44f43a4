"""planCoaddition: which visits and detectors enter the coadds of a tract, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.coadd_plan import (
    judge,
    sky_sigma_arcsec,
    sky_variance,
    target_sigma,
    too_wide,
    visit_weights,
    widest_sigma_arcsec,
)
from drpflow.data.coadd_plan import FWHM_OF_SIGMA, CoaddPlan
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.config.plan_coaddition import PlanCoadditionConfig

    Columns: TypeAlias = Mapping[str, NDArray[Any]]
    Floats: TypeAlias = NDArray[np.float64]
    Numbers: TypeAlias = dict[str, float | int | str]

NEEDED = ("wcs", "psf", "photo_calib", "background")
"""What a detector must have to be coadded."""


@dataclass(frozen=True, eq=False)
class PlannedCoadd:
    """What planCoaddition makes.

    Parameters
    ----------
    plan
        The plan.
    numbers
        Figures for the status file.
    problem
        Why nothing can be coadded, or None.
    """

    plan: CoaddPlan
    numbers: Numbers
    problem: AlgorithmError | None = None


def plan_coaddition(
    rows: Columns, lacking: list[str], pixel_scale_arcsec: float, config: PlanCoadditionConfig
) -> PlannedCoadd:
    """Choose and weigh what enters the coadds of a tract in a band.

    Parameters
    ----------
    rows
        Plain columns of ``final_visit_summary`` of all visits that touch the tract.
    lacking
        Which of :data:`NEEDED` each row lacks, and why; empty texts for none.
    pixel_scale_arcsec
        Side of a coadd's pixel.
    config
        The section ``planCoaddition``.
    """
    verdict = judge(rows, lacking, config.quality)
    used = np.array([not reason for reason in verdict.reasons], bool)
    widest_pix = widest_sigma_arcsec(rows) / pixel_scale_arcsec
    sigma = None
    if used.any():
        sigma = target_sigma(widest_pix[used], rows["visit"][used], config.target)
    wide = (
        np.zeros(used.size, bool) if sigma is None else too_wide(widest_pix, sigma, config.target)
    )
    weight, efficiency = _weights(rows, used, pixel_scale_arcsec, config)
    columns = {
        **{name: rows[name] for name in ("visit", "detector", "physical_filter")},
        "weight": weight,
        "used": used,
        "used_matched": used & ~wide,
        "reason": np.array(verdict.reasons, np.str_),
        "reason_matched": _reasons_matched(verdict.reasons, wide, widest_pix, sigma),
        "fwhm": FWHM_OF_SIGMA * sky_sigma_arcsec(rows),
        "widest_fwhm_pix": FWHM_OF_SIGMA * widest_pix,
        "psf_area": rows["psfArea"] * rows["pixelScale"] ** 2,
        "sky_variance": sky_variance(rows),
        **verdict.figures,
    }
    plan = CoaddPlan(columns, sigma, verdict.limits, efficiency)
    return PlannedCoadd(plan, _numbers(plan), _problem(plan))


def _weights(
    rows: Columns, used: NDArray[np.bool_], scale: float, config: PlanCoadditionConfig
) -> tuple[Floats, float | None]:
    """Return the weight of each row, and the efficiency of the weights."""
    weight = np.zeros(used.size)
    if not used.any():
        return weight, None
    visits, which = np.unique(rows["visit"][used], return_inverse=True)
    variance = sky_variance(rows)[used] * scale**2
    area = (rows["psfArea"] * rows["pixelScale"] ** 2)[used] / scale**2
    medians = [
        np.array([np.median(values[which == k]) for k in range(visits.size)])
        for values in (variance, area)
    ]
    found = visit_weights(*medians, of_point_sources=config.weight == "point_source")
    weight[used] = found.values[which]
    return weight, found.efficiency


def _reasons_matched(
    reasons: list[str], wide: NDArray[np.bool_], widest_pix: Floats, sigma: float | None
) -> NDArray[np.str_]:
    """Return why rows are not brought to the target PSF."""
    texts = list(reasons)
    for k in np.flatnonzero(wide).tolist():
        if sigma is not None and not texts[k]:
            texts[k] = (
                f"its PSF of {FWHM_OF_SIGMA * widest_pix[k]:.2f} pixels FWHM is too wide for the "
                f"target of {FWHM_OF_SIGMA * sigma:.2f}; it stays in the coadd"
            )
    return np.array(texts, np.str_)


def _numbers(plan: CoaddPlan) -> Numbers:
    used, matched = plan.columns["used"], plan.columns["used_matched"]
    numbers: Numbers = {
        "visits": int(np.unique(plan.columns["visit"]).size),
        "visits_used": len(plan.visits),
        "detectors": len(plan),
        "detectors_used": int(used.sum()),
        "detectors_too_wide": int((used & ~matched).sum()),
    }
    if plan.target_fwhm_pix is not None and plan.efficiency is not None:
        numbers["target_fwhm_pix"] = round(plan.target_fwhm_pix, 3)
        numbers["efficiency"] = round(plan.efficiency, 4)
    return numbers


def _problem(plan: CoaddPlan) -> AlgorithmError | None:
    if plan.visits:
        return None
    return AlgorithmError(
        "no detector of the visits that touch the tract can be coadded",
        {"detectors": len(plan)},
        "The column reason of coadd_plan says why; limits are in the section planCoaddition",
    )
