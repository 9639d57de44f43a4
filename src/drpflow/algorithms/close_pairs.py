"""Pairs of stars that are too close for two maxima of brightness.

Below 1.3 FWHM two point sources have one maximum in the matched filter. As one source they are
no point, and each of their fluxes is lost. But an image that two points explain within its noise,
and that is as narrow as the PSF across, is hardly anything else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drpflow.algorithms.deblend_templates import Group, Scene, fit_as_points
from drpflow.algorithms.measurement.shapes import measure_shapes
from drpflow.data.footprints import Footprints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.config.deblend import ClosePairConfig, DeblendConfig
    from drpflow.data.psf_base import Psf

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]
    Int64 = NDArray[np.int64]
    Bool = NDArray[np.bool_]


class _Proposal(NamedTuple):
    """Peaks that may be pairs, and where their members would be."""

    peak: Int64
    x: Float64
    """Shape (n, 2)."""
    y: Float64


def split_close_pairs(
    image: Float32,
    variance: Float32,
    bad: Bool,
    footprints: Footprints,
    psf: Psf,
    config: DeblendConfig,
) -> Footprints:
    """Replace peaks that are pairs of point sources by the two.

    1. Candidates are peaks, away from others, whose adaptive moments exceed those of the PSF along
       one axis and not across it.
    2. Each is fitted as two point sources, starting at the ends of that axis.
    3. Those of which both members fit, by χ² of their cores and with the model's tolerance,
       become two peaks, the fitted places.

    Parameters
    ----------
    image, variance, bad, footprints, psf
        As in :func:`drpflow.algorithms.deblend.deblend`; the image is finite.
    config
        Its section ``close_pairs`` and the limits of the fit.

    Notes
    -----
    20 µs for each peak that is bright enough, 1 ms for each candidate.
    """
    rules = config.close_pairs
    sigma = float(psf.compute_sigma(image.shape[1] / 2, image.shape[0] / 2))
    bright = np.flatnonzero(footprints.peak_significance >= rules.min_significance)
    if not rules.enabled or not bright.size or not np.isfinite(sigma):
        return footprints
    bright = bright[_alone(footprints, bright, rules.isolation_sigma * sigma)]
    proposal = _propose(image, variance, bad, footprints, psf, bright, sigma, rules)
    if not proposal.peak.size:
        return footprints
    fitted, good = _fit(image, variance, bad, proposal, psf, sigma, config)
    fluxes = fitted[2]
    apart = np.hypot(*(np.diff(v, axis=1)[:, 0] for v in fitted[:2]))
    good &= (apart >= rules.min_separation_sigma * sigma) & (
        fluxes.min(axis=1) >= rules.min_flux_ratio * fluxes.max(axis=1)
    )
    kept = proposal.peak[good]
    return _with_pairs(footprints, kept, fitted[0][good], fitted[1][good], fluxes[good])


def _alone(footprints: Footprints, peaks: Int64, radius_pix: float) -> Bool:
    """Return which of some peaks have no other one within a radius: it would be in the moments."""
    from scipy.spatial import cKDTree

    places = np.column_stack([footprints.peak_x, footprints.peak_y])
    distance, _ = cKDTree(places).query(places[peaks], k=2)
    return np.asarray(distance[:, 1] > radius_pix)


def _propose(
    image: Float32, variance: Float32, bad: Bool, footprints: Footprints, psf: Psf,
    bright: Int64, sigma: float, rules: ClosePairConfig,
) -> _Proposal:  # fmt: skip
    """Return the peaks that are elongated and narrow, with the ends of their axes."""
    px, py = footprints.peak_x[bright], footprints.peak_y[bright]
    found = measure_shapes(image, variance, bad, px, py, sigma)
    whole = np.flatnonzero(~found["flag"] & np.isfinite(found["ixx"]))
    # The PSF at each place is asked for only where its mean does not exclude a pair.
    middle = psf.compute_shape(image.shape[1] / 2, image.shape[0] / 2)
    for shape_of in (
        lambda x, y: middle,  # noqa: ARG005
        psf.compute_shape,
    ):
        x, y = found["x"][whole], found["y"][whole]
        of_psf = shape_of(x, y)
        along, across, cosine, sine = _axes(
            found["ixx"][whole] - of_psf.xx,
            found["iyy"][whole] - of_psf.yy,
            found["ixy"][whole] - of_psf.xy,
        )
        slim = (along >= rules.min_elongation * sigma**2) & (across <= rules.max_ratio * along)
        whole, along, cosine, sine = whole[slim], along[slim], cosine[slim], sine[slim]
    x, y, half = found["x"][whole], found["y"][whole], np.sqrt(along)
    ends = np.array([-1.0, 1.0])
    return _Proposal(
        bright[whole],
        x[:, None] + ends * (half * cosine)[:, None],
        y[:, None] + ends * (half * sine)[:, None],
    )


def _axes(xx: Float64, yy: Float64, xy: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """Return the moments along and across the long axis, and its direction."""
    half = np.hypot((xx - yy) / 2, xy)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    mean = (xx + yy) / 2
    return mean + half, mean - half, np.cos(angle), np.sin(angle)


def _fit(
    image: Float32, variance: Float32, bad: Bool, proposal: _Proposal, psf: Psf, sigma: float,
    config: DeblendConfig,
) -> tuple[tuple[Float64, Float64, Float64], Bool]:  # fmt: skip
    """Fit the candidates as pairs; return places and fluxes, shape (n, 2), and which fit."""
    n = len(proposal.peak)
    label = np.arange(1, n + 1, dtype=np.int32)
    pairs = Footprints(
        *(np.empty(0, np.int32),) * 3,
        first_span=np.zeros(n + 1, np.int64),
        peak_x=proposal.x.ravel(),
        peak_y=proposal.y.ravel(),
        peak_significance=np.zeros(2 * n, np.float32),
        first_peak=np.arange(0, 2 * n + 1, 2),
    )
    group = Group(np.arange(n), pairs, label, np.repeat(label, 2))
    rules = config.close_pairs
    labels = _discs(image.shape, proposal, rules.isolation_sigma * sigma)
    nothing = np.zeros((1, 1), np.float32)
    scene = Scene(image, variance, bad, labels, image.copy(), nothing, nothing)
    strict = config.model_copy(
        update={
            "position_rounds": rules.position_rounds,
            "sweeps": rules.sweeps,
            "max_chi2": rules.max_chi2,
            "model_tolerance": rules.model_tolerance,
            "max_shift_sigma": rules.max_shift_sigma,
        }
    )
    points = fit_as_points(scene, group, psf, strict)
    values = (v.reshape(n, 2) for v in (points.x, points.y, points.coefficients[:, 0]))
    x, y, flux = values
    return (x, y, flux), np.asarray(points.is_point.reshape(n, 2).all(axis=1))


def _discs(shape: tuple[int, ...], proposal: _Proposal, radius_pix: float) -> NDArray[np.int32]:
    """Return a label image with a disc about each candidate."""
    labels = np.zeros(shape, np.int32)
    reach = int(np.ceil(radius_pix))
    for k, (x, y) in enumerate(zip(proposal.x.mean(axis=1), proposal.y.mean(axis=1), strict=True)):
        rows = slice(max(0, round(y) - reach), round(y) + reach + 1)
        columns = slice(max(0, round(x) - reach), round(x) + reach + 1)
        part = labels[rows, columns]
        v, u = np.ogrid[: part.shape[0], : part.shape[1]]
        near = np.hypot(v + rows.start - y, u + columns.start - x) <= radius_pix
        part[near & (part == 0)] = k + 1
    return labels


def _with_pairs(
    footprints: Footprints, peaks: Int64, x: Float64, y: Float64, flux: Float64 | None = None
) -> Footprints:
    """Return footprints with two peaks in the place of each of some."""
    times = np.ones(footprints.peak_x.size, np.int64)
    times[peaks] = 2
    place = np.repeat(np.arange(times.size), times)
    first = np.cumsum(times)[peaks] - 2
    peak_x, peak_y = footprints.peak_x[place], footprints.peak_y[place]
    significance = footprints.peak_significance[place]
    for k in range(2):
        peak_x[first + k], peak_y[first + k] = x[:, k], y[:, k]
        if flux is not None:
            significance[first + k] *= flux[:, k] / flux.sum(axis=1)
    more = np.concatenate([[0], np.cumsum(times - 1)])
    return replace(
        footprints,
        peak_x=peak_x,
        peak_y=peak_y,
        peak_significance=significance,
        first_peak=footprints.first_peak + more[footprints.first_peak],
    )
