"""A whole made-up sky associated piece by piece, and put together again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from star_catalogs import BANDS, Catalog, Sky

from drpflow.config.associate_isolated_stars import AssociateIsolatedStarsConfig
from drpflow.data.healpix import pixels_in_circles
from drpflow.io.associate_files import Region
from drpflow.tasks.associate_isolated_stars import (
    CameraFacts,
    Piece,
    VisitStars,
    associate_isolated_stars,
    margin_arcsec,
)

Columns = dict[str, NDArray[Any]]
_CAMERA = CameraFacts(BANDS, 0.2)
# Air and first WCSs of the made-up skies shift each detection by so much.
_AIR_ARCSEC = 0.022


class Found(NamedTuple):
    """All stars and sources of a sky, by identifier, and in how many pieces they were found."""

    stars: Columns
    sources: Columns
    pieces: int


def associate_sky(
    catalog: Catalog,
    sky: Sky,
    order: int,
    config: AssociateIsolatedStarsConfig | None = None,
) -> Found:
    """Associate all pieces of a sky at a HEALPix order."""
    config = config or AssociateIsolatedStarsConfig(position_floor_arcsec=_AIR_ARCSEC)
    radius_deg = sky.radius_deg + 0.01
    pixels = pixels_in_circles(order, sky.ra_deg, sky.dec_deg, radius_deg)[1].tolist()
    found = []
    for pixel in pixels:
        region = Region.about(order, pixel, margin_arcsec(config, _CAMERA.pixel_arcsec))
        visits = [_part(visit, region) for visit in catalog.visits]
        found.append(associate_isolated_stars(visits, Piece(order, pixel), config, _CAMERA))
    found = [part for part in found if part.stars]
    stars = _joined([part.stars for part in found])
    sources = _joined([part.sources for part in found])
    by_star = np.argsort(stars["isolated_star_id"], kind="stable")
    by_source = np.lexsort((sources["sourceId"], sources["mjd"], sources["isolated_star_id"]))
    return Found(
        {name: values[by_star] for name, values in stars.items()},
        {name: values[by_source] for name, values in sources.items()},
        len(pixels),
    )


def _part(visit: VisitStars, region: Region) -> VisitStars:
    """Return what a visit has about a region."""
    rows = region.holds(visit.stars["ra"], visit.stars["dec"])
    stars = {name: values[rows] for name, values in visit.stars.items()}
    facts = (visit.visit, visit.band, visit.physical_filter, visit.mjd)
    return VisitStars(*facts, stars, visit.summary)


def _joined(parts: list[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
