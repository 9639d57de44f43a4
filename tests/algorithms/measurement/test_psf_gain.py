"""PSF fluxes of faint stars are unbiased although the same noise has chosen their positions."""

from __future__ import annotations

import numpy as np

from drpflow.algorithms.measurement.psf_fit import psf_columns
from drpflow.algorithms.measurement.work_image import plain_scene
from drpflow.config.measurement import MeasurementConfig
from drpflow.data.psf import GaussianPsf

SIGMA, STEP, SIDE, NOISE, SNR = 2.0, 30, 40, 10.0, 7.0
FLUX = SNR * NOISE * np.sqrt(4 * np.pi) * SIGMA


def test_fitted_positions_do_not_raise_the_flux() -> None:
    rng = np.random.default_rng(8)
    n = STEP * SIDE
    psf = GaussianPsf(SIGMA, 10)
    nodes = (np.arange(SIDE) + 0.5) * STEP
    x, y = (v.ravel() + rng.uniform(-0.5, 0.5, SIDE**2) for v in np.meshgrid(nodes, nodes))
    image = rng.normal(0, NOISE, (n, n))
    stamps, x0, y0 = psf.compute_images(x, y)
    for stamp, column, row in zip(stamps, x0, y0, strict=True):
        image[row : row + 21, column : column + 21] += FLUX * stamp
    data = image.astype(np.float32)
    scene = plain_scene(data, np.full_like(data, NOISE**2), np.zeros(data.shape, bool))
    ends = np.zeros(x.size + 1, np.int64)
    scene = scene._replace(first_span=ends, first_value=ends)
    start = np.full((x.size, 3), np.nan)
    places, config = (x.copy(), y.copy()), MeasurementConfig()
    free, _ = psf_columns(scene, places, start, psf, SIGMA, config)
    held, _ = psf_columns(scene, places, start, psf, SIGMA, config, free=False)
    good = ~free["centroid_flag"]
    assert good.mean() > 0.98
    error = FLUX / SNR / np.sqrt(good.sum())
    # Without the correction the fluxes at fitted places are higher by FLUX / SNR², 6 errors here.
    assert 5 * error < FLUX / SNR**2
    difference = (free["psfFlux_instFlux"] - held["psfFlux_instFlux"])[good]
    assert abs(difference.mean()) < 1.5 * error
    assert abs(held["psfFlux_instFlux"].mean() - FLUX) < 3 * error
