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
    from drpflow.data.table import Table
    from drpflow.io.store import Store

    Floats: TypeAlias = NDArray[np.float64]
    Columns: TypeAlias = dict[str, NDArray[Any]]

RESERVED, TIED, ELSEWHERE, NO_COLOR, NO_MOTION, SCATTERED, NO_OBSERVATION = (2**k for k in range(7))
"""Bits of the flags of ``solved_astrometry_stars``."""

SOLVED, FINAL = "solved_astrometry", "final_astrometry"
"""Stages: the first words of the names of their products."""

_WCS_COLUMNS = ["visit", "skypix", "detector", "wcs_error", "n_good", "n_reserved", "rms",
                "reserved_rms", "sip_error"]  # fmt: skip
_CHANGE = "change"
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
        Columns of ``solved_astrometry_visits``, ``…_wcs`` and ``…_stars``, or of the final ones.
    residuals
        Columns of ``…_residuals``; where there are very many, of one star in
        `thinned`.
    first
        ``isolated_star_id``, ``ra``, ``dec`` and ``epoch`` before: of ``isolated_stars``, mean
        places by the first WCSs, or of ``solved_astrometry_stars``; empty if they are gone.
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
    about
        Metadata of the table of visits of each piece.
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
    about: dict[int, dict[str, Any]] = field(default_factory=dict)


def read_solution(store: Store, stage: str = SOLVED) -> Solution | None:
    """Return a solution of a run, None if it has none yet.

    Parameters
    ----------
    store
        The run.
    stage
        :data:`SOLVED` or :data:`FINAL`.
    """
    pieces = [store.get(f"{stage}_visits", **i) for i in store.query(f"{stage}_visits")]
    if not pieces:
        return None
    visits = _joined([p.to_dict() for p in pieces])
    tables = [store.get(f"{stage}_stars", **i) for i in store.query(f"{stage}_stars")]
    stars = _joined([t.to_dict() for t in tables])
    thinned = int(np.ceil(visits["n_good"].sum() / _MOST_RESIDUALS)) or 1
    about = tables[0].meta.get("provenance", {}) if tables else {}
    references, fault = _references(about, stars)
    kind = f"{stage}_wcs"
    ids, names = store.query(kind), [*_WCS_COLUMNS, *([_CHANGE] if stage == FINAL else [])]
    parts = [store.get(kind, columns=names, **i).to_dict() for i in ids]
    return Solution(
        visits,
        _joined(parts, names),
        stars,
        _residuals(store, stage, thinned),
        _first(store, stage),
        _outlines(store, kind, ids),
        {v: _night(store, v) for v in np.unique(visits["visit"]).tolist()},
        references,
        fault,
        thinned,
        _sentences(pieces, "notes"),
        _sentences(pieces, "held"),
        {int(p["skypix"][0]): dict(p.meta) for p in pieces if len(p)},
    )


def _sentences(pieces: Sequence[Table], name: str) -> list[tuple[int, str]]:
    """Return what the table of visits of each piece says of the fit, the piece with each."""
    return [
        (int(piece["skypix"][0]), str(text))
        for piece in pieces
        if len(piece)
        for text in piece.meta.get(name, ())
    ]


def _joined(parts: Sequence[Columns], names: Sequence[str] = ()) -> Columns:
    if not parts:
        return {name: np.empty(0) for name in names}
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _residuals(store: Store, stage: str, thinned: int) -> Columns:
    """Return the residuals of one star in so many."""
    parts = []
    for data_id in store.query(f"{stage}_residuals"):
        columns = store.get(f"{stage}_residuals", **data_id).to_dict()
        kept = columns["isolated_star_id"] % thinned == 0
        parts.append({name: values[kept] for name, values in columns.items()})
    return _joined(parts)


def _first(store: Store, stage: str) -> Columns:
    """Return the places of stars before: means of the first WCSs, or those of the first fit."""
    kind = "isolated_stars" if stage == SOLVED else f"{SOLVED}_stars"
    columns = ["isolated_star_id", "ra", "dec", "epoch"]
    return _joined([store.get(kind, columns=columns, **i).to_dict() for i in store.query(kind)])


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


def _outlines(store: Store, kind: str, ids: Sequence[Mapping[str, Any]]) -> dict[int, Floats]:
    """Return where detectors are in the field, from visits spread over the run."""
    found: dict[int, Floats] = {}
    for data_id in ids[:: max(1, len(ids) // _MOST_OPENED)]:
        table = store.get(kind, **data_id)
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
