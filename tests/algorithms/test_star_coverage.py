"""Visits that should see a star, and do."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.star_coverage import Footprints, Sightings, coverage, is_lasting
from drpflow.config.associate_isolated_stars import CoverageConfig
from drpflow.data.reference_stars import unit_vectors

CONFIG = CoverageConfig()


def square(ra: float, dec: float, half: float, turn: int = 1) -> np.ndarray:
    x, y = np.array([-1, 1, 1, -1]) * half, np.array([-1, -1, 1, 1]) * half
    return unit_vectors(ra + x / np.cos(np.radians(dec)), dec + y)[::turn]


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.99, 60.0), (100.0, -85.0)])
def test_stars_on_detectors_are_expected(ra: float, dec: float, turn: int) -> None:
    corners = np.array([square(ra, dec, 0.1, turn), square(ra, dec, 0.05, turn)])
    one, two = np.zeros(2, int), np.ones(2)
    footprints = Footprints(np.array([0, 1]), one, corners, two)
    scale = np.cos(np.radians(dec))
    stars = unit_vectors(ra + np.array([0, 0.08, 0.12]) / scale, np.full(3, dec))
    stars = np.append(stars, -stars[:1], axis=0)
    sightings = Sightings(np.arange(4), np.zeros(4, int), np.full(4, 10.0), np.full(4, 9.0))
    expected, met = coverage(stars, sightings, footprints, 1, CONFIG)
    assert expected.tolist() == [2, 1, 0, 0]
    assert met.tolist() == [1, 1, 0, 0]


def test_a_visit_must_be_deep_enough_in_the_band() -> None:
    corners = np.array([square(10.0, 0.0, 0.1)] * 4)
    limit = np.array([1.0, 9.0, np.nan, 1.0])
    footprints = Footprints(np.arange(4), np.array([0, 0, 0, 1]), corners, limit)
    star = unit_vectors(np.array([10.0]), np.array([0.0]))
    sightings = Sightings(
        np.zeros(2, int), np.array([0, 2]), np.array([12.0, np.nan]), np.array([19.0, np.nan])
    )
    expected, met = coverage(star, sightings, footprints, 2, CONFIG)
    # Visit 1 is too shallow, that of 2 unknown, and nothing is known of the star in band 1.
    assert (expected.tolist(), met.tolist()) == ([1], [1])


@pytest.mark.parametrize(("snr", "expected"), [(15.0, 0), (25.0, 2)])
def test_without_zero_points_bright_stars_are_expected(snr: float, expected: int) -> None:
    corners = np.array([square(10.0, 0.0, 0.1)] * 2)
    footprints = Footprints(np.arange(2), np.zeros(2, int), corners, np.full(2, np.nan))
    star = unit_vectors(np.array([10.0]), np.array([0.0]))
    sightings = Sightings(np.zeros(1, int), np.ones(1, int), np.array([np.nan]), np.array([snr]))
    assert coverage(star, sightings, footprints, 1, CONFIG)[0].tolist() == [expected]


def test_two_detectors_of_a_visit_count_once() -> None:
    corners = np.array([square(10.0, 0.0, 0.1)] * 2)
    footprints = Footprints(np.zeros(2, int), np.zeros(2, int), corners, np.ones(2))
    star = unit_vectors(np.array([10.0]), np.array([0.0]))
    sightings = Sightings(np.zeros(1, int), np.zeros(1, int), np.full(1, 9.0), np.full(1, 9.0))
    assert coverage(star, sightings, footprints, 1, CONFIG)[0].tolist() == [1]


def test_what_is_seen_once_of_many_times_does_not_last() -> None:
    expected, met = np.array([0, 1, 2, 2, 10, 10]), np.array([0, 0, 1, 2, 5, 6])
    lasting = is_lasting(expected, met, CONFIG)
    assert lasting.tolist() == [True, True, False, True, False, True]


def test_nothing() -> None:
    none = np.zeros(0, int)
    footprints = Footprints(none, none, np.zeros((0, 4, 3)), np.zeros(0))
    sightings = Sightings(none, none, np.zeros(0), np.zeros(0))
    expected, met = coverage(np.zeros((0, 3)), sightings, footprints, 1, CONFIG)
    assert expected.size == met.size == 0
