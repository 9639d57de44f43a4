"""What the report says of detrended images and of the health of the detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drpflow.data.detector_info import DetectorInfo
from drpflow.data.visit_info import VisitInfo
from drpflow.qa.canvas import is_large
from drpflow.qa.figures import focal_plane, focal_plane_masks, series
from drpflow.qa.page import Block, Column, Picture, Section, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drpflow.data.exposure import Exposure
    from drpflow.data.table import Table
    from drpflow.io.store import Store

_VISIT_COLUMNS = (
    Column("visit"),
    Column("night", text=True),
    Column("band", text=True),
    Column("exposure", "s", 1),
    Column("airmass", "", 2),
    Column("detectors"),
    Column("sky", "electron", 1),
    Column("noise of a block", "electron", 2),
    Column("noise / predicted", "", 3),
    Column("saturated", "%", 2),
    Column("bad", "%", 2),
)
_AMPLIFIER_COLUMNS = (
    Column("visit"),
    Column("detector"),
    Column("amplifier", text=True),
    Column("gain", "electron/adu", 4),
    Column("read noise", "electron", 2),
    Column("overscan", "adu", 2),
    Column("overscan scatter", "adu", 2),
    Column("offset", "electron", 2),
    Column("bad", "%", 2),
    Column("saturated", "%", 2),
)
_THUMBNAIL = "post_isr_thumbnail"
_DARK_PLANES = ("DETECTED", "SAT", "BAD", "NO_DATA", "CROSSTALK")


def detrended_section(store: Store) -> Section:
    """Return the table of visits; one visit is held at a time."""
    rows = [_visit_row(visit, read) for visit in detrended_visits(store)
            if (read := _thumbnails(store, visit))]  # fmt: skip
    return Section(
        "detrended",
        "Detrended images",
        "Levels are medians over the blocks of the small images; the ratio compares the scatter "
        "between neighbouring blocks with what the variance plane predicts, so that sources "
        "and sky structure raise it above 1. Images are on the pages of visits.",
        blocks=[Block(table=make_table(_VISIT_COLUMNS, rows))],
    )


def detrended_visits(store: Store) -> list[int]:
    """Return the visits that isr has seen."""
    return sorted({int(data_id["visit"]) for data_id in store.query(_THUMBNAIL)})


def detrended_part(store: Store, visit: int) -> Block | None:
    """Return image and masks of a visit after isr, where the detectors stand; None without any."""
    thumbnails = _thumbnails(store, visit)
    if not thumbnails:
        return None
    detectors = [t.detector.detector for t in thumbnails if t.detector is not None]
    images = {t.detector.id: t.image for t in thumbnails if t.detector is not None}
    masks = {t.detector.id: t.mask.array for t in thumbnails if t.detector is not None}
    planes = thumbnails[0].mask.planes
    figures = [
        Picture(focal_plane(images, detectors, thumbnails[0].unit), "image after isr"),
        Picture(focal_plane_masks(masks, planes, detectors), "mask planes after isr"),
    ]
    return Block("Detrended images", figures=figures, wide=is_large(detectors))


def _thumbnails(store: Store, visit: int) -> list[Exposure]:
    """Return the small images of a visit that hold anything."""
    read = (store.get(_THUMBNAIL, **data_id) for data_id in store.query(_THUMBNAIL, visit=visit))
    return [t for t in read if isinstance(t.detector, DetectorInfo) and not np.isnan(t.image).all()]


def amplifier_section(store: Store) -> Section:
    """Return overscan level and noise of every amplifier against time."""
    note = "Overscan level and scatter of each amplifier, visit by visit: drifts and steps show."
    if not store.query("isr_statistics"):
        return Section("amplifiers", "Amplifiers", "There are none yet.")
    table = store.get("isr_statistics_run")
    figures = _amplifier_figures(table)
    blocks = [
        *([Block(figures=figures)] if figures else []),
        Block(table=make_table(_AMPLIFIER_COLUMNS, _amplifier_rows(table)), folded="All numbers"),
    ]
    return Section("amplifiers", "Amplifiers", note, blocks=blocks)


def _visit_row(visit: int, thumbnails: Sequence[Exposure]) -> list[object]:
    info = thumbnails[0].visit_info
    sky = [float(np.nanmedian(t.image)) for t in thumbnails]
    noise = [_noise(t) for t in thumbnails]
    share = [{k: v / t.image.size for k, v in t.mask.count().items()} for t in thumbnails]
    return [
        visit,
        info.night if isinstance(info, VisitInfo) else None,
        info.band if isinstance(info, VisitInfo) else None,
        info.exposure_time_s if isinstance(info, VisitInfo) else None,
        info.airmass if isinstance(info, VisitInfo) else None,
        len(thumbnails),
        float(np.mean(sky)),
        float(np.mean([n[0] for n in noise])),
        float(np.mean([n[1] for n in noise])),
        100 * float(np.mean([s["SAT"] for s in share])),
        100 * float(np.mean([s["BAD"] for s in share])),
    ]


def _noise(thumbnail: Exposure) -> tuple[float, float]:
    """Return the scatter between neighbouring blocks, and its ratio to the predicted one.

    The difference of neighbours takes out what is smooth; its scatter (1.4826 times the median
    absolute deviation, over the square root of 2) is robust against sources.
    """
    good = ~thumbnail.mask.any(_DARK_PLANES)
    pair = good[:, 1:] & good[:, :-1]
    difference = np.diff(thumbnail.image, axis=1)[pair]
    if difference.size < 100:
        return float("nan"), float("nan")
    scatter = 1.4826 * float(np.median(np.abs(difference - np.median(difference)))) / np.sqrt(2)
    return scatter, scatter / float(np.sqrt(np.median(thumbnail.variance[good])))


def _amplifier_figures(table: Table) -> list[Picture]:
    names = np.char.add(
        np.char.add(table["detector"].astype(str), " "), table["amplifier"].astype(str)
    )
    visits = table["visit"]
    pictures = []
    for column, label in (
        ("overscan_level_adu", "overscan level − its median [adu]"),
        ("overscan_sigma_adu", "overscan scatter [adu]"),
    ):
        # Detectors without overscan, and images that were detrended elsewhere, have no values.
        known = np.isfinite(table[column])
        curves = {}
        for name in sorted(set(names[known].tolist())):
            mine = known & (names == name)
            values = table[column][mine]
            middle = np.median(values) if column == "overscan_level_adu" else 0.0
            curves[name] = visits[mine].astype(float), values - middle
        if curves:
            pictures.append(Picture(series(curves, "visit", label), label))
    return pictures


def _amplifier_rows(table: Table) -> list[list[object]]:
    columns = table.to_dict()
    names = (
        "visit", "detector", "amplifier", "gain", "read_noise_electron", "overscan_level_adu",
        "overscan_sigma_adu", "amp_offset_electron", "bad_fraction", "saturated_fraction",
    )  # fmt: skip
    values = [columns[n] * 100 if n.endswith("_fraction") else columns[n] for n in names]
    return [
        [v.item() if hasattr(v, "item") else v for v in row] for row in zip(*values, strict=True)
    ]
