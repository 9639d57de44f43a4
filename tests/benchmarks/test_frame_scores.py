"""A frame whose faults are known gets just these faults reported."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accuracy_calibrate_image import summarise
from frame_scores import FrameScore, Scorer

from drpflow.data.mask import Mask

SIDE, SIGMA_PIX, NOISE = 512, 2.0, 10.0
ZERO_POINT_MMAG, PSF_BIAS_MMAG, WCS_PIX, CENTROID_PIX, SIZE = 7.0, 4.0, 0.03, 0.02, 1.01
STARS, SKY = 300, 100


class Wcs:
    """The truth, shifted."""

    def __init__(self, grid: dict[str, np.ndarray]) -> None:
        self.grid = grid

    def world_to_pixel_values(self, ra: np.ndarray, dec: np.ndarray) -> tuple[Any, Any]:
        assert ra is self.grid["ra"]
        return self.grid["x"] + WCS_PIX, self.grid["y"]


class Psf:
    """The truth, 1 % too large."""

    def compute_shape(self, x: np.ndarray, y: np.ndarray) -> Any:
        one = np.ones(len(x))
        return SimpleNamespace(
            xx=one * (SIZE * SIGMA_PIX) ** 2, yy=one * (SIZE * SIGMA_PIX) ** 2, xy=0 * one
        )


def sources(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return stars on a jittered lattice, so that none blends, of S/N 5 to 500."""
    step = SIDE // 18
    cells = rng.permutation(17 * 17)[: STARS - 20]
    x = 20 + step * (cells % 17) + rng.uniform(-4, 4, len(cells))
    y = 20 + step * (cells // 17) + rng.uniform(-4, 4, len(cells))
    area = 4 * np.pi * SIGMA_PIX**2
    snr = 10 ** rng.uniform(np.log10(5), np.log10(500), len(x))
    n = len(x)
    return {
        "x": x, "y": y, "snr": snr, "flux_electron": snr * NOISE * np.sqrt(area),
        "kind": np.zeros(n, int), "isolated": np.ones(n, bool), "saturated": np.zeros(n, bool),
        "psf_star": snr >= 50,
    }  # fmt: skip


def image_of(s: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Draw the stars with noise."""
    image = rng.normal(0, NOISE, (SIDE, SIDE))
    for x, y, flux in zip(s["x"], s["y"], s["flux_electron"], strict=True):
        x0, y0 = max(round(x) - 12, 0), max(round(y) - 12, 0)
        v, u = np.mgrid[y0 : min(y0 + 25, SIDE), x0 : min(x0 + 25, SIDE)]
        shape = np.exp(-0.5 * ((u - x) ** 2 + (v - y) ** 2) / SIGMA_PIX**2)
        image[v, u] += flux / (2 * np.pi * SIGMA_PIX**2) * shape
    return image.astype(np.float32)


def table_of(s: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a catalogue with the right noise, the stated faults, and places of sky."""
    n = len(s["x"])
    total = n + SKY
    error = np.append(s["flux_electron"] / s["snr"], np.full(SKY, 70.0))
    flux = np.append(s["flux_electron"], np.zeros(SKY)) + error * rng.normal(size=total)
    position = np.append(np.sqrt(2) * SIGMA_PIX / s["snr"], np.full(SKY, np.nan))
    noise = np.nan_to_num(position) * rng.normal(size=(2, total))
    off = 10 ** (0.4 * np.array([ZERO_POINT_MMAG, ZERO_POINT_MMAG + PSF_BIAS_MMAG]) / 1e3)
    no, sky = np.zeros(total, bool), np.arange(total) >= n
    return {
        "x": np.append(s["x"], rng.uniform(20, 490, SKY)) + noise[0] + CENTROID_PIX,
        "y": np.append(s["y"], rng.uniform(20, 490, SKY)) + noise[1],
        "xErr": position, "yErr": position, "sky_source": sky, "detect_isPrimary": ~sky,
        "calibFlux": 2 * flux * off[0],
        "psfFlux": 2 * flux * off[1], "psfFluxErr": 2 * error * off[1],
        "psfFlux_instFlux": flux, "psfFlux_instFluxErr": error, "psfFlux_flag": no,
        "ap09Flux_instFlux": flux, "ap09Flux_instFluxErr": error, "ap09Flux_flag": no,
        "centroid_flag": no, "calib_psf_used": no, "calib_apcorr_used": no,
    }  # fmt: skip


@pytest.fixture(scope="module")
def scored() -> FrameScore:
    rng = np.random.default_rng(11)
    s = sources(rng)
    image, hits = image_of(s, rng), np.zeros((SIDE, SIDE))
    hits[100, 40:60] = 1000.0
    mask = Mask.zeros((SIDE, SIDE))
    mask.set("CR", hits > 0)
    mask.set("CR", (slice(100, 101), slice(40, 45)))
    nodes = np.linspace(0, SIDE - 1, 17)
    x, y = (v.ravel() for v in np.meshgrid(nodes, nodes))
    grid = {"x": x, "y": y, "ra": x / 18000, "dec": y / 18000}
    frame = SimpleNamespace(
        visit=1, detector=0, usable=True, fwhm_pix=2.355 * SIGMA_PIX, sources=s, grid=grid,
        row={"sky_electron": NOISE**2 - 36},
        image=lambda name: hits,
        flagged=lambda *names: np.zeros((SIDE, SIDE), bool),
        flux_njy=lambda: 2 * s["flux_electron"],
        shapes=lambda u, v: (0 * u + SIGMA_PIX**2, 0 * u + SIGMA_PIX**2, 0 * u),
    )  # fmt: skip
    exposure = SimpleNamespace(
        image=image, variance=np.full(image.shape, NOISE**2, np.float32), mask=mask,
        wcs=Wcs(grid), psf=Psf(), photo_calib=object(),
    )  # fmt: skip
    return Scorer(frame, exposure, table_of(s, rng)).score()


def test_faults_are_found_at_their_size(scored: FrameScore) -> None:
    numbers = scored.numbers
    assert scored.calibrated
    assert numbers["wcs_pix"] == pytest.approx(WCS_PIX)
    assert numbers["zero_point_mmag"] == pytest.approx(ZERO_POINT_MMAG, abs=1.5)
    assert numbers["psf_flux_mmag"] == pytest.approx(PSF_BIAS_MMAG, abs=0.01)
    assert numbers["centroid_x_pix"] == pytest.approx(CENTROID_PIX, abs=0.005)
    assert numbers["centroid_y_pix"] == pytest.approx(0, abs=0.005)
    assert numbers["psf_star_size"] == pytest.approx(SIZE - 1, rel=1e-6)
    assert numbers["psf_flux_slope"] == pytest.approx(0, abs=4)


def test_errors_that_are_right_have_unit_width(scored: FrameScore) -> None:
    for name in ("flux_pull_10", "x_pull_10", "y_pull_20", "sky_psfFlux"):
        assert np.std(scored.samples[name]) == pytest.approx(1, abs=0.3)
    assert abs(scored.numbers["sky_psfFlux"]) < 0.35


def test_detection_is_counted_beside_sep(scored: FrameScore) -> None:
    hits, tries = scored.counts["S/N 10"]
    assert tries >= 5
    assert hits == tries
    assert scored.numbers["false"] == 0
    # sep at 3.5 sigma sees noise, at 6.5 none; and it finds what is bright at every threshold.
    assert scored.samples["sep_false"][0] >= 3
    assert scored.samples["sep_false"][-1] == 0
    assert scored.samples["sep S/N 20"][-1] == scored.counts["S/N 20"][1]


def test_cosmic_rays_are_counted(scored: FrameScore) -> None:
    counts = scored.cosmic_rays["drpflow"]
    assert (counts.hit, counts.hit_masked) == (20, 20)
    assert counts.core > 100
    assert counts.core_masked == 0


def test_table_of_all_figures(scored: FrameScore) -> None:
    lost = FrameScore(1, 1, usable=True)
    report = summarise([scored, lost], {"PSF size σ error, median, %": [0.002, 0.004]})
    numbers = report.numbers()
    assert numbers["usable detectors that calibrate, %"][0] == 50
    assert numbers["zero point error, rms, mmag"][0] == scored.numbers["zero_point_mmag"]
    assert numbers["attainable: PSF size σ error, median, %"][0] == pytest.approx(0.3)
    text = report.text()
    assert text.count("\n") == len(report.rows) + 1
    assert "| WCS error, median, pix | 0.030 (0.030 to 0.030) | 1 | ≤ 0.02 |" in text
