"""What the report says of the final PSFs: how stars differ from them, and from the first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.canvas import is_large
from drpflow.qa.charts import Order, night_number
from drpflow.qa.checks import Check
from drpflow.qa.final_psf_data import FinalPsf, read_final_psf
from drpflow.qa.final_psf_figures import (
    color_figure,
    key_ellipticity,
    residual_map,
    rho_figure,
    visit_figure,
)
from drpflow.qa.final_psf_scores import (
    ColorTrend,
    PsfMaps,
    Quality,
    color_trend,
    psf_maps,
    quality,
    rho_of,
)
from drpflow.qa.page import Block, Column, Picture, Section, Tile, linked, make_table
from drpflow.qa.psf_stack_blocks import stack_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from drpflow.io.store import Store

    Bools = NDArray[np.bool_]

_TITLE = "Final PSFs"
_BAND_COLUMNS = (
    Column("band", text=True),
    Column("whose", text=True),
    Column("stars"),
    Column("dT/T", "before, %", 3),
    Column("dT/T", "after, %", 3),
    Column("±", "", 3),
    Column("its scatter", "before, %", 2),
    Column("its scatter", "after, %", 2),
    Column("±", "", 2),
    Column("|de|", "after, ‰", 2),
    Column("±", "", 2),
    Column("its scatter", "before, ‰", 1),
    Column("its scatter", "after, ‰", 1),
    Column("±", "", 1),
)
_VISIT_COLUMNS = (
    Column("visit"),
    Column("band", text=True),
    Column("detectors", "of their own stars"),
    Column("from neighbours"),
    Column("without PSF"),
    Column("stars", "PSF"),
    Column("reserved"),
    Column("degree", "least"),
    Column("mean dT/T", "before, %", 2),
    Column("mean dT/T", "after, %", 2),
    Column("±", "", 2),
    Column("scatter of dT/T", "before, %", 2),
    Column("scatter of dT/T", "after, %", 2),
    Column("scatter of de", "before, %", 2),
    Column("scatter of de", "after, %", 2),
)
_LOST_COLUMNS = (
    Column("visit"),
    Column("detector"),
    Column("band", text=True),
    Column("PSF from", text=True),
    Column("aperture correction from", text=True),
    Column("stars", "PSF"),
    Column("why there is no PSF", text=True),
)
_MAP_COLUMNS = (
    Column("band", text=True),
    Column("detector"),
    Column("stars"),
    Column("dT/T", "mean, %", 3),
    Column("±", "", 3),
    Column("structure", "before, %", 2),
    Column("structure", "after, %", 2),
    Column("of de", "before, %", 2),
    Column("of de", "after, %", 2),
)
_SLOPE_COLUMNS = (
    Column("band", text=True),
    Column("stars"),
    Column("before", "% a magnitude", 3),
    Column("after", "% a magnitude", 3),
    Column("±", "", 3),
    Column("reserved stars"),
    Column("before", "% a magnitude", 3),
    Column("after", "% a magnitude", 3),
    Column("±", "", 3),
)
_RHO_COLUMNS = (
    Column("separation", "arcmin", 2),
    Column("whose", text=True),
    Column("pairs"),
    *(c for k in range(1, 6) for c in (Column(f"ρ{k}", "10⁻⁵", 2), Column("±", "", 2))),
)


def final_psf_section(store: Store) -> Section | None:
    """Return the chapter, None if there are no final PSFs yet."""
    found = read_final_psf(store)
    if found is None:
        return None
    lost = _lost_block(found)
    if not found.stars.visit.size:
        return Section("final-psf", _TITLE, "No visit has a star to judge them by.", blocks=lost)
    note = (
        "Stars against the PSF models: T = Ixx + Iyy and the distortion e of the adaptive "
        "moments, star less model; before is the first PSF, of calibrateImage, after the final "
        "one at the colour of each star. Reserved stars made no final PSF; some of them made the "
        "first. The scatter is what noise leaves unexplained."
    )
    blocks = [_band_block(found), *_map_blocks(found), *stack_blocks(store, found.band_of),
              _rho_block(found), *_color_blocks(found), _visit_block(found), *lost]  # fmt: skip
    return Section(
        "final-psf", _TITLE, note, _tiles(found), linked("final-psf", blocks), _checks(found)
    )


def _checks(found: FinalPsf) -> list[Check]:
    """Return means beyond their errors, of the worst band."""
    stars = found.stars
    each = [
        quality(stars, mine & stars.reserved) for band, mine in _bands(found) if band != "all"
    ]  # fmt: skip
    sizes = [abs(q.size.mean) - q.size.error for q in each if np.isfinite(q.size.mean)]
    shapes = [_length(q) - q.e1.error for q in each if np.isfinite(_length(q))]
    number = sum(q.size.number for q in each)
    return [
        Check(name, factor * max(0.0, *values) if values else float("nan"), number)
        for name, factor, values in (("psf_size", 1e2, sizes), ("psf_shape", 1e3, shapes))
    ]


def _tiles(found: FinalPsf) -> list[Tile]:
    images, stars = found.images, found.stars
    made = images["psf_source"] != "none"
    before, after = (quality(stars, stars.reserved, before=b) for b in (True, False))
    tiles = [
        Tile(
            f"{int(made.sum())} / {made.size}", "detectors with a final PSF",
            "good" if made.all() else "bad",
        ),
        Tile(str(int((images["psf_source"] == "neighbors").sum())), "of them from neighbours"),
        Tile(f"{int(stars.reserved.sum()):,}", "reserved stars to judge by"),
    ]  # fmt: skip
    if np.isfinite(after.size.mean):
        tiles += [
            Tile(
                f"{100 * after.size.mean:.2f} ± {100 * after.size.error:.2f} %",
                "mean dT/T of reserved stars",
            ),
            Tile(
                f"{100 * after.size.scatter:.1f} ± {100 * after.size.scatter_error:.1f} %",
                f"their scatter beyond noise ({100 * before.size.scatter:.1f} before)",
            ),
        ]
    return tiles


def _band_block(found: FinalPsf) -> Block:
    stars, rows = found.stars, []
    for band, in_band in _bands(found):
        for whose, kind in (("stars of the fit", ~stars.reserved), ("reserved", stars.reserved)):
            which = in_band & kind
            before, after = (quality(stars, which, before=b) for b in (True, False))
            rows.append([
                band, whose, after.size.number, 100 * before.size.mean, 100 * after.size.mean,
                100 * after.size.error, 100 * before.size.scatter, 100 * after.size.scatter,
                100 * after.size.scatter_error, 1e3 * _length(after), 1e3 * after.e1.error,
                1e3 * before.e_scatter, 1e3 * after.e_scatter, 1e3 * after.e_scatter_error,
            ])  # fmt: skip
    note = (
        "Weighted means over all stars of a band, |de| the length of the mean; stars more than 5 "
        "sigma off are left out. A scatter of 0 means that noise explains all."
    )
    return Block("Numbers of each band", note, table=make_table(_BAND_COLUMNS, rows))


def _bands(found: FinalPsf) -> Iterator[tuple[str, Bools]]:
    """Yield all bands together, where there are several, then each."""
    if len(found.bands) > 1:
        yield "all", np.ones(found.stars.band.size, bool)
    for k, band in enumerate(found.bands):
        mine = found.stars.band == k
        if mine.any():
            yield band, mine


def _length(of: Quality) -> float:
    return float(np.hypot(of.e1.mean, of.e2.mean))


def _map_blocks(found: FinalPsf) -> list[Block]:
    detectors = [found.detectors[key] for key in sorted(found.detectors)]
    if not detectors:
        return []
    pictures, rows = [], []
    for k, (band, mine) in enumerate(_bands(found)):
        before, after = (
            psf_maps(found.stars, mine, found.detectors, before=b) for b in (True, False)
        )
        most = 100 * max(_end(before), _end(after))
        key = key_ellipticity(max(_longest(before), _longest(after)))
        which = (("before", before), ("after", after)) if k == 0 else (("after", after),)
        name = f"{band} bands" if band == "all" else band
        pictures += [
            Picture(residual_map(maps, detectors, most, key), f"{name}, {stage}")
            for stage, maps in which
        ]
        rows += [
            [
                band, d, after.size.number[d], *(100 * v for v in after.size.average(d)),
                100 * before.size.structure(d), 100 * after.size.structure(d),
                100 * _e_structure(before, d), 100 * _e_structure(after, d),
            ]
            for d in sorted(after.size.number)
        ]  # fmt: skip
    note = (
        "Mean over all visits of what stars, reserved or not, have more than the PSF: size in "
        "colour (red: stars are larger), distortion as whiskers along the major axis. The "
        "structure is the rms over the cells beyond their errors."
    )
    table = make_table(_MAP_COLUMNS, rows)
    title, wide = "Residuals over the focal plane", is_large(detectors)
    return [Block(title, note, pictures, table, "Numbers of each detector", wide=wide)]


def _end(maps: PsfMaps) -> float:
    """Return the end of a scale that shows nearly all cells."""
    cells = np.concatenate([np.abs(m).ravel() for m in maps.size.mean.values()])
    cells = cells[np.isfinite(cells)]
    return max(float(np.percentile(cells, 95)) if cells.size else 0.0, 2e-3)


def _longest(maps: PsfMaps) -> float:
    """Return the ellipticity that nearly all cells stay below."""
    cells = [np.hypot(maps.e1.mean[d], maps.e2.mean[d]).ravel() for d in maps.e1.mean]
    known = np.concatenate(cells) if cells else np.zeros(0)
    known = known[np.isfinite(known)]
    return float(np.percentile(known, 90)) if known.size else 0.0


def _e_structure(maps: PsfMaps, detector: int) -> float:
    return float(np.hypot(maps.e1.structure(detector), maps.e2.structure(detector)) / np.sqrt(2))


def _rho_block(found: FinalPsf) -> Block:
    statistics = rho_of(found)
    rows = [
        [
            float(f.separation_arcmin[b]), name, int(f.n_pairs[b]),
            *(1e5 * float(v) for k in range(5) for v in (f.rho[k, b], f.error[k, b])),
        ]
        for name, f in statistics.items()
        for b in np.flatnonzero(f.n_pairs)
    ]  # fmt: skip
    note = (
        "What residuals of stars on one visit have in common; errors are those from visit to "
        "visit. Here e is the distortion of the model; noise of the stars widens the errors, but "
        "is in no mean. Stars of the fit look better than they should: the PSF has followed their "
        "noise."
    )
    picture = Picture(rho_figure(statistics), "ρ statistics against separation.")
    table = make_table(_RHO_COLUMNS, rows)
    return Block("ρ statistics", note, [picture], table, "Numbers of each separation", wide=True)


def _color_blocks(found: FinalPsf) -> list[Block]:
    stars, trends, rows = found.stars, {}, []
    for band, mine in _bands(found):
        if band == "all":
            continue
        pair = tuple(color_trend(stars, mine, before=b) for b in (True, False))
        kept = tuple(color_trend(stars, mine & stars.reserved, before=b) for b in (True, False))
        if pair[1] is not None:
            trends[band] = (pair[0], pair[1])
            rows.append([band, *_slopes(*pair), *_slopes(*kept)])
    if not trends:
        return []
    note = (
        "Sizes of stars against the PSF by colour, in bins of equally many stars, all stars; the "
        "slopes are those of straight lines. The first PSF knows no colours."
    )
    picture = Picture(color_figure(trends, found.color_name), "dT/T against colour, by band.")
    table = make_table(_SLOPE_COLUMNS, rows)
    return [Block("Colours", note, [picture], table, wide=True)]


def _slopes(before: ColorTrend | None, after: ColorTrend | None) -> list[Any]:
    nan = float("nan")
    return [
        after.number if after else None,
        100 * before.slope if before else nan,
        100 * after.slope if after else nan,
        100 * after.slope_error if after else nan,
    ]


def _visit_block(found: FinalPsf) -> Block:
    numbers = np.unique(found.images["visit"])
    infos = [found.visits.get(v) for v in numbers.tolist()]
    mjd = [i.mjd if i is not None and i.mjd is not None else np.nan for i in infos]
    order = Order.of(numbers.tolist(), mjd, [night_number(i) for i in infos])
    pairs = {v: _pair(found, v) for v in numbers.tolist()}
    bands = [found.band_of[v] for v in numbers.tolist()]
    figure = visit_figure(numbers, bands, list(pairs.values()), order)
    rows = [_visit_row(found, v, pairs[v]) for v in order.visits.tolist()]
    note = "Rings are the first PSF, discs the final one; all stars, reserved or not."
    return Block(
        "Visits", note, [Picture(figure, "Visits in the order of time.")],
        make_table(_VISIT_COLUMNS, rows), "Numbers of each visit", wide=True,
    )  # fmt: skip


def _pair(found: FinalPsf, visit: int) -> tuple[Quality, Quality]:
    mine = found.stars.visit == visit
    return quality(found.stars, mine, before=True), quality(found.stars, mine)


def _visit_row(found: FinalPsf, visit: int, pair: tuple[Quality, Quality]) -> list[Any]:
    mine = found.images["visit"] == visit
    of = {n: v[mine] for n, v in found.images.items()}
    before, after = pair
    sources = [int((of["psf_source"] == s).sum()) for s in ("stars", "neighbors", "none")]
    degrees = of["psf_order"][of["psf_order"] >= 0]
    return [
        visit, found.band_of[visit], *sources, int(of["n_psf_used"].sum()),
        int(of["n_psf_reserved"].sum()), int(degrees.min()) if degrees.size else None,
        100 * before.size.mean, 100 * after.size.mean, 100 * after.size.error,
        100 * before.size.scatter, 100 * after.size.scatter, 100 * before.e_scatter,
        100 * after.e_scatter,
    ]  # fmt: skip


def _lost_block(found: FinalPsf) -> list[Block]:
    """Return what is not from the detector's own stars."""
    of = found.images
    rows = [
        [
            int(of["visit"][k]), int(of["detector"][k]), found.band_of[int(of["visit"][k])],
            str(of["psf_source"][k]), str(of["ap_corr_source"][k]), int(of["n_psf_used"][k]),
            str(of["lost"][k]) or "–",
        ]
        for k in np.flatnonzero((of["psf_source"] != "stars") | (of["ap_corr_source"] != "stars"))
    ]  # fmt: skip
    if not rows:
        return []
    table = make_table(_LOST_COLUMNS, rows)
    folded = f"all {len(rows)} detector images" if len(rows) > 20 else ""
    return [Block("Lost, or told by neighbours", table=table, folded=folded)]
