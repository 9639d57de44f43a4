"""What the report says of isolated stars: how many, where, how often, and what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.association_data import Association, read_association
from drpflow.qa.association_figures import (
    position_scatter,
    seen_share,
    star_map,
    visits_histogram,
)
from drpflow.qa.page import Block, Column, Picture, Section, Tile, linked, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.io.status_files import Outcome
    from drpflow.io.store import Store

_TASK = "associateIsolatedStars"
_TITLE = "Isolated stars"
# Longer tables of pieces are folded.
_OPEN_PIECES = 24
# What the status of a piece tells, and what the table calls it.
_COUNTS = (
    ("visits", "visits", ""),
    ("detections", "detections", "read"),
    ("groups", "groups", "of detections"),
    ("stars", "stars", ""),
    ("sources", "detections", "of stars"),
    ("reserved", "reserved", ""),
    ("not_alone", "not alone", "lost groups"),
    ("not_starlike", "not starlike", "lost groups"),
    ("not_lasting", "not lasting", "lost groups"),
    ("disturbed", "disturbed", "left out"),
    ("unreadable_visits", "visits", "not readable"),
)
_BAND_COLUMNS = (
    Column("band", text=True),
    Column("visits"),
    Column("stars"),
    Column("detections"),
    Column("visits a star", "median", 1),
    Column("fewest", "1 %", 0),
    Column("most", "99 %", 0),
)
_SNR_EDGES = (8.0, 12.0, 20.0, 50.0, 100.0, 300.0, np.inf)
_SNR_COLUMNS = (
    Column("S/N", text=True),
    Column("stars"),
    Column("sightings due"),
    Column("seen"),
    Column("share", "%", 2),
    Column("χ² of positions", "median a degree", 2),
)


def association_section(store: Store, outcomes: Sequence[Outcome]) -> Section | None:
    """Return the chapter, None if there are no products yet.

    Parameters
    ----------
    store
        The run.
    outcomes
        Of all jobs: those of the association tell what was lost.
    """
    found = read_association(store)
    if found is None:
        return None
    mine = [o for o in outcomes if o.task == _TASK]
    blocks = [_piece_block(found, mine)]
    if found.stars["isolated_star_id"].size:
        blocks = [_figure_block(found), *_number_blocks(found), *blocks]
    note = (
        "Detections of all visits, matched to stars that stand alone. Reserved stars are in no "
        "fit. Groups of detections are lost that are not alone (neighbours, doubles), not starlike "
        "(galaxies, shapes that nothing tells) or not lasting (asteroids, artefacts)."
    )
    return Section("association", _TITLE, note, _tiles(found, mine), linked("association", blocks))


def _tiles(found: Association, outcomes: Sequence[Outcome]) -> list[Tile]:
    stars = found.stars
    number = stars["isolated_star_id"].size
    tiles = [Tile(f"{number:,}", "isolated stars", "" if number else "bad")]
    if not number:
        return tiles
    tiles += [
        Tile(f"{100 * stars['reserved'].mean():.1f} %", "reserved"),
        Tile(f"{np.median(stars['n_source']):.0f}", "detections a star, median"),
        Tile(f"{int(stars['n_source'].sum()):,}", "detections in all"),
    ]
    for name in ("not_alone", "not_starlike", "not_lasting"):
        told = [int(o.numbers[name] or 0) for o in outcomes if name in o.numbers]
        if told:
            tiles.append(Tile(f"{sum(told):,}", f"groups lost: {name.replace('_', ' ')}"))
    return tiles


def _figure_block(found: Association) -> Block:
    stars = found.stars
    pictures = [
        Picture(star_map(stars), "Stars on the sky; red rings are reserved."),
        Picture(visits_histogram(found.visits_a_star), "Visits of a star, by band."),
    ]
    if (stars["n_source"] > 1).any():
        caption = "Scatter of positions in units of what is expected."
        pictures.append(Picture(position_scatter(stars), caption))
    return Block(figures=pictures)


def _number_blocks(found: Association) -> list[Block]:
    rows = []
    for band, number in found.visits_a_star.items():
        low, middle, high = np.percentile(number, [1, 50, 99])
        rows.append([
            band, found.visits[band], number.size, found.detections[band], float(middle),
            float(low), float(high),
        ])  # fmt: skip
    note = (
        "Sightings are due on visits that cover a star and are deep enough for it; seen counts "
        "good and bad detections."
    )
    return [
        Block("By band", table=make_table(_BAND_COLUMNS, rows)),
        Block("By brightness", note, table=make_table(_SNR_COLUMNS, _snr_rows(found))),
    ]


def _snr_rows(found: Association) -> list[list[Any]]:
    stars = found.stars
    freedom = 2.0 * stars["n_source"] - 2
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(freedom > 0, stars["position_chi2"] / freedom, np.nan)
    place = np.digitize(stars["snr"], _SNR_EDGES) - 1
    rows = []
    for k, (number, due, seen) in enumerate(seen_share(stars, _SNR_EDGES)):
        if not number:
            continue
        low, high = _SNR_EDGES[k], _SNR_EDGES[k + 1]
        about = f"{low:g} to {high:g}" if np.isfinite(high) else f"over {low:g}"
        known = ratio[(place == k) & np.isfinite(ratio)]
        rows.append([
            about, number, due, seen, 100 * seen / due if due else float("nan"),
            float(np.median(known)) if known.size else float("nan"),
        ])  # fmt: skip
    return rows


def _piece_block(found: Association, outcomes: Sequence[Outcome]) -> Block:
    """Return the pieces of the sky, with what was lost in each and why."""
    from drpflow.data.healpix import pixel_centers_deg

    of = {o.data_id.get("skypix"): o for o in outcomes}
    here = dict(zip(*np.unique(found.stars["skypix"], return_counts=True), strict=True))
    further = _further(outcomes)
    columns = [
        Column("piece"),
        Column("right ascension", "deg", 3),
        Column("declination", "deg", 3),
        *(Column(name, unit) for _, name, unit in _COUNTS),
        *(Column(name.replace("_", " ")) for name in further),
        Column("outcome", text=True),
    ]
    rows = []
    for piece in found.pieces:
        ra, dec = (
            pixel_centers_deg(found.order, [piece])
            if found.order is not None
            else ([float("nan")], [float("nan")])
        )
        outcome = of.get(piece)
        numbers = dict(outcome.numbers) if outcome else {"stars": int(here.get(piece, 0))}
        end = outcome.outcome if outcome else "–"
        rows.append([
            piece, float(ra[0]), float(dec[0]), *(numbers.get(key) for key, _, _ in _COUNTS),
            *(numbers.get(key) for key in further),
            f"{end}: {outcome.reason}" if outcome and outcome.reason else end,
        ])  # fmt: skip
    note = (
        "Neighbouring pieces read the detections along their border twice; each star belongs to "
        "one of them."
    )
    many = len(rows) > _OPEN_PIECES
    folded = f"all {len(rows)} pieces" if many else ""
    return Block("Pieces of the sky", note, table=make_table(columns, rows), folded=folded)


def _further(outcomes: Sequence[Outcome]) -> list[str]:
    """Return names of further numbers that the jobs tell."""
    known = {key for key, _, _ in _COUNTS}
    names = dict.fromkeys(name for o in outcomes for name in o.numbers)
    return [name for name in names if name not in known]
