"""Listing the dataset types."""

from __future__ import annotations

import pytest

from drpflow import cli
from drpflow.io.datasets import DatasetTable

TABLE = DatasetTable.load()


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["datasets"]) == 0
    text = capsys.readouterr().out
    for name in TABLE.names:
        assert name in text


def test_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["datasets", "--task", "isr", "--keep", "temporary"]) == 0
    text = capsys.readouterr().out
    assert "post_isr_image" in text
    assert "isr_statistics" not in text


def test_one_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["datasets", "post_isr_image", "recalibrated_pvi"]) == 0
    text = capsys.readouterr().out
    assert "path: post_isr_image/visit={visit}/post_isr_image_{visit}_{detector}.fits" in text
    assert "base: initial_pvi" in text


def test_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["datasets", "post_isr"]) == 2
    assert "did you mean 'post_isr_image'" in capsys.readouterr().err
