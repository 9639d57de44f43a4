"""Patches by visit and detector: what finalizeImage reads of the coadds."""

from __future__ import annotations

import argparse
import re
import shlex
from types import SimpleNamespace

import pytest

from drpflow.workflow import batch
from drpflow.workflow.detector_patches import DetectorPatches
from drpflow.workflow.number_lists import grouped_numbers
from drpflow.workflow.tract_overlaps import TractOverlaps
from tests.workflow.test_overlaps import PLACES, wide_camera
from tests.workflow.test_tract_overlaps import RINGS, sky_map, survey

MASK = "m/tract={tract}/patch={patch}/band={band}"
FILES = f"{MASK}/visit={{visit}}/m.parquet"


@pytest.fixture(scope="module")
def tracts() -> TractOverlaps:
    """Two visits, each on several tracts, and one far from the tracts that are looked at."""
    visits = survey(wide_camera(), PLACES[0], PLACES[0], (200.0, 60.0), bands="gr")
    whole = sky_map(layout="rings", **RINGS)
    near = whole.tracts_near(*PLACES[0], 1.0)[:, 1]
    return TractOverlaps(visits, whole, 0.01, sorted(set(near.tolist())))


def patches_of(tracts: TractOverlaps, visit: str, detector: int) -> set[tuple[int, int]]:
    return {
        (int(t), int(p))
        for (t, p, v), detectors in tracts.detectors.items()
        if v == visit and detector in detectors
    }


def detectors(tracts: TractOverlaps) -> list[int]:
    return sorted({d for found in tracts.detectors.values() for d in found})


def job(visit: int, detector: int) -> SimpleNamespace:
    return SimpleNamespace(visit=str(visit), detector=str(detector))


def told(words: str) -> set[tuple[int, int]]:
    """What a script reads from its command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patches")
    (text,) = vars(parser.parse_args(shlex.split(words))).values()
    found = grouped_numbers(text)
    return {(tract, patch) for tract, patches in found.items() for patch in patches}


def test_each_detector_has_the_patches_that_it_touches(tracts) -> None:
    patches = DetectorPatches(tracts)
    several = 0
    for detector in detectors(tracts):
        wanted = patches_of(tracts, "1", detector)
        several += len({tract for tract, _ in wanted}) > 1
        assert told(patches.patch_option(job(1, detector))) == wanted
        files = patches.of_detector(MASK)(job(1, detector))
        assert len(files) == len(set(files))
        assert set(files) == {f"m/tract={t}/patch={p}/band=g" for t, p in wanted}
    assert several


def test_files_by_template(tracts) -> None:
    opened = DetectorPatches(tracts).opened(FILES)(job(2, 0))
    assert opened == "m/tract={tract}/patch={patch}/band=r/visit=2/m.parquet"


def test_a_visit_off_all_tracts_has_none(tracts) -> None:
    patches = DetectorPatches(tracts)
    assert patches.patch_option(job(3, 0)) == "--patches ''"
    assert told(patches.patch_option(job(3, 0))) == set()
    assert patches.of_detector(MASK)(job(3, 0)) == []
    assert patches.of_visit(MASK)(SimpleNamespace(visit="3")) == []
    assert patches.opened(FILES)(job(3, 0)).endswith("band=g/visit=3/m.parquet")


def test_all_detectors_of_a_visit_in_one_command(tracts) -> None:
    patches, known = DetectorPatches(tracts), detectors(tracts)
    wildcards = SimpleNamespace(visit="1")
    words = shlex.split(patches.patch_options(map(str, known))(wildcards))
    jobs = batch.jobs(words)
    assert jobs is not None
    assert [one.detector for one in jobs] == known
    for one in jobs:
        assert told(shlex.join(one.words)) == patches_of(tracts, "1", one.detector)
    files = patches.of_visit(MASK)(wildcards)
    assert len(files) == len(set(files))
    every = {p for d in known for p in patches_of(tracts, "1", d)}
    assert {tuple(map(int, re.findall(r"=(\d+)", file))) for file in files} == every
