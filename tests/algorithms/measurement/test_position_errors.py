"""Positions of galaxies are as uncertain as they say."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from drpflow.algorithms.measurement.position_errors import extended_position_errors
from drpflow.algorithms.measurement.sources import measure_sources
from drpflow.config.measurement import MeasurementConfig
from drpflow.data.footprints import Footprints
from drpflow.data.heavy_footprints import HeavyFootprints
from drpflow.data.mask import Mask
from drpflow.data.psf import GaussianPsf

STEP, SIDE, SIGMA = 44, 20, 1.9


@pytest.mark.parametrize(
    ("flux", "radius", "n_sersic"), [(6e3, 3, 1), (6e4, 3, 1), (6e4, 3, 4), (1e4, 7, 1)]
)
def test_pulls_of_galaxies(flux: float, radius: float, n_sersic: int) -> None:
    """The last one is so diffuse that fits of the PSF lose it, and moments take their place."""
    rng = np.random.default_rng(6)
    n = STEP * SIDE
    galaxy = galsim.Sersic(n_sersic, half_light_radius=radius, flux=flux, trunc=5 * radius)
    profile = galsim.Convolve(galaxy, galsim.Gaussian(sigma=SIGMA))
    stamp = profile.drawImage(nx=STEP, ny=STEP, scale=1.0, method="no_pixel").array
    image = np.tile(stamp, (SIDE, SIDE)) + rng.normal(0, 15, (n, n))
    image = image.astype(np.float32)
    centers = (np.arange(SIDE) + 0.5) * STEP - 0.5
    y, x = (grid.ravel() for grid in np.meshgrid(centers, centers, indexing="ij"))
    labels = np.arange(1, SIDE**2 + 1, dtype=np.int32).reshape(SIDE, SIDE)
    prints = Footprints.from_labels(np.kron(labels, np.ones((STEP, STEP), np.int32)), x, y)
    found = measure_sources(
        image,
        np.full(image.shape, 225, np.float32),
        Mask.zeros(image.shape),
        HeavyFootprints.from_image(prints, image),
        GaussianPsf(SIGMA, half_size=12),
        MeasurementConfig(),
        rng,
    )
    good = ~found["centroid_flag"]
    assert good.mean() > 0.97
    pulls = [(found[a] - t)[good] / found[f"{a}Err"][good] for a, t in (("x", x), ("y", y))]
    assert 0.85 < np.std(pulls) < 1.25
    assert abs(np.mean(pulls)) < 0.15


def test_only_sources_that_are_broad_change() -> None:
    one = np.ones(3, np.float32)
    columns = dict.fromkeys(("xErr", "yErr", "ixxErr", "iyyErr"), 0.1 * one)
    columns |= {"x_y_Cov": 0.001 * one, "ixxPSF": 4 * one, "iyyPSF": 4 * one}
    columns |= {"ixx": np.array([4.1, 8, 8]), "iyy": np.array([4.1, 8, np.nan])}
    columns["shape_flag"] = np.array([False, False, True])
    found = extended_position_errors(columns, np.array([0.5, 0.5, 0.5]))
    np.testing.assert_allclose(found["xErr"], [0.1, 0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found["x_y_Cov"], [0.001, 0.004, 0.001], rtol=1e-6)
