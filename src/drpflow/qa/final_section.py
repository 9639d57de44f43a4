"""What the report says of the final products: before and after, counts, depth, flags, motions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.calibration_section import middle
from drpflow.qa.checks import Check
from drpflow.qa.final_archive import compression_block, motion_blocks
from drpflow.qa.final_claims import (
    astrometric_deviations,
    claims,
    photometric_deviations,
)
from drpflow.qa.final_counts import read_counts
from drpflow.qa.final_data import motion_mas, read_pairs
from drpflow.qa.final_figures import before_after, number_counts, overlays
from drpflow.qa.final_overlays import read_overlays
from drpflow.qa.page import Block, Column, Picture, Section, Tile, linked, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.io.store import Store
    from drpflow.qa.final_claims import Claim
    from drpflow.qa.final_counts import VisitCounts
    from drpflow.qa.final_data import Pairs

_TITLE = "Final products"
_OPEN_ROWS = 20
_BETTER = {"good": "better", "bad": "worse", "": "–"}
_CLAIM_COLUMNS = (
    Column("subject", text=True),
    Column("of the same detections", text=True),
    Column("unit", text=True),
    Column("first look", "95 % interval", text=True),
    Column("final", "95 % interval", text=True),
    Column("final over first", "95 % interval", text=True),
    Column("the final one is", text=True),
    Column("number"),
)
_COUNT_COLUMNS = (
    Column("visit"),
    Column("band", text=True),
    Column("detectors"),
    Column("missing", text=True),
    Column("sources", "primary"),
    Column("points", "S/N > 10"),
    Column("extended", "S/N > 10"),
    Column("in blends", "%", 1),
    Column("not separated"),
    Column("artifacts", "flagged"),
    Column("transient", "flagged"),
    Column("5 sigma", "sources, mag", 2),
    Column("5 sigma", "summary, mag", 2),
    Column("empty sky", "mean, sigma", 2),
    Column("empty sky", "width, sigma", 2),
)


def final_section(store: Store) -> Section | None:
    """Return the chapter, None if there are no final sources yet."""
    visits = read_counts(store)
    if not visits:
        return None
    pairs = read_pairs(store)
    made = _claims(store, pairs)
    note = (
        "Sources detected to full depth and measured with the final background, PSF, WCS and "
        "photometric calibration."
    )
    blocks = [
        *_claim_blocks(store, pairs, made),
        *_count_blocks(visits),
        *_overlay_block(store, visits),
        *motion_blocks(store),
        *compression_block(store),
    ]
    return Section(
        "final", _TITLE, note, _tiles(visits, made), linked("final", blocks), _checks(visits, made)
    )


def _checks(visits: Sequence[VisitCounts], made: Sequence[Claim]) -> list[Check]:
    widths = np.array([v.sky_width for v in visits])
    off = 100 * middle(np.abs(widths - 1))
    checks = [Check("empty_sky", off, sum(v.sky for v in visits))]
    called = [c.final for c in made if c.subject == "classes" and c.name.startswith("called")]
    return checks + [Check("classes", figure.value, figure.number) for figure in called]


def _claims(store: Store, pairs: Pairs | None) -> list[Claim]:
    if pairs is None or not pairs.visit.size:
        return []
    return claims(pairs, motion_mas(store, pairs))


def _tiles(visits: Sequence[VisitCounts], made: Sequence[Claim]) -> list[Tile]:
    total = sum(v.number for v in visits)
    missing = sum(len(v.missing) for v in visits)
    there = sum(len(v.detectors) for v in visits)
    tiles = [
        Tile(
            f"{there} / {there + missing}", "detectors with sources", "bad" if missing else "good"
        ),
        Tile(f"{total:,}", f"primary sources in {len(visits)} visits"),
    ]
    depth = middle(np.array([v.depth_mag for v in visits]))
    if np.isfinite(depth):
        tiles.append(Tile(f"{depth:.2f}", "5 sigma of a point source, mag"))
    better, worse = (sum(c.mood == mood for c in made) for mood in ("good", "bad"))
    if made:
        tiles.append(
            Tile(
                f"{better} / {len(made)}",
                f"figures better than at first, {worse} worse",
                "bad" if worse else "good",
            )
        )
    return tiles


def _claim_blocks(store: Store, pairs: Pairs | None, made: Sequence[Claim]) -> list[Block]:
    """Return the table of before and after, and its figure."""
    if pairs is None or not made:
        return []
    curves = {
        "PSF flux: scatter [mmag]": photometric_deviations(pairs, "psfFlux"),
        "aperture flux: scatter [mmag]": photometric_deviations(pairs, "calibFlux"),
        "each coordinate: scatter [mas]": astrometric_deviations(pairs, motion_mas(store, pairs)),
    }
    curves = {name: of for name, of in curves.items() if of.rows.size}
    about = (
        "Isolated stars about their own means, from visit to visit: rms against the "
        "signal-to-noise ratio of the final PSF flux."
    )
    pictures = [Picture(before_after(curves), about)] if curves else []
    note = (
        "The same detections in both: primary sources within 2 pixels of each other. Photometry "
        "and astrometry: isolated stars about their means over at least three visits, proper "
        "motions taken out; PSF: isolated stars with S/N above 50 against the models; classes: "
        "sources in at least three visits. The first WCS follows the stars that made it, their "
        "noise and all: only the others tell which one is better. Less is better everywhere. "
        "Intervals are 95 %, by drawing stars (PSF: detector images); green and red where that of "
        "the ratio excludes 1."
    )
    table = make_table(_CLAIM_COLUMNS, [_claim_row(c) for c in made], [c.mood for c in made])
    return [
        Block("First look and final products", note, pictures if curves else (), table, wide=True)
    ]


def _claim_row(of: Claim) -> list[Any]:
    return [
        of.subject, of.name, of.unit, of.first.text(of.digits), of.final.text(of.digits),
        of.ratio.text(2), _BETTER[of.mood], of.first.number,
    ]  # fmt: skip


def _count_blocks(visits: Sequence[VisitCounts]) -> list[Block]:
    picture = Picture(
        number_counts(visits),
        "Primary sources of each visit; dotted, where point sources have a signal-to-noise ratio "
        "of 5.",
    )
    note = (
        "Medians and sums over the detectors of a visit. The depth of sources is that at which "
        "their own errors make a signal-to-noise ratio of 5; that of the summary follows from sky "
        "and PSF. On empty sky PSF fluxes over their errors should have mean 0 and width 1."
    )
    folded = f"all {len(visits)} visits" if len(visits) > _OPEN_ROWS else ""
    table = make_table(_COUNT_COLUMNS, [_count_row(v) for v in visits])
    return [Block("Counts, depth and flags", note, [picture], table, folded, wide=True)]


def _count_row(v: VisitCounts) -> list[Any]:
    missing = ", ".join(str(d) for d in v.missing)
    return [
        v.visit, v.band, len(v.detectors), missing, v.number,
        v.stars, v.extended, 100 * v.blended / max(v.number, 1), v.skipped, v.flagged[0],
        v.flagged[2], v.depth_mag, v.stated_mag, v.sky_mean, v.sky_width,
    ]  # fmt: skip


def _overlay_block(store: Store, visits: Sequence[VisitCounts]) -> list[Block]:
    found = read_overlays(store, visits)
    if not found:
        return []
    caption = (
        "Of each band the visit in which artifacts spoil most sources; of large detectors the part "
        "about them."
    )
    return [Block("Images and their sources", "", [Picture(overlays(found), caption)], wide=True)]
