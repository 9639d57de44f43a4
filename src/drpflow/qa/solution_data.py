"""What the report shows of the global astrometric solution, gathered from its products."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.errors import InputError, MissingDatasetError
from drpflow.io.reference_regions import read_references_about
from drpflow.qa.charts import night_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.reference_stars import ReferenceStars
    from drpflow.data.sky_wcs import SkyWcs
    from drpflow.io.store import Store

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

RESERVED, TIED, ELSEWHERE, NO_COLOR, NO_MOTION, SCATTERED, NO_OBSERVATION = (2**k for k in range(7))
"""Bits of the flags of ``solved_astrometry_stars``."""

_WCS, _PREFIX = "solved_astrometry_wcs", "solved_astrometry_"
_WCS_COLUMNS = ["visit", "skypix", "detector", "wcs_error", "n_good", "n_reserved", "rms",
                "reserved_rms", "sip_error"]  # fmt: skip
# Of more residuals than this, those of some of the stars are enough.
_MOST_RESIDUALS = 2_000_000
# Tables of WCSs that are opened to find where the detectors are.
_MOST_OPENED = 8


@dataclass(frozen=True, eq=False)
class Solution:
    """The solution of a run, all pieces of the sky together.

    Parameters
    ----------
    visits, images, stars
        Columns of ``solved_astrometry_visits``, ``solved_astrometry_wcs`` and
        ``solved_astrometry_stars``.
    residuals
        Columns of ``solved_astrometry_residuals``; where there are very many, of one star in
        `thinned`.
    first
        ``isolated_star_id``, ``ra``, ``dec`` and ``epoch`` of ``isolated_stars``: mean places by
        the first WCSs; empty if they are gone.
    outlines
        Corners of each detector in the field of the camera, deg, shape (4, 2).
    nights
        Night of each visit, -1 where it is not known.
    references
        Reference stars about the stars, None without a catalogue.
    reference_fault
        Why there are none though the solution had some, or an empty text.
    thinned
        See `residuals`.
    notes, held
        What could not be done as usual, and what the data leave open with what holds it: piece
        and sentence.
    """

    visits: Columns
    images: Columns
    stars: Columns
    residuals: Columns
    first: Columns = field(default_factory=dict)
    outlines: dict[int, Floats] = field(default_factory=dict)
    nights: dict[int, int] = field(default_factory=dict)
    references: ReferenceStars | None = None
    reference_fault: str = ""
    thinned: int = 1
    notes: list[tuple[int, str]] = field(default_factory=list)
    held: list[tuple[int, str]] = field(default_factory=list)


def read_solution(store: Store) -> Solution | None:
    """Return the solution of a run, None if it has none yet."""
    if not store.query(f"{_PREFIX}visits"):
        return None
    visits = store.get(f"{_PREFIX}visits_run").to_dict()
    table = store.get(f"{_PREFIX}stars_run")
    stars = table.to_dict()
    thinned = int(np.ceil(visits["n_good"].sum() / _MOST_RESIDUALS)) or 1
    references, fault = _references(table.meta.get("provenance", {}), stars)
    ids = store.query(_WCS)
    parts = [store.get(_WCS, columns=_WCS_COLUMNS, **i).to_dict() for i in ids]
    return Solution(
        visits,
        _joined(parts, _WCS_COLUMNS),
        stars,
        _residuals(store, thinned),
        _first(store),
        _outlines(store, ids),
        {v: _night(store, v) for v in np.unique(visits["visit"]).tolist()},
        references,
        fault,
        thinned,
        _sentences(store, "notes"),
        _sentences(store, "held"),
    )


def _sentences(store: Store, name: str) -> list[tuple[int, str]]:
    """Return what the table of visits of each piece says of the fit, the piece with each."""
    kind = f"{_PREFIX}visits"
    metas = {
        int(i["skypix"]): store.get(kind, columns=["visit"], **i).meta for i in store.query(kind)
    }
    return [(piece, str(text)) for piece, meta in metas.items() for text in meta.get(name, ())]


def _joined(parts: Sequence[Columns], names: Sequence[str]) -> Columns:
    if not parts:
        return {name: np.empty(0) for name in names}
    return {name: np.concatenate([p[name] for p in parts]) for name in names}


def _residuals(store: Store, thinned: int) -> Columns:
    """Return the residuals of one star in so many."""
    parts = []
    for data_id in store.query(f"{_PREFIX}residuals"):
        columns = store.get(f"{_PREFIX}residuals", **data_id).to_dict()
        kept = columns["isolated_star_id"] % thinned == 0
        parts.append({name: values[kept] for name, values in columns.items()})
    return _joined(parts, list(parts[0]) if parts else [])


def _first(store: Store) -> Columns:
    if not store.query("isolated_stars"):
        return {}
    columns = ["isolated_star_id", "ra", "dec", "epoch"]
    return dict(store.get("isolated_stars_run", columns=columns).to_dict())


def _references(provenance: Mapping[str, Any], stars: Columns) -> tuple[ReferenceStars | None, str]:
    """Return the reference stars of which the solution says that it used them."""
    paths = [i.get("path") for i in provenance.get("inputs", ()) if "reference" in i["name"]]
    if not paths or not paths[0] or not stars["ra"].size:
        return None, ""
    path = Path(str(paths[0]))
    if not path.exists():
        return None, f"{path} is not there any more"
    good = np.isfinite(stars["ra"]) & np.isfinite(stars["dec"])
    place = (stars[name][good] for name in ("ra", "dec", "skypix"))
    try:
        return read_references_about(path, *place), ""
    except InputError as error:
        return None, str(error)


def _night(store: Store, visit: int) -> int:
    known = store.exists("visit_info", visit=visit)
    return night_number(store.get("visit_info", visit=visit) if known else None)


def _outlines(store: Store, ids: Sequence[Mapping[str, Any]]) -> dict[int, Floats]:
    """Return where detectors are in the field, from visits spread over the run."""
    found: dict[int, Floats] = {}
    for data_id in ids[:: max(1, len(ids) // _MOST_OPENED)]:
        table = store.get(_WCS, **data_id)
        for detector in set(table["detector"].tolist()) - set(found):
            try:
                wcs = table.component("wcs", detector=detector)
            except MissingDatasetError:
                continue
            if wcs.pixel_shape is not None:
                found[detector] = field_corners(wcs)
    return dict(sorted(found.items()))


def field_corners(wcs: SkyWcs) -> Floats:
    """Return the corners of a detector in the field of the camera, deg, shape (4, 2)."""
    assert wcs.pixel_shape is not None
    nx, ny = wcs.pixel_shape
    x, y = np.array([0, nx, nx, 0]) - 0.5, np.array([0, 0, ny, ny]) - 0.5
    u, v = wcs.projection.from_sky(*wcs.pixel_to_world_values(x, y))
    return np.column_stack([u, v])
