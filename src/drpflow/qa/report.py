"""The report of a run: one page, without the network, that can be mailed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drpflow import __version__
from drpflow.io.atomic import write_text
from drpflow.io.status_files import read_all_outcomes
from drpflow.io.store import Store
from drpflow.qa.association_section import association_section
from drpflow.qa.attrition_section import attrition_section
from drpflow.qa.calibration_section import calibration_section, visit_numbers
from drpflow.qa.coadd_section import coadd_section
from drpflow.qa.final_astrometry_section import final_astrometry_section
from drpflow.qa.final_psf_section import final_psf_section
from drpflow.qa.final_section import final_section
from drpflow.qa.flags_section import flag_counts, flags_section
from drpflow.qa.isr_section import amplifier_section, detrended_section
from drpflow.qa.page import Picture, Section, render
from drpflow.qa.photometry_section import photometry_section
from drpflow.qa.sky_section import sky_chapter
from drpflow.qa.solution_section import solution_section
from drpflow.qa.summary_section import summary_section
from drpflow.qa.truth_section import truth_section
from drpflow.qa.visit_data import read_visits
from drpflow.qa.visit_section import visit_block, visits_section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
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
    outcomes = read_all_outcomes(root)
    sky = sky_chapter(store, outcomes)
    at_a_glance, *each_visit = _calibrated(store, sky.pictures)
    second_look = {
        "backgrounds of visits (modelVisitBackground)": sky.section,
        "final PSFs (finalizeCharacterization)": final_psf_section(store),
        "the final astrometry (finalizeAstrometry)": final_astrometry_section(store, outcomes),
        "final visit summaries (updateVisitSummary)": summary_section(store),
        "coadds (compareWarpAssembleCoadd)": coadd_section(store),
        "final products (finalizeImage)": final_section(store),
    }
    sections = [
        attrition_section(outcomes, [name for name, made in second_look.items() if made is None]),
        truth_section(store),
        at_a_glance,
        association_section(store, outcomes),
        photometry_section(store, outcomes),
        solution_section(store, outcomes),
        *second_look.values(),
        *each_visit,
        detrended_section(store),
        amplifier_section(store),
    ]
    page = render(
        "drpflow report",
        f"run folder {root}",
        [section for section in sections if section is not None],
        f"drpflow {__version__}",
    )
    write_text(output, page)


def _calibrated(
    store: Store, pictures: Mapping[int, Sequence[Picture]]
) -> tuple[Section | None, Section | None, Section | None]:
    """Return what there is to say of calibrated visits, going through them once.

    First comes the run at a glance, then every visit, with further pictures, then their flags.
    """
    numbers, blocks, flags = [], [], []
    for data in read_visits(store):
        numbers.append(visit_numbers(data))
        blocks.append(visit_block(data, pictures.get(data.visit, ())))
        if data.stars is not None:
            flags.append(flag_counts(data.visit, data.stars))
    if not numbers:
        return None, None, None
    return calibration_section(numbers), visits_section(blocks), flags_section(flags)
