"""The components of a coadd: PSF, inputs, where it is valid, how its noise hangs together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.warp.mosaic import hull
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.coadd_inputs import CoaddInput, CoaddInputs
from drpflow.data.coadd_psf import PSF_FLUX, CoaddPsf
from drpflow.data.geometry import ValidPolygon
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.coadd_psf import CoaddPsfInput
    from drpflow.data.geometry import Box
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.data.warps import Warp

    Floats: TypeAlias = NDArray[np.float64]

_PER_SIDE = 8
# Aperture corrections are looked at on so many points a side of the patch.
_GRID, _AP_CORR_ORDER = 25, 2


def used_inputs(
    warps: Sequence[Warp], wcs: SkyWcs, box: Box
) -> dict[int, list[tuple[CoaddPsfInput, ValidPolygon]]]:
    """Return the detectors of each visit that lie on a box, their polygons shrunk to it.

    Parameters
    ----------
    warps
        The visits, with PSFs.
    wcs
        Of the tract.
    box
        The pixels of the coadd.

    Returns
    -------
    dict
        By visit, inputs of the PSF with polygons in pixels of their detectors, and the same
        polygons in pixels of the tract.
    """
    found: dict[int, list[tuple[CoaddPsfInput, ValidPolygon]]] = {}
    for warp in warps:
        parts = []
        for item in warp.direct.components["psf"].inputs:
            outline = _mapped(item.polygon.vertices, item.wcs, wcs)
            clipped = outline.clipped(box)
            if clipped is not None:
                shrunk = item.polygon
                if not np.array_equal(clipped.vertices, outline.vertices):
                    shrunk = _mapped(clipped.vertices, wcs, item.wcs)
                parts.append((replace(item, polygon=shrunk), clipped))
        found[warp.visit] = parts
    return found


def _mapped(vertices: Floats, source: SkyWcs, target: SkyWcs) -> ValidPolygon:
    """Return a polygon in pixels of another image; its sides may bend."""
    steps = np.arange(_PER_SIDE)[:, None] / _PER_SIDE
    sides = vertices[:, None] + steps * (np.roll(vertices, -1, axis=0) - vertices)[:, None]
    sky = source.pixel_to_world_values(*sides.reshape(-1, 2).T)
    return ValidPolygon(np.column_stack(target.world_to_pixel_values(*sky)))


def coadd_components(
    warps: Sequence[Warp],
    inputs: Mapping[int, Sequence[tuple[CoaddPsfInput, ValidPolygon]]],
    noise: Mapping[int, float],
    wcs: SkyWcs,
    box: Box,
) -> dict[str, Any]:
    """Return the components of a coadd.

    Parameters
    ----------
    warps
        The visits that are in it.
    inputs
        Of :func:`used_inputs`.
    noise
        By visit, what it adds to the variance of the sum, Σ w² v.
    wcs
        Of the tract.
    box
        The pixels of the coadd.
    """
    psfs, entries = [], []
    for warp in warps:
        items = [item for item, _ in inputs[warp.visit]]
        psf = warp.direct.components["psf"]
        psfs.append((CoaddPsf(psf.wcs, tuple(items), psf.kernel_order), warp.weight))
        kept = {item.detector for item in items}
        for one in warp.direct.components["coadd_inputs"]:
            if one.data_id["detector"] in kept:
                weight = one.weight * warp.weight
                entries.append(CoaddInput(one.dataset_type, one.data_id, weight))
    noises = [
        (w.direct.components["noise_covariance"], noise[w.visit])
        for w in warps
        if "noise_covariance" in w.direct.components
    ]
    outlines: list[ValidPolygon | None] = [p for w in warps for _, p in inputs[w.visit]]
    psf = CoaddPsf.combined(psfs)
    return {
        "wcs": wcs,
        "psf": psf,
        "ap_corr": ap_corr_of(psf, box),
        "photo_calib": PhotoCalib.identity(),
        "coadd_inputs": CoaddInputs(tuple(entries)),
        "valid_polygon": hull(outlines, box),
        "noise_covariance": NoiseCovariance.combine(noises) if noises else None,
    }


def ap_corr_of(psf: CoaddPsf, box: Box) -> ApCorrMap | None:
    """Return the aperture correction of PSF fluxes on a coadd.

    A polynomial of :meth:`CoaddPsf.psf_flux_correction` over the box. Its error contains what the
    polynomial does not follow: steps at the edges of detectors.

    Parameters
    ----------
    psf
        Of the coadd.
    box
        The pixels of the coadd.

    Returns
    -------
    ApCorrMap or None
        None if no input has one.
    """
    sides = np.linspace(box.x0, box.x1 - 1, _GRID), np.linspace(box.y0, box.y1 - 1, _GRID)
    x, y = (v.ravel() for v in np.meshgrid(*sides))
    correction, error = psf.psf_flux_correction(x, y)
    known = np.isfinite(correction)
    if not known.any():
        return None
    domain = Domain(box.x0 - 0.5, box.x1 - 0.5, box.y0 - 0.5, box.y1 - 0.5)
    x, y, correction = x[known], y[known], correction[known]
    field = Polynomial2D.fit(_basis_for(x, y, domain), x, y, correction)
    left = np.sqrt(np.mean(np.square(correction - field(x, y))))
    return ApCorrMap({PSF_FLUX: ApCorr(field, float(np.hypot(left, np.mean(error[known]))))})


def _basis_for(x: Floats, y: Floats, domain: Domain) -> Basis2D:
    """Return the basis of the highest order that the points determine: on a line that is none."""
    bases = (Basis2D(order, domain) for order in range(_AP_CORR_ORDER, -1, -1))
    return next(b for b in bases if np.linalg.matrix_rank(b.design(x, y)) == b.n_terms)


def sharpness_of(warps: Sequence[Warp]) -> dict[int, float]:
    """Return, by visit, the central pixel of the direct PSF over that of the matched one.

    The central pixel of a PSF is 2.2 over its effective area, within 3 % for those of stars as for
    the double Gaussian that is the target; the areas are those of the whole tract, so that patches
    judge their common pixels alike. Visits whose PSF is not known are left out. The matched PSF is
    the same for all, also for those that were not matched.
    """
    matched = next((w.matched for w in warps if w.matched is not None), None)
    if matched is None:
        return {}
    target = matched.components["psf"].effective_area(*matched.box.center)
    return {w.visit: target / w.psf_area_pix for w in warps if np.isfinite(w.psf_area_pix)}
