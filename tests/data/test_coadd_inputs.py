"""Inputs of a coadd."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.coadd_inputs import CoaddInput, CoaddInputs


def inputs() -> CoaddInputs:
    return CoaddInputs(
        (
            CoaddInput("pvi", {"visit": 30, "detector": np.int16(4)}, 0.25),
            CoaddInput("pvi", {"visit": 7, "detector": 9}, 0.75),
            CoaddInput("pvi", {"visit": 30, "detector": 5, "band": "r"}),
        )
    )


def test_order_and_weights_are_kept() -> None:
    assert [item.weight for item in inputs()] == [0.25, 0.75, 1.0]
    assert len(inputs()) == 3
    assert dict(next(iter(inputs())).data_id) == {"visit": 30, "detector": 4}
    assert CoaddInputs.from_record(inputs().to_record()) == inputs()


def test_values_of_a_dimension() -> None:
    assert inputs().values_of("visit") == [7, 30]
    assert inputs().values_of("band") == ["r"]
    assert inputs().values_of("tract") == []


def test_data_ids_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        next(iter(inputs())).data_id["visit"] = 8  # type: ignore[index]


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_impossible_weights_are_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        CoaddInput("pvi", {"visit": 1}, weight)
