"""Limits, weights and target PSF of coadds, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drpflow.algorithms.coadd_plan import (
    figures,
    judge,
    least_number,
    limit_of,
    sky_variance,
    target_sigma,
    too_wide,
    visit_weights,
    widest_sigma_arcsec,
)
from drpflow.config.plan_coaddition import (
    CutConfig,
    FloorConfig,
    QualityConfig,
    TargetConfig,
)
from drpflow.data.coadd_plan import FWHM_OF_SIGMA
from tests.algorithms.summary_rows import summary_rows

CUT = CutConfig(keep_below=1.0, drop_above=3.0)


@given(
    st.lists(st.floats(0.5, 20.0), min_size=2, max_size=12),
    st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_no_other_weights_see_point_sources_better(sizes: list[float], seed: int) -> None:
    """Against the S/N of weights drawn around them, and against the inverse variance."""
    rng = np.random.default_rng(seed)
    area = 4 * np.pi * np.array(sizes) ** 2
    variance = rng.uniform(0.1, 10, area.size)
    best = visit_weights(variance, area, of_point_sources=True)
    plain = visit_weights(variance, area, of_point_sources=False)
    overlap = 2 / (area[:, None] + area)

    def squared_snr(w: np.ndarray) -> float:
        return float(w @ overlap @ w / (w**2 @ variance))

    bound = (1 / (area * variance)).sum()
    assert best.efficiency == pytest.approx(np.sqrt(squared_snr(best.values) / bound), rel=1e-9)
    assert (best.values > 0).all()
    assert best.values.sum() == pytest.approx((1 / variance).sum())
    np.testing.assert_allclose(plain.values, 1 / variance)
    for other in [plain.values, *(best.values * rng.uniform(0.5, 2, (20, area.size)))]:
        assert squared_snr(other) <= squared_snr(best.values) * (1 + 1e-9)


def test_weights_of_pixels() -> None:
    """The S/N of the formula is that of a matched filter on pixels of the mean."""
    sigma, variance = np.array([1.2, 2.0, 2.6]), np.array([2.0, 1.0, 0.5])
    y, x = np.mgrid[-20:21, -20:21]
    psfs = np.array([np.exp(-(x**2 + y**2) / (2 * s * s)) for s in sigma])
    psfs /= psfs.sum(axis=(1, 2), keepdims=True)
    area = 1 / (psfs**2).sum(axis=(1, 2))
    found = visit_weights(variance, area, of_point_sources=True)
    w = found.values / found.values.sum()
    mean = np.tensordot(w, psfs, axes=1)
    squared = (mean**2).sum() / (w**2 @ variance)
    assert found.efficiency**2 == pytest.approx(squared / (1 / (area * variance)).sum(), rel=1e-3)
    assert found.values[2] < 1 / variance[2]


def test_equal_visits_have_equal_weights_and_lose_nothing() -> None:
    found = visit_weights(np.full(4, 2.0), np.full(4, 30.0), of_point_sources=True)
    np.testing.assert_allclose(found.values, 0.5)
    assert found.efficiency == pytest.approx(1.0)


def test_limits_follow_the_distribution_between_the_guards() -> None:
    rng = np.random.default_rng(3)
    config = QualityConfig(sigma=5.0, min_detectors=10)
    assert limit_of(rng.normal(0.5, 0.01, 100), CUT, config) == 1.0
    assert limit_of(rng.normal(1.0, 0.2, 4000), CUT, config) == pytest.approx(2.0, rel=0.05)
    assert limit_of(rng.normal(9.0, 0.2, 100), CUT, config) == 3.0
    some = np.append(rng.normal(1.0, 0.01, 9), np.nan)
    assert limit_of(some, CUT, config) == 3.0


def test_a_few_bad_ones_do_not_raise_the_limit() -> None:
    values = np.concatenate([np.random.default_rng(4).normal(1.2, 0.05, 60), np.full(8, 2.9)])
    assert limit_of(values, CUT, QualityConfig()) < 1.8


def test_figures_do_not_depend_on_the_camera() -> None:
    """Smaller pixels and another gain: the same sky, the same figures."""
    rows, other = summary_rows(20), summary_rows(20)
    other |= {name: other[name] * 2 for name in ("psfSigma", "psfTraceRadiusDelta")}
    other |= {name: other[name] * 4 for name in ("psfIxx", "psfIyy", "psfIxy", "psfArea")}
    other["pixelScale"] = rows["pixelScale"] / 2
    other["zeroPoint"] = rows["zeroPoint"] - 2.5 * np.log10(3.0)
    other["skyNoise"] = rows["skyNoise"] / 3 / 2
    np.testing.assert_allclose(sky_variance(other), sky_variance(rows))
    np.testing.assert_allclose(widest_sigma_arcsec(other), widest_sigma_arcsec(rows))
    one, two = figures(rows), figures(other)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-12, err_msg=name)


def test_sky_variance_is_that_of_a_square_arcsec() -> None:
    rows = summary_rows(1) | {"zeroPoint": np.array([31.4]), "skyNoise": np.array([3.0])}
    rows["pixelScale"] = np.array([0.5])
    assert sky_variance(rows)[0] == pytest.approx(4 * 9.0)


def test_long_axis_of_the_psf() -> None:
    angle, axes = 0.4, np.diag([9.0, 4.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    (xx, xy), (_, yy) = turn @ axes @ turn.T
    rows = summary_rows(1) | {
        "psfIxx": np.array([xx]), "psfIyy": np.array([yy]), "psfIxy": np.array([xy]),
        "psfTraceRadiusDelta": np.array([0.4]), "pixelScale": np.array([0.3]),
    }  # fmt: skip
    assert widest_sigma_arcsec(rows)[0] == pytest.approx(3.2 * 0.3)
    assert figures(rows)["ellipticity"][0] == pytest.approx(5 / 13)


BAD = {
    "psf_size": {"psfSigma": 8.0},
    "ellipticity": {"psfIxx": 9.0, "psfIyy": 1.0},
    "psf_residual_ellipticity": {"psfStarDeltaE1Median": -0.4},
    "psf_size_scatter": {"psfStarScaledDeltaSizeScatter": 0.6},
    "psf_size_range": {"psfTraceRadiusDelta": 3.0},
    "psf_flux_range": {"psfApFluxDelta": 0.6},
    "ap_corr_range": {"psfApCorrSigmaScaledDelta": 1.6},
    "extinction": {"zeroPoint": 26.0},
    "noise": {"skyNoise": 200.0},
    "zero_point_err": {"zero_point_err": 0.3},
    "wcs_error": {"wcs_error": 0.5},
    "masked_fraction": {"maskedFraction": 0.9},
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("n", [6, 40])
def test_each_figure_is_a_reason(name: str, n: int) -> None:
    """One bad detector among few or many, and one that lacks its PSF."""
    rows = summary_rows(n)
    for column, value in BAD[name].items():
        rows[column][1] = value
    rows["psfSigma"][2] = np.nan
    verdict = judge(rows, ["", "", "without psf: too few stars", *[""] * (n - 3)],
                    QualityConfig())  # fmt: skip
    assert verdict.reasons[0] == ""
    assert f"{name} " in verdict.reasons[1]
    assert f" above {verdict.limits[name]:.3g}" in verdict.reasons[1]
    assert verdict.reasons[2] == "without psf: too few stars"
    assert not any(verdict.reasons[3:])


def test_least_number_follows_the_distribution_between_the_guards() -> None:
    """Poisson numbers: 5 sigma of the square root, whose scatter is a half."""
    rng = np.random.default_rng(6)
    floor, config = FloorConfig(drop_below=1, keep_above=60), QualityConfig()
    assert least_number(rng.poisson(100, 4000), floor, config) == pytest.approx(7.5**2, rel=0.05)
    assert least_number(rng.poisson(900, 400), floor, config) == 60
    assert least_number(rng.poisson(3, 400), floor, config) == 1
    assert least_number(rng.poisson(100, 11), floor, config) == 1
    free = FloorConfig(drop_below=0, keep_above=60)
    assert least_number(rng.poisson(3, 400), free, config) == 0


def test_guards_are_in_order() -> None:
    with pytest.raises(ValidationError, match=r"keep_above 2\.0 is below drop_below 3\.0"):
        FloorConfig(drop_below=3, keep_above=2)


@pytest.mark.parametrize("n", [6, 40])
def test_a_detector_without_stars_is_left_out(n: int) -> None:
    """Its PSF is of other detectors and its zero point interpolated, both with small errors."""
    rows = summary_rows(n)
    rows["nPsfStar"][1] = 0
    for name in ("psfStarDeltaE1Median", "psfStarDeltaE2Median", "psfStarScaledDeltaSizeScatter"):
        rows[name][1] = np.nan
    verdict = judge(rows, [""] * n, QualityConfig())
    least = verdict.limits["psf_stars"]
    reason = f"psf_stars 0 below {least:.3g}, its PSF is that of other detectors"
    assert verdict.reasons == ["", reason, *[""] * (n - 2)]
    assert 1 <= least <= 10


def test_few_stars_are_a_reason_where_others_have_many() -> None:
    rows = summary_rows(40)
    rows["nPsfStar"][3] = 2
    assert judge(rows, [""] * 40, QualityConfig()).reasons[3] == "psf_stars 2 below 10"
    rows["nPsfStar"][:] = np.random.default_rng(2).poisson(4, 40)
    rows["nPsfStar"][3] = 1
    assert judge(rows, [""] * 40, QualityConfig()).reasons[3] == ""


def test_an_empty_sky_may_have_detectors_without_stars() -> None:
    """If the user says so."""
    rows = summary_rows(40)
    rows["nPsfStar"][:] = np.random.default_rng(2).poisson(1.5, 40)
    rows["nPsfStar"][3] = 0
    assert judge(rows, [""] * 40, QualityConfig()).reasons[3].startswith("psf_stars 0 below 1, ")
    config = QualityConfig(psf_stars=FloorConfig(drop_below=0, keep_above=10))
    assert not any(judge(rows, [""] * 40, config).reasons)


UNKNOWN = {
    "psf_stars": "nPsfStar",
    "psf_size": "psfSigma",
    "ellipticity": "psfIxy",
    "psf_size_range": "psfTraceRadiusDelta",
    "psf_flux_range": "psfApFluxDelta",
    "extinction": "zeroPoint",
    "zero_point_err": "zero_point_err",
    "wcs_error": "wcs_error",
    "masked_fraction": "maskedFraction",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_must_be_known_is_said_when_it_is_not(name: str) -> None:
    rows = summary_rows(20)
    rows[UNKNOWN[name]][4] = np.nan
    reasons = judge(rows, [""] * 20, QualityConfig()).reasons
    assert f"{name} is not known" in reasons[4].split("; ")
    assert not any(reasons[:4] + reasons[5:])


def test_what_needs_stars_may_be_unknown() -> None:
    rows = summary_rows(20)
    for name in ("psfStarDeltaE1Median", "psfStarScaledDeltaSizeScatter",
                 "psfApCorrSigmaScaledDelta"):  # fmt: skip
        rows[name][4] = np.nan
    assert not any(judge(rows, [""] * 20, QualityConfig()).reasons)


def test_what_a_detector_lacks_is_not_said_twice() -> None:
    rows = summary_rows(20)
    rows["zeroPoint"][4] = rows["zero_point_err"][4] = np.nan
    lacking = [""] * 4 + ["without photo_calib: cloud"] + [""] * 15
    assert judge(rows, lacking, QualityConfig()).reasons == lacking


def test_good_surveys_lose_nothing() -> None:
    """Figures as good as those of a good survey, whatever their outliers are relative to others."""
    rows = summary_rows(200)
    rows["psfStarDeltaE1Median"][7] = 0.04
    rows["skyNoise"][8] *= 2.5
    assert not any(judge(rows, [""] * 200, QualityConfig()).reasons)


def test_target_is_wider_than_all_of_few_visits_and_most_of_many() -> None:
    config = TargetConfig()
    few = np.repeat([1.5, 2.0, 1.8], 4)
    target = target_sigma(few, np.repeat([1, 2, 3], 4), config)
    assert target == pytest.approx(np.hypot(2.0, 0.8))
    assert not too_wide(few, target, config).any()
    many = np.append(np.linspace(1.5, 2.0, 99), 2.4)
    target = target_sigma(many, np.arange(100), config)
    assert too_wide(many, target, config).sum() == pytest.approx(5, abs=1)


def test_target_has_guards() -> None:
    config = TargetConfig(min_fwhm_pix=4.0, max_fwhm_pix=9.0)
    assert target_sigma(np.array([0.5]), np.array([1]), config) * FWHM_OF_SIGMA == 4.0
    target = target_sigma(np.array([5.0, 2.0]), np.array([1, 2]), config)
    assert target * FWHM_OF_SIGMA == pytest.approx(9.0)
    assert too_wide(np.array([5.0, 2.0]), target, config).tolist() == [True, False]
