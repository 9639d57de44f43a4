"""Which stars a visit's background has wings for."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.visit_background.stars import (
    SkyStars,
    bright_stars,
    shared_stars,
    uncatalogued_stars,
)
from drpflow.config.model_visit_background import WingsConfig
from drpflow.data.reference_stars import OPTIONAL_COLUMNS, ReferenceStars

RA_DEG, DEC_DEG = 150.0, -12.0
BRIGHT_NJY, FAINT_NJY = 1e8, 1e6


def catalog(*stars: tuple[float, float]) -> ReferenceStars:
    """Return reference stars at distances north of a place [arcsec], of fluxes [nJy]."""
    north, flux = np.array(stars, float).reshape(-1, 2).T
    n = north.size
    unknown = {name: np.full(n, np.nan) for name in OPTIONAL_COLUMNS}
    return ReferenceStars(
        id=np.arange(n) + 1,
        ra=np.full(n, RA_DEG),
        dec=DEC_DEG + north / 3600,
        epoch=np.full(n, 57388.0),
        flux_njy={"r": flux},
        flux_err_njy={"r": 0.01 * flux},
        **unknown,
    )


def sources(
    *stars: tuple[float, float], extendedness: float = 0.0, saturated: bool = False
) -> dict[str, np.ndarray]:
    """Return measured sources at distances north of the same place, of fluxes."""
    north, flux = np.array(stars, float).reshape(-1, 2).T
    return {
        "ra": np.full(north.size, RA_DEG),
        "dec": DEC_DEG + north / 3600,
        "psfFlux": flux,
        "extendedness": np.full(north.size, extendedness),
        "pixelFlags_saturated": np.full(north.size, saturated),
    }


def stars(references: ReferenceStars | None, measured: dict[str, np.ndarray]) -> SkyStars:
    return bright_stars(references, measured, "r", WingsConfig())


@pytest.mark.parametrize("ratio", [0.3, 1.0, 1.8])
def test_a_star_of_the_catalog_counts_once_with_the_flux_of_the_catalog(ratio):
    found = stars(catalog((0.0, BRIGHT_NJY)), sources((0.1, ratio * BRIGHT_NJY)))
    assert found.flux_njy.tolist() == [BRIGHT_NJY]


def test_a_bright_star_that_the_catalog_lacks_counts_beside_a_faint_one_that_it_has():
    found = stars(
        catalog((2.1, FAINT_NJY)),
        sources((0.0, BRIGHT_NJY), extendedness=np.nan, saturated=True),
    )
    assert found.flux_njy == pytest.approx([BRIGHT_NJY - FAINT_NJY, FAINT_NJY])
    assert found.dec == pytest.approx([DEC_DEG, DEC_DEG + 2.1 / 3600], abs=1e-9)


def test_two_stars_of_the_catalog_explain_one_source_together():
    found = stars(
        catalog((0.0, 0.4 * BRIGHT_NJY), (1.0, 0.3 * BRIGHT_NJY)), sources((0.4, BRIGHT_NJY))
    )
    assert found.flux_njy == pytest.approx([0.4 * BRIGHT_NJY, 0.3 * BRIGHT_NJY])


def test_sources_count_where_there_is_no_catalog_or_no_flux_in_the_band():
    measured = sources((0.0, BRIGHT_NJY), (60.0, FAINT_NJY))
    for references in (None, catalog((0.0, np.nan))):
        assert stars(references, measured).flux_njy.tolist() == [BRIGHT_NJY, FAINT_NJY]


def test_galaxies_and_bad_measurements_have_no_wings():
    assert stars(None, sources((0.0, BRIGHT_NJY), extendedness=1.0)).ra.size == 0
    assert stars(None, sources((0.0, np.nan))).ra.size == 0
    assert stars(None, {}).ra.size == 0


def test_what_the_catalog_lacks_is_what_its_stars_have_not():
    measured = sources((0.0, BRIGHT_NJY), (60.0, 0.5 * BRIGHT_NJY), (120.0, 1e3))
    lacking = uncatalogued_stars(catalog((0.5, FAINT_NJY)), measured, "r", WingsConfig())
    # The last one is too faint to have wings.
    assert lacking.flux_njy == pytest.approx([BRIGHT_NJY - FAINT_NJY, 0.5 * BRIGHT_NJY])


def sky_stars(*places: tuple[float, float, float]) -> SkyStars:
    """Return stars at distances [arcsec] east and north of right ascension 0, and their fluxes."""
    east, north, flux = np.array(places, float).reshape(-1, 3).T
    ra = east / 3600 / np.cos(np.radians(DEC_DEG)) % 360
    return SkyStars(ra, DEC_DEG + north / 3600, flux)


def test_a_star_that_two_visits_have_seen_is_shared():
    visits = [
        sky_stars((-0.4, 0.0, 3e7), (50.0, 0.0, 2e7)),
        sky_stars((0.2, 0.3, 5e7), (0.9, 0.0, 1e6)),
        sky_stars((0.5, -0.3, 4e7)),
        sky_stars(),
    ]
    shared, number = shared_stars(visits)
    # The star at 50 arcsec was seen once, and two pieces of one star by one visit are one star.
    assert number.tolist() == [3]
    assert shared.flux_njy == pytest.approx([3.5e7])
    away_arcsec = ((shared.ra + 180) % 360 - 180) * 3600
    assert away_arcsec == pytest.approx([0.36], abs=0.05)
    assert shared.dec == pytest.approx([DEC_DEG], abs=1e-7)


def test_nothing_is_shared_without_visits():
    for visits in ([], [sky_stars()], [sky_stars((0, 0, 1e8))]):
        shared, number = shared_stars(visits)
        assert shared.ra.size == number.size == 0


def test_a_shared_star_counts_where_the_visit_has_not_seen_it_and_once_where_it_has():
    shared = SkyStars(np.array([RA_DEG]), np.array([DEC_DEG]), np.array([BRIGHT_NJY]))
    for measured in ({}, sources((0.3, 1.3 * BRIGHT_NJY))):
        found = bright_stars(catalog((2.1, FAINT_NJY)), measured, "r", WingsConfig(), shared)
        assert found.flux_njy.tolist() == [BRIGHT_NJY, FAINT_NJY]
