"""What colours are, told in the metadata of tables."""

from __future__ import annotations

import json

from drpflow.data.star_color import ColorMeaning


def test_metadata_and_back() -> None:
    meaning = ColorMeaning(("g", "z"), 1.2345678)
    meta = json.loads(json.dumps(meaning.to_meta()))
    assert ColorMeaning.from_meta(meta) == ColorMeaning(("g", "z"), 1.234568)


def test_what_is_not_known_is_not_told() -> None:
    assert ColorMeaning().to_meta() == {}
    assert ColorMeaning(("g", "i")).to_meta() == {}
    assert ColorMeaning.from_meta({"dataset": "x"}).bands == ()
