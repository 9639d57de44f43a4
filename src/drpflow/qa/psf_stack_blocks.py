"""What the report says of the mean images of stars less their final PSFs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from drpflow.algorithms.psf_residual import ResidualStack
from drpflow.qa.canvas import data_uri
from drpflow.qa.charts import WIDE_IN, label, row
from drpflow.qa.page import Block, Column, Picture, make_table
from drpflow.qa.trend_figures import band_colors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drpflow.io.store import Store

SUMMARY, KEY = "final_characterization_summary", "psf_residual"
"""Table whose metadata have the stacks of a visit, and their name there."""
_WHOSE = {"used": "stars of the fit", "reserved": "reserved"}
_COLUMNS = (
    Column("band", text=True),
    Column("whose", text=True),
    Column("stars"),
    Column("in the middle", "%", 2),
    Column("±", "", 2),
    Column("largest", "%", 2),
    Column("rms", "%", 2),
    Column("of noise", "%", 2),
)


def stacked(store: Store, band_of: Mapping[int, str]) -> dict[tuple[str, str], ResidualStack]:
    """Return the stacks of all visits by band, and whether stars made the PSF or are reserved.

    Parameters
    ----------
    store
        The run.
    band_of
        Band of each visit that has a summary.
    """
    parts = defaultdict(list)
    for visit, band in band_of.items():
        stacks = store.get(SUMMARY, columns=["detector"], visit=visit).meta.get(KEY, {})
        for whose in _WHOSE.keys() & stacks.keys():
            parts[band, whose].append(ResidualStack.from_meta(stacks[whose]))
    found = {key: ResidualStack.added(of) for key, of in parts.items()}
    order = list(band_colors(band_of.values()))
    keys = [(band, whose) for whose in _WHOSE for band in order]
    return {key: found[key] for key in keys if key in found and found[key].stars}


def stack_blocks(store: Store, band_of: Mapping[int, str]) -> list[Block]:
    """Return the block, none where no visit has a stack."""
    stacks = stacked(store, band_of)
    if not stacks:
        return []
    rows = []
    for (band, whose), stack in stacks.items():
        percent, error = 100 * stack.mean / stack.peak, 100 * stack.error / stack.peak
        middle, known = len(percent) // 2, np.isfinite(error)
        rows.append([
            band, _WHOSE[whose], stack.stars, percent[middle, middle], error[middle, middle],
            float(np.abs(percent).max()), float(np.sqrt(np.mean(percent[known] ** 2))),
            float(np.sqrt(np.mean(error[known] ** 2))),
        ])  # fmt: skip
    note = (
        "Star less PSF model, fluxes being one, in the mean over all stars of a band: in per cent "
        "of the peak of the PSF, a pixel of the picture being one of the detector. Red: stars have "
        "more light there than the model."
    )
    picture = Picture(stack_figure(stacks), "Mean residual images.")
    table = make_table(_COLUMNS, rows)
    return [Block("Residual images", note, [picture], table, "Numbers of each image", wide=True)]


def stack_figure(stacks: Mapping[tuple[str, str], ResidualStack]) -> str:
    """Draw the images, on one scale: a column a band where there are three."""
    images = {key: 100 * stack.mean / stack.peak for key, stack in stacks.items()}
    most = max(float(np.percentile(np.abs(image), 99.5)) for image in images.values())
    most = max(most, 0.1)
    figure, panels = row(len(images), 2.6, min(WIDE_IN, 3.2 * len(images)))
    for axes, ((band, whose), image) in zip(panels, images.items(), strict=True):
        half = len(image) / 2
        shown = axes.imshow(
            image, vmin=-most, vmax=most, cmap="RdBu_r", origin="lower", interpolation="nearest",
            extent=(-half, half, -half, half),
        )  # fmt: skip
        axes.grid(visible=False)
        axes.set_title(f"{band}, {_WHOSE[whose]}", fontsize=9, loc="left")
        label(axes, "pixels")
    bar = figure.colorbar(shown, ax=panels, fraction=0.03, pad=0.01)
    bar.set_label("stars − PSF [% of the peak]", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return data_uri(figure)
