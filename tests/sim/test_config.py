from pathlib import Path

import pytest

from drpflow.errors import InputError
from drpflow.sim.config import load_survey_config

from .surveys import SIMULATIONS, survey_config

PRESETS = ("demo", "demo-b", "demo-c", "tiny", "detector")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_under_their_own_name(name: str) -> None:
    config = load_survey_config(SIMULATIONS / f"{name}.yaml")
    assert config.name == name


def test_the_three_demos_differ_in_name_and_seed_only() -> None:
    demos = [survey_config(name) for name in ("demo", "demo-b", "demo-c")]
    assert len({d.seed for d in demos}) == 3
    plain = [d.model_dump(exclude={"seed", "name"}) for d in demos]
    assert plain[0] == plain[1] == plain[2]


def test_overlay_merges_sections_and_replaces_lists(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        f"base: {SIMULATIONS / 'tiny.yaml'}\n"
        "name: own\nstars: {faint_mag: 21}\nobserving: {rotations_deg: [7]}\n"
    )
    config, tiny = load_survey_config(file), survey_config()
    assert config.stars.faint_mag == 21
    assert config.stars.bright_mag == tiny.stars.bright_mag
    assert config.observing.rotations_deg == (7.0,)
    assert config.observing.nights == tiny.observing.nights


def test_a_base_that_leads_back_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    with pytest.raises(InputError, match="leads back to itself"):
        load_survey_config(tmp_path / "a.yaml")


def test_misspelt_key_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(f"base: {SIMULATIONS / 'tiny.yaml'}\nturbulence: {{rms_maz: 3}}\n")
    with pytest.raises(InputError, match=r"turbulence\.rms_maz.*rms_mas"):
        load_survey_config(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not YAML"),
        ("3", "holds no keys"),
    ],
)
def test_what_is_no_survey_is_told(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        load_survey_config(file)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_survey_config(tmp_path / "none.yaml")


def test_band_without_filter_is_told() -> None:
    with pytest.raises(InputError, match="no filter has band 'z'"):
        survey_config(
            "tiny", {"observing": {"nights": [{"day": 0, "bands": ["z"]}], "special": []}}
        )


def test_special_visit_that_does_not_exist_is_told() -> None:
    with pytest.raises(InputError, match="special visit 99"):
        survey_config("tiny", {"observing": {"special": [{"visit": 99}]}})
