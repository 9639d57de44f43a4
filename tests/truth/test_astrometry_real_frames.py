"""Matching and fitting on real frames of a crowded field, with one of them as the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.io import fits
from numpy.typing import NDArray

from drpflow.algorithms.astrometry import calibrate_astrometry
from drpflow.config.astrometry import AstrometryConfig
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.sky_wcs import SkyWcs
from drpflow.io.camera_yaml import load_camera

RA_DEG, DEC_DEG = 273.87, -25.285
MJD = 56507.8
# Good, middling and poor seeing, 5 to 11 pixels.
FRAMES = ("0015", "0087", "0172")


def sources(path: Path) -> dict[str, NDArray]:
    """Return centroids and aperture fluxes of what sep finds, away from edge and saturation."""
    image = fits.getdata(path).astype(float)
    noise = np.sqrt(np.maximum(image, 1.0) / 1.9 + 7.0)
    image = image - sep.Background(image, bw=64, bh=64)
    found = sep.extract(image, 4.0, err=noise, minarea=5, deblend_cont=1e-3)
    inside = (found["x"] > 8) & (found["x"] < 503) & (found["y"] > 8) & (found["y"] < 503)
    found = found[inside & (found["peak"] < 45000) & (found["flag"] <= 3)]
    radii = np.full(len(found), 12.0)
    radius, _ = sep.flux_radius(image, found["x"], found["y"], radii, 0.5, normflux=found["flux"])
    half = float(np.median(radius))
    x, y, _ = sep.winpos(image, found["x"], found["y"], 2 / 2.35 * half)
    flux, flux_err, _ = sep.sum_circle(image, x, y, 5.0, err=noise)
    good = flux > 0
    error = np.hypot(1.2 * half * flux_err[good] / flux[good], 0.01)
    columns = {"x": x[good], "y": y[good], "x_err": error, "y_err": error}
    return columns | {"flux": flux[good], "flux_err": flux_err[good]}


@pytest.mark.real_data
def test_every_frame_matches_the_sharpest(real_data: Path) -> None:
    folder = real_data / "saao_kb131475"
    camera = load_camera("saao1m_ste3")
    detector = camera.detectors[0]
    model = SkyWcs.from_camera(camera, detector, RA_DEG, DEC_DEG)
    best = sources(folder / "AKB13475I0100.fits.gz")
    ra, dec = model.pixel_to_world_values(best["x"], best["y"])
    columns = {"id": np.arange(len(ra)), "ra": ra, "dec": dec, "epoch": np.full(len(ra), MJD)}
    reference = ReferenceStars.from_columns(columns | {"flux_I": best["flux"]})
    rng = np.random.default_rng(1)
    for name in FRAMES:
        found = sources(folder / f"AKB13475I{name}.fits.gz")
        offset_deg = rng.uniform(-60, 60, 2) * 0.31 / 3600
        pointing = (RA_DEG + offset_deg[0], DEC_DEG + offset_deg[1], rng.uniform(-1, 1))
        guess = SkyWcs.from_camera(camera, detector, *pointing)
        fit = calibrate_astrometry(
            **found,
            guess=guess,
            reference=reference,
            visit_info=None,
            config=AstrometryConfig(),
            band="I",
        )
        assert fit.numbers["log10_chance"] < -50
        assert fit.numbers["scale_ratio"] == pytest.approx(1.0, abs=2e-3)
        assert fit.numbers["scatter_mas"] < 0.5 * 310
