"""The made-up sky, and the count of what an association has right and wrong."""

from __future__ import annotations

import numpy as np
import pytest
from star_catalogs import GALAXY, STAR, Catalog, Sky, make_catalog, score

from drpflow.data.tan_projection import separation_deg
from drpflow.tasks.associate_isolated_stars import DETECTION_COLUMNS, SUMMARY_COLUMNS

SKY = Sky(seed=9, n_visit=6, radius_deg=0.3, stars=3000.0, galaxies=3000.0)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return make_catalog(SKY)


def test_visits_have_what_the_task_reads(catalog: Catalog) -> None:
    for visit in catalog.visits:
        assert set(DETECTION_COLUMNS) <= set(visit.stars)
        assert set(SUMMARY_COLUMNS) <= set(visit.summary)
        assert len({len(values) for values in visit.stars.values()}) == 1
        assert np.unique(visit.stars["sourceId"]).size == len(visit.stars["ra"])


def test_detections_are_where_their_sources_are(catalog: Catalog) -> None:
    """But for the detector of the first visit whose WCS is wrong."""
    for number, visit in enumerate(catalog.visits):
        owner = np.array([catalog.of_source[i] for i in visit.stars["sourceId"].tolist()])
        rows = np.flatnonzero((owner >= 0) & ((visit.stars["detector"] > 1) | (number > 0)))
        distance = 3600 * separation_deg(
            *(visit.stars[name][rows] for name in ("ra", "dec")),
            *(values[owner[rows]] for values in (catalog.ra, catalog.dec)),
        )
        assert np.median(distance) < 0.15
        snr = visit.stars["psfFlux_instFlux"] / visit.stars["psfFlux_instFluxErr"]
        assert (distance[snr[rows] > 20] < 0.6).all()


def test_isolated_means_alone_within_two_arcsec(catalog: Catalog) -> None:
    stars = np.flatnonzero(catalog.isolated)
    assert 0.5 < len(stars) / (catalog.kind == STAR).sum() <= 1
    bright = np.flatnonzero(catalog.snr > 30)
    for star in stars[catalog.snr[stars] > 30][:50]:
        others = bright[bright != star]
        place = catalog.ra[star], catalog.dec[star]
        assert 3600 * separation_deg(*place, catalog.ra[others], catalog.dec[others]).min() > 2


def test_score_counts_what_is_lost_doubled_mixed_and_no_star() -> None:
    kind = np.array([STAR, STAR, STAR, STAR, GALAXY])
    ones = np.ones(5, bool)
    of_source = {10: 0, 11: 0, 20: 1, 21: 1, 30: 2, 31: 3, 40: 4, 50: -1}
    truth = Catalog(
        [], kind, *np.zeros((2, 5)), kind == STAR, 50.0 * ones, 3 * ones.astype(int), of_source
    )
    sources = {
        "sourceId": np.array([10, 11, 20, 21, 30, 31, 40, 50]),
        # Star 1 twice; stars 2 and 3 in one; a galaxy; an asteroid.
        "isolated_star_id": np.array([10, 10, 20, 21, 30, 30, 40, 50]),
    }
    ids = np.unique(sources["isolated_star_id"])
    stars = {"isolated_star_id": ids, "snr": np.full(6, 50.0), "n_expected": np.full(6, 3)}
    assert score(truth, stars, sources) == (4, 1, 6, 2, 1)
    faint = stars | {"snr": np.full(6, 10.0)}
    assert score(truth, faint, sources) == (4, 1, 0, 0, 0)
