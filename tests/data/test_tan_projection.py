"""The gnomonic projection against astropy, at awkward places too."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from drpflow.data.tan_projection import TanProjection, separation_deg

PLACES = [(10.0, 20.0), (0.0, 0.0), (359.99, -45.0), (123.0, 89.99), (77.0, 90.0), (200.0, -90.0)]


def plane(n: int = 300, size: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.uniform(-size, size, n), rng.uniform(-size, size, n)


@pytest.mark.parametrize(("ra", "dec"), PLACES)
def test_agrees_with_astropy(ra: float, dec: float) -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (ra, dec), (1, 1), (1, 1)
    if abs(dec) == 90:
        # FITS counts the native longitude of the celestial pole from another direction there.
        wcs.wcs.lonpole = 180.0
    xi, eta = plane()
    expected = wcs.all_pix2world(xi, eta, 0)
    found = TanProjection(ra, dec).to_sky(xi, eta)
    assert separation_deg(*found, *expected).max() * 3600 < 1e-8
    back = TanProjection(ra, dec).from_sky(*expected)
    assert np.abs(np.array(back) - [xi, eta]).max() * 3600 < 1e-8


@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize(("rotation", "x_axis"), [(0.0, "east"), (33.0, "east"), (-170.0, "west")])
def test_round_trip_in_milliarcseconds(ra: float, dec: float, rotation: float, x_axis: str) -> None:
    projection = TanProjection(ra, dec, rotation, x_axis)  # type: ignore[arg-type]
    fx, fy = plane()
    ra_found, dec_found = projection.to_sky(fx, fy)
    assert ((ra_found >= 0) & (ra_found < 360) & (np.abs(dec_found) <= 90)).all()
    again = projection.from_sky(ra_found, dec_found)
    assert np.abs(np.array(again) - [fx, fy]).max() * 3.6e6 < 1e-5


@pytest.mark.parametrize(
    ("x_axis", "t", "expected"),
    [
        ("east", 0.0, (1.0, 0.0)),
        ("west", 0.0, (-1.0, 0.0)),
        ("east", 90.0, (0.0, -1.0)),
        ("west", 90.0, (0.0, 1.0)),
    ],
)
def test_sense_of_rotation(x_axis: str, t: float, expected: tuple[float, float]) -> None:
    """+fy lies at position angle t, east of north; +fx to its west or east."""
    projection = TanProjection(50.0, 0.0, t, x_axis)  # type: ignore[arg-type]
    step = 1e-4
    ra, dec = projection.to_sky([step, 0.0], [0.0, step])
    assert np.array([ra[0] - 50, dec[0]]) == pytest.approx(np.array(expected) * step, abs=1e-10)
    toward_y = np.array([np.sin(np.radians(t)), np.cos(np.radians(t))])
    assert np.array([ra[1] - 50, dec[1]]) == pytest.approx(toward_y * step, abs=1e-10)


@pytest.mark.parametrize(("ra", "dec"), PLACES[:4])
def test_jacobian_is_the_limit_of_differences(ra: float, dec: float) -> None:
    projection = TanProjection(ra, dec, 20.0, "west")
    fx, fy = plane(20, size=0.8)
    jacobian = projection.jacobian(fx, fy)
    here = projection.to_sky(fx, fy)
    h = 1e-6
    for j, (hx, hy) in enumerate(((h, 0), (0, h))):
        there = projection.to_sky(fx + hx, fy + hy)
        offsets = [
            TanProjection(float(r), float(d)).from_sky(r2, d2)
            for r, d, r2, d2 in zip(*here, *there, strict=True)
        ]
        assert jacobian[:, :, j] == pytest.approx(np.array(offsets) / h, abs=1e-6)


def test_jacobian_at_the_pole_is_a_rotation() -> None:
    jacobian = TanProjection(40.0, 90.0).jacobian(0.0, 0.0)
    assert jacobian @ jacobian.T == pytest.approx(np.eye(2), abs=1e-12)


def test_other_hemisphere_is_nan() -> None:
    fx, fy = TanProjection(10.0, 0.0).from_sky([10.0, 190.0, 100.0], [0.0, 0.0, 0.0])
    assert fx[0] == pytest.approx(0, abs=1e-13)
    assert np.isnan(fx[1:]).all()
    assert np.isnan(fy[1:]).all()


def test_right_ascension_never_reaches_360() -> None:
    ra, _ = TanProjection(0.0, 0.0).to_sky(np.array([-1e-18, 0.0, 1e-18]), np.zeros(3))
    assert (ra < 360).all()


def test_small_separations_keep_their_digits() -> None:
    microarcsec = 1e-6 / 3600
    assert separation_deg(10, 0, 10 + microarcsec, 0) == pytest.approx(microarcsec, rel=1e-3)
    assert separation_deg(0, 90, 123, -90) == pytest.approx(180)


@pytest.mark.parametrize("arguments", [(np.nan, 0), (0, 91), (0, 0, np.inf), (0, 0, 0, "up")])
def test_impossible_projections_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError):
        TanProjection(*arguments)
