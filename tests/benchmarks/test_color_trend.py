"""Trends of residuals with colour: what was put in is told, with an honest error."""

from __future__ import annotations

import numpy as np
import pytest
from color_trend import AIRMASS, ColorTrend, color_trend, trend_lines, upward_trend

from drpflow.data.visit_info import VisitInfo

NOISE_MAS = 8.0


def visit(hour_angle_deg: float = 35.0, rotation_deg: float = 40.0) -> VisitInfo:
    return VisitInfo(
        1, band="g", mjd=60000.0, ra_deg=20.0, dec_deg=-10.0, rotation_deg=rotation_deg,
        recorded_hour_angle_deg=hour_angle_deg, longitude_deg=-70.0, latitude_deg=-30.0,
    )  # fmt: skip


def residuals(
    slope: np.ndarray, seed: int, n: int = 300
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    color = rng.normal(0.8, 0.5, n)
    off = slope[:, None] * (color - 0.8) + rng.normal(0, NOISE_MAS, (2, n))
    off[:, :5] += 300.0  # wrong matches
    color[5:9] = np.nan
    return off, np.full((2, n), NOISE_MAS**2), color


def test_slopes_of_a_visit() -> None:
    pulls = []
    for seed in range(40):
        found = color_trend(*residuals(np.array([12.0, -7.0]), seed), visit())
        assert found is not None
        pulls.append((found.slope - [12.0, -7.0]) / found.error)
        assert found.error == pytest.approx(NOISE_MAS / 0.5 / np.sqrt(300), rel=0.25)
    assert np.std(pulls) == pytest.approx(1, abs=0.25)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.5


def test_upward_is_towards_the_zenith() -> None:
    """Of a star that is lifted, by the sky and not by formulae of angles."""
    from astropy import units as u
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time

    info = visit()
    frame = AltAz(
        obstime=Time(info.mjd, format="mjd", scale="tai"),
        location=EarthLocation.from_geodetic(-70.0, -30.0),
    )
    # A place of that hour angle at that time, so that both tell the same zenith.
    hour_angle = frame.obstime.sidereal_time("mean", "greenwich").deg - 70.0 - 20.0
    info = visit(hour_angle_deg=(hour_angle + 180) % 360 - 180)
    place = SkyCoord(20.0, -10.0, unit="deg")
    there = place.transform_to(frame)
    lifted = SkyCoord(there.az, there.alt + 1 * u.arcsec, frame=frame).transform_to("icrs")
    east = (lifted.ra.deg - 20.0) * np.cos(np.radians(-10.0))
    north = lifted.dec.deg + 10.0
    turn = np.radians(40.0)
    # The field of a camera whose x axis points west at rotation 0.
    slope = 3.6e6 * np.array(
        [-east * np.cos(turn) + north * np.sin(turn), east * np.sin(turn) + north * np.cos(turn)]
    )
    found = color_trend(*residuals(slope / 100, 3, n=3000), info)
    assert found is not None
    assert found.upward == pytest.approx(10.0, abs=4 * found.upward_error)
    assert found.tan_z == pytest.approx(np.tan(np.pi / 2 - there.alt.rad), rel=0.02)


def test_too_few_stars_have_no_trend() -> None:
    off, variance, color = residuals(np.zeros(2), 1)
    assert color_trend(off[:, :12], variance[:, :12], color[:12], visit()) is None


def test_refraction_that_is_left_is_told_at_one_airmass() -> None:
    rng = np.random.default_rng(2)
    tan_z = rng.uniform(0.1, 1.4, 30)
    upward = 3.0 * tan_z + rng.normal(0, 0.5, 30)
    zero = np.zeros(2)
    trends = [
        ColorTrend("g", float(t), zero, zero + 0.5, float(s), 0.5)
        for t, s in zip(tan_z, upward, strict=True)
    ]
    found = upward_trend(trends)
    assert found.value == pytest.approx(3.0 * np.sqrt(AIRMASS**2 - 1), abs=0.3)
    (row,) = trend_lines({"all": trends, "none": []})[2:]
    assert row.startswith("| all | 30 | 0.00")
    assert f"g {found.text(2)}" in row
