"""finalizeImage: the final image of a detector and its full-depth sources.

    first image -> first calibration undone, final ones applied -> cosmic rays again
    -> planes of what other visits lack -> detection, deblending, measurement
    -> aperture corrections -> extendedness -> flags, positions, standard columns

``docs/tasks/finalizeImage.md`` has inputs, columns and figures,
``docs/algorithms/final_image.md`` the choices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.ap_corr import REFERENCE
from drpflow.algorithms.calibrate_image.frame import EMPTY, UNUSABLE
from drpflow.algorithms.cosmic_rays import find_cosmic_rays
from drpflow.algorithms.final_image.catalog import KnownStars, make_catalog
from drpflow.algorithms.final_image.flags import mark_artifacts
from drpflow.algorithms.final_image.flux_scale import flux_scale
from drpflow.algorithms.final_image.frame import FinalFrame, FinalModels
from drpflow.algorithms.final_image.pixels import fill_cosmic_rays, final_pixels
from drpflow.data.exposure import Exposure
from drpflow.data.lost_exposure import lost_exposure
from drpflow.data.recalibration import PixelCalibration
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.final_image.catalog import Catalog
    from drpflow.config.finalize_image import FinalizeImageConfig
    from drpflow.data.ap_corr import ApCorrMap
    from drpflow.data.camera import Detector
    from drpflow.data.visit_info import VisitInfo
    from drpflow.data.warp_masks import WarpMask

    Columns = dict[str, NDArray[Any]]

NEEDED = ("psf", "wcs", "photo_calib", "ap_corr", "background")
"""Components without which there is no final image."""
_PASSED_ON = ("transmission", "valid_polygon", "summary_stats")
# Planes that this task sets.
_OWN_PLANES = ("DETECTED", "DETECTED_NEGATIVE", "NOT_DEBLENDED")
_MOST_UNUSABLE = 0.95


@dataclass(frozen=True, eq=False)
class FirstImage:
    """What is known of a detector.

    Parameters
    ----------
    exposure
        ``initial_pvi``, its first calibration and background among its components.
    visit_info
        Metadata of the visit.
    components
        Final ones by name: `NEEDED` and others.
    missing
        Why components are missing.
    wcs_error_arcsec
        Standard deviation of a position by the final WCS, both coordinates together.
    offset_error_mag
        Standard deviation of what all zero points of the band have in common.
    psf_of_others
        Whether no star of this detector is behind its PSF.
    first_ap_corr, final_ap_corr
        Aperture corrections of the detectors of the visit, first and final.
    artifacts
        What comparing visits found, of all patches that the detector touches.
    stars
        Stars of the final models and of the global fits.
    """

    exposure: Exposure
    visit_info: VisitInfo
    components: Mapping[str, Any]
    missing: Mapping[str, str] = field(default_factory=dict)
    wcs_error_arcsec: float = float("nan")
    offset_error_mag: float = float("nan")
    psf_of_others: bool = False
    first_ap_corr: Mapping[int, ApCorrMap] = field(default_factory=dict)
    final_ap_corr: Mapping[int, ApCorrMap] = field(default_factory=dict)
    artifacts: tuple[WarpMask, ...] = ()
    stars: KnownStars = field(default_factory=KnownStars)


@dataclass(frozen=True)
class FinalizeImageResult:
    """What finalizeImage makes of a detector.

    Parameters
    ----------
    image
        ``pvi``, in nJy.
    columns
        Columns of ``final_source_detector``, and more.
    numbers
        Figures for the status file.
    problem
        Why the fluxes are not tied to those that were calibrated; None if they are.
    """

    image: Exposure
    columns: Columns
    numbers: dict[str, float | int | str]
    problem: AlgorithmError | None = None


def finalize_image(first: FirstImage, config: FinalizeImageConfig) -> FinalizeImageResult:
    """Make the final image of a detector, and its sources.

    Parameters
    ----------
    first
        What is known.
    config
        The section ``finalizeImage``.

    Raises
    ------
    AlgorithmError
        If a final component is missing, if hardly any pixel is usable, or if far too many look
        like cosmic rays.
    """
    _check_components(first)
    frame = _first_frame(first, config)
    _check_pixels(frame)
    numbers: dict[str, float | int | str] = {**_cosmic_rays(frame, first, config)}
    box, detector = frame.box, frame.detector
    frame.mask, pixels = mark_artifacts(frame.mask, first.artifacts, detector, box)
    by_reference = first.stars.flux == REFERENCE
    models = FinalModels(
        first.components["psf"],
        first.components["wcs"],
        first.components["photo_calib"],
        first.components["ap_corr"],
        flux_scale(first.first_ap_corr, first.final_ap_corr) if by_reference else None,
        first.wcs_error_arcsec,
        first.offset_error_mag,
        first.psf_of_others,
    )
    catalog = make_catalog(frame, models, first.stars, config)
    numbers |= {"patches": len(first.artifacts), **pixels, **catalog.numbers}
    image = _exposure(frame, first, catalog)
    return FinalizeImageResult(image, catalog.columns, numbers, _problem(catalog))


def _problem(catalog: Catalog) -> AlgorithmError | None:
    """Return what is to be said if nothing told the scale of the final fluxes."""
    if catalog.numbers["flux_scale_number"]:
        return None
    flux = catalog.numbers["calibrated_flux"]
    return AlgorithmError(
        f"nothing ties the final fluxes to the calibrated ones ({flux}): their scale is taken as 1",
        {},
        "Zero points may be off by what the PSF and its aperture corrections have changed, mostly "
        "below 1 %; look at the number of stars of calibrateImage and finalizeCharacterization",
    )


def _check_components(first: FirstImage) -> None:
    """Raise AlgorithmError if something is missing that the final image needs."""
    lost = [name for name in NEEDED if first.components.get(name) is None]
    if lost:
        reasons = "; ".join(f"{name}: {first.missing.get(name, 'not made')}" for name in lost)
        raise AlgorithmError(
            f"final components are missing ({reasons})",
            {"missing": ", ".join(lost)},
            "Look at the tasks that make them",
        )


def _first_frame(first: FirstImage, config: FinalizeImageConfig) -> FinalFrame:
    """Return the pixels with the final calibration; cosmic rays are not filled yet."""
    exposure = first.exposure
    (detector,) = exposure.require("detector")
    calibration = exposure.photo_calib if exposure.unit == "nJy" else None
    applied = PixelCalibration(calibration, exposure.background)
    wanted = PixelCalibration(first.components["photo_calib"], first.components["background"])
    image, variance = final_pixels(exposure.image, exposure.variance, applied, wanted, exposure.xy0)
    glow = None
    if config.above_first_background and exposure.background is not None:
        nothing_there = np.zeros_like(image), np.zeros_like(variance)
        glow, _ = final_pixels(*nothing_there, applied, wanted, exposure.xy0)
    mask = exposure.mask.copy().with_planes(*_OWN_PLANES)
    for name in _OWN_PLANES:
        mask.clear(name)
    info = first.visit_info
    return FinalFrame(
        image,
        variance,
        mask,
        info.visit,
        detector.id,
        info.band,
        info.physical_filter,
        config.seed,
        glow,
    )


def _check_pixels(frame: FinalFrame) -> None:
    """Raise AlgorithmError if hardly a pixel can be used."""
    unusable = float(frame.mask.any(UNUSABLE).mean())
    if unusable > _MOST_UNUSABLE:
        raise AlgorithmError(
            f"{100 * unusable:.0f} % of the pixels are unusable",
            {"unusable_fraction": unusable},
            "Look at the tasks isr and calibrateImage",
        )


def _cosmic_rays(
    frame: FinalFrame, first: FirstImage, config: FinalizeImageConfig
) -> dict[str, int]:
    """Fill what calibrateImage found, look again with the final PSF, fill all anew."""
    fill_cosmic_rays(frame.image, frame.variance, frame.mask)
    before = int(np.count_nonzero(frame.mask.any("CR")))
    if config.mask_cosmic_rays:
        bad = frame.mask.any((*EMPTY, "BAD", "SAT", "INTRP"))
        psf = first.components["psf"]
        hit = find_cosmic_rays(frame.image, frame.variance, bad, psf, config.cosmic_rays)
        frame.mask.set("CR", hit)
    after = fill_cosmic_rays(frame.image, frame.variance, frame.mask)
    return {"cosmic_ray_pixels": after, "cosmic_ray_pixels_new": after - before}


def _exposure(frame: FinalFrame, first: FirstImage, catalog: Catalog) -> Exposure:
    """Return the final image with its components."""
    passed_on = {name: first.components.get(name) for name in _PASSED_ON}
    stats = passed_on["summary_stats"]
    if stats is not None:
        passed_on["summary_stats"] = stats.updated(nBlendSkipped=catalog.numbers["blends_skipped"])
    components = {
        **{name: first.components[name] for name in NEEDED},
        **passed_on,
        "ap_corr": catalog.ap_corr,
        "visit_info": first.visit_info,
        "detector": first.exposure.detector,
    }
    return Exposure(
        frame.image,
        frame.mask,
        frame.variance,
        unit="nJy",
        components=components,
        missing={k: v for k, v in first.missing.items() if k in _PASSED_ON},
    )


def nothing(detector: Detector, visit_info: VisitInfo, reason: str) -> Exposure:
    """Return the complete form of an image that could not be made: NaN, NO_DATA everywhere.

    Parameters
    ----------
    detector
        Gives the shape.
    visit_info
        The visit.
    reason
        Why all components are missing.
    """
    return lost_exposure(detector, visit_info, reason, (*NEEDED, *_PASSED_ON))
