"""How a visit differs from the others, and the pixels where that is more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.coadd.warps import read_pixels
from drpflow.kernels.coadd import GOOD, VOID, box_maxima, compare, compare_direct
from drpflow.kernels.coadd_artifacts import (
    box_counts,
    compact_sums,
    grow_from,
    spare_blended,
    spare_variables,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.coadd.static_sky import StaticSky
    from drpflow.algorithms.coadd.warps import WarpPixels
    from drpflow.config.compare_warp_assemble_coadd import (
        CandidateConfig,
        CompareWarpAssembleCoaddConfig,
    )
    from drpflow.data.warps import Warp

    Bool: TypeAlias = NDArray[np.bool_]
    Float32: TypeAlias = NDArray[np.float32]
    Int32: TypeAlias = NDArray[np.int32]

# Beyond the growth of candidates, low ones of the direct warps reach no further than this: the
# Lanczos kernel's own reach.
_DIRECT_GROW_PIX = 3
# How far from a static source the peak of a difference is looked for, in widths of the PSF.
_LOOK_SIGMA = 2.0
_PREFILTER_REACH_PIX = 7
# A difference is a peak where none so near is greater.
_BLEND_REACH_PIX = 3
# PSFs vary over a detector: their ratio at one place is exceeded at others.
_RATIO_MARGIN = 1.3
# Light is narrower than a point source if its direct over its matched level exceeds that of a point
# source by this factor, with a level of a third of a direct pixel's noise to spare.
NARROWER = 1.7
# A source that shines in nearly half of the visits is in the mean of the others, but not in their
# median: its level is halved. Light beyond this factor is not even that.
_NARROWEST = 3.5
_NARROW_SPARE = 0.3
_NARROW_GROW_PIX = 2
_NO_HALO = (0.0, 0)
# The target PSF has a core and wings (:class:`drpflow.data.double_gaussian_psf.DoubleGaussianPsf`).
_WING_AMPLITUDE, _WING_RATIO = 0.1, 2.5
# The light of a variable source counts out to where it is this much of the backgrounds' floor.
_VARIABLE_EDGE = 2.0


@dataclass(frozen=True, eq=False)
class Difference:
    """A visit against the others.

    Parameters
    ----------
    significance
        Difference of the matched warps over its noise, shape (ny, nx); 0 where there is none.
    level
        The same difference, less what errors of the PSF may do, in noises of a direct pixel.
    static
        The median of the matched warps, in noises of a direct pixel; 0 where there is none.
    sharp
        Difference of the direct warps over its noise, less what their PSFs may do.
    direct
        The same, or of 3 x 3 pixels where that is more.
    there, sharp_there
        Where matched, and direct, warps can be compared.
    good
        Where neither warp has a doubtful plane.
    lit
        Where the visit itself shows no lack of light, matched and direct: what is less than in
        other visits there is a source that has faded.
    alone
        The visit itself, matched and direct, over its noise where no other has data, NaN elsewhere;
        None if it is alone nowhere.
    """

    significance: Float32
    level: Float32
    static: Float32
    sharp: Float32
    direct: Float32
    there: Bool
    sharp_there: Bool
    good: Bool
    lit: tuple[Bool, Bool]
    alone: tuple[Float32, Float32] | None = None


def difference_of(
    warp: Warp, sky: StaticSky, peak_ratio: float, config: CompareWarpAssembleCoaddConfig
) -> Difference:
    """Return how a visit differs from the others; reads its pixels.

    Parameters
    ----------
    warp
        The visit.
    sky
        The static sky.
    peak_ratio
        Central pixel of the visit's PSF over the median of that of all visits: by so much the
        cores of stars differ in the direct warps.
    config
        The section ``compareWarpAssembleCoadd``.
    """
    rules, candidates, shape = config.static_sky, config.candidates, sky.box.shape
    significance, level, static = (np.zeros(shape, np.float32) for _ in range(3))
    there, lit, alone = np.zeros(shape, bool), np.zeros(shape, bool), None
    plain = read_pixels(warp.direct, sky.box, rules.doubtful_planes)
    good, sharp_there = plain.state == GOOD, (plain.state != VOID) & (sky.count > 0)
    raw, direct = np.empty(shape, np.float32), np.empty(shape, np.float32)
    compare_direct(
        plain.image,
        plain.variance,
        plain.state,
        sky.direct,
        sky.direct_amplitude,
        candidates.direct_amplitude + _RATIO_MARGIN * abs(peak_ratio - 1),
        raw,
    )
    compact_sums(raw, direct)
    if warp.matched is not None:
        pixels = read_pixels(warp.matched, sky.box, rules.doubtful_planes)
        good &= pixels.state == GOOD
        there |= pixels.state != VOID
        alone = _alone(pixels, plain, sky.count, candidates.floor)
        sharp_there &= sky.count > there
        there &= sky.count > 1
        np.greater_equal(pixels.image, 0, out=lit)
        cell, (x0, y0) = rules.cell_pix, sky.box.xy0
        compare(
            pixels.image,
            pixels.variance,
            pixels.state,
            (sky.start, sky.mean, sky.total, sky.noise, sky.good, sky.amplitude),
            sky.scales[warp.visit],
            (rules.clip_sigma, rules.tolerance, cell, y0 % cell, x0 % cell),
            warp.weight,
            candidates.amplitude,
            candidates.floor,
            plain.variance,
            (significance, level),
        )
        np.divide(sky.start, np.sqrt(plain.variance), out=static, where=there)
    lit_in = lit, plain.image >= 0
    return Difference(
        significance, level, static, raw, direct, there, sharp_there, good, lit_in, alone
    )


def _alone(
    matched: WarpPixels, plain: WarpPixels, count: NDArray[np.uint16], floor: float
) -> tuple[Float32, Float32] | None:
    """Return a visit over its noise where it is alone."""
    where = (matched.state == GOOD) & (plain.state == GOOD) & (count == 1)
    if not where.any():
        return None
    parts = []
    for pixels, share in ((matched, floor), (plain, 0.0)):
        part = np.full(where.shape, np.nan, np.float32)
        noise = np.sqrt(pixels.variance[where] + share**2 * plain.variance[where])
        part[where] = pixels.image[where] / noise
        parts.append(part)
    return parts[0], parts[1]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pixels that may be artifacts, before visits are counted.

    Parameters
    ----------
    where
        The pixels, shape (ny, nx).
    variable
        Pixels of variable sources, which are none of them.
    blended
        Those of sources that may be variable in the light of others; these are none either.
    narrow
        Candidates narrower than a source, which do not have its shape.
    narrowest
        So narrow that no count of visits makes them a source, but where one varies.
    """

    where: Bool
    variable: Bool
    blended: Bool
    narrow: Bool
    narrowest: Bool


def find_candidates(
    difference: Difference,
    peaks: tuple[Int32, Int32],
    fwhm_pix: float,
    sharpness: float,
    config: CandidateConfig,
) -> Candidates:
    """Return the pixels at which a visit differs from the others.

    Parameters
    ----------
    difference
        Of the visit.
    peaks
        Rows and columns of the sources of the static sky.
    fwhm_pix
        Of the matched PSF.
    sharpness
        Central pixel of the PSF of the direct warp over that of the matched one.
    config
        The section ``compareWarpAssembleCoadd.candidates``.
    """
    where = np.zeros(difference.significance.shape, bool)
    matched = _without_faded(difference.significance, difference.lit[0])
    direct = _without_faded(difference.direct, difference.lit[1])
    # What is seen in both counts sooner: their noises have little in common.
    both = (np.abs(direct) >= config.joint_threshold) & (matched * direct > 0)
    both &= np.abs(matched) >= config.low_threshold
    np.copysign(
        np.maximum(np.abs(direct), np.float32(config.direct_threshold)),
        direct,
        out=direct,
        where=both,
    )
    low = config.low_threshold
    halo = config.halo_share, config.halo_pix
    grow_from(matched, config.threshold, low, config.grow_pix, halo, where)
    reach = min(_DIRECT_GROW_PIX, config.grow_pix)
    grow_from(direct, config.direct_threshold, low, reach, _NO_HALO, where)
    _drop_doubtful(where, difference.good, config.min_good_fraction)
    variable, blended = _varying(difference, peaks, fwhm_pix / 2.355, config)
    narrow, narrowest = (
        _narrow(difference, factor * sharpness, config) for factor in (NARROWER, _NARROWEST)
    )
    where &= ~(variable | blended)
    where |= narrow
    return Candidates(where, variable, blended, narrow, narrowest)


def _varying(
    difference: Difference, peaks: tuple[Int32, Int32], sigma_pix: float, config: CandidateConfig
) -> tuple[Bool, Bool]:
    """Return pixels of sources that differ, and of those that may in the light of others."""
    largest = float(config.source_reach_pix)
    limits = config.threshold, _VARIABLE_EDGE * config.floor
    profile = sigma_pix, _WING_AMPLITUDE, _WING_RATIO
    differences = difference.significance, difference.level
    variable, blended = (np.zeros(difference.level.shape, bool) for _ in range(2))
    reaches = round(_LOOK_SIGMA * sigma_pix), config.source_distance_pix, largest
    spare_variables(*differences, *peaks, limits, profile, reaches, variable)
    of_blends = _BLEND_REACH_PIX, largest
    static, share = difference.static, config.source_share
    spare_blended(*differences, static, share, limits, profile, of_blends, blended)
    return variable, blended


def _narrow(difference: Difference, ratio: float, config: CandidateConfig) -> Bool:
    """Return pixels whose direct level is beyond a ratio to the matched, and those beside them."""
    around = np.empty_like(difference.level)
    box_maxima(difference.level, 1, around)
    around += np.float32(_NARROW_SPARE)
    around *= np.float32(ratio)
    sharp = difference.sharp
    low, high = np.float32(config.low_threshold), np.float32(config.direct_threshold)
    core = (sharp >= high) & (sharp > around) & difference.there
    narrow = np.zeros(core.shape, bool)
    seeds = np.where(core, sharp, np.clip(sharp, 0, low))
    grow_from(seeds, high, low, _NARROW_GROW_PIX, _NO_HALO, narrow)
    _drop_doubtful(narrow, difference.good, config.min_good_fraction)
    return narrow


def _without_faded(significance: Float32, lit: Bool) -> Float32:
    """Return differences without those of sources that have faded."""
    return np.where(lit, np.maximum(significance, 0), significance)


def _drop_doubtful(where: Bool, good: Bool, least: float) -> None:
    """Drop candidates that consist of doubtful pixels, by the share about each of them."""
    if least > 0 and where.any():
        all_of = box_counts(where, _PREFILTER_REACH_PIX)
        good_of = box_counts(where & good, _PREFILTER_REACH_PIX)
        where &= good_of >= np.float32(least) * all_of
