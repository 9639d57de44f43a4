"""Sky positions and calibrated fluxes of sources."""

from __future__ import annotations

import numpy as np

from drpflow.algorithms.source_calibration import calibrate_fluxes, calibrate_positions
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.sky_wcs import SkyWcs
from tests.data.wcs_cases import camera


def sources(n: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "x": rng.uniform(0, 2000, n),
        "y": rng.uniform(0, 4000, n),
        "xErr": np.full(n, 0.02),
        "yErr": np.full(n, 0.05),
        "x_y_Cov": np.full(n, 4e-4),
        "psfFlux_instFlux": rng.uniform(10, 1000, n),
        "psfFlux_instFluxErr": np.full(n, 3.0),
        "normCompTophatFlux_instFlux": rng.uniform(10, 1000, n),
        "normCompTophatFlux_instFluxErr": np.full(n, 4.0),
    }


def test_errors_on_the_sky_agree_with_a_cloud_of_centroids() -> None:
    columns = {name: values[:1] for name, values in sources().items()}
    wcs = SkyWcs.from_camera(camera(), 1, 40.0, 60.0, 25.0)
    found = calibrate_positions(columns, wcs)
    rng = np.random.default_rng(2)
    covariance = np.array([[0.02**2, 4e-4], [4e-4, 0.05**2]])
    dx, dy = rng.multivariate_normal([0, 0], covariance, 100_000).T
    ra, dec = wcs.pixel_to_world_values(columns["x"] + dx, columns["y"] + dy)
    east = (ra - found["ra"]) * np.cos(np.radians(found["dec"]))
    np.testing.assert_allclose(found["raErr"], east.std(), rtol=0.02)
    np.testing.assert_allclose(found["decErr"], dec.std(), rtol=0.02)
    expected = np.cov(east, dec)[0, 1]
    scale = found["raErr"] * found["decErr"]
    np.testing.assert_allclose(found["ra_dec_Cov"] / scale, expected / scale, atol=0.02)


def test_fluxes_in_njy() -> None:
    columns = sources()
    found = calibrate_fluxes(columns, PhotoCalib(2.5, 0.1))
    np.testing.assert_allclose(found["psfFlux"], 2.5 * columns["psfFlux_instFlux"])
    np.testing.assert_allclose(found["calibFlux"], 2.5 * columns["normCompTophatFlux_instFlux"])
    np.testing.assert_allclose(found["calibFluxErr"], 10.0)


def test_without_calibrations_there_is_nothing() -> None:
    columns = sources()
    found = calibrate_positions(columns, None) | calibrate_fluxes(columns, None)
    assert len(found) == 9
    assert all(np.isnan(values).all() and len(values) == 4 for values in found.values())
