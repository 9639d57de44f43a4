"""compareWarpAssembleCoadd: what moves is found by comparing warps, the rest is coadded.

    PSF-matched warps -> static sky -> differences of each visit -> candidates, lines, wide light
    -> counts over the visits -> artifacts -> weighted mean of the direct warps without them

``docs/tasks/compareWarpAssembleCoadd.md`` has inputs, products and figures,
``docs/algorithms/coadd.md`` the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.coadd.artifacts import (
    FoundArtifacts,
    farthest_look_pix,
    find_artifacts,
)
from drpflow.algorithms.coadd.components import coadd_components, sharpness_of, used_inputs
from drpflow.algorithms.coadd.detector_spans import with_detectors
from drpflow.algorithms.coadd.mean import weighted_mean
from drpflow.algorithms.coadd.static_sky import find_static_sky
from drpflow.data.bright_objects import paint_objects
from drpflow.data.exposure import Exposure
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.warp_masks import KINDS, WarpMask
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from drpflow.algorithms.coadd.mean import Mean
    from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
    from drpflow.data.bright_objects import BrightObject
    from drpflow.data.geometry import Box
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.warps import Warp

    Numbers: TypeAlias = dict[str, float | int | str]

LOST = ("psf", "ap_corr", "valid_polygon", "coadd_inputs", "noise_covariance")
"""Components that a coadd of nothing does not have."""


@dataclass(frozen=True, eq=False)
class CoaddOf:
    """What is to be coadded.

    Parameters
    ----------
    wcs, box
        WCS of the tract, and the pixels of it that are wanted.
    warps
        Visits whose direct warps have data. Boxes of all warps are the same, and hold `box`.
    visits
        All visits of the patch; those without data get empty masks.
    fwhm_pix
        FWHM of the matched PSF; None if the plan has none.
    bright_objects
        Objects to be marked.
    shared
        Whether other patches have some of the same pixels.
    """

    wcs: SkyWcs
    box: Box
    warps: Sequence[Warp]
    visits: Sequence[int]
    fwhm_pix: float | None
    bright_objects: Sequence[BrightObject] = ()
    shared: bool = False


@dataclass(frozen=True, eq=False)
class MadeCoadd:
    """What compareWarpAssembleCoadd makes.

    Parameters
    ----------
    coadd
        The coadd, in nJy.
    n_image
        Number of visits in each pixel.
    masks
        Artifacts by visit, on the tract and on detectors; one for every visit.
    numbers
        Figures for the status file.
    problem
        What could not be done; None if all was.
    """

    coadd: Exposure
    n_image: Exposure
    masks: dict[int, WarpMask]
    numbers: Numbers
    problem: AlgorithmError | None


def compare_warp_assemble_coadd(of: CoaddOf, config: CompareWarpAssembleCoaddConfig) -> MadeCoadd:
    """Find artifacts, and coadd the rest.

    Parameters
    ----------
    of
        What is to be coadded.
    config
        The section ``compareWarpAssembleCoadd``.

    Raises
    ------
    AlgorithmError
        If no visit has data.
    """
    if not of.warps:
        raise AlgorithmError(
            "no visit has data on the patch",
            {"visits": len(of.visits)},
            "see the status of makeWarp",
        )
    found = _artifacts(of, config)
    inputs = used_inputs(of.warps, of.wcs, of.box)
    polygons = [polygon for parts in inputs.values() for _, polygon in parts]
    mean = weighted_mean(of.warps, found.masks, of.box, polygons, config)
    mean.mask.set("BRIGHT_OBJECT", paint_objects(of.bright_objects, of.wcs, of.box))
    used = [w for w in of.warps if mean.used_pix[w.visit] > 0 and inputs[w.visit]]
    if not used:
        raise AlgorithmError("no visit has a usable pixel on the patch", {"visits": len(of.warps)})
    components = coadd_components(used, inputs, mean.noise, of.wcs, of.box)
    coadd = Exposure(
        mean.image, mean.mask, mean.variance, unit="nJy", xy0=of.box.xy0, components=components
    )
    masks = {visit: WarpMask.empty() for visit in of.visits}
    for warp in of.warps:
        psf = warp.direct.components["psf"]
        masks[warp.visit] = with_detectors(found.masks[warp.visit], of.wcs, psf.inputs)
    numbers = _numbers(of, mean, masks, found)
    return MadeCoadd(coadd, _n_image(of, mean.count), masks, numbers, _problem(of, config))


def nothing(wcs: SkyWcs, box: Box, visits: Sequence[int], why: str) -> MadeCoadd:
    """Return complete products of a patch without data."""
    image = np.full(box.shape, np.nan, np.float32)
    mask = Mask.zeros(box.shape)
    mask.set("NO_DATA", np.ones(box.shape, bool))
    coadd = Exposure(
        image,
        mask,
        image.copy(),
        unit="nJy",
        xy0=box.xy0,
        components={"wcs": wcs, "photo_calib": PhotoCalib.identity()},
        missing=dict.fromkeys(LOST, why),
    )
    of = CoaddOf(wcs, box, (), visits, None)
    masks = {visit: WarpMask.empty() for visit in visits}
    return MadeCoadd(coadd, _n_image(of, np.zeros(box.shape, np.int32)), masks, {}, None)


def _artifacts(of: CoaddOf, config: CompareWarpAssembleCoaddConfig) -> FoundArtifacts:
    """Return the artifacts of the visits; there are none to be found without a second visit."""
    if len(of.warps) < 2 or of.fwhm_pix is None:
        return FoundArtifacts(
            {w.visit: WarpMask.empty() for w in of.warps}, {w.visit: 0 for w in of.warps}
        )
    canvas = of.warps[0].direct.box
    sky = find_static_sky(of.warps, canvas, config)
    sharpness = sharpness_of(of.warps)
    return find_artifacts(of.warps, sky, of.fwhm_pix, sharpness, config)


def _n_image(of: CoaddOf, count: np.ndarray) -> Exposure:
    mask = Mask.zeros(of.box.shape)
    mask.set("NO_DATA", count == 0)
    return Exposure(
        count.astype(np.float32),
        mask,
        np.zeros(of.box.shape, np.float32),
        unit="1",
        xy0=of.box.xy0,
        components={"wcs": of.wcs},
    )


def _numbers(
    of: CoaddOf, mean: Mean, masks: Mapping[int, WarpMask], found: FoundArtifacts
) -> Numbers:
    """Return figures for the status file."""
    there = mean.count[mean.count > 0]
    shares = [m.paint(of.box).mean() for m in masks.values() if len(m)]
    kinds = [kind for mask in masks.values() for kind in mask.kind]
    return {
        "visits": len(of.visits),
        "visits_used": sum(n > 0 for n in mean.used_pix.values()),
        "visits_compared": sum(w.matched is not None for w in of.warps),
        "median_visits": float(np.median(there)) if there.size else 0.0,
        "empty_fraction": float(1 - there.size / mean.count.size),
        "masked_fraction": float(np.sum(shares) / max(1, len(of.warps))),
        "masked_fraction_max": float(max(shares, default=0.0)),
        "persistent_pix": sum(found.persistent_pix.values()),
        **{f"n_{kind}": kinds.count(kind) for kind in KINDS},
    }


def _problem(of: CoaddOf, config: CompareWarpAssembleCoaddConfig) -> AlgorithmError | None:
    if len(of.warps) < 2:
        return AlgorithmError(
            "one visit has data on the patch: nothing to compare it with, artifacts stay in",
            {"visits": len(of.warps)},
        )
    lost = [w.visit for w in of.warps if w.matched is None]
    if lost and len(lost) == len(of.warps):
        return AlgorithmError(
            "no visit has a PSF-matched warp: only what is narrower than the PSF was found",
            {"visits": len(of.warps)},
            "see the status of makeWarp",
        )
    return _short_margin(of, config)


def _short_margin(of: CoaddOf, config: CompareWarpAssembleCoaddConfig) -> AlgorithmError | None:
    """Return that neighbouring patches may disagree about what they share."""
    if of.fwhm_pix is None or not of.shared:
        return None
    canvas, needed = of.warps[0].direct.box, farthest_look_pix(of.fwhm_pix, config)
    margin = min(
        of.box.x0 - canvas.x0, canvas.x1 - of.box.x1, of.box.y0 - canvas.y0, canvas.y1 - of.box.y1
    )
    if margin >= needed:
        return None
    return AlgorithmError(
        f"the matched PSF of {of.fwhm_pix:.1f} pixels FWHM is too wide for the margin of warps: "
        "patches may find different artifacts in what they share",
        {"fwhm_pix": of.fwhm_pix, "margin_pix": margin, "needed_pix": needed},
        f"Set skyMap.warp_margin_pix to {needed} or more, or lower planCoaddition.target",
    )
