"""The pages of single visits: what every task has made of them, and what was lost.

Figures of a visit take 0.2 to 2 MB. A report holds as many as it may take, those of visits that
stand out first; numbers of all visits are in the tables of the other chapters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.calibration_section import middle
from drpflow.qa.isr_section import detrended_part, detrended_visits
from drpflow.qa.page import Block, Column, Marked, Section, Tile, make_table
from drpflow.qa.summary_section import FINAL, width_arcsec
from drpflow.qa.visit_data import SUMMARY, read_visit
from drpflow.qa.visit_section import first_look
from drpflow.qa.visit_states import in_order_of_interest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from drpflow.data.table import Table
    from drpflow.io.status_files import Outcome
    from drpflow.io.store import Store
    from drpflow.qa.sky_section import SkyChapter
    from drpflow.qa.visit_states import VisitState

_BYTES_PER_MB = 1e6
_FINAL_COLUMNS = (
    Column("detector"),
    Column("PSF width", "arcsec", 3),
    Column("PSF from", text=True),
    Column("zero point", "mag", 4),
    Column("its error", "mmag", 1),
    Column("sky", "electron/pix", 1),
    Column("noise", "electron", 2),
    Column("5 sigma", "mag", 2),
    Column("to reference", "mas", 1),
    Column("WCS moved", "corner, mas", 0),
    Column("masked", "%", 2),
    Column("lost", text=True),
)
_LOSS_COLUMNS = (
    Column("task", text=True),
    Column("detector"),
    Column("lost", text=True),
    Column("reason", text=True),
    Column("what may help", text=True),
)


@dataclass(frozen=True)
class VisitPages:
    """Where the pages of visits come from.

    Parameters
    ----------
    store
        The run.
    outcomes
        Of its jobs.
    sky
        The chapter on backgrounds, which has mosaics of each visit.
    states
        What has come of each visit.
    """

    store: Store
    outcomes: Mapping[int, Sequence[Outcome]]
    sky: SkyChapter
    states: Mapping[int, VisitState]

    def section(self, most_mb: float, wanted: Sequence[int] | None = None) -> Section:
        """Return the chapter.

        Parameters
        ----------
        most_mb
            Most that the figures take; one visit is shown in any case.
        wanted
            Visits to show, whatever their figures take.
        """
        known, calibrated = self._known()
        if not known:
            return Section("visits", "Visits", "There are none yet.")
        blocks: dict[int, Block] = {}
        room = most_mb * _BYTES_PER_MB
        chosen = in_order_of_interest(known, self.states)
        if wanted is not None:
            chosen, room = [v for v in known if v in set(wanted)], float("inf")
        for visit in chosen:
            block = self._page(visit, calibrated=visit in calibrated)
            room -= sum(len(f.image) for part in block.parts for f in part.figures)
            if blocks and room < 0:
                break
            blocks[visit] = block
        note = (
            "Images and backgrounds where the detectors stand; whiskers lie along the major axis "
            "of the PSF; discs are stars of the PSF model, diamonds stars kept out of it; arrows "
            "point from a reference star to its source, blue where it made the WCS."
        )
        if len(blocks) < len(known):
            note += (
                f" Here are {len(blocks)} of {len(known)} visits, those that stand out first: "
                "drpflow report --visits shows others."
            )
        return Section("visits", "Visits", note, blocks=[blocks[v] for v in sorted(blocks)])

    def _known(self) -> tuple[list[int], set[int]]:
        """Return all visits, and those that consolidateVisit has seen."""
        calibrated = {int(i["visit"]) for i in self.store.query(SUMMARY)}
        return sorted(calibrated | set(detrended_visits(self.store))), calibrated

    def _page(self, visit: int, *, calibrated: bool) -> Block:
        """Return all that there is of a visit."""
        state = self.states.get(visit)
        about = [state.text()] if state else []
        band, parts = "", []
        if calibrated:
            data = read_visit(self.store, visit)
            band = data.band
            if data.info is not None:
                about += [data.info.physical_filter, f"{data.info.exposure_time_s:g} s"]
            parts.append(first_look(data))
        final = _final(self.store, visit)
        made = [
            _final_part(final), self.sky.part(visit), detrended_part(self.store, visit),
            _loss_part(self.outcomes.get(visit, ())),
        ]  # fmt: skip
        return Block(
            f"Visit {visit}", " · ".join(about), key=anchor_of(visit), tiles=_tiles(final),
            label=f"{visit} {band}".strip(), mood=state.mood if state else "",
            parts=[*parts, *(part for part in made if part is not None)],
        )  # fmt: skip


def anchor_of(visit: int) -> str:
    """Return the anchor of a visit's page."""
    return f"visit-{visit}"


def by_visit(outcomes: Iterable[Outcome]) -> dict[int, list[Outcome]]:
    """Return what jobs on single visits have lost."""
    found: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        if "visit" in outcome.data_id and (outcome.failed or outcome.partial):
            found.setdefault(int(outcome.data_id["visit"]), []).append(outcome)
    return found


def _final(store: Store, visit: int) -> Table | None:
    return store.get(FINAL, visit=visit) if store.exists(FINAL, visit=visit) else None


def _tiles(final: Table | None) -> list[Tile]:
    """Return the visit's final figures, medians over its detectors."""
    if final is None:
        return []
    of = final.to_dict()
    values = (
        (middle(width_arcsec(of)), "{:.2f}″", "PSF width"),
        (middle(of["zeroPoint"]), "{:.3f} mag", "zero point"),
        (middle(of["skyBg"]), "{:.0f} e/pix", "sky"),
        (middle(of["magLim"]), "{:.2f} mag", "5 sigma of a point source"),
        (1e3 * middle(of["astromOffsetMean"]), "{:.0f} mas", "to the reference stars"),
    )
    return [Tile(form.format(v), name) for v, form, name in values if np.isfinite(v)]


def _final_part(final: Table | None) -> Block | None:
    """Return the final calibrations of each detector."""
    if final is None:
        return None
    of = final.to_dict()
    columns: list[list[Any]] = [
        of["detector"].tolist(), width_arcsec(of).tolist(), of["psf_source"].tolist(),
        of["zeroPoint"].tolist(), (1e3 * of["zero_point_err"]).tolist(), of["skyBg"].tolist(),
        of["skyNoise"].tolist(), of["magLim"].tolist(), (1e3 * of["astromOffsetMean"]).tolist(),
        (1e3 * of["wcs_change"]).tolist(), (100 * of["maskedFraction"]).tolist(),
        [Marked(why or "–", "bad" if why else "") for why in of["lost"].tolist()],
    ]  # fmt: skip
    return Block("Final calibrations", table=make_table(_FINAL_COLUMNS, zip(*columns, strict=True)))


def _loss_part(lost: Sequence[Outcome]) -> Block:
    """Return what was lost of a visit, and why."""
    if not lost:
        return Block("Losses", "No job on this visit has lost anything.")
    rows = [
        [
            o.task, o.data_id.get("detector"),
            Marked("all", "bad") if o.failed else Marked("some components", "watch"), o.reason,
            o.hint,
        ]
        for o in lost
    ]  # fmt: skip
    return Block("Losses", table=make_table(_LOSS_COLUMNS, rows))
