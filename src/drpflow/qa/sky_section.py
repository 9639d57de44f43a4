"""What the report says of backgrounds: what they leave of the sky, at edges and about stars."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.canvas import is_large
from drpflow.qa.charts import Order, night_number
from drpflow.qa.checks import Check
from drpflow.qa.page import Block, Column, Picture, Section, Tile, linked, make_table
from drpflow.qa.photometry_figures import cell_maps, nearly_all
from drpflow.qa.sky_data import read_skies
from drpflow.qa.sky_figures import sky_trends, wing_figure
from drpflow.qa.sky_scores import WING_ARCSEC, Jump, WingSums, block_maps, jumps, rms
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector
    from drpflow.io.status_files import Outcome
    from drpflow.io.store import Store
    from drpflow.qa.sky_data import VisitSky

    Maps = dict[int, NDArray[np.float64]]

_TITLE = "Backgrounds"
_TASKS = ("measureSky", "makeSkyFrame", "modelVisitBackground")
_LEAST_PERCENT = 0.1
_MOST_ROWS = 20
# Blocks along the side of a detector, of a visit and of the mean of many.
_FEW_BLOCKS, _MANY_BLOCKS = 8, 16
_CAPTIONS = {
    "first": "sky left by the first background",
    "final": "sky left by the final background",
    "between": "first − final background",
    "model": "final background − level of the sky",
}
_VISIT_COLUMNS = (
    Column("visit"),
    Column("band", text=True),
    Column("detectors"),
    Column("sky", "electron/pix", 1),
    Column("range", "of detectors, %", 2),
    Column("cells", "in the model, %", 0),
    Column("degree"),
    Column("bright stars"),
    Column("error", "of the model, % of sky", 3),
    Column("jumps", "first, %", 3),
    Column("jumps", "final, %", 3),
    Column("their noise", "%", 3),
    Column("jumps", "first − final, %", 3),
    Column("what it had to do without", text=True),
)
_BAND_COLUMNS = (
    Column("band", text=True),
    Column("visits"),
    Column("edges"),
    Column("jump of an edge", "first, %", 3),
    Column("jump of an edge", "final, %", 3),
    Column("noise", "%", 3),
    Column("mean over visits", "first, %", 3),
    Column("mean over visits", "final, %", 3),
    Column("noise", "%", 3),
    Column("first − final", "%", 3),
)
_WING_COLUMNS = (
    Column("band", text=True),
    Column("magnitude", "", 1),
    Column("stars"),
    Column("wings", "%", 3),
    Column("±", "", 3),
    Column("first", "%", 3),
    Column("±", "", 3),
    Column("final", "%", 3),
    Column("±", "", 3),
)


@dataclass
class _Gathered:
    """What outlives the cells of a visit."""

    visits: list[VisitSky] = field(default_factory=list)
    jumps: dict[int, dict[tuple[int, int], Jump]] = field(default_factory=dict)
    maps: dict[str, list[dict[str, Maps]]] = field(default_factory=dict)
    detectors: dict[int, Detector] = field(default_factory=dict)
    wings: WingSums = field(default_factory=WingSums)
    of_visit: dict[int, tuple[dict[str, Maps], dict[int, Detector]]] = field(default_factory=dict)


@dataclass(frozen=True)
class SkyChapter:
    """The chapter, and mosaics of each visit with their detectors, for the chapter of visits."""

    section: Section | None
    of_visit: Mapping[int, tuple[Mapping[str, Maps], Mapping[int, Detector]]]

    def part(self, visit: int) -> Block | None:
        """Return the figures of a visit, None if there are none."""
        if visit not in self.of_visit:
            return None
        maps, detectors = self.of_visit[visit]
        wide = is_large(list(detectors.values()))
        return Block("Background of the visit", figures=_pictures(maps, detectors), wide=wide)


def sky_chapter(store: Store, outcomes: Sequence[Outcome]) -> SkyChapter:
    """Return the chapter, without a section if there are no backgrounds of visits yet."""
    found = _gather(store)
    if not found.visits:
        return SkyChapter(None, {})
    mine = [o for o in outcomes if o.task in _TASKS]
    note = (
        "One model of the sky for all detectors of a visit (final), beside that of each detector "
        "by itself (first, calibrateImage). What is left of the sky is that of cells without "
        "sources, less the background, in % of the level of the sky."
    )
    blocks = [_visit_block(found, mine), *_jump_block(found), *_map_blocks(found),
              *_wing_blocks(found), *_lost_block(mine)]  # fmt: skip
    section = Section("sky", _TITLE, note, _tiles(found), linked("sky", blocks), _checks(found))
    return SkyChapter(section, found.of_visit)


def _gather(store: Store) -> _Gathered:
    found = _Gathered()
    for sky in read_skies(store):
        found.visits.append(replace(sky, detectors={}))
        if not sky.detectors or not sky.level > 0:
            continue
        detectors = {k: d.detector for k, d in sky.detectors.items()}
        found.detectors |= detectors
        found.jumps[sky.visit] = jumps(sky)
        found.wings.add(sky)
        found.maps.setdefault(sky.band, []).append(block_maps(sky, _MANY_BLOCKS))
        found.of_visit[sky.visit] = block_maps(sky, _FEW_BLOCKS), detectors
    found.detectors = dict(sorted(found.detectors.items()))
    return found


def _pictures(
    maps: Mapping[str, Maps], detectors: Mapping[int, Detector], about: str = ""
) -> list[Picture]:
    """Return mosaics before, after, of the difference (with one scale), and of the model."""
    most = max(_LEAST_PERCENT, nearly_all([*maps["first"].values(), *maps["final"].values()]))
    ends = {"model": max(_LEAST_PERCENT, nearly_all(maps["model"].values()))}
    places = [detectors[k] for k in sorted(detectors)]
    return [
        Picture(
            cell_maps(maps[name], places, "% of the sky", most=ends.get(name, most)), about + text
        )
        for name, text in _CAPTIONS.items()
        if any(np.isfinite(m).any() for m in maps[name].values())
    ]


def _tiles(found: _Gathered) -> list[Tile]:
    made = sum(int(np.isfinite(v.table["level"]).sum()) for v in found.visits)
    total = sum(v.table["level"].size for v in found.visits)
    tiles = [
        Tile(f"{made} / {total}", "detectors with a final background",
             "good" if made == total else "bad"),
    ]  # fmt: skip
    every = [j for visit in found.jumps.values() for j in visit.values()]
    if every:
        text = f"{rms([j.final for j in every]):.3f} %"
        tiles.append(Tile(text, f"jump of an edge (noise {rms([j.noise for j in every]):.3f})"))
        between = np.concatenate([j.between for j in every])
        tiles.append(Tile(f"{rms(between):.3f} %", "jumps of first − final background"))
    return tiles


def _checks(found: _Gathered) -> list[Check]:
    """Return jumps beyond the noise of the pixels."""
    every = [j for visit in found.jumps.values() for j in visit.values()]
    if not every:
        return []
    square = rms([j.final for j in every]) ** 2 - rms([j.noise for j in every]) ** 2
    return [Check("sky_jump", float(np.sqrt(max(square, 0.0))), len(every))]


def _visit_block(found: _Gathered, outcomes: Sequence[Outcome]) -> Block:
    visits = found.visits
    numbers = np.array([v.visit for v in visits])
    mjd = [v.info.mjd if v.info and v.info.mjd is not None else np.nan for v in visits]
    order = Order.of(numbers.tolist(), mjd, [night_number(v.info) for v in visits])
    values = {v.visit: _numbers(v, found.jumps.get(v.visit, {})) for v in visits}
    told = {o.data_id.get("visit"): o for o in outcomes if o.task == _TASKS[-1]}
    by = {v.visit: v for v in visits}
    figure = sky_trends(
        numbers, [v.band for v in visits], np.array(list(values.values())).reshape(-1, 5), order
    )
    note = (
        "Jumps are steps across the gaps between detectors that face each other. Rings and discs: "
        "of the sky left by the first and by the final background, in strips 128 pixels deep, "
        "the mean of a whole edge, rms over the edges; bars are what the noise of the pixels makes "
        "of it. The first background has followed this noise, and shows less than its own errors. "
        "Below: of the first background less the final one, in eighths of an edge, which no noise "
        "of pixels touches: these are errors of the first as far as the final one is right."
    )
    rows = [_visit_row(by[v], values[v], told.get(v)) for v in order.visits.tolist()]
    return Block(
        "Visits", note, [Picture(figure, "Visits in the order of time.")],
        make_table(_VISIT_COLUMNS, rows), "Numbers of each visit", wide=True,
    )  # fmt: skip


def _numbers(visit: VisitSky, of: Mapping[tuple[int, int], Jump]) -> list[float]:
    """Return level and jumps of a visit."""
    each = list(of.values())
    between = np.concatenate([j.between for j in each]) if each else np.empty(0)
    parts = (rms([getattr(j, n) for j in each]) for n in ("first", "final", "noise"))
    return [visit.level, *parts, rms(between)]


def _visit_row(visit: VisitSky, numbers: Sequence[float], told: Outcome | None) -> list[Any]:
    t = visit.table
    level = t["level"][np.isfinite(t["level"])]
    used = t["used_fraction"][np.isfinite(t["used_fraction"])]
    of = told.numbers if told is not None else {}
    error = of.get("model_error")
    return [
        visit.visit, visit.band, f"{level.size} / {t['level'].size}", visit.level,
        100 * float(np.ptp(level)) / visit.level if level.size else None,
        100 * float(np.mean(used)) if used.size else None, of.get("order"),
        int(t["n_stars"].max(initial=0)),
        100 * float(error) / visit.level if isinstance(error, (int, float)) else None,
        *numbers[1:], told.reason if told is not None and told.reason else "–",
    ]  # fmt: skip


def _jump_block(found: _Gathered) -> list[Block]:
    """Return jumps by band: of single visits, and what all visits have in common."""
    rows = []
    for band in _bands(found):
        mine = [found.jumps[v.visit] for v in found.visits
                if v.band == band and v.visit in found.jumps]  # fmt: skip
        every = [j for visit in mine for j in visit.values()]
        if every:
            edges = dict.fromkeys(edge for visit in mine for edge in visit)
            means = np.array([_mean_jump([v[e] for v in mine if e in v]) for e in edges])
            single = (rms([getattr(j, n) for j in every]) for n in ("first", "final", "noise"))
            common = (rms(means[:, n]) for n in range(3))
            between = rms(np.concatenate([j.between for j in every]))
            rows.append([band, len(mine), len(edges), *single, *common, between])
    if not rows:
        return []
    note = (
        "Of an edge on one visit, and of the mean of an edge over all visits of a band, which has "
        "less noise and shows what a flat field or the sky frame has wrong; rms, % of the sky."
    )
    return [Block("Jumps by band", note, table=make_table(_BAND_COLUMNS, rows))]


def _mean_jump(of: Sequence[Jump]) -> tuple[float, float, float]:
    """Return weighted means of an edge over visits: first, final, and their noise."""
    weight = np.array([j.noise**-2 for j in of])
    values = np.array([(j.first, j.final) for j in of])
    known = np.isfinite(values).all(axis=1)
    total = weight[known].sum()
    if not known.any():
        return float("nan"), float("nan"), float("nan")
    first, final = (float(weight[known] @ values[known, n] / total) for n in range(2))
    return first, final, float(total**-0.5)


def _bands(found: _Gathered) -> list[str]:
    return list(band_colors(v.band for v in found.visits))


def _map_blocks(found: _Gathered) -> list[Block]:
    pictures: list[Picture] = []
    for band in _bands(found):
        maps = found.maps.get(band)
        if maps:
            mean = {name: _mean_maps([m[name] for m in maps]) for name in _CAPTIONS}
            number = f"{len(maps)} visit{'s' if len(maps) > 1 else ''}"
            pictures += _pictures(mean, found.detectors, f"{band}, mean of {number}: ")
    if not pictures:
        return []
    note = (
        "Means over the visits of a band, red where there is more light than the background says. "
        "The difference is red where the first background took too much (galaxies), and blue where "
        "it left light in (wings of bright stars), as far as the final one is right. Single visits "
        "are shown in the chapter of visits."
    )
    wide = is_large(list(found.detectors.values()))
    return [Block("Backgrounds over the focal plane", note, pictures, wide=wide)]


def _mean_maps(of: Sequence[Maps]) -> Maps:
    """Return means over visits of the blocks that are known."""
    found = {}
    for key in sorted({k for maps in of for k in maps}):
        each = np.array([maps[key] for maps in of if key in maps])
        number = np.isfinite(each).sum(axis=0)
        total = np.nansum(each, axis=0)
        found[key] = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return found


def _wing_blocks(found: _Gathered) -> list[Block]:
    curves = {band: found.wings.bins(band) for band in _bands(found)}
    curves = {band: bins for band, bins in curves.items() if bins}
    if not curves:
        return []
    rows = [
        [band, b.magnitude, b.number, *b.bare, *b.first, *b.final]
        for band, bins in curves.items()
        for b in bins
    ]
    low, high = WING_ARCSEC
    note = (
        f"Light {low:g}″ to {high:g}″ from stars, mean of cells without sources: with the final "
        "background without its layer of wings (the wings themselves), with the first background, "
        "which takes them for sky, and with the final one. Errors are from the scatter of stars."
    )
    picture = Picture(wing_figure(curves), "Light left about stars against magnitude, by band.")
    table = make_table(_WING_COLUMNS, rows)
    return [Block("Wings of stars", note, [picture], table, "Numbers of each bin", wide=True)]


def _lost_block(outcomes: Sequence[Outcome]) -> list[Block]:
    """Return what the tasks could not do, and why."""
    columns = (Column("task", text=True), Column("visit"), Column("filter", text=True),
               Column("what", text=True), Column("reason", text=True))  # fmt: skip
    rows = [
        [o.task, o.data_id.get("visit"), o.data_id.get("physical_filter", "–"),
         "nothing" if o.failed else "in part", o.reason]
        for o in sorted(outcomes, key=lambda o: (o.task, int(o.data_id.get("visit", -1))))
        if o.failed or o.partial
    ]  # fmt: skip
    folded = f"all {len(rows)} jobs" if len(rows) > _MOST_ROWS else ""
    return [Block("What was lost", table=make_table(columns, rows), folded=folded)] if rows else []
