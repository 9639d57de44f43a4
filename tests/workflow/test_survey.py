"""Sheets become look-ups."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from drpflow.errors import InputError
from drpflow.io.sheets import CalibrationRow, ExposureRow
from drpflow.workflow.survey import load_survey

if TYPE_CHECKING:
    from drpflow.data.camera import Camera


def wildcards(visit: int, detector: int | None = None) -> SimpleNamespace:
    return SimpleNamespace(visit=str(visit), detector=str(detector))


def never(row: ExposureRow) -> bool:
    return False


def test_look_ups(sheets, camera: Camera) -> None:
    survey = load_survey(sheets.write(), camera, never)
    assert not survey.warnings
    files = survey.frame_files(wildcards(2, 1))
    assert set(files) == {"raw", "bias", "brighter_fatter"}
    assert files["raw"].endswith("raw/2_1.fits")
    assert files["bias"].endswith("bias_1.fits")
    row = json.loads(survey.visit_row(wildcards(3)))
    assert row["physical_filter"] == "r1"
    assert "airmass" not in row


def test_options_are_quoted_words(sheets, camera: Camera) -> None:
    sheets.calibrations[0] = CalibrationRow("bias", 0, "", None, None, "a b.fits", "CCD 1")
    sheets.exposures[0] = sheets.exposures[0]._replace(weight_path="w.fits", mask_path="m.fits")
    survey = load_survey(sheets.write(), camera, never)
    assert survey.frame_options(wildcards(1, 0)) == (
        f"--raw {sheets.folder}/raw/1_0.fits --hdu 0 --weight w.fits --mask m.fits "
        "--bias 'a b.fits' --bias-hdu 'CCD 1' "
        f"--brighter-fatter {sheets.folder}/calib/brighter_fatter_0.fits"
    )


def test_expand(sheets, camera: Camera) -> None:
    survey = load_survey(sheets.write(), camera, never)
    assert len(survey.expand("a/{visit}/{detector}")) == 6
    assert survey.expand("a/{visit}") == ["a/1", "a/2", "a/3"]
    assert survey.expand("a") == ["a"]
    assert survey.expand([]) == []
    assert survey.expand(["a", "b/{visit}"]) == ["a", "b/1", "b/2", "b/3"]


def test_visits_can_be_chosen(sheets, camera: Camera) -> None:
    run = sheets.write().model_copy(update={"visits": (1, "3-9")})
    assert list(load_survey(run, camera, never).visits) == ["1", "3"]
    with pytest.raises(InputError, match="no frame is left to process"):
        load_survey(run.model_copy(update={"visits": (7,)}), camera, never)


def test_missing_frames_are_named_and_no_input(sheets, camera: Camera) -> None:
    for v, d in ((1, 0), (2, 0), (2, 1)):
        (sheets.folder / f"raw/{v}_{d}.fits").unlink()
    survey = load_survey(sheets.write(), camera, never)
    assert len(survey.frames) == 6
    assert set(survey.frame_files(wildcards(1, 0))) == {"bias", "brighter_fatter"}
    assert "raw" in survey.frame_files(wildcards(1, 1))
    assert f"--raw {sheets.folder}/raw/1_0.fits" in survey.frame_options(wildcards(1, 0))
    (warning,) = survey.warnings
    assert "raw/1_0.fits, " in warning
    assert "do not exist. Cannot process 3 of the frames; put the files there" in warning


def test_a_run_in_the_wrong_folder(sheets, camera: Camera) -> None:
    for row in sheets.exposures:
        Path(row.path).unlink()
    with pytest.raises(InputError, match=r"none of its files exists, such as .*raw/1_0.fits\."):
        load_survey(sheets.write(), camera, never)
    assert load_survey(sheets.write(), camera, lambda row: True).frames


def test_long_lists_are_cut(sheets, camera: Camera) -> None:
    sheets.exposures += [ExposureRow(1, d, f"raw/none_{d}.fits") for d in range(10, 20)]
    first = camera.detectors[0]
    more = tuple(first.model_copy(update={"id": d}) for d in range(10, 20))
    camera = changed(camera, detectors=(*camera.detectors, *more))
    (warning,) = load_survey(sheets.write(), camera, never).warnings
    assert "raw/none_14.fits and 5 more files do not exist" in warning


def test_a_file_that_nobody_may_read_is_not_there(
    sheets, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = str(sheets.folder / "raw/2_0.fits")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != shut)
    survey = load_survey(sheets.write(), camera, never)
    assert "raw" not in survey.frame_files(wildcards(2, 0))
    (warning,) = survey.warnings
    assert "raw/2_0.fits cannot be read. Cannot process 1 of the frames; give yourself" in warning


def test_processed_frames_may_lose_their_files(sheets, camera: Camera) -> None:
    """They stay inputs, so that the set of inputs does not change."""
    (sheets.folder / "raw/2_0.fits").unlink()
    (sheets.folder / "calib/bias_0.fits").unlink()
    survey = load_survey(sheets.write(), camera, lambda row: row.visit == 2)
    assert set(survey.frame_files(wildcards(2, 0))) == {"raw", "bias", "brighter_fatter"}
    assert set(survey.frame_files(wildcards(1, 0))) == {"raw", "brighter_fatter"}


def test_missing_calibrations_are_named(sheets, camera: Camera) -> None:
    (sheets.folder / "calib/bias_1.fits").unlink()
    survey = load_survey(sheets.write(), camera, never)
    assert set(survey.frame_files(wildcards(1, 1))) == {"raw", "brighter_fatter"}
    assert set(survey.frame_files(wildcards(1, 0))) == {"raw", "bias", "brighter_fatter"}
    assert "--bias " in survey.frame_options(wildcards(1, 1))
    (warning,) = survey.warnings
    assert "bias_1.fits does not exist. Cannot process the frames that need it" in warning


def test_remote_jobs_look_for_their_own_files_alone(sheets, camera: Camera) -> None:
    (sheets.folder / "raw/2_0.fits").unlink()
    survey = load_survey(sheets.write(), camera, never, warn=False)
    assert not survey.warnings
    assert "raw" not in survey.frame_files(wildcards(2, 0))


def test_unknown_detector_and_filter(sheets, camera: Camera) -> None:
    sheets.exposures.append(ExposureRow(1, 9, "x.fits"))
    with pytest.raises(InputError, match="visit 1 has a detector 9"):
        load_survey(sheets.write(), camera, never)
    sheets.exposures.pop()
    sheets.visits[0] = sheets.visit(1, "z1")
    with pytest.raises(InputError, match=r"visit 1 has the filter 'z1'. .*has g1, r1; add it"):
        load_survey(sheets.write(), camera, never)


def test_kinds_of_calibration(sheets, camera: Camera) -> None:
    sheets.calibrations.append(CalibrationRow("sky_frame", None, "", None, None, "s.fits"))
    survey = load_survey(
        sheets.write(), camera, never, kinds=("bias", "brighter_fatter", "sky_frame")
    )
    assert set(survey.frame_files(wildcards(1, 0))) == {"raw", "bias", "brighter_fatter"}
    sheets.calibrations[-1] = sheets.calibrations[-1]._replace(kind="biass")
    with pytest.raises(InputError, match=r"s\.fits is of a kind 'biass'; did you mean 'bias'"):
        load_survey(sheets.write(), camera, never)


def changed(camera: Camera, **update: object) -> Camera:
    return camera.model_copy(update=update)


def test_camera_digest_is_of_one_detector(sheets, camera: Camera) -> None:
    run = sheets.write()

    def digests(of: Camera) -> list[str]:
        survey = load_survey(run, of, never)
        return [survey.camera_digest(wildcards(1, d)) for d in (0, 1)]

    before = digests(camera)
    assert before[0] != before[1]
    first, second = camera.detectors
    amplifier = second.amplifiers[0].model_copy(update={"gain": 2.0})
    second = second.model_copy(update={"amplifiers": (amplifier,)})
    after = digests(changed(camera, detectors=(first, second)))
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert digests(changed(camera, description="other words")) == before
    header = {"visit": {"key": "EXPNUM"}}
    assert digests(changed(camera, header=header)) == before
    optics = camera.optics.model_copy(update={"plate_scale_arcsec_per_mm": 21.0})
    after = digests(changed(camera, optics=optics))
    assert after[0] != before[0]
    assert after[1] != before[1]
    g, r = camera.filters
    assert digests(changed(camera, filters=(g, r.model_copy(update={"band": "x"})))) == before


def test_the_detectors_of_a_visit(sheets, camera: Camera) -> None:
    sheets.exposures = [row for row in sheets.exposures if (row.visit, row.detector) != (2, 0)]
    survey = load_survey(sheets.write(), camera, never)
    assert survey.detectors == {"1": ["0", "1"], "2": ["1"], "3": ["0", "1"]}
    assert survey.of_visit("a/{visit}/{detector}")(wildcards(3)) == ["a/3/0", "a/3/1"]
    assert survey.of_visit("a/{visit}/{detector}")(wildcards(2)) == ["a/2/1"]
    digests = [survey.visit_camera_digest(wildcards(v)) for v in (1, 2, 3)]
    assert len(set(digests)) == 3  # other detectors, another filter


def test_observatory_digest(sheets, camera: Camera) -> None:
    run = sheets.write()
    before = load_survey(run, camera, never).observatory_digest(None)
    moved = camera.observatory.model_copy(update={"latitude_deg": 10.0})
    assert (
        load_survey(run, changed(camera, observatory=moved), never).observatory_digest(None)
        != before
    )


def test_megapixels(sheets, camera: Camera) -> None:
    assert load_survey(sheets.write(), camera, never).megapixels == pytest.approx(64 * 48 / 1e6)


def test_sheet_path_is_named(sheets, camera: Camera) -> None:
    run = sheets.write()
    (run.sheets / "visits.tsv").unlink()
    with pytest.raises(InputError, match=r"visits\.tsv: the sheet cannot be read"):
        load_survey(run, camera, never)
    assert Path(run.sheets).is_dir()
