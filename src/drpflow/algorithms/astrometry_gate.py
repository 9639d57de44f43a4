"""What a match must show before its WCS is believed, and what to tell the user if it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.algorithms.pattern_match import log10_poisson_tail, similarity_votes
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.algorithms.astrometry_plane import Plane
    from drpflow.algorithms.distortion_fit import DisplacementFit
    from drpflow.algorithms.pattern_match import PatternMatch
    from drpflow.config.astrometry import AstrometryConfig

    Floats: TypeAlias = NDArray[np.float64]
    Rows: TypeAlias = NDArray[np.int64]
    Bools: TypeAlias = NDArray[np.bool_]

_DIAGNOSIS_SOURCES = 40
_DIAGNOSIS_REFERENCES = 70
_DIAGNOSIS_SIGMA = 9.0
_EPOCH_SIGMA = 6.0
_EPOCH_PRIOR_YR = 1e4


def check_input(plane: Plane, n_given: int, config: AstrometryConfig) -> None:
    """Refuse what cannot be matched.

    Raises
    ------
    AlgorithmError
        If there are too few sources, no references at all, or none near the detector.
    """
    numbers: dict[str, float | int | str] = {
        "n_sources": len(plane.x),
        "n_references": len(plane.stars),
    }
    if len(plane.x) < config.min_matches:
        raise AlgorithmError(
            f"{len(plane.x)} of {n_given} sources can be used for astrometry; "
            f"{config.min_matches} are needed",
            numbers,
            "Look at the image: is it empty, clouded out or saturated?",
        )
    if not len(plane.stars):
        raise AlgorithmError(
            "the reference catalogue is empty around this detector",
            numbers,
            "Give a catalogue that covers the field, and check the pointing in the visit sheet",
        )
    nx, ny = plane.size_pix
    margin = config.pattern.max_offset_pix
    x, y = plane.predicted_x, plane.predicted_y
    inside = (x > -margin) & (x < nx + margin) & (y > -margin) & (y < ny + margin)
    numbers["n_references_near"] = int(inside.sum())
    if inside.sum() < config.min_matches:
        raise AlgorithmError(
            f"the reference catalogue does not cover this detector: {int(inside.sum())} stars "
            f"within {margin:g} pixels of where the pointing puts it",
            numbers,
            "Give a catalogue that covers the field, and check the pointing in the visit sheet",
        )


def no_match(
    plane: Plane, pattern: PatternMatch | None, config: AstrometryConfig
) -> AlgorithmError:
    """Return the error for a search that found nothing, with its likely reason."""
    numbers: dict[str, float | int | str] = {
        "n_sources": len(plane.x),
        "n_references": len(plane.stars),
    }
    if pattern is not None:
        numbers |= {
            "n_coincident": pattern.n_matched,
            "n_expected_by_chance": round(pattern.expected, 2),
            "log10_chance": round(pattern.log10_chance, 2),
        }
    cause, hint = _diagnosis(plane, config)
    message = "no match between sources and reference stars that chance would not make"
    return AlgorithmError(message + cause, numbers, hint)


def check_camera(pattern: PatternMatch, config: AstrometryConfig) -> None:
    """Refuse a match that contradicts the camera file.

    Raises
    ------
    AlgorithmError
        If scale or shear are further from the camera's than its file can be wrong.
    """
    numbers: dict[str, float | int | str] = {
        "scale_ratio": pattern.scale,
        "shear": pattern.shear,
        "n_coincident": pattern.n_matched,
    }
    if abs(pattern.scale - 1) > config.max_camera_scale_error:
        raise AlgorithmError(
            f"the pixel scale is {pattern.scale:.4f} times that of the camera file",
            numbers,
            "Correct plate_scale_arcsec_per_mm or pixel_size_mm in the camera file",
        )
    if pattern.shear > config.max_shear:
        raise AlgorithmError(
            f"the match is sheared by {pattern.shear:.4f} against the camera file",
            numbers,
            "Check the distortion and the place of this detector in the camera file",
        )


def check_epoch(
    plane: Plane,
    rows: Rows,
    stars: Rows,
    fit: DisplacementFit,
    design: Floats,
    config: AstrometryConfig,
) -> dict[str, float | int]:
    """Find the epoch at which the proper motions fit best, and refuse one that is far off.

    Clipped pairs take part: with a wrong epoch, the stars that say so are the outliers. The
    proper motions are one more column of the fit, whose coefficient is a time.

    Raises
    ------
    AlgorithmError
        If it differs significantly, and by more than the limit, from that of the exposure.
    """
    motion = plane.motion[stars]
    if not np.any(motion):
        return {}
    full = np.concatenate([design, motion[:, :, None]], axis=2)
    covariance = plane.field_covariance[rows] + plane.star_covariance[stars]
    covariance = covariance + fit.floor**2 * np.eye(2)
    weight = np.linalg.inv(covariance)
    residual = plane.stars[stars] - plane.base[rows]
    normal = np.einsum("nak,nab,nbl->kl", full, weight, full)
    normal += np.diag(np.append(fit.precision, _EPOCH_PRIOR_YR**-2))
    inverse = np.linalg.inv(normal)
    years = float(inverse[-1] @ np.einsum("nak,nab,nb->k", full, weight, residual))
    error = float(np.sqrt(inverse[-1, -1]))
    numbers: dict[str, float | int] = {"epoch_offset_yr": years, "epoch_offset_err_yr": error}
    if abs(years) > max(config.max_epoch_error_yr, _EPOCH_SIGMA * error):
        raise AlgorithmError(
            f"the reference stars stand where they were {abs(years):.1f} years "
            f"{'later' if years > 0 else 'earlier'} than at the exposure",
            numbers,
            "Check the epoch and the proper motions of the reference catalogue, and the time in "
            "the visit sheet",
        )
    return numbers


def final_log10_chance(
    plane: Plane, radius_mas: Floats, n_used: int, n_effective: float, log10_trials: float
) -> float:
    """Return log10 of the chance that unrelated stars coincide as the used pairs do.

    Parameters
    ----------
    plane
        The stars.
    radius_mas
        Radius within which each source was matched, shape (N,).
    n_used
        Pairs that the fit used.
    n_effective
        Coefficients that it determined; a pair has two coordinates.
    log10_trials
        Of the number of places that were tried.
    """
    finite = np.isfinite(plane.stars).all(axis=1)
    nx, ny = plane.size_pix
    x, y = plane.predicted_x[finite], plane.predicted_y[finite]
    around = (x > -0.2 * nx) & (x < 1.2 * nx) & (y > -0.2 * ny) & (y < 1.2 * ny)
    density = around.sum() / (1.4 * nx * 1.4 * ny * plane.pixel_mas**2)
    expected = float((1 - np.exp(-density * np.pi * radius_mas**2)).sum())
    return log10_poisson_tail(n_used - n_effective / 2, expected) + log10_trials


def check_fit(numbers: Mapping[str, float | int], config: AstrometryConfig) -> None:
    """Refuse a fit that is too uncertain.

    Raises
    ------
    AlgorithmError
        If there are too few pairs, or no more than chance makes, or the scatter or the expected
        error of the WCS is too large.
    """
    checks = (
        (
            numbers["n_used"] < config.min_matches,
            f"{numbers['n_used']} reference stars fit; {config.min_matches} are needed",
            "Give a deeper reference catalogue, or look at the image",
        ),
        (
            numbers["log10_chance"] > config.pattern.max_log10_chance,
            "the fit has no more reference stars than chance would give it",
            "Check pointing, camera file and reference catalogue",
        ),
        (
            numbers["floor_pix"] > config.max_scatter_pix,
            f"reference stars scatter by {numbers['floor_pix']:.2f} pixels about the fit",
            "Check the reference catalogue's epoch and errors, and the camera's distortion",
        ),
        (
            numbers["wcs_error_pix"] > config.max_error_pix,
            f"the WCS is uncertain by {numbers['wcs_error_pix']:.2f} pixels over the detector",
            "The reference stars are too few or cover too little of the detector",
        ),
    )
    for failed, message, hint in checks:
        if failed:
            raise AlgorithmError(message, numbers, hint)


def _diagnosis(plane: Plane, config: AstrometryConfig) -> tuple[str, str]:
    """Ask baselines between stars, which need no pointing, what else is wrong."""
    bright = np.argsort(-plane.flux, kind="stable")[:_DIAGNOSIS_SOURCES]
    x, y = plane.x[bright], plane.y[bright]
    nx, ny = plane.size_pix
    u, v = plane.predicted_x, plane.predicted_y
    near = np.flatnonzero((u > -0.1 * nx) & (u < 1.1 * nx) & (v > -0.1 * ny) & (v < 1.1 * ny))
    level = np.nan_to_num(plane.magnitude[near], nan=np.inf)
    near = near[np.argsort(level, kind="stable")][:_DIAGNOSIS_REFERENCES]
    default = (
        "Check pointing, rotation and time in the visit sheet, the camera file, and place and "
        "epoch of the catalogue"
    )
    if min(len(x), len(near)) < 8:
        return "", default
    ratio, turn_deg, significance = similarity_votes(x, y, u[near], v[near])
    _, _, mirrored = similarity_votes(-x, y, u[near], v[near])
    if max(significance, mirrored) < _DIAGNOSIS_SIGMA:
        return "", default
    if mirrored > significance:
        return "; the image looks mirrored", "Check x_axis in the camera file"
    if abs(np.log(ratio)) > np.log1p(config.pattern.max_scale_error):
        return (
            f"; the pixel scale looks like {ratio:.3f} times that of the camera file",
            "Correct plate_scale_arcsec_per_mm or pixel_size_mm in the camera file",
        )
    if abs(turn_deg) > config.pattern.max_rotation_deg + 1:
        return (
            f"; the rotation looks wrong by {turn_deg:.0f} degrees",
            "Correct the rotation in the visit sheet or the camera file",
        )
    return (
        "; the pointing looks further off than the search goes",
        "Correct the pointing, or raise pattern.max_offset_pix",
    )
