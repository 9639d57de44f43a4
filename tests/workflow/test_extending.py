"""Which jobs run when a survey is extended: in the earlier run, and in the one tied to it."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from drpflow.data.reference_stars import ReferenceStars
from drpflow.data.solved_instrument import SolvedInstrument
from drpflow.io.reference_stars import write_reference_stars
from drpflow.io.solved_instrument import INSTRUMENT
from tests.workflow.small_survey import SmallSurvey
from tests.workflow.test_staleness import (
    ALL_ISR,
    ASSOCIATION,
    ASTROMETRY,
    ISR_CODE,
    NEW_NIGHT,
    SKY_FRAME,
    VISITS,
    frame,
    planned,
    products,
    restored,
    second_look,
    sheet_files,
    warps,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.workflow

LATER = (13, 14)
CATALOG = "solved_stars.parquet"
# All that visits of the earlier run have, and nothing else, is spared.
EXTENSION = (NEW_NIGHT | {"fgcmMakeLookUpTable"}) - second_look(*VISITS)
EXTENSION -= warps(*VISITS) | products(*VISITS)
# What all visits of a run make together, without what follows.
GLOBAL_STEPS = ASSOCIATION | {"fgcm"} | ASTROMETRY | SKY_FRAME


def calibrated(visit: int, *detectors: int, first: str = "isr") -> set[str]:
    """What a change of some frames makes stale, up to the global steps."""
    jobs = {f"consolidateVisit visit={visit}", f"measureSky visit={visit}"} | GLOBAL_STEPS
    for d in detectors:
        jobs |= {f"calibrateImage visit={visit}, detector={d}"}
        jobs |= {f"isr visit={visit}, detector={d}"} if first == "isr" else set()
    return jobs


# By the run that is asked, up to the global steps: a change, and what it makes stale.
CASES: dict[str, dict[str, set[str]]] = {
    "a raw frame of an earlier visit replaced": {
        "earlier": calibrated(11, 1),
        "later": set(),
    },
    "a raw frame of a later visit replaced": {
        "earlier": set(),
        "later": calibrated(13, 1),
    },
    "a parameter of calibrateImage in the later config": {
        "earlier": set(),
        "later": calibrated(13, 0, 1, first="calibrateImage"),
    },
    "a function that isr alone calls": {
        "earlier": calibrated(11, 0, 1) | calibrated(12, 0, 1),
        "later": calibrated(13, 0, 1),
    },
    "the catalogue of the earlier solution made anew": {
        "earlier": set(),
        "later": calibrated(13, 0, 1, first="calibrateImage"),
    },
}


def write_catalog(survey: SmallSurvey, flux_njy: float = 1e5) -> None:
    """A catalogue such as `drpflow reference from-solution` writes."""
    columns = {"ra": np.full(3, 10.0), "dec": np.full(3, -30.0), "epoch": np.full(3, 61000.0)}
    columns |= {"id": np.arange(3), "flux_g": np.full(3, flux_njy)}
    stars = ReferenceStars.from_columns(columns)
    about = {INSTRUMENT: SolvedInstrument().to_meta()}
    write_reference_stars(survey.folder / CATALOG, stars, about=about)


def asked(survey: SmallSurvey, run: str, **sections: object) -> None:
    """Have the config file be that of the earlier run, or of the one that extends it."""
    if run == "earlier":
        survey.write_config(visits=["11-12"], **sections)
    else:
        survey.write_config(visits=[13], output="later", reference_stars=CATALOG, **sections)


@contextmanager
def with_later_visits(survey: SmallSurvey) -> Iterator[None]:
    """Visits 13 and 14 in the sheets, their frames on the disk; the config as it was."""
    with restored(*sheet_files(survey), survey.folder / "config/config.yaml"):
        survey.write_sheets((*VISITS, *LATER))
        for visit in LATER:
            for d in (0, 1):
                if not survey.raw_path(visit, d).exists():
                    survey.write_raw(visit, d)
        yield


@pytest.fixture(scope="module")
def extended(finished: SmallSurvey) -> SmallSurvey:
    """A survey that another visit extended, up to the global steps; sheets and config as before."""
    with with_later_visits(finished):
        before = finished.products()
        write_catalog(finished)
        asked(finished, "later")
        result = finished.drpflow("run", "calibration", "--cores", "2")
        assert result.returncode == 0, result.stdout + result.stderr
        assert finished.products() == before
    return finished


def test_a_night_added(finished: SmallSurvey) -> None:
    """Refit: the new visits and what all make together. Extend: the new visits alone."""
    with with_later_visits(finished):
        assert planned(finished) == NEW_NIGHT
        asked(finished, "earlier")
        assert planned(finished) == set()
        write_catalog(finished)
        finished.write_config(visits=[*LATER], output="extended", reference_stars=CATALOG)
        assert planned(finished) == EXTENSION


@pytest.mark.parametrize("case", CASES)
def test_a_change(extended: SmallSurvey, case: str) -> None:
    catalog, code = extended.folder / CATALOG, extended.code / ISR_CODE
    raw = {v: extended.raw_path(v, 1) for v in (11, 13)}
    with with_later_visits(extended), restored(catalog, code, *raw.values()):
        if case.startswith("a raw frame"):
            extended.write_raw(11 if "earlier" in case else 13, 1, extra_adu=50)
        elif case.startswith("a function"):
            extended.edit(ISR_CODE, "\nimport numpy as np\n", "\nimport numpy as np\n\nNEW = 1\n")
        elif case.startswith("the catalogue"):
            write_catalog(extended, 2e5)
        for run, jobs in CASES[case].items():
            changed = run == "later" and "config" in case
            asked(extended, run, **({"calibrateImage": {"seed": 7}} if changed else {}))
            assert planned(extended, "calibration") == jobs, run


def why(survey: SmallSurvey) -> Counter[str]:
    """How many jobs of each task `drpflow why` says would run: by name, or counted."""
    result = survey.drpflow("why")
    assert result.returncode == 0, result.stderr
    lines = [line.strip() for line in result.stdout.splitlines()]
    named = (line for line in lines if re.fullmatch(r"\w+ \w+=[\w=,; ]+", line))
    counted = Counter(name for line in named for name in [line.split()[0]] * len(line.split(";")))
    counted.update(line for line in lines if line in ("fgcm", "fgcmMakeLookUpTable", "makeReport"))
    for line in lines:
        if line.startswith("since their inputs are made again: "):
            pairs = (pair.split() for pair in line.partition(": ")[2].split(", "))
            counted.update({task: int(number) for task, number in pairs})
    (total,) = re.findall(r"(\d+) jobs would run", result.stdout)
    assert counted.total() == int(total), result.stdout
    return counted


def test_why_names_the_same_jobs(finished: SmallSurvey) -> None:
    """Those of the four changes, in a run of all visits."""

    def jobs(names: set[str]) -> Counter[str]:
        return Counter(name.split()[0] for name in names)

    with with_later_visits(finished):
        assert why(finished) == jobs(NEW_NIGHT)
    with restored(finished.raw_path(11, 1)):
        finished.write_raw(11, 1, extra_adu=50)
        assert why(finished) == jobs(frame(11, 1))
    with restored(finished.folder / "config/config.yaml"):
        finished.write_config(isr={"seed": 7})
        assert why(finished) == jobs(ALL_ISR)
    with restored(finished.code / ISR_CODE):
        finished.edit(ISR_CODE, "\nimport numpy as np\n", "\nimport numpy as np\n\nNEW = 1\n")
        assert why(finished) == jobs(ALL_ISR)
