"""The TAN-SIP approximation and the error that its header states, checked with astropy."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from drpflow.data.geometry import Box
from drpflow.data.plane_maps import AffineMap
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection, separation_deg
from tests.data.wcs_cases import camera, pixels, visit_map, wcs_at

POINTINGS = [(0.0, 0.0), (359.9, -30.0), (0.05, 60.0), (150.0, 89.8)]


def header_of(wcs: SkyWcs, *arguments: Any) -> fits.Header:
    return fits.Header(wcs.to_fits_header(*arguments))


def largest_error_arcsec(wcs: SkyWcs, header: fits.Header, box: Box, n: int = 3000) -> float:
    """Largest distance between astropy's reading of the header and the exact WCS."""
    rng = np.random.default_rng(11)
    x_min, x_max, y_min, y_max = box.extent
    x, y = rng.uniform(x_min, x_max, n), rng.uniform(y_min, y_max, n)
    x[:4], y[:4] = (x_min, x_max, x_max, x_min), (y_min, y_min, y_max, y_max)
    approximate = WCS(header).all_pix2world(x - box.x0, y - box.y0, 0)
    return 3600 * float(separation_deg(*approximate, *wcs.pixel_to_world_values(x, y)).max())


@pytest.mark.parametrize(("ra", "dec"), POINTINGS)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_stated_error_is_the_error(ra: float, dec: float, tolerance: float) -> None:
    wcs = wcs_at(ra, dec)
    box = Box(0, 2048, 0, 4096)
    header = header_of(wcs, None, tolerance)
    assert header["CTYPE1"] == "RA---TAN-SIP"
    assert header["SIPERR"] < tolerance
    found = largest_error_arcsec(wcs, header, box)
    assert found < 1.02 * header["SIPERR"] + 1e-9
    assert found > 0.5 * header["SIPERR"], "the statement is no loose bound"


def test_inverse_cards_are_as_good_as_stated() -> None:
    wcs = wcs_at(33.0, -5.0)
    header = header_of(wcs)
    x, y = pixels(2000)
    reader = WCS(header)
    plane = reader.copy()
    plane.sip = None
    foc = plane.wcs_world2pix(*wcs.pixel_to_world_values(x, y), 1)
    u, v = np.array(foc) - reader.wcs.crpix[:, None]
    u_found, v_found = (
        t + sum(c * u**p * v**q for (p, q), c in np.ndenumerate(coefficients))
        for t, coefficients in ((u, reader.sip.ap), (v, reader.sip.bp))
    )
    found = np.hypot(
        u_found + reader.wcs.crpix[0] - 1 - x, v_found + reader.wcs.crpix[1] - 1 - y
    ).max()
    assert found < 1.05 * header["SIPINVER"] + 1e-9
    assert header["SIPINVER"] < 1e-3


def test_order_rises_with_the_demand() -> None:
    wcs = wcs_at(33.0, -5.0)
    orders = [header_of(wcs, None, t)["A_ORDER"] for t in (0.3, 1e-2, 1e-4, 1e-6)]
    assert orders == sorted(orders)
    assert orders[0] < orders[-1] <= 9
    errors = [header_of(wcs, None, t)["SIPERR"] for t in (0.3, 1e-2, 1e-4, 1e-6)]
    assert all(e < t for e, t in zip(errors, (0.3, 1e-2, 1e-4, 1e-6), strict=True))


def test_best_order_is_kept_where_the_tolerance_is_out_of_reach() -> None:
    wcs = SkyWcs.from_camera(camera(), 1, 33.0, 0.0).with_visit_map(visit_map(4, 20.0, order=14))
    header = header_of(wcs, None, 1e-9)
    assert header["SIPERR"] > 1e-9
    assert header["SIPERR"] < 1e-2
    found = largest_error_arcsec(wcs, header, Box(0, 2048, 0, 4096))
    assert found < 1.1 * header["SIPERR"] + 1e-9


def test_undistorted_wcs_needs_no_sip() -> None:
    cam = camera()
    optics = cam.optics.model_copy(update={"radial": (), "boresight_mm": (0.0, 0.0)})
    # About another point than its own tangent point, even TAN is no linear map.
    wcs = SkyWcs.from_camera(cam.model_copy(update={"optics": optics}), 0, 120.0, 45.0, 10.0)
    header = header_of(wcs)
    assert header["CTYPE1"] == "RA---TAN"
    assert "A_ORDER" not in header
    assert header["SIPERR"] < 1e-8
    assert largest_error_arcsec(wcs, header, Box(0, 2048, 0, 4096)) < 1e-8


def test_cut_out_has_its_own_cards() -> None:
    wcs = wcs_at(10.0, 70.0)
    box = Box(300, 412, 1000, 1090)
    header = header_of(wcs, box, 1e-4)
    assert (header["CRPIX1"], header["CRPIX2"]) == (56.5, 45.5)
    assert largest_error_arcsec(wcs, header, box) < 1e-4
    moved = wcs.shifted(300, 1000, pixel_shape=(112, 90))
    assert header_of(moved)["CRVAL1"] == pytest.approx(header["CRVAL1"], abs=1e-12)


def test_header_reads_back_as_the_same_wcs() -> None:
    wcs = wcs_at(10.0, 70.0)
    header = header_of(wcs)
    again = SkyWcs.from_fits_header(header)
    x, y = pixels()
    expected = WCS(header).all_pix2world(x, y, 0)
    assert 3600 * separation_deg(*again.pixel_to_world_values(x, y), *expected).max() < 1e-8


def test_cards_fit_a_header_and_cost_little() -> None:
    wcs = wcs_at(10.0, 70.0)
    start = time.process_time()
    cards = wcs.to_fits_header()
    # 8 ms on one core; the margin is for busy machines.
    assert time.process_time() - start < 0.5
    text = fits.Header(cards).tostring()
    assert len(text) % 2880 == 0
    assert all(len(keyword) <= 8 for keyword, _, _ in cards)
    assert {type(value) for _, value, _ in cards} == {int, float, str}


def test_pixels_without_a_position_are_named() -> None:
    # The image reaches from one side of the sky to the other, 150 degrees from its centre.
    scale = AffineMap(60.0 * np.eye(2), np.array([-120.0, 0.0]))
    with pytest.raises(ValueError, match=r"no position for some pixels of the box \(0, 40, 0, 3\)"):
        SkyWcs((("scale", scale),), TanProjection(0, 0)).to_fits_header(Box(0, 40, 0, 3))


def test_no_image_no_cards() -> None:
    with pytest.raises(ValueError, match="no pixel"):
        wcs_at(0, 0).to_fits_header(Box(5, 5, 0, 9))
