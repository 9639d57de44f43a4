"""What the report shows of isolated stars, gathered from the products of association."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.io.store import Store

    Columns: TypeAlias = dict[str, NDArray[Any]]

_STARS = (
    "skypix", "isolated_star_id", "ra", "dec", "n_source", "n_expected", "n_seen", "n_disturbed",
    "position_chi2", "snr", "reserved", "bands",
)  # fmt: skip
_SOURCES = ("isolated_star_id", "visit", "band")


@dataclass(frozen=True, eq=False)
class Association:
    """The stars of a run.

    Parameters
    ----------
    stars
        Columns of ``isolated_stars``, all pieces of the sky together.
    order
        HEALPix order of the pieces, None if it is not stated.
    pieces
        All pieces, those without stars too.
    visits, detections, visits_a_star
        By band: visits with isolated stars; their detections; and how many of these each star
        has in the band, of stars with any.
    """

    stars: Columns
    order: int | None
    pieces: list[int]
    visits: dict[str, int]
    detections: dict[str, int]
    visits_a_star: dict[str, NDArray[np.int64]]


def read_association(store: Store) -> Association | None:
    """Return the stars of a run, None if it has not come to them."""
    ids = store.query("isolated_stars")
    if not ids:
        return None
    table = store.get("isolated_stars_run", columns=list(_STARS))
    order = table.meta.get("healpix_order")
    visits: dict[str, set[int]] = {}
    counts: dict[str, list[NDArray[np.int64]]] = {}
    for data_id in store.query("isolated_stars_source"):
        sources = store.get("isolated_stars_source", columns=list(_SOURCES), **data_id).to_dict()
        for band in np.unique(sources["band"]).tolist():
            mine = sources["band"] == band
            visits.setdefault(band, set()).update(np.unique(sources["visit"][mine]).tolist())
            number = np.unique(sources["isolated_star_id"][mine], return_counts=True)[1]
            counts.setdefault(band, []).append(number)
    joined = {band: np.concatenate(counts[band]) for band in band_colors(counts)}
    return Association(
        table.to_dict(),
        int(order) if order is not None else None,
        [int(data_id["skypix"]) for data_id in ids],
        {band: len(visits[band]) for band in joined},
        {band: int(number.sum()) for band, number in joined.items()},
        joined,
    )
