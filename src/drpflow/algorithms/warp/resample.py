"""One detector resampled to the pixels of a tract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.warp.inverse_map import PixelMap, footprint, make_map
from drpflow.algorithms.warp.noise import mean_correlation
from drpflow.data.coadd_psf import PSF_FLUX, CoaddPsf, CoaddPsfInput
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.mask import BITS, Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.resampling_kernel import resampling_kernel
from drpflow.errors import AlgorithmError
from drpflow.kernels import warp as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.make_warp import ResamplingConfig
    from drpflow.data.sky_wcs import SkyWcs

    Floats: TypeAlias = NDArray[np.float64]

NEEDED = ("wcs", "psf", "photo_calib")
"""Components without which a detector cannot be resampled."""


@dataclass(frozen=True, eq=False)
class WarpedDetector:
    """A detector on the pixels of a tract.

    Parameters
    ----------
    exposure
        In nJy, with the WCS of the tract, of the part of the canvas where the detector may lie;
        NaN and NO_DATA where it does not. Components: wcs, psf, photo_calib, valid_polygon and
        noise_covariance.
    masked_fraction
        Share of the sum of sizes of weights that stands on bad pixels, same shape.
    footprint
        Bounding box of the whole detector, pixels of the tract.
    pixel_map
        The map that was used.
    """

    exposure: Exposure
    masked_fraction: NDArray[np.float32]
    footprint: Box
    pixel_map: PixelMap

    @property
    def good(self) -> NDArray[np.bool_]:
        """Pixels with a value."""
        return np.isfinite(self.exposure.image)


def missing_parts(exposure: Exposure) -> str:
    """Return what a detector lacks for being resampled, with reasons; empty if nothing."""
    lost = {name: reason for name, reason in exposure.missing.items() if name == "background"}
    for name in NEEDED:
        if name not in exposure.components:
            lost[name] = exposure.missing.get(name, "it was never made")
    return "; ".join(f"{name}: {reason}" for name, reason in lost.items())


def warp_exposure(
    exposure: Exposure,
    tract_wcs: SkyWcs,
    box: Box,
    config: ResamplingConfig,
    *,
    visit: int = 0,
    detector: int = 0,
) -> WarpedDetector | None:
    """Resample a detector, or a cut-out of one, to a box of a tract.

    Pixels whose value was interpolated upstream are used with that value, so that the kernel is
    whole, and pass their mask on. Pixels that have no value (NaN, NO_DATA, outside the valid
    polygon) are left out and the rest renormalised, up to ``max_lost_weight``.

    Parameters
    ----------
    exposure
        In nJy per pixel. Only the part that is needed is read.
    tract_wcs, box
        WCS of the tract, and the pixels of it that are wanted.
    config
        The section ``makeWarp.resampling``.
    visit, detector
        What the exposure is, for the PSF.

    Returns
    -------
    WarpedDetector or None
        None if the detector does not reach the box.

    Raises
    ------
    AlgorithmError
        If components are missing, the pixels are not in nJy, or the WCS cannot be interpolated.
    """
    lost = missing_parts(exposure)
    if lost:
        raise AlgorithmError(f"it cannot be resampled: {lost}")
    if exposure.unit != "nJy":
        raise AlgorithmError(f"pixels in nJy are resampled, not in {exposure.unit}")
    wcs: SkyWcs = exposure.components["wcs"]
    area = footprint(tract_wcs, wcs, exposure.box)
    target = None if area is None else area.intersect(box)
    if area is None or target is None or target.is_empty:
        return None
    pixel_map = make_map(tract_wcs, wcs, area, config.map_step_pix, config.map_error_pix)
    planes = _resample(exposure, pixel_map, target, config)
    if planes is None or not np.isfinite(planes.image).any():
        return None
    components = _components(exposure, pixel_map, target, area, config, (visit, detector))
    warped = Exposure(
        planes.image,
        Mask(planes.mask),
        planes.variance,
        unit="nJy",
        xy0=target.xy0,
        components=components,
    )
    return WarpedDetector(warped, planes.fraction, area, pixel_map)


def _components(
    exposure: Exposure,
    pixel_map: PixelMap,
    target: Box,
    area: Box,
    config: ResamplingConfig,
    names: tuple[int, int],
) -> dict[str, Any]:
    """Return the components of a resampled detector."""
    polygon = exposure.valid_polygon or ValidPolygon.from_box(exposure.box)
    known = exposure.components.get("ap_corr") or {}
    psf = CoaddPsfInput(
        exposure.components["psf"], pixel_map.detector, polygon, 1.0, *names, known.get(PSF_FLUX)
    )
    return {
        "wcs": pixel_map.tract,
        "psf": CoaddPsf(pixel_map.tract, (psf,), config.kernel_order),
        "photo_calib": PhotoCalib.identity(),
        "valid_polygon": polygon_on(pixel_map, polygon, target),
        "noise_covariance": mean_correlation(pixel_map, area, config.kernel_order),
    }


def polygon_on(pixel_map: PixelMap, polygon: ValidPolygon, box: Box) -> ValidPolygon | None:
    """Return a polygon of a detector in pixels of the tract, within a box."""
    sky = pixel_map.detector.pixel_to_world_values(*polygon.vertices.T)
    corners = np.transpose(pixel_map.tract.world_to_pixel_values(*sky))
    return ValidPolygon(corners).clipped(box)


def _resample(
    exposure: Exposure, pixel_map: PixelMap, target: Box, config: ResamplingConfig
) -> kernels.Target | None:
    """Resample the planes; None if no pixel of the detector is needed."""
    numbers, x, y, area = pixel_map.nodes(target)
    needed = _needed(x, y, config.kernel_order).intersect(exposure.box)
    if needed.is_empty:
        return None
    part = exposure.cutout(needed)
    step = pixel_map.step_pix
    nodes = kernels.Nodes(
        x - needed.x0,
        y - needed.y0,
        area,
        step,
        target.x0 - numbers.x0 * step,
        target.y0 - numbers.y0 * step,
    )
    rules = kernels.Rules(
        config.mask_threshold,
        config.max_lost_weight,
        np.int32(1 << BITS["NO_DATA"]),
        np.int32(1 << BITS["EDGE"]),
    )
    out = kernels.bare_target(target.shape, rules.no_data)
    kernel = resampling_kernel(config.kernel_order)
    kernels.resample(_source(part, config), nodes, kernel, rules, out)
    return out


def _needed(x: Floats, y: Floats, order: int) -> Box:
    """Return the pixels that the kernel reaches from anywhere between nodes."""
    if not np.isfinite(x).any():
        return Box(0, 0, 0, 0)
    return Box(
        int(np.floor(np.nanmin(x))) - order,
        int(np.ceil(np.nanmax(x))) + order + 1,
        int(np.floor(np.nanmin(y))) - order,
        int(np.ceil(np.nanmax(y))) + order + 1,
    )


def _source(part: Exposure, config: ResamplingConfig) -> kernels.Source:
    """Return the pixels with what each of them is; mask planes have drpflow's own bits."""
    image, variance, mask = (np.ascontiguousarray(_native(p)) for p in _planes(part))
    polygon = part.valid_polygon
    inside = np.ones(image.shape, bool) if polygon is None else polygon.rasterize(part.box)
    bad = sum(1 << BITS[name] for name in config.bad_planes)
    state = kernels.pixel_states(image, variance, mask, inside, 1 << BITS["NO_DATA"], bad)
    return kernels.Source(image, variance, mask, state, kernels.spread(state, config.kernel_order))


def _planes(part: Exposure) -> tuple[NDArray[np.generic], ...]:
    return part.image, part.variance, own_bits(part.mask)


def _native(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return an array in the byte order of the machine."""
    return plane.astype(plane.dtype.newbyteorder("="), copy=False)


def own_bits(mask: Mask) -> NDArray[np.int32]:
    """Return a mask with planes at the bits of drpflow's table; other planes are left out."""
    if mask.planes == dict(BITS):
        return mask.array
    out = np.zeros(mask.shape, np.int32)
    for name, bit in BITS.items():
        if name in mask.planes:
            out |= np.where(mask.any(name), np.int32(1 << bit), np.int32(0))
    return out
