"""What makes what stale: Snakemake's own plan after one change, which is then taken back."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.workflow.small_survey import NX, SKY_MAP, SmallSurvey, camera_values

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.workflow

# Of two visits of two detectors in one field.
EVERY_TASK_FOR_TWO_VISITS = (
    Counter(isr=4, calibrateImage=4, finalizeImage=4, compressImage=4, makeWarp=4)
    + Counter(makeVisitInfo=2, consolidateVisit=2, measureSky=2, modelVisitBackground=2)
    + Counter(finalizeCharacterization=2, updateVisitSummary=2, consolidateSourceTable=2)
    + Counter(associateIsolatedStars=3, matchSource=3, fitStellarMotions=3, planCoaddition=1)
    + Counter(fgcmMakeLookUpTable=1, fgcm=1, solveAstrometry=1, finalizeAstrometry=1)
    + Counter(makeSkyFrame=1, compareWarpAssembleCoadd=2, makeReport=1)
)
REPORT = {"makeReport"}
# Pieces of the sky within the margin of the one field.
ASSOCIATION = {f"associateIsolatedStars skypix={n}" for n in (65875, 65878, 65884)}
ASTROMETRY = {"solveAstrometry skypix=257"}
SKY_FRAME = {"makeSkyFrame physical_filter=g1"}
VISITS = (11, 12)


def second_look(*visits: int) -> set[str]:
    """What a visit has of its own once all that gathers over visits is made."""
    tasks = ("modelVisitBackground", "finalizeCharacterization", "updateVisitSummary")
    return {f"{task} visit={visit}" for task in tasks for visit in visits}


ASSEMBLED = {f"compareWarpAssembleCoadd tract=0, patch={p}, band=g" for p in (0, 1)}


def warps(*visits: int) -> set[str]:
    """A visit on the two patches."""
    return {f"makeWarp tract=0, patch={p}, visit={v}" for p in (0, 1) for v in visits}


def products(*visits: int) -> set[str]:
    """The final images and sources of a visit."""
    images = {
        f"{task} visit={v}, detector={d}"
        for task in ("finalizeImage", "compressImage")
        for v in visits
        for d in (0, 1)
    }
    return images | {f"consolidateSourceTable visit={v}" for v in visits}


MATCHED = {
    job.replace("associateIsolatedStars", task)
    for task in ("matchSource", "fitStellarMotions")
    for job in ASSOCIATION
}
MOTIONS = {job for job in MATCHED if job.startswith("fitStellarMotions")}
SOURCES = {f"consolidateSourceTable visit={v}" for v in VISITS}
PRODUCTS = products(*VISITS) | MATCHED
# Warps are deleted once they have been used: a coadd that is made again makes them again, and what
# it finds in the visits goes into their final images.
WARPED = warps(*VISITS) | ASSEMBLED | PRODUCTS
COADDS = {"planCoaddition tract=0, band=g"} | WARPED
FINAL = second_look(*VISITS) | {"finalizeAstrometry skypix=257"} | COADDS
GLOBAL = ASSOCIATION | {"fgcm"} | ASTROMETRY | SKY_FRAME | FINAL | REPORT


def frame(visit: int, detector: int) -> set[str]:
    """What one frame makes stale."""
    return {f"isr visit={visit}, detector={detector}"} | from_calibration(visit, detector)


def from_calibration(visit: int, detector: int) -> set[str]:
    """What one detrended frame makes stale."""
    jobs = {f"calibrateImage visit={visit}, detector={detector}", f"measureSky visit={visit}"}
    return jobs | from_visit(visit)


def from_visit(visit: int) -> set[str]:
    return {f"consolidateVisit visit={visit}"} | GLOBAL | second_look(visit)


NEW_NIGHT = set().union(
    *({f"makeVisitInfo visit={v}"} | frame(v, 0) | frame(v, 1) for v in (13, 14)),
    warps(13, 14),
    products(13, 14),
)
ALL_CALIBRATE = set().union(*(from_calibration(v, d) for v in VISITS for d in (0, 1)))
ALL_ISR = set().union(*(frame(v, d) for v in VISITS for d in (0, 1)))


TARGETS = {"all", "prompt", "calibration", "coadds", "final", "rebuilt", "report"}


def planned(survey: SmallSurvey, *targets: str, snakefile: str = "") -> set[str]:
    """Return the jobs that Snakemake would run, as rule and wildcards."""
    result = survey.snakemake(*targets, "--dry-run", "--cores", "1", snakefile=snakefile)
    assert result.returncode == 0, result.stdout + result.stderr
    jobs = set()
    for block in re.split(r"\n(?=(?:local)?rule )", result.stdout + result.stderr):
        rule = re.match(r"(?:local)?rule (\w+):", block)
        wildcards = re.search(r"^ {4}wildcards: (.*)$", block, re.MULTILINE)
        if rule and rule[1].removeprefix("drpflow_") not in TARGETS:
            jobs.add(rule[1] + (f" {wildcards[1]}" if wildcards else ""))
    return jobs


@contextmanager
def restored(*paths: Path) -> Iterator[None]:
    """Put files back afterwards, contents and times."""
    kept = [(path, path.read_bytes(), path.stat()) for path in paths]
    try:
        yield
    finally:
        for path, content, stat in kept:
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_nothing_changed(finished: SmallSurvey) -> None:
    assert planned(finished) == set()


def test_one_raw_frame(finished: SmallSurvey) -> None:
    with restored(finished.raw_path(11, 1)):
        finished.write_raw(11, 1, extra_adu=50)
        assert planned(finished) == frame(11, 1)


def test_a_raw_frame_touched_or_lost(finished: SmallSurvey) -> None:
    path = finished.raw_path(11, 1)
    with restored(path):
        path.touch()
        assert planned(finished) == set()
        path.unlink()
        assert planned(finished) == set()


def test_one_calibration(finished: SmallSurvey) -> None:
    path = finished.folder / "calib/bias_1.fits"
    with restored(path):
        path.write_bytes(path.read_bytes() + b" ")
        assert planned(finished) == frame(11, 1) | frame(12, 1)


def sheet_files(survey: SmallSurvey) -> list[Path]:
    return sorted((survey.folder / "sheets").iterdir())


def test_one_row_of_the_visit_sheet(finished: SmallSurvey) -> None:
    with restored(*sheet_files(finished)):
        finished.write_sheets((11, 12), airmass=1.2)
        assert planned(finished) == {"makeVisitInfo visit=12"} | frame(12, 0) | frame(12, 1)


def test_a_new_night(finished: SmallSurvey) -> None:
    with restored(*sheet_files(finished)):
        finished.write_sheets((11, 12, 13, 14))
        for visit in (13, 14):
            for d in (0, 1):
                finished.write_raw(visit, d)
        assert planned(finished) == NEW_NIGHT


def test_a_night_that_extends_the_survey(finished: SmallSurvey) -> None:
    """Tied to the stars of the earlier solution, in an output of its own: nothing else runs."""
    config = finished.folder / "config/config.yaml"
    with restored(*sheet_files(finished), config):
        finished.write_sheets((11, 12, 13, 14))
        for visit in (13, 14):
            for d in (0, 1):
                finished.write_raw(visit, d)
        finished.write_config(visits=["11-12"])
        assert planned(finished) == set()
        finished.write_config(visits=[13, 14], output="extended", reference_stars="camera.yaml")
        jobs = planned(finished)
    assert not [job for job in jobs if "visit=11" in job or "visit=12" in job]
    assert Counter(job.split()[0] for job in jobs) == EVERY_TASK_FOR_TWO_VISITS


def test_a_new_visit_of_another_field(finished: SmallSurvey) -> None:
    """The stars of the first field stay as they are."""
    with restored(*sheet_files(finished)):
        finished.write_sheets((11, 12, 13), ra_deg=200.0)
        for d in (0, 1):
            finished.write_raw(13, d)
        jobs = planned(finished)
    new = {job for job in jobs if job.startswith("associateIsolatedStars")}
    assert new
    assert not new & ASSOCIATION
    new |= {"solveAstrometry skypix=686", "finalizeAstrometry skypix=686"}
    of_pieces = ("matchSource", "fitStellarMotions")
    new |= {job for job in jobs if job.startswith(of_pieces)} - MATCHED
    ours = {"makeVisitInfo visit=13"} | products(13)
    assert jobs - new == ours | (frame(13, 0) | frame(13, 1)) - ASSOCIATION


def test_one_visit_less(finished: SmallSurvey) -> None:
    with restored(*sheet_files(finished)):
        finished.write_sheets((11,))
        assert planned(finished) == GLOBAL - second_look(12) - warps(12) - products(12)


CONFIG: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a default written out": ({"isr": {"amp_offset": {}}}, set()),
    "a parameter of isr": ({"isr": {"seed": 7}}, ALL_ISR),
    "a parameter of calibrateImage": ({"calibrateImage": {"seed": 7}}, ALL_CALIBRATE),
    "a parameter of consolidateVisit": (
        {"consolidateVisit": {"reference_margin_deg": 0.1}},
        from_visit(11) | from_visit(12),
    ),
    "a parameter of associateIsolatedStars": (
        {"associateIsolatedStars": {"min_sources": 2}},
        GLOBAL - SKY_FRAME,
    ),
    "the order of the pieces as it is": ({"skypix": {"association_order": 7}}, set()),
    "a parameter of fgcmMakeLookUpTable": (
        {"fgcmMakeLookUpTable": {"airmass": 1.3}},
        {"fgcmMakeLookUpTable", "fgcm"} | ASTROMETRY | FINAL | REPORT,
    ),
    "a parameter of solveAstrometry": (
        {"solveAstrometry": {"noise": {"clip_sigma": 5.0}}},
        ASTROMETRY | (FINAL - {f"modelVisitBackground visit={v}" for v in VISITS}) | REPORT,
    ),
    "a parameter of makeSkyFrame": (
        {"makeSkyFrame": {"min_visits": 4}},
        SKY_FRAME | FINAL | REPORT,
    ),
    "a parameter of updateVisitSummary": (
        {"updateVisitSummary": {"match_radius_arcsec": 0.4}},
        {f"updateVisitSummary visit={v}" for v in VISITS} | COADDS | REPORT,
    ),
    "a parameter of planCoaddition": ({"planCoaddition": {"weight": "sky"}}, COADDS | REPORT),
    "a parameter of makeWarp": (
        {"makeWarp": {"resampling": {"map_step_pix": 16}}},
        WARPED | REPORT,
    ),
    "a parameter of compareWarpAssembleCoadd": (
        {"compareWarpAssembleCoadd": {"grow_pix": 3}},
        WARPED | REPORT,
    ),
    "a parameter of finalizeImage": (
        {"finalizeImage": {"detection": {"threshold": 6.0}}},
        PRODUCTS | REPORT,
    ),
    "a parameter of consolidateSourceTable": (
        {"consolidateSourceTable": {"coverage_order": 13}},
        SOURCES | MATCHED | REPORT,
    ),
    "a parameter of fitStellarMotions": (
        {"fitStellarMotions": {"min_sources": 3}},
        MOTIONS | REPORT,
    ),
    "the sky map": ({"skyMap": SKY_MAP | {"pixel_scale_arcsec": 0.4}}, COADDS | REPORT),
    "the tracts as they are": ({"skyMap": SKY_MAP | {"tracts": [0]}}, set()),
    "a reference catalogue": ({"reference_stars": "camera.yaml"}, ALL_CALIBRATE),
    "a folder of them": ({"reference_stars": "sheets"}, ALL_CALIBRATE),
}


@pytest.mark.parametrize("case", CONFIG)
def test_config(finished: SmallSurvey, case: str) -> None:
    sections, jobs = CONFIG[case]
    with restored(finished.folder / "config/config.yaml"):
        finished.write_config(**sections)
        assert planned(finished) == jobs


def test_camera(finished: SmallSurvey) -> None:
    values = camera_values()
    with restored(finished.folder / "camera.yaml"):
        values["header"] = {"visit": {"key": "EXPNUM"}}
        values["description"] = "another text"
        finished.write_camera(values)
        assert planned(finished) == set()
        values["detectors"][1]["amplifiers"] = [
            {**values["detectors"][1]["amplifiers"][0], "gain": 1.6}
        ]
        finished.write_camera(values)
        assert planned(finished) == frame(11, 1) | frame(12, 1)


ISR_CODE = "src/drpflow/algorithms/isr/overscan.py"


def test_code_that_does_not_count(finished: SmallSurvey) -> None:
    """Comments, docstrings, the version, a checkout that touches every file."""
    files = [finished.code / name for name in (ISR_CODE, "src/drpflow/__init__.py")]
    with restored(*files):
        finished.edit(ISR_CODE, "from __future__", "# A comment.\n\nfrom __future__")
        finished.edit(ISR_CODE, '"""', '"""Another text. ')
        finished.edit("src/drpflow/__init__.py", '__version__ = "', '__version__ = "9')
        for path in finished.code.rglob("*"):
            path.touch()
        assert planned(finished) == set()


SOURCES_CODE = "src/drpflow/tasks/consolidate_source_table.py"


def test_code_of_a_late_task(finished: SmallSurvey) -> None:
    with restored(finished.code / SOURCES_CODE):
        text = (finished.code / SOURCES_CODE).read_text()
        (finished.code / SOURCES_CODE).write_text(f"{text}\n\ndef new() -> int:\n    return 1\n")
        assert planned(finished) == SOURCES | MATCHED | REPORT


def test_code_of_one_task(finished: SmallSurvey) -> None:
    with restored(finished.code / ISR_CODE):
        finished.edit(ISR_CODE, "\nimport numpy as np\n", "\nimport numpy as np\n\nNEW = 1\n")
        assert planned(finished) == ALL_ISR


def test_schema_of_a_table(finished: SmallSurvey) -> None:
    name = "src/drpflow/schemas/isr_statistics.yaml"
    with restored(finished.code / name):
        finished.edit(name, "e", "E")
        assert planned(finished) == ALL_ISR


def test_code_of_an_earlier_task(finished: SmallSurvey) -> None:
    name = "src/drpflow/tasks/make_visit_info.py"
    with restored(finished.code / name):
        finished.edit(name, "round(difference, 4)", "round(difference, 5)")
        visits = {"makeVisitInfo visit=11", "makeVisitInfo visit=12"}
        assert planned(finished) == visits | ALL_ISR


def test_code_of_no_task(finished: SmallSurvey) -> None:
    name = "src/drpflow/cli.py"
    with restored(finished.code / name):
        finished.edit(name, "return 0", "return 1 - 1")
        assert planned(finished) == set()


def test_a_lost_product(finished: SmallSurvey) -> None:
    path = finished.folder / "results/post_isr_image/visit=12/post_isr_image_12_0.fits"
    with restored(path):
        path.unlink()
        assert planned(finished) == frame(12, 0)


def test_a_lost_product_of_calibrate_image(finished: SmallSurvey) -> None:
    path = finished.folder / "results/initial_background/visit=12/initial_background_12_0.fits"
    with restored(path):
        path.unlink()
        assert planned(finished) == from_calibration(12, 0)


WHAT_RUNS: dict[str, set[str]] = {
    "a night of visits added": NEW_NIGHT,
    "a raw frame replaced": frame(11, 1),
    "a function that isr alone calls": ALL_ISR,
    "a function that consolidateSourceTable alone calls": SOURCES | MATCHED | REPORT,
    **{case: jobs for case, (_, jobs) in CONFIG.items()},
}
DOCS = Path(__file__).parents[2] / "docs/running.md"
ROW = re.compile(r"(?m)^\| ([^|]+) \| ([^|]*`\w+`[^|]*) \|$")


def tasks(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def test_the_table_of_the_docs_says_what_these_tests_do() -> None:
    """Task by task; which visits and frames of each, the sets above say."""
    page = DOCS.read_text().partition("### Task by task")[2].partition("\n#")[0]
    (tail,) = re.findall(r"(?m)^\*The tail\*: (.*)$", page)
    rows = {name.replace("`", ""): cell for name, cell in ROW.findall(page)}
    assert len(rows) > 10
    for name, cell in rows.items():
        told = tasks(cell) | (tasks(tail) if "the tail" in cell else set())
        assert told == {job.split()[0] for job in WHAT_RUNS[name]}, name


def test_one_job_a_visit(finished: SmallSurvey) -> None:
    """Other jobs, which make the same products anew."""
    with restored(finished.folder / "config/config.yaml"):
        finished.write_config(batch="visit")
        rules = ("isr", "calibrateImage", "finalizeImage", "compressImage")
        jobs = {f"{rule}OfVisit visit={v}" for rule in rules for v in VISITS}
        jobs |= {f"measureSky visit={v}" for v in VISITS}
        jobs |= from_visit(11) | from_visit(12)
        assert planned(finished) == {job for job in jobs if ", detector=" not in job}


def test_missing_frames_are_named_at_once(finished: SmallSurvey) -> None:
    with restored(*sheet_files(finished)):
        finished.write_sheets((11, 12, 14))
        finished.write_raw(14, 0)
        (finished.folder / "raw/14_1.fits").unlink(missing_ok=True)
        result = finished.snakemake("--dry-run", "--cores", "1")
        text = result.stdout + result.stderr
        assert result.returncode == 0, text
        assert "raw/14_1.fits does not exist. Cannot process 1 of the frames" in text


def test_size_of_the_frames_is_what_the_camera_says() -> None:
    """The tests above stay below 1 MB a file, where contents count and not times."""
    assert NX < 500
