"""Summary statistics."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.data.summary_stats import STATISTICS, SummaryStats


def test_names_and_units() -> None:
    stats = SummaryStats({"psfSigma": 2.25, "nPsfStar": np.int64(40), "zeroPoint": 31.0})
    assert stats["psfSigma"] == 2.25
    assert stats["nPsfStar"] == 40
    assert type(stats["nPsfStar"]) is int
    assert dict(stats) == {"psfSigma": 2.25, "nPsfStar": 40, "zeroPoint": 31.0}
    assert SummaryStats.unit("zeroPoint") == "mag"
    assert all(entry.doc for entry in STATISTICS.values())


def test_what_was_not_measured_is_missing() -> None:
    stats = SummaryStats({"psfSigma": 2.0, "skyBg": None, "skyNoise": float("nan")})
    assert list(stats) == ["psfSigma"]
    assert np.isnan(stats.value("skyBg"))
    assert stats.value("psfSigma") == 2.0
    assert stats.get("skyNoise") is None
    with pytest.raises(KeyError, match="'skyBg' was not measured"):
        _ = stats["skyBg"]


def test_unknown_names_name_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'psfSigma'"):
        SummaryStats({"psfsigma": 1.0})
    with pytest.raises(KeyError, match="did you mean 'psfSigma'"):
        SummaryStats().value("psfsigma")


def test_updating_leaves_the_original() -> None:
    stats = SummaryStats({"psfSigma": 2.0, "skyBg": 100.0})
    more = stats.updated(zeroPoint=30.0, skyBg=None)
    assert dict(more) == {"psfSigma": 2.0, "zeroPoint": 30.0}
    assert len(stats) == 2
    assert more != stats
    assert more == SummaryStats({"zeroPoint": 30.0, "psfSigma": 2.0})


@pytest.mark.parametrize("values", [{"psfSigma": np.inf}, {"nPsfStar": 1.5}])
def test_impossible_values_are_refused(values: dict) -> None:
    with pytest.raises(ValueError, match="statistic"):
        SummaryStats(values)
