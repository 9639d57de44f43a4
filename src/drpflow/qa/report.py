"""The report of a run: one page, without the network, that can be mailed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow import __version__
from drpflow.config.make_report import MakeReportConfig
from drpflow.io.atomic import write_text
from drpflow.io.sheets import read_rejected
from drpflow.io.status_files import read_all_outcomes
from drpflow.io.store import Store
from drpflow.qa.association_section import association_section
from drpflow.qa.attrition_section import attrition_section
from drpflow.qa.calibration_section import calibration_section, visit_numbers
from drpflow.qa.checks import overview_section
from drpflow.qa.coadd_section import coadd_section
from drpflow.qa.final_astrometry_section import final_astrometry_section
from drpflow.qa.final_psf_section import final_psf_section
from drpflow.qa.final_section import final_section
from drpflow.qa.flags_section import flag_counts, flags_section
from drpflow.qa.isr_section import amplifier_section, detrended_section
from drpflow.qa.light_curve_section import light_curve_section
from drpflow.qa.page import render
from drpflow.qa.photometry_section import photometry_section
from drpflow.qa.resources_section import resources_section
from drpflow.qa.sky_section import sky_chapter
from drpflow.qa.solution_section import solution_section
from drpflow.qa.summary_section import summary_section
from drpflow.qa.truth_section import truth_section
from drpflow.qa.visit_data import SUMMARY, read_visit
from drpflow.qa.visit_pages import VisitPages, anchor_of, by_visit
from drpflow.qa.visit_states import visit_states

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from drpflow.io.status_files import Outcome
    from drpflow.qa.page import Section
    from drpflow.qa.sky_section import SkyChapter


def write_report(
    root: Path,
    output: Path,
    config: MakeReportConfig | None = None,
    visits: Sequence[int] | None = None,
    rejected: Path | None = None,
) -> None:
    """Write the report of what there is so far.

    Parameters
    ----------
    root
        Output root of the run.
    output
        The page, written whole or not at all.
    config
        What to show and how to judge; the defaults if None.
    visits
        Visits that get a page of their own; by default as many as the configuration allows.
    rejected
        List of the files that ingest did not take.
    """
    config = config or MakeReportConfig()
    store = Store(root)
    outcomes = read_all_outcomes(root)
    sky = sky_chapter(store, outcomes)
    at_a_glance, *each_visit = _visits(store, outcomes, sky, config, visits)
    second_look = {
        "backgrounds of visits (modelVisitBackground)": sky.section,
        "final PSFs (finalizeCharacterization)": final_psf_section(store),
        "the final astrometry (finalizeAstrometry)": final_astrometry_section(store, outcomes),
        "final visit summaries (updateVisitSummary)": summary_section(store),
        "coadds (compareWarpAssembleCoadd)": coadd_section(store),
        "final products (finalizeImage)": final_section(store),
    }
    places, radius = config.light_curves, config.light_curve_radius_arcsec
    lacking = [name for name, made in second_look.items() if made is None]
    made = [
        attrition_section(outcomes, lacking, read_rejected(rejected) if rejected else ()),
        truth_section(store),
        at_a_glance,
        association_section(store, outcomes),
        photometry_section(store, outcomes),
        solution_section(store, outcomes),
        *second_look.values(),
        light_curve_section(store, places, radius),
        *each_visit,
        detrended_section(store),
        amplifier_section(store),
        resources_section(root),
    ]
    sections = [section for section in made if section is not None]
    page = render(
        "drpflow report",
        f"run folder {root}",
        [overview_section(sections, config.limits), *sections],
        f"drpflow {__version__}",
    )
    write_text(output, page)


def _visits(
    store: Store,
    outcomes: Sequence[Outcome],
    sky: SkyChapter,
    config: MakeReportConfig,
    wanted: Sequence[int] | None,
) -> tuple[Section | None, Section, Section | None]:
    """Return what there is to say of visits: the run at a glance, some visits, flags of all.

    All visits are gone through without their pixels, then those that get a page with them.
    """
    numbers, flags = [], []
    for data_id in store.query(SUMMARY):
        data = read_visit(store, int(data_id["visit"]), pixels=False)
        numbers.append(visit_numbers(data))
        if data.stars is not None:
            flags.append(flag_counts(data.visit, data.stars))
    states = visit_states([v.figures for v in numbers], config.visit_limits)
    pages = VisitPages(store, by_visit(outcomes), sky, states)
    shown = pages.section(config.visit_pages_mb, wanted)
    if not numbers:
        return None, shown, None
    anchors = {v.visit: anchor_of(v.visit) for v in numbers}
    there = {block.key for block in shown.blocks}
    anchors = {visit: anchor for visit, anchor in anchors.items() if anchor in there}
    return calibration_section(numbers, states, anchors), shown, flags_section(flags)
