"""From metadata and a catalogue to the tables of the astrometric solution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drpflow.algorithms.astrometric_input import references_of, visits_of, zenith_of
from drpflow.data.astrometric_survey import VisitInput
from drpflow.data.camera import Camera
from drpflow.data.earth_orbit import earth_position_au
from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.visit_info import VisitInfo
from tests.workflow.small_survey import camera_values

NAN = float("nan")
UNKNOWN = (NAN, NAN, NAN)


def info(**more: object) -> VisitInfo:
    values = {"visit": 3, "band": "r", "mjd": 60000.0, "ra_deg": 10.0, "dec_deg": -30.0}
    return VisitInfo(**(values | {"rotation_deg": 20.0, "latitude_deg": -30.0} | more))


def test_fitted_boresight_before_the_recorded_one() -> None:
    fitted = VisitInput(info(), (10.1, -30.1, 19.0), {})
    assert fitted.pointing_deg == (10.1, -30.1, 19.0)
    assert VisitInput(info(), UNKNOWN, {}).pointing_deg == (10.0, -30.0, 20.0)
    assert VisitInput(info(rotation_deg=None), (10.1, -30.1, 19.0), {}).lacks == ""


@pytest.mark.parametrize(
    ("given", "reason"),
    [({"mjd": None}, "time"), ({"rotation_deg": None}, "rotation"), ({"ra_deg": None}, "pointing")],
)
def test_what_a_visit_lacks(given: dict[str, object], reason: str) -> None:
    assert reason in VisitInput(info(**given), UNKNOWN, {}).lacks


def test_table_of_visits() -> None:
    camera = Camera.model_validate(camera_values())
    given = [
        VisitInput(info(visit=v, band=b, recorded_hour_angle_deg=h), (10.0 + v, -30.0, 5.0), {})
        for v, b, h in ((1, "r", 0.0), (2, "g", 45.0), (4, "", None))
    ]
    visits = visits_of(given, camera)
    assert visits.id.tolist() == [1, 2, 4]
    assert [visits.bands[k] for k in visits.band] == ["r", "g", ""]
    np.testing.assert_allclose(visits.ra_deg, [11, 12, 14])
    # Without the hour angle, which needs a longitude too, the zenith is unknown.
    assert np.isfinite(visits.zenith[:2]).all()
    assert np.isnan(visits.zenith[2]).all()


def test_zenith_is_west_of_a_star_that_rises() -> None:
    """A star in the east has the zenith on its western side; one on the meridian north or south."""
    east, _ = zenith_of(info(recorded_hour_angle_deg=-30.0))
    assert east < -0.3
    west, _ = zenith_of(info(recorded_hour_angle_deg=30.0))
    assert west > 0.3
    across, north = zenith_of(info(dec_deg=-70.0, recorded_hour_angle_deg=0.0))
    assert abs(across) < 0.01
    # tan of 40 degrees, but for precession.
    assert north == pytest.approx(0.839, abs=0.01)


def catalog(**more: object) -> ReferenceStars:
    columns = {
        "id": [7, 8, 9],
        "ra": [0.0, 0.01, 359.99],
        "dec": [0.0, 0.01, 0.0],
        "epoch": [57388.0] * 3,
        "ra_err": [0.1, NAN, 0.3],
        "dec_err": [0.2, 0.2, 0.2],
        "pm_ra": [1000.0, NAN, 0.0],
        "pm_dec": [0.0, NAN, 0.0],
        "pm_ra_err": [0.01, NAN, 0.02],
        "pm_dec_err": [0.01, NAN, 0.02],
        "parallax": [1.0, NAN, 2.0],
        "parallax_err": [0.05, NAN, 0.04],
    }
    return ReferenceStars.from_columns(columns, **more)  # type: ignore[arg-type]


def test_references_are_matched_where_they_have_moved() -> None:
    mjd = 57388.0 + 10 * 365.25
    # The first star has moved by 10 arcsec to the east; the last of these is no reference.
    ra = np.array([359.99, 10 / 3600, 0.01, 5.0])
    dec = np.array([0.0, 0.0, 0.01, 0.0])
    reference, ids = references_of(ra, dec, mjd, catalog(), 0.5, 50.0)
    assert ids.tolist() == [9, 7, 8, 0]
    assert reference is not None
    assert reference.known.tolist() == [True, True, True, False]
    np.testing.assert_allclose(reference.pm_ra, [0.0, 1000.0, NAN, NAN])
    np.testing.assert_allclose(reference.ra_deg[:3], [359.99, 0.0, 0.01])
    np.testing.assert_allclose(np.diag(reference.covariance[0]), [0.09, 0.04, 4e-4, 4e-4, 1.6e-3])
    # A position without an error has the expected one; motions without errors stay unknown.
    np.testing.assert_allclose(np.diag(reference.covariance[2])[:2], [2500.0, 0.04])
    assert np.isnan(np.diag(reference.covariance[2])[2:]).all()


def test_errors_go_together_as_the_catalogue_says() -> None:
    given = replace(catalog(), correlation={"ra_pm_ra_corr": np.array([0.5, NAN, -0.4])})
    reference, _ = references_of(np.array([0.0]), np.array([0.0]), 57388.0, given, 0.5, 50.0)
    assert reference is not None
    c = reference.covariance[0]
    assert c[0, 2] == c[2, 0] == pytest.approx(0.5 * 0.1 * 0.01)
    assert c[0, 3] == c[1, 2] == 0


def test_places_seen_from_the_earth_hold_their_parallax() -> None:
    """The barycentre's place is found, as certain as the parallax is."""
    columns = catalog().to_columns() | {"parallax": np.array([40.0, NAN, 2.0])}
    true = ReferenceStars.from_columns(columns)
    mjd = 57388.0
    seen = true.at_epoch(mjd)
    errors = {name: getattr(true, name) for name in ("ra_err", "dec_err")}
    seen = replace(seen, **errors)
    reference, ids = references_of(true.ra, true.dec, mjd, seen, 0.5, 50.0)
    assert reference is not None
    assert ids.tolist() == [7, 8, 9]
    off = 3.6e6 * np.array([reference.ra_deg - true.ra, reference.dec_deg - true.dec])
    np.testing.assert_allclose(off[:, [0, 2]], 0, atol=1e-4)
    earth = earth_position_au(mjd)
    # At right ascension and declination 0, y points east and z north.
    factor = earth[1:]
    np.testing.assert_allclose(reference.covariance[0, :2, 4], factor * 0.05**2, rtol=1e-6)
    assert 3.6e6 * (true.ra[0] - (seen.ra[0] - 360)) == pytest.approx(40 * factor[0], rel=1e-4)
    # Of an unknown parallax the place says that it lies on a line.
    c, line = reference.covariance[1], np.array([0, 1, 0, 0, -factor[1]])
    known = [0, 1, 4]
    assert np.sqrt(line[known] @ c[np.ix_(known, known)] @ line[known]) == pytest.approx(
        0.2, rel=0.02
    )
    assert np.sqrt(c[4, 4]) == 1000
    assert np.isnan(c[2, 2])
    assert reference.told[:, 4].tolist() == [True, False, True]
    assert reference.told[:, :2].all()


def test_no_catalog_and_no_match() -> None:
    ra, dec = np.array([100.0]), np.array([0.0])
    for given in (None, catalog(), catalog().select(slice(0, 0))):
        reference, ids = references_of(ra, dec, 57388.0, given, 0.5, 50.0)
        assert reference is None
        assert ids.tolist() == [0]
