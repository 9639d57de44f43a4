"""What the report says of places that the configuration names: their light curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.light_curves import light_curve_picture, read_light_curves
from drpflow.qa.page import Block, Column, Picture, Section, make_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.io.store import Store
    from drpflow.qa.light_curves import LightCurve

_TITLE = "Light curves"
_COLUMNS = (
    Column("place", text=True),
    Column("RA", "deg, ICRS", 5),
    Column("Dec", "deg, ICRS", 5),
    Column("visits", "that cover it"),
    Column("with a source"),
    Column("flagged"),
    Column("distance", "median, mas", 0),
    Column("brightest", "nJy", 0),
    Column("faintest", "nJy", 0),
)


def light_curve_section(
    store: Store, places: Mapping[str, tuple[float, float]], radius_arcsec: float
) -> Section | None:
    """Return the chapter, None if no place is asked for.

    Parameters
    ----------
    store
        The run.
    places
        Right ascension and declination [deg] by name.
    radius_arcsec
        Farthest that a source may be from a place.
    """
    if not places:
        return None
    curves = read_light_curves(store, places, radius_arcsec)
    note = (
        "Places that the configuration names (makeReport.light_curves): the nearest final source "
        f"within {radius_arcsec:g} arcsec in each visit. Discs are fluxes, rings such that carry a "
        "flag, triangles five sigma of a point source where there is no source."
    )
    pictures = [
        Picture(light_curve_picture(c), f"{c.name}, final sources against time")
        for c in curves
        if c.visit.size
    ]
    block = Block(
        figures=pictures, table=make_table(_COLUMNS, [_row(c) for c in curves]), wide=True
    )
    return Section("light-curves", _TITLE, note, blocks=[block])


def _row(of: LightCurve) -> list[Any]:
    flux = of.flux_njy[of.detected & ~of.flagged]
    away = of.separation_arcsec[of.detected]
    nan = float("nan")
    return [
        of.name, of.ra_deg, of.dec_deg, of.visit.size, int(of.detected.sum()),
        int(of.flagged.sum()), 1e3 * float(np.median(away)) if away.size else nan,
        float(flux.max()) if flux.size else nan, float(flux.min()) if flux.size else nan,
    ]  # fmt: skip
