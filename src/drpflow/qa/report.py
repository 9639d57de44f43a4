"""The report of a run: one page, without the network, that can be mailed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow import __version__
from drpflow.io.atomic import write_text
from drpflow.io.status_files import read_all_outcomes
from drpflow.io.store import Store
from drpflow.qa.attrition_section import attrition_section
from drpflow.qa.isr_section import amplifier_section, detrended_section
from drpflow.qa.page import render

if TYPE_CHECKING:
    from pathlib import Path


def write_report(root: Path, output: Path) -> None:
    """Write the report of what there is so far.

    Parameters
    ----------
    root
        Output root of the run.
    output
        The page, written whole or not at all.
    """
    store = Store(root)
    sections = [
        attrition_section(read_all_outcomes(root)),
        detrended_section(store),
        amplifier_section(store),
    ]
    page = render(
        "drpflow report",
        f"run folder {root}",
        sections,
        f"drpflow {__version__}",
    )
    write_text(output, page)
