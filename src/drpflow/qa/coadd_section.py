"""What the report says of coadds: what went into them, how deep they are, what was masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.data.warp_masks import KINDS
from drpflow.qa.calibration_section import middle
from drpflow.qa.checks import Check
from drpflow.qa.coadd_data import read_tracts
from drpflow.qa.coadd_figures import artifact_panels, color_composite, picture, value_map
from drpflow.qa.page import Block, Column, Picture, Section, Tile, linked, make_table
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.io.store import Store
    from drpflow.qa.coadd_data import BandCoadd, TractCoadds

    Columns = Mapping[str, NDArray[Any]]

_TITLE = "Coadds"
PLAN = "coadd_plan"
# Of more visits, those are shown in which most was masked.
_MOST_PANELS = 30
_MOST_TRACTS = 6
_OPEN_ROWS = 20
_PLAN_COLUMNS = (
    Column("tract"),
    Column("band", text=True),
    Column("visits", "used"),
    Column("detectors", "used"),
    Column("too wide", "detectors"),
    Column("target", "FWHM, pix", 2),
    Column("efficiency", "%", 2),
)
_LEFT_OUT_COLUMNS = (
    Column("tract"),
    Column("band", text=True),
    Column("visit"),
    Column("detector"),
    Column("left out of", text=True),
    Column("why", text=True),
)
_DEPTH_COLUMNS = (
    Column("tract"),
    Column("band", text=True),
    Column("area", "square arcmin", 1),
    Column("visits", "median", 0),
    Column("visits", "most", 0),
    Column("5 sigma", "median, mag", 2),
    Column("PSF width", "median, arcsec", 3),
)
_MASK_COLUMNS = (
    Column("tract"),
    Column("band", text=True),
    Column("visit"),
    *(Column(kind.replace("_", " "), "pix", 0) for kind in KINDS),
)


def coadd_section(store: Store) -> Section | None:
    """Return the chapter, None if nothing has been planned yet."""
    plans = [
        (int(i["tract"]), str(i["band"]), store.get(PLAN, **i)) for i in store.query(PLAN)
    ]  # fmt: skip
    if not plans:
        return None
    order = list(band_colors(band for _, band, _ in plans))
    plans.sort(key=lambda p: (p[0], order.index(p[1])))
    tracts = list(read_tracts(store))
    blocks = [
        Block(
            "What went in",
            "Detectors that are too wide for the target PSF stay in the coadd, and are not "
            "compared with the other visits. The efficiency is the signal-to-noise ratio of a "
            "point source over that of all visits each with a filter of its own.",
            table=make_table(_PLAN_COLUMNS, [_plan_row(*plan) for plan in plans]),
        ),
        *_left_out(plans),
        *(b for tract in _largest(tracts) for b in _tract_blocks(tract, order)),
    ]
    if tracts:
        rows = [_depth_row(t, b) for t in tracts for b in _ordered(t, order)]
        blocks.append(Block("Depth", table=make_table(_DEPTH_COLUMNS, rows)))
        blocks += _mask_block(tracts, order)
    note = "Means of all visits without what moves, on the tracts and patches of the sky map."
    if len(tracts) > _MOST_TRACTS:
        note += f" Pictures are of the {_MOST_TRACTS} of {len(tracts)} tracts with most light."
    told = [100 * (1 - p.meta["efficiency"]) for _, _, p in plans if p.meta.get("efficiency")]
    check = Check("coadd_efficiency", max(told, default=float("nan")), len(told))
    return Section(
        "coadds", _TITLE, note, _tiles(plans, tracts), linked("coadds", blocks), [check]
    )  # fmt: skip


def _tiles(plans: Sequence[tuple[int, str, Any]], tracts: Sequence[TractCoadds]) -> list[Tile]:
    used = sum(int(plan["used"].sum()) for _, _, plan in plans)
    total = sum(len(plan) for _, _, plan in plans)
    tiles = [Tile(f"{used} / {total}", "detectors coadded")]
    for band in [b for t in tracts[:1] for b in t.bands]:
        depth = _middle_of(band.depth_mag)
        if np.isfinite(depth):
            tiles.append(Tile(f"{depth:.2f}", f"5 sigma in {band.band}, mag"))
    return tiles


def _plan_row(tract: int, band: str, plan: Any) -> list[Any]:
    used, matched = np.asarray(plan["used"]), np.asarray(plan["used_matched"])
    visit = np.asarray(plan["visit"])
    efficiency = plan.meta.get("efficiency")
    return [
        tract, band, f"{np.unique(visit[used]).size} / {np.unique(visit).size}",
        f"{int(used.sum())} / {used.size}", int((used & ~matched).sum()),
        plan.meta.get("target_fwhm_pix"), None if efficiency is None else 100 * efficiency,
    ]  # fmt: skip


def _left_out(plans: Sequence[tuple[int, str, Any]]) -> list[Block]:
    """Return which detectors are not used, and why."""
    rows = []
    for tract, band, plan in plans:
        columns = plan.to_dict()
        for k in np.flatnonzero(~columns["used_matched"]).tolist():
            what = "the comparison" if columns["used"][k] else "the coadd"
            why = str(columns["reason"][k]) or str(columns["reason_matched"][k])
            place = int(columns["visit"][k]), int(columns["detector"][k])
            rows.append([tract, band, *place, what, why])
    if not rows:
        return []
    folded = f"all {len(rows)} detectors" if len(rows) > _OPEN_ROWS else ""
    table = make_table(_LEFT_OUT_COLUMNS, rows)
    return [Block("What was left out, and why", table=table, folded=folded)]


def _ordered(tract: TractCoadds, order: Sequence[str]) -> list[BandCoadd]:
    known = [*order, *(band.band for band in tract.bands)]
    return sorted(tract.bands, key=lambda band: known.index(band.band))


def _tract_blocks(tract: TractCoadds, order: Sequence[str]) -> list[Block]:
    bands = _ordered(tract, order)
    names = ", ".join(band.band for band in bands)
    whole = picture(color_composite([band.image for band in bands]), tract.block_pix)
    blocks = [
        Block(
            f"Tract {tract.tract}",
            "",
            [Picture(whole, f"{names} from blue to red; a source of equal AB magnitudes is white")],
            wide=True,
        )
    ]
    for band in bands:
        maps = (
            (band.counts, "visits", 2.0),
            (band.depth_mag, "5 sigma of a point source [mag]", 0.2),
            (band.fwhm_arcsec, "PSF width [arcsec]", 0.05),
        )
        pictures = [Picture(value_map(m, tract.block_pix, n, least), n) for m, n, least in maps]
        blocks.append(Block(f"Tract {tract.tract}, {band.band}", "", pictures))
        most = sorted(band.areas, key=lambda v: -sum(band.areas[v].values()))[:_MOST_PANELS]
        if most:
            shown = {visit: band.artifacts[visit] for visit in sorted(most)}
            caption = "what was masked in each visit, by class: " + ", ".join(
                kind.replace("_", " ") for kind in KINDS
            )
            panels = Picture(artifact_panels(band.image, shown), caption)
            blocks.append(Block("", "", [panels], wide=True))
    return blocks


def _largest(tracts: Sequence[TractCoadds]) -> list[TractCoadds]:
    """Return the tracts that are shown: those with most visits in most places."""
    sums = [-sum(float(np.nansum(band.counts)) for band in tract.bands) for tract in tracts]
    return [tracts[k] for k in sorted(np.argsort(sums, kind="stable")[:_MOST_TRACTS].tolist())]


def _depth_row(tract: TractCoadds, band: BandCoadd) -> list[Any]:
    known = np.isfinite(band.image)
    block_arcmin = tract.block_pix * tract.pixel_scale_arcsec / 60
    counts = band.counts[np.isfinite(band.counts) & (band.counts > 0)]
    return [
        tract.tract, band.band, float(known.sum()) * block_arcmin**2,
        _middle_of(counts), float(counts.max()) if counts.size else None,
        _middle_of(band.depth_mag), _middle_of(band.fwhm_arcsec),
    ]  # fmt: skip


def _mask_block(tracts: Sequence[TractCoadds], order: Sequence[str]) -> list[Block]:
    rows = [
        [tract.tract, band.band, visit, *(band.areas[visit][kind] for kind in KINDS)]
        for tract in tracts
        for band in _ordered(tract, order)
        for visit in sorted(band.areas)
    ]
    if not rows:
        return []
    return [
        Block(
            "What was masked",
            "Pixels of the coadds; those where patches overlap count in each.",
            table=make_table(_MASK_COLUMNS, rows),
            folded=f"all {len(rows)} visits" if len(rows) > _OPEN_ROWS else "",
        )
    ]


def _middle_of(values: NDArray[Any]) -> float:
    return middle(np.asarray(values, float).ravel())
