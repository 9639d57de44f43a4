"""Cut-outs of DECam with their published calibration, coadded by the tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coadd_quality import psf_flux
from decam_coadds import aperture_flux, centroid, coadd, drawn_errors, plan, tract_of, usable
from decam_cutouts import Cutout, read_cutouts, read_gaia

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "decam_cutouts"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs {FOLDER}"),
]


def of_band(cutouts: list[Cutout], band: str) -> list[Cutout]:
    return [c for c in cutouts if c.published.band == band]


@pytest.fixture(scope="module")
def two_ccds(tmp_path_factory: pytest.TempPathFactory) -> list[Cutout]:
    """Two visits in each of three bands, on two CCDs."""
    return read_cutouts(FOLDER / "testcase6", tmp_path_factory.mktemp("sheets"))


@pytest.fixture(scope="module")
def galaxy(tmp_path_factory: pytest.TempPathFactory) -> list[Cutout]:
    """A galaxy that Gaia knows, once in each of three bands, on two CCDs."""
    return read_cutouts(FOLDER / "testcase9", tmp_path_factory.mktemp("sheets"))


def test_the_published_models_are_read_as_they_are_meant(two_ccds: list[Cutout]) -> None:
    assert [c.published.ccd for c in two_ccds] == ["S4", "S4", "S4", "S9", "S9", "S9"]
    for cutout in two_ccds:
        exposure, published = cutout.exposure, cutout.published
        x, y = (exposure.shape[1] - 1) / 2, (exposure.shape[0] - 1) / 2
        # psfnorm is the root of the sum of squares of the PSF; noise is that of empty sky, and
        # there is light of a star of magnitude 10.5 all over these.
        norm = exposure.psf.effective_area(x, y) ** -0.5
        assert norm == pytest.approx(published.noise_njy / published.depth_njy, rel=2e-3)
        noise = np.sqrt(np.median(exposure.variance[usable(exposure)]))
        assert 1.0 < noise / published.noise_njy < 1.15


@pytest.mark.parametrize("band", ["g", "r", "z"])
def test_stars_of_the_published_psfs_come_out_of_the_coadd(
    two_ccds: list[Cutout], band: str
) -> None:
    part = of_band(two_ccds, band)
    found = drawn_errors(part, tract_of(two_ccds))
    assert found["distance_pix"].max() < 0.002
    assert abs(found["flux_mmag"]).max() < 0.5
    assert abs(found["size"]).max() < 0.002


def test_weights_and_psf_are_the_mean_of_the_published(two_ccds: list[Cutout]) -> None:
    part = of_band(two_ccds, "r")
    made = coadd(part, tract_of(two_ccds))
    assert made.planned.plan.visits == sorted(c.visit for c in part)
    x, y = (float(np.mean(e)) for e in np.reshape(made.coadd.box.extent, (2, 2)))
    squares = [c.exposure.psf.compute_sigma(50, 50) ** 2 for c in part]
    expected = np.sqrt(np.average(squares, weights=made.weights))
    assert made.coadd.psf.compute_sigma(x, y) == pytest.approx(expected, rel=0.01)
    # One visit has 1.15 times the other's depth.
    ratio = part[0].published.depth_njy / part[1].published.depth_njy
    assert made.weights[1] / made.weights[0] == pytest.approx(ratio**2, rel=0.2)


@pytest.mark.parametrize("band", ["g", "r", "z"])
def test_a_galaxy_keeps_its_light_and_its_place(galaxy: list[Cutout], band: str) -> None:
    (one,) = of_band(galaxy, band)
    made = coadd([one], tract_of(galaxy)).coadd
    gaia = read_gaia(FOLDER / "testcase9", one.published.mjd)
    inside = made.box.contains(*made.wcs.world_to_pixel_values(gaia["ra"], gaia["dec"]))
    (k,) = np.flatnonzero(inside)
    u, v = made.wcs.world_to_pixel_values(gaia["ra"][k], gaia["dec"][k])
    found = centroid(made, float(u), float(v), 2.0)
    # The published WCS and Gaia agree to 25 mas, a tenth of a pixel, about a nucleus.
    assert np.hypot(found[0] - u, found[1] - v) < 0.1
    x, y = one.exposure.wcs.world_to_pixel_values(*made.wcs.pixel_to_world_values(*found))
    own = centroid(one.exposure, float(x), float(y), 2.0)
    assert np.hypot(own[0] - x, own[1] - y) < 0.005
    scale = 0.262 / float(one.exposure.wcs.pixel_scale_arcsec(x, y))
    flux, _ = aperture_flux(made, *found, 14.0)
    before, error = aperture_flux(one.exposure, float(x), float(y), 14.0 * scale)
    assert flux == pytest.approx(before, rel=5e-4)
    assert error < 0.005 * before
    assert np.isfinite(psf_flux(made, *found)).all()


def test_a_visit_that_is_too_bad_is_left_out(two_ccds: list[Cutout]) -> None:
    part = of_band(two_ccds, "g")
    dim = replace(part[0].published, zero_point_mag=part[0].published.zero_point_mag - 6)
    cloudy = replace(part[0], published=dim)
    planned = plan([cloudy, part[1], part[1]])
    assert "extinction" in planned.plan.columns["reason"][0]
    assert list(planned.plan.columns["used"]) == [False, True, True]
