"""Input functions of rules."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from drpflow.workflow.input_functions import filled


def test_the_wildcard_chooses_the_list() -> None:
    paths = filled("a/visit={visit}.fits", "visit", {"7": ["1", "3"], "8": []}, "skypix")
    assert paths(SimpleNamespace(skypix="7")) == ["a/visit=1.fits", "a/visit=3.fits"]
    assert paths(SimpleNamespace(skypix="8")) == []
    with pytest.raises(KeyError):
        paths(SimpleNamespace(skypix="9"))
