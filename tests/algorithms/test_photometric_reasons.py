"""Each visit and detector without a zero point has its own reason."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from drpflow.algorithms.photometric_reasons import (
    ALONE,
    NO_FLUX,
    ODD,
    RESERVED,
    of_whole_visits,
    reasons,
)
from drpflow.config.fgcm import FgcmConfig
from drpflow.data.photometric_tables import Observations, Stars

# Visits: calibrated; cloudy on one detector; without flux; reserved; faint; alone; odd; uncertain.
N_STAR = np.array([[5, 5], [5, 5], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [5, 5]])
N_FIT = np.array([[5, 5], [5, 5], [0, 0], [0, 0], [0, 0], [0, 0], [7, 7], [5, 5]])
STARS = Stars([1, 2], [0.0, 1.0], [0.0, 0.0], [False, True])


def observations() -> Observations:
    n = 8
    star = np.array([0, 0, 0, 1, 0, 0, 0, 0])
    mag = np.where(np.arange(n) == 2, np.nan, -10.0)
    err = np.where(np.arange(n) == 4, 0.5, 0.01)
    zero = np.zeros(n)
    return Observations(star, np.arange(n), zero.astype(int), mag, err, zero, zero)


def result(**changes: object) -> SimpleNamespace:
    point = np.full((8, 2), np.nan)
    point[0] = 27.0
    point[1, 0] = 26.0
    gray = np.full((8, 2), -0.01)
    gray[1] = -0.9, -1.25
    columns = {"zero_point": point, "gray": gray, "n_star": N_STAR, "n_fit": N_FIT}
    return SimpleNamespace(**(columns | changes))


def test_reasons() -> None:
    found = reasons(result(), observations(), STARS, FgcmConfig())  # type: ignore[arg-type]
    assert (0, 0) not in found
    assert (1, 0) not in found
    assert found[1, 1] == "1.25 mag of cloud, more than zero_points.max_cloud_mag = 1"
    assert found[2, 0] == NO_FLUX
    assert found[3, 1] == RESERVED
    assert found[4, 0] == "the errors of all its stars are above noise.max_error_mag = 0.11"
    assert found[5, 0] == ALONE
    assert found[6, 1] == ODD
    assert "too uncertain" in found[7, 0]


def test_a_visit_is_lost_if_all_of_its_detectors_are() -> None:
    found = reasons(result(), observations(), STARS, FgcmConfig())  # type: ignore[arg-type]
    whole = of_whole_visits(found, 8, 2)
    assert set(whole) == {2, 3, 4, 5, 6, 7}
    assert whole[5] == ALONE


def test_the_reason_of_a_visit_is_that_of_most_detectors() -> None:
    texts = ["1.20 mag of cloud", "too uncertain", "1.40 mag of cloud", "1.30 mag of cloud"]
    found = {(0, d): why for d, why in enumerate(texts)}
    assert of_whole_visits(found, 1, 4) == {0: "1.30 mag of cloud"}
    assert of_whole_visits(found, 1, 5) == {}


def test_detections_without_place_have_no_usable_flux() -> None:
    o = observations()
    lost = replace(o, u=np.where(np.arange(8) == 5, np.nan, 0.0))
    found = reasons(result(), lost, STARS, FgcmConfig())  # type: ignore[arg-type]
    assert found[5, 0] == NO_FLUX
