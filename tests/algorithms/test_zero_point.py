"""Zero points against known ones: value, error, colour term, field, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drpflow.algorithms.zero_point import ZeroPoint, fit_zero_point
from drpflow.config.photometry import PhotometryConfig, ZeroPointFieldConfig
from drpflow.data.geometry import Box
from drpflow.data.photo_calib import NJY_ZERO_POINT_MAG
from drpflow.errors import AlgorithmError

TRUE = 3.7  # nJy per electron
BOX = Box(0, 1024, 0, 1024)
CONSTANT = PhotometryConfig(field=ZeroPointFieldConfig(order=0))


def stars(
    rng: np.random.Generator,
    n: int = 60,
    *,
    color_term: float = 0.0,
    scatter: float = 0.0,
    sky_electron: float = 300.0,
    field: Any = None,
) -> dict[str, Any]:
    """Matched stars of a detector: power law of fluxes, Poisson and sky noise."""
    reference = 10 ** rng.uniform(3.3, 6.0, n)
    color = rng.normal(0.3, 0.5, n)
    x, y = rng.uniform(0, 1024, (2, n))
    magnitudes = color_term * color + scatter * rng.normal(size=n)
    if field is not None:
        magnitudes = magnitudes + field(x, y)
    electrons = reference / TRUE * 10 ** (-0.4 * magnitudes)
    error = np.sqrt(electrons + sky_electron**2)
    measured = electrons + error * rng.normal(size=n)
    error = np.sqrt(np.maximum(measured, 0) + sky_electron**2)
    reference_error = 0.003 * reference
    # Candidates are chosen by what is measured.
    kept = measured > 7 * error
    columns = {
        "flux_electron": measured,
        "flux_err": error,
        "reference_flux_njy": reference + reference_error * rng.normal(size=n),
        "reference_flux_err": reference_error,
        "color": color,
        "x": x,
        "y": y,
    }
    return {name: values[kept] for name, values in columns.items()} | {"box": BOX}


def fit(given: dict[str, Any], config: PhotometryConfig | None = None, **more: Any) -> ZeroPoint:
    return fit_zero_point(**given, config=config or PhotometryConfig(), **more)


def offset_mag(found: ZeroPoint) -> float:
    return float(2.5 * np.log10(found.mean / TRUE))


def test_value_and_error_are_right() -> None:
    """Over 120 detectors: no bias at the mmag, and errors that the scatter confirms."""
    rng = np.random.default_rng(1)
    found = [fit(stars(rng, scatter=0.01)) for _ in range(120)]
    offsets = np.array([offset_mag(f) for f in found])
    errors = np.array([2.5 / np.log(10) * f.error / f.mean for f in found])
    assert abs(offsets.mean()) < 4 * offsets.std() / np.sqrt(120)
    assert abs(offsets.mean()) < 1e-3
    assert 0.85 < np.std(offsets / errors) < 1.2
    assert np.median([f.scatter_mag for f in found]) == pytest.approx(0.01, abs=0.004)


def test_faint_stars_do_not_pull_the_zero_point() -> None:
    """Errors at the expected flux: with those at the measured one the offset is 5 mmag."""
    rng = np.random.default_rng(2)
    offsets = []
    for _ in range(200):
        given = stars(rng, 40, sky_electron=300.0)
        given["reference_flux_njy"] = np.full_like(given["flux_err"], 2e4)
        given["flux_err"] = np.full_like(given["flux_err"], 300.0)
        given["flux_electron"] = 2e4 / TRUE + 300.0 * rng.normal(size=len(given["flux_err"]))
        offsets.append(offset_mag(fit(given, CONSTANT)))
    assert abs(np.mean(offsets)) < 1.5e-3


def test_the_colour_term_is_found_and_taken_out() -> None:
    rng = np.random.default_rng(3)
    found = [fit(stars(rng, color_term=0.02), CONSTANT) for _ in range(50)]
    assert np.mean([f.color_term for f in found]) == pytest.approx(0.02, abs=2e-3)
    assert abs(np.mean([offset_mag(f) for f in found])) < 1e-3
    held = PhotometryConfig(color_term_sigma=0.0, field=ZeroPointFieldConfig(order=0))
    one = fit(stars(rng, color_term=0.02), held, expected_color_term=0.02)
    assert one.color_term == pytest.approx(0.02, abs=1e-6)


def test_stars_without_colour_count_with_a_larger_error() -> None:
    rng = np.random.default_rng(4)
    given = stars(rng)
    given["color"] = np.full_like(given["color"], np.nan)
    found = fit(given, CONSTANT)
    assert abs(offset_mag(found)) < 0.01
    assert found.color_term_error == pytest.approx(CONSTANT.color_term_sigma, rel=1e-6)


def test_outliers_are_left_out() -> None:
    """A third of the pairs are chance ones, with fluxes that have nothing to do with each other."""
    rng = np.random.default_rng(5)
    given = stars(rng, 90)
    wrong = rng.random(len(given["x"])) < 0.33
    given["reference_flux_njy"][wrong] *= 10 ** rng.uniform(-1, 1, wrong.sum())
    found = fit(given, CONSTANT)
    assert abs(offset_mag(found)) < 0.01
    far = wrong & (np.abs(found.residual_mag) > 0.4)
    assert far.sum() > 10
    assert not found.used[far].any()
    assert found.used[~wrong].mean() > 0.9


def test_a_cloud_is_followed_and_a_clear_sky_is_left_alone() -> None:
    rng = np.random.default_rng(6)

    def cloud(x: Any, y: Any) -> Any:
        u, v = x / 512 - 1, y / 512 - 1
        return 0.08 * u - 0.05 * v + 0.04 * u * v + 0.03 * (u**2 - 1 / 3)

    found = fit(stars(rng, 60, field=cloud))
    assert found.field is not None
    x, y = rng.uniform(50, 970, (2, 200))
    factor = found.photo_calib().factor(x, y)
    residual = 2.5 * np.log10(factor / TRUE) - (cloud(x, y))
    assert np.sqrt(np.mean(residual**2)) < 0.015
    center = BOX.center
    assert found.photo_calib().factor(*center) == pytest.approx(found.mean, rel=1e-9)
    assert abs(offset_mag(found) - cloud(*center)) < 0.01
    clear = [fit(stars(rng, 60, scatter=0.005)).field is not None for _ in range(60)]
    assert np.mean(clear) <= 0.05


def test_works_with_three_stars_and_with_twenty_thousand() -> None:
    rng = np.random.default_rng(7)
    few = {k: v[:3] if isinstance(v, np.ndarray) else v for k, v in stars(rng, 30).items()}
    assert abs(offset_mag(fit(few))) < 0.05
    assert abs(offset_mag(fit(stars(rng, 20_000, scatter=0.02)))) < 1e-3


@pytest.mark.parametrize("number", [0, 2])
def test_too_few_stars_are_told(number: int) -> None:
    given = stars(np.random.default_rng(8))
    few = {k: v[:number] if isinstance(v, np.ndarray) else v for k, v in given.items()}
    with pytest.raises(AlgorithmError, match=f"{number} stars match") as caught:
        fit(few)
    assert caught.value.numbers == {"stars": number, "min_stars": 3}
    assert caught.value.hint


def test_fluxes_of_another_field_make_no_zero_point() -> None:
    """Catalogue fluxes that belong to other stars scatter over magnitudes."""
    rng = np.random.default_rng(9)
    for _ in range(30):
        given = stars(rng, 60)
        given["reference_flux_njy"] = 10 ** rng.uniform(2, 6, len(given["x"]))
        with pytest.raises(AlgorithmError, match="do not agree"):
            fit(given)


def test_unusable_fluxes_are_passed_over() -> None:
    rng = np.random.default_rng(10)
    given = stars(rng)
    given["flux_electron"][0] = np.nan
    given["flux_electron"][1] = -5.0
    given["reference_flux_njy"][2] = 0.0
    given["reference_flux_err"][:] = np.nan
    found = fit(given)
    assert not found.used[:3].any()
    assert np.isnan(found.residual_mag[:3]).all()
    assert found.n_candidates == len(given["x"]) - 3
    assert found.zero_point_mag == pytest.approx(
        NJY_ZERO_POINT_MAG - 2.5 * np.log10(found.mean), abs=1e-9
    )
    assert found.numbers()["zero_point_stars"] == found.n_used
