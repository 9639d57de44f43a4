"""The run configuration: what is refused, in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drpflow.config.base import StrictModel
from drpflow.config.run import TASK_SECTIONS, RunConfig, build_run
from drpflow.errors import InputError

LEAST = {"camera": "c.yaml", "sheets": "sheets"}


def refuse(values: object, match: str) -> None:
    with pytest.raises(InputError, match=match) as error:
        build_run(values, "my.yaml")
    assert str(error.value).startswith("my.yaml: ")
    assert "\n" not in str(error.value)


def test_least() -> None:
    run = build_run(LEAST, "my.yaml")
    assert run.output == Path("results")
    assert run.selects(7)
    assert run.section("isr") == "{}"


def test_misspelt_key() -> None:
    refuse(LEAST | {"ouput": "x"}, "unknown key 'ouput'; did you mean 'output'")


def test_misspelt_key_of_a_section() -> None:
    name = next(n for n in RunConfig.model_fields["isr"].annotation.model_fields if len(n) > 4)
    wrong = name[:-1]
    refuse(LEAST | {"isr": {wrong: 1}}, rf"unknown key 'isr\.{wrong}'; did you mean '{name}'")


def test_wrong_type() -> None:
    refuse(LEAST | {"keep": 3}, "key 'keep' has the value 3")


def test_missing_key() -> None:
    refuse({"camera": "c.yaml"}, "key 'sheets' is missing. Add 'sheets'")


def test_no_mapping() -> None:
    refuse(["camera"], "it holds no 'key: value' lines")
    refuse(None, "key 'camera' is missing")


@pytest.mark.parametrize("visits", [["1-"], ["a"], ["1:3"]])
def test_bad_range(visits: list[str]) -> None:
    refuse(LEAST | {"visits": visits}, "no range of visits such as 10-20")


def test_visits() -> None:
    run = build_run(LEAST | {"visits": [3, "10-12"]}, "my.yaml")
    assert [v for v in range(20) if run.selects(v)] == [3, 10, 11, 12]


def test_section_holds_what_differs_from_the_defaults() -> None:
    run = build_run(LEAST | {"isr": {"input": "detrended"}}, "my.yaml")
    assert json.loads(run.section("isr")) == {"input": "detrended"}
    default = type(run.isr)().model_dump(mode="json")["input"]
    assert build_run(LEAST | {"isr": {"input": default}}, "x").section("isr") == "{}"


def test_task_sections_are_the_models() -> None:
    for name, field in RunConfig.model_fields.items():
        model = isinstance(field.annotation, type) and issubclass(field.annotation, StrictModel)
        assert model == (name in {*TASK_SECTIONS, "skypix", "skyMap"})
    assert "isr" in TASK_SECTIONS
    assert not {"skypix", "skyMap"} & set(TASK_SECTIONS)
