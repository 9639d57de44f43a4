"""Plain columns of summaries of good visits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def summary_rows(n: int, detectors: int = 1, seed: int = 1) -> dict[str, NDArray[Any]]:
    """Return n rows, so many detectors a visit, whose figures scatter as those of good nights."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(1.7, 2.3, n)
    zeros, tilt = np.zeros(n), 0.05 * sigma**2

    def about(value: float, scatter: float) -> NDArray[np.float64]:
        return np.abs(rng.normal(value, scatter, n))

    return {
        "visit": 1 + np.arange(n) // detectors,
        "detector": (np.arange(n) % detectors).astype(np.int32),
        "physical_filter": np.array(["r1"] * n),
        "psfSigma": sigma,
        "psfIxx": sigma**2 + tilt,
        "psfIyy": sigma**2 - tilt,
        "psfIxy": zeros.copy(),
        "psfArea": 4 * np.pi * sigma**2,
        "pixelScale": np.full(n, 0.2),
        "nPsfStar": rng.poisson(60, n).astype(float),
        "psfStarDeltaE1Median": rng.normal(0, 0.005, n),
        "psfStarDeltaE2Median": rng.normal(0, 0.005, n),
        "psfStarScaledDeltaSizeScatter": about(0.01, 0.003),
        "psfTraceRadiusDelta": about(0.06, 0.02),
        "psfApFluxDelta": about(0.005, 0.002),
        "psfApCorrSigmaScaledDelta": about(0.02, 0.01),
        "zeroPoint": rng.normal(30.0, 0.05, n),
        "expTime": np.full(n, 30.0),
        "skyNoise": about(15.0, 1.0),
        "meanVar": np.full(n, 225.0),
        "zero_point_err": about(0.002, 0.0005),
        "wcs_error": about(0.003, 0.0005),
        "maskedFraction": about(0.01, 0.002),
    }
