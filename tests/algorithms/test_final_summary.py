"""Pieces of the final summary of a visit: guard, choice of a piece of the sky, passband, sky."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.final_summary import (
    corner_displacement_arcsec,
    final_sky,
    nearest_piece,
    passband,
    why_not,
)
from drpflow.config.photometry import DepthConfig
from drpflow.config.update_visit_summary import WcsGuardConfig
from drpflow.data.background import Background, PolynomialLayer
from drpflow.data.camera import Filter
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.healpix import pixel_centers_deg, pixels_of_deg
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.transmission import TransmissionCurve
from drpflow.errors import AlgorithmError
from tests.tasks.astrometric_run import DEC_DEG, RA_DEG, SIZE_PIX, camera

BOX = Box(0, SIZE_PIX, 0, SIZE_PIX)
GUARD = WcsGuardConfig()


@pytest.mark.parametrize("place", [(0.01, -30.0), (250.0, 5.0), (77.0, 89.9)])
def test_the_piece_with_the_nearest_centre(place: tuple[float, float]) -> None:
    order = 3
    pieces = list(range(12 * 4**order))
    found = nearest_piece(order, pieces, *place)
    ra, dec = pixel_centers_deg(order, np.array(pieces))
    a, b = np.radians([ra, dec]), np.radians(place)
    cosine = np.sin(a[1]) * np.sin(b[1]) + np.cos(a[1]) * np.cos(b[1]) * np.cos(a[0] - b[0])
    assert cosine[found] == cosine.max()
    # The pixel that holds a place is not always that one, but never far.
    holder = int(pixels_of_deg(order, [place[0]], [place[1]])[0])
    assert np.degrees(np.arccos(cosine[holder])) < 7.5


def test_displacement_is_that_of_the_farthest_corner() -> None:
    cam = camera()
    one = SkyWcs.from_camera(cam, 0, RA_DEG, DEC_DEG, 0.0)
    # A turn about the boresight moves a corner by its distance from there.
    two = SkyWcs.from_camera(cam, 0, RA_DEG, DEC_DEG, 0.01)
    corners = one.sky_corners(BOX)
    east = (corners[:, 0] - RA_DEG) * np.cos(np.radians(DEC_DEG))
    far = 3600 * np.hypot(east, corners[:, 1] - DEC_DEG).max()
    wanted = far * np.radians(0.01)
    assert corner_displacement_arcsec(one, two, BOX) == pytest.approx(wanted, rel=1e-3)
    assert corner_displacement_arcsec(one, one, BOX) < 1e-6


@pytest.mark.parametrize(
    ("displacement", "error", "good"),
    [(0.49, np.nan, True), (0.51, np.nan, False), (0.9, 0.2, True), (1.2, 0.2, False)],
)
def test_the_guard(displacement: float, error: float, good: bool) -> None:
    assert (why_not(displacement, error, GUARD) == "") is good


def test_the_guard_wants_something_to_compare_with() -> None:
    assert "no preliminary" in why_not(np.nan, np.nan, GUARD)


def test_a_told_passband_supersedes_the_nominal_one() -> None:
    item = Filter(physical_filter="r1", band="r")
    air = TransmissionCurve.from_table([300.0, 1100.0], [0.9, 0.7])
    curve = (np.array([600.0, 601.0, 650.0, 651.0]), np.array([0.0, 0.5, 0.5, 0.0]))
    told, guessed = passband(air, item, curve), passband(air, item, None)
    assert told.throughput(620.0) == pytest.approx(0.5 * (0.9 - 0.2 * 320 / 800))
    assert told.throughput(580.0) == 0
    assert guessed.throughput(580.0) > 0.8


def exposure(unit: str = "nJy", *, recorded: bool = True) -> Exposure:
    rng = np.random.default_rng(7)
    shape = (400, 500)
    electrons = rng.normal(100.0, 10.0, shape)
    mask = Mask.zeros(shape)
    mask.array[:40] |= mask.bit("SAT")
    electrons[200:230] += 5000.0
    mask.array[200:230] |= mask.bit("DETECTED")
    calib = PhotoCalib(2.5)
    first = Background((("mesh", PolynomialLayer.constant(90.0)),))
    image, variance = first.subtract(electrons.astype(np.float32), (0, 0)), np.full(shape, 100.0)
    if unit == "nJy":
        image, scaled = calib.calibrate_image(image, variance.astype(np.float32))
        assert scaled is not None
        variance = scaled
    components = {"background": first, **({"photo_calib": calib} if recorded else {})}
    return Exposure(image, mask, variance.astype(np.float32), unit=unit, components=components)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["nJy", "electron"])
def test_sky_is_in_electrons_under_the_final_background(unit: str) -> None:
    final = Background((("sky", PolynomialLayer.constant(100.0)),))
    found = final_sky(exposure(unit), final, DepthConfig())
    assert found["skyBg"] == pytest.approx(100)
    assert found["skyNoise"] == pytest.approx(10, rel=0.01)
    assert found["meanVar"] == pytest.approx(100, rel=1e-5)
    assert found["maskedFraction"] == pytest.approx(0.1)


def test_pixels_whose_calibration_is_not_recorded() -> None:
    final = Background((("sky", PolynomialLayer.constant(100.0)),))
    with pytest.raises(AlgorithmError, match="not recorded"):
        final_sky(exposure(recorded=False), final, DepthConfig())


def test_a_background_of_another_unit() -> None:
    final = Background((("sky", PolynomialLayer.constant(100.0)),), unit="nJy")
    with pytest.raises(AlgorithmError, match="nJy, not in electrons"):
        final_sky(exposure(), final, DepthConfig())
