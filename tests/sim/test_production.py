import shutil
from pathlib import Path

import pytest
from astropy.io import fits

from drpflow.errors import InputError
from drpflow.sim.production import COMPLETE, PARTIAL, claim, first_difference, simulate
from tests.sim.surveys import survey_config


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def interrupt(folder: Path) -> None:
    """Make a simulation look as if it had been stopped."""
    (folder / COMPLETE).rename(folder / PARTIAL)


def test_complete_simulation_is_left_alone(copy: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*")}
    outcome = simulate(survey_config(), copy)
    assert (outcome.visits, outcome.detectors, outcome.frames, outcome.made) == (3, 2, 6, 0)
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*")} == before


def test_interrupted_simulation_is_taken_up(tiny_folder: Path, copy: Path) -> None:
    whole = contents(tiny_folder)
    interrupt(copy)
    kept, *lost = sorted((copy / "raw").rglob("*.fits"))
    for path in lost[:2]:
        path.unlink()
    (copy / "camera.yaml").unlink()
    (kept.parent / f".{kept.name}.123.tmp").write_bytes(b"half")
    before = kept.stat().st_mtime_ns
    outcome = simulate(survey_config(), copy)
    assert outcome.made == 2
    assert kept.stat().st_mtime_ns == before
    # Byte for byte what an uninterrupted one makes, with nothing left over.
    assert contents(copy) == whole


def test_missing_calibrations_are_made_again(tiny_folder: Path, copy: Path) -> None:
    interrupt(copy)
    (copy / "calib" / "simcam_dark_01.fits").unlink()
    assert simulate(survey_config(), copy, cores=1).made == 0
    assert contents(copy) == contents(tiny_folder)


def test_another_simulation_is_not_overwritten(copy: Path) -> None:
    with pytest.raises(InputError, match=r"holds another simulation: config\.seed is 1234 there"):
        simulate(survey_config("tiny", {"seed": 5}), copy)


def test_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is not empty"):
        simulate(survey_config(), tmp_path)


def test_unreadable_marker_is_refused(tmp_path: Path) -> None:
    (tmp_path / COMPLETE).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        claim(tmp_path, survey_config())


def test_photon_noise_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="photon_noise is off"):
        simulate(survey_config("tiny", {"detector": {"photon_noise": False}}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_seed_makes_other_frames(tiny_folder: Path, tmp_path: Path) -> None:
    # One visit of it is enough: frames that are there are not made.
    config = survey_config("tiny", {"seed": 99})
    folder = tmp_path / "other"
    claim(folder, config)
    shutil.copytree(tiny_folder / "raw", folder / "raw")
    shutil.copytree(tiny_folder / "calib", folder / "calib")
    shutil.copytree(tiny_folder / "truth" / "frames", folder / "truth" / "frames")
    first = sorted((folder / "raw").rglob("*.fits"))[0]
    first.unlink()
    assert simulate(config, folder).made == 1
    before = fits.getdata(tiny_folder / first.relative_to(folder))
    assert (fits.getdata(first) != before).mean() > 0.5


def test_first_difference_names_the_key() -> None:
    assert first_difference({"a": {"b": 1}}, {"a": {"b": 2}}) == ("a.b", 1, 2)
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == ("b", None, 2)
    assert first_difference({"a": [1]}, {"a": [1]}) is None
