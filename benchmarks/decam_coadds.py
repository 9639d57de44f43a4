"""Coadds of cut-outs by the tasks of the workflow, and figures of sources on images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sep

from drpflow.config.compare_warp_assemble_coadd import CompareWarpAssembleCoaddConfig
from drpflow.config.make_warp import MakeWarpConfig
from drpflow.config.plan_coaddition import PlanCoadditionConfig
from drpflow.config.sky_map import SkyMapConfig
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.data.psf_moments import adaptive_moments
from drpflow.data.sky_map import build_sky_map
from drpflow.data.warps import Warp
from drpflow.tasks.compare_warp_assemble_coadd import CoaddOf, compare_warp_assemble_coadd
from drpflow.tasks.make_warp import WarpOf, make_warp
from drpflow.tasks.plan_coaddition import plan_coaddition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from decam_cutouts import Cutout
    from numpy.typing import NDArray

    from drpflow.data.sky_map import Tract
    from drpflow.tasks.compare_warp_assemble_coadd import MadeCoadd
    from drpflow.tasks.plan_coaddition import PlannedCoadd

    Floats = NDArray[np.float64]

SCALE_ARCSEC = 0.262
_MARGIN_PIX = 32
# Of the images of drawn stars that are measured, and where these stand about the middle.
_HALF_PIX = 15
_OFFSETS_PIX = ((0.0, 0.0), (0.37, 0.21), (-0.45, 0.4))
# Figures of the plan that the published tables do not have: unknown where a plan may be without,
# else values that decide nothing.
_UNKNOWN = (
    "psfStarDeltaE1Median", "psfStarDeltaE2Median", "psfStarScaledDeltaSizeScatter",
    "psfApCorrSigmaScaledDelta",
)  # fmt: skip
_ASSUMED = {
    "nPsfStar": 100.0, "psfApFluxDelta": 0.0, "psfTraceRadiusDelta": 0.0, "wcs_error": 0.01,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Coadded:
    """A coadd with what it was made of.

    Parameters
    ----------
    inputs, weights
        Cut-outs that are in it, and their weights.
    planned, made
        What planCoaddition and compareWarpAssembleCoadd gave.
    """

    inputs: list[Cutout]
    weights: Floats
    planned: PlannedCoadd
    made: MadeCoadd

    @property
    def coadd(self) -> Exposure:
        """The coadd."""
        return self.made.coadd


def tract_of(cutouts: Sequence[Cutout], scale_arcsec: float = SCALE_ARCSEC) -> Tract:
    """Return a tract of one patch about all cut-outs."""
    corners = np.concatenate([c.exposure.wcs.sky_corners(c.exposure.box) for c in cutouts])
    low, high = corners.min(axis=0), corners.max(axis=0)
    ra, dec = (low + high) / 2
    width, height = (high - low) * [np.cos(np.radians(dec)), 1] + 4 * scale_arcsec / 3600
    size = int(3600 * max(width, height) / scale_arcsec) + 2
    config = SkyMapConfig.model_validate({
        "layout": "field", "pixel_scale_arcsec": scale_arcsec, "patch_border_pix": 0,
        "patch_inner_pix": max(100, size), "warp_margin_pix": _MARGIN_PIX,
        "field": {"ra_deg": ra, "dec_deg": dec, "width_deg": width, "height_deg": height},
    })  # fmt: skip
    return build_sky_map(config).tract(0)


def plan(cutouts: Sequence[Cutout], scale_arcsec: float = SCALE_ARCSEC) -> PlannedCoadd:
    """Plan the coadd of one band with figures of the published models."""
    rows = [_summary(c) for c in cutouts]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    values = dict.fromkeys(_UNKNOWN, np.nan) | _ASSUMED
    columns |= {name: np.full(len(rows), value) for name, value in values.items()}
    return plan_coaddition(columns, [""] * len(rows), scale_arcsec, PlanCoadditionConfig())


def _summary(cutout: Cutout) -> dict[str, Any]:
    """Return what ``final_visit_summary`` would say of a cut-out, in counts."""
    exposure, published = cutout.exposure, cutout.published
    x, y = (exposure.shape[1] - 1) / 2, (exposure.shape[0] - 1) / 2
    shape = exposure.psf.compute_shape(x, y)
    good = usable(exposure)
    zero_point = published.zero_point_mag + 2.5 * np.log10(published.exposure_time_s)
    njy_per_count = 10 ** (0.4 * (NJY_ZERO_POINT_MAG - zero_point))
    variance = float(np.median(exposure.variance[good])) / njy_per_count**2
    return {
        "visit": cutout.visit,
        "detector": cutout.detector,
        "physical_filter": published.band,
        "psfSigma": float(shape.determinant_radius),
        **{f"psfI{n}": float(getattr(shape, n)) for n in ("xx", "yy", "xy")},
        "psfArea": exposure.psf.effective_area(x, y),
        "pixelScale": float(exposure.wcs.pixel_scale_arcsec(x, y)),
        "zeroPoint": zero_point,
        "expTime": published.exposure_time_s,
        "skyNoise": np.sqrt(variance),
        "meanVar": variance,
        "zero_point_err": published.zero_point_rms_mag / 20,
        "maskedFraction": 1 - float(good.mean()),
    }


def usable(exposure: Exposure) -> NDArray[np.bool_]:
    """Return pixels that nothing is wrong with."""
    bad = exposure.mask.any(("BAD", "SAT", "CR", "NO_DATA", "EDGE"))
    return ~bad & np.isfinite(exposure.image) & np.isfinite(exposure.variance)


def coadd(cutouts: Sequence[Cutout], tract: Tract) -> Coadded:
    """Make warps and coadd of one band."""
    planned = plan(cutouts, tract.pixel_scale_arcsec)
    columns, fwhm = planned.plan.columns, planned.plan.target_fwhm_pix
    target = None if fwhm is None else DoubleGaussianPsf.from_sigma(fwhm / 2.354820045)
    patch = tract.patch(0)
    warps, used, weights = [], [], []
    for k, cutout in enumerate(cutouts):
        if not columns["used"][k]:
            continue
        info = cutout.exposure.components["visit_info"]
        of = WarpOf(
            info, tract.wcs, patch.warp, {cutout.detector: columns["reason_matched"][k]}, {}, target
        )
        made = make_warp(of, lambda _, c=cutout: c.exposure, MakeWarpConfig())
        matched = made.matched if np.isfinite(made.matched.image).any() else None
        used.append(cutout)
        weights.append(float(columns["weight"][k]))
        area = (
            float(columns["psf_area"][k])
            / float(tract.wcs.pixel_scale_arcsec(*patch.outer.center)) ** 2
        )
        warps.append(Warp(cutout.visit, weights[-1], made.direct, matched, area))
    box = patch.outer
    of_coadd = CoaddOf(tract.wcs, box, warps, [c.visit for c in used], fwhm)
    made_coadd = compare_warp_assemble_coadd(of_coadd, CompareWarpAssembleCoaddConfig())
    return Coadded(used, np.array(weights), planned, made_coadd)


def aperture_flux(exposure: Exposure, x: float, y: float, radius_pix: float) -> tuple[float, float]:
    """Return flux and error within a radius; NaN with a bad pixel in it."""
    u, v = x - exposure.xy0[0], y - exposure.xy0[1]
    flux, error, flag = sep.sum_circle(
        np.ascontiguousarray(exposure.image, np.float64), [u], [v], radius_pix,
        var=np.ascontiguousarray(exposure.variance, np.float64), mask=~usable(exposure), subpix=0,
    )  # fmt: skip
    if flag[0] or not np.isfinite(flux[0]):
        return np.nan, np.nan
    covariance = exposure.components.get("noise_covariance")
    factor = 1.0 if covariance is None else covariance.aperture_factor(radius_pix)
    return float(flux[0]), float(error[0]) * np.sqrt(factor)


def centroid(exposure: Exposure, x: float, y: float, sigma_pix: float) -> tuple[float, float]:
    """Return the centroid with a round Gaussian window that follows it; NaN near bad pixels."""
    if not np.isfinite([x, y]).all():
        return np.nan, np.nan
    box = Box.around(x, y, int(np.ceil(5 * sigma_pix)))
    if not exposure.box.covers(box) or not usable(exposure)[box.slices(exposure.xy0)].all():
        return np.nan, np.nan
    u, v = windowed(exposure.image[box.slices(exposure.xy0)], x - box.x0, y - box.y0, sigma_pix)
    return u + box.x0, v + box.y0


def windowed(image: Floats, x: float, y: float, sigma_pix: float) -> tuple[float, float]:
    """Return the centroid on an image with a window that follows it; NaN if it runs away."""
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    for _ in range(50):
        weight = image * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma_pix**2))
        dx, dy = (2 * ((p - q) * weight).sum() / weight.sum() for p, q in ((u, x), (v, y)))
        x, y = x + dx, y + dy
        if np.hypot(dx, dy) < 1e-5:
            return float(x), float(y)
    return np.nan, np.nan


def sources(exposure: Exposure, sigma: float) -> tuple[Floats, Floats]:
    """Return the places of what stands out of the noise."""
    bad = ~usable(exposure)
    image = np.where(bad, 0, exposure.image).astype(np.float64)
    found = sep.extract(
        image, sigma, var=np.where(bad, 1, exposure.variance).astype(np.float64), mask=bad,
        filter_kernel=np.ones((3, 3)), minarea=9,
    )  # fmt: skip
    return found["x"] + exposure.xy0[0], found["y"] + exposure.xy0[1]


def drawn(cutouts: Sequence[Cutout], ra: Floats, dec: Floats, flux_njy: float) -> list[Cutout]:
    """Return cut-outs that show stars of the published PSFs alone, without noise."""
    made = []
    for cutout in cutouts:
        old = cutout.exposure
        image = np.zeros(old.shape, np.float64)
        x, y = old.wcs.world_to_pixel_values(ra, dec)
        for u, v in zip(x, y, strict=True):
            star, box = old.psf.compute_image(u, v)
            inside = box.intersect(old.box)
            image[inside.slices()] += flux_njy * star[inside.slices(box.xy0)]
        exposure = Exposure(
            image.astype(np.float32), Mask.zeros(old.shape), old.variance.copy(), unit="nJy",
            components=dict(old.components),
        )  # fmt: skip
        made.append(replace(cutout, exposure=exposure))
    return made


def drawn_errors(
    cutouts: Sequence[Cutout], tract: Tract, flux_njy: float = 1e5
) -> dict[str, Floats]:
    """Return how far stars of the published PSFs come out of the coadd from what they were.

    Returns
    -------
    dict
        By star: ``distance_pix``, ``flux_mmag``, ``size`` (over that of the coadd's PSF, less 1).
    """
    middle = np.array(tract.patch(0).outer.extent).reshape(2, 2).mean(axis=1)
    found: dict[str, list[float]] = {"distance_pix": [], "flux_mmag": [], "size": []}
    for offset in _OFFSETS_PIX:
        x, y = middle + np.array(offset)
        ra, dec = tract.wcs.pixel_to_world_values(x, y)
        shown = drawn(cutouts, np.atleast_1d(ra), np.atleast_1d(dec), flux_njy)
        made = coadd(shown, tract).coadd
        box = Box.around(x, y, _HALF_PIX)
        model, wide = made.components["psf"].compute_image(x, y)
        star, model = made.image[box.slices(made.xy0)].astype(float), model[box.slices(wide.xy0)]
        places = [windowed(image, x - box.x0, y - box.y0, 2.0) for image in (star, model)]
        sizes = adaptive_moments(np.array([star, model]))[0].determinant_radius
        flux = (star * model).sum() / (model**2).sum()
        found["distance_pix"].append(float(np.hypot(*np.subtract(*places))))
        found["flux_mmag"].append(-1085.7 * float(np.log(flux / flux_njy)))
        found["size"].append(float(sizes[0] / sizes[1] - 1))
    return {name: np.array(values) for name, values in found.items()}
