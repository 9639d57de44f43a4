"""Images on which there is nothing to measure give flags, not exceptions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from drpflow.algorithms.measurement.classification import extendedness
from drpflow.algorithms.measurement.sources import measure_sources
from drpflow.config.measurement import MeasurementConfig
from drpflow.data.heavy_footprints import HeavyFootprints
from tests.algorithms.measurement.scenes import Scene, star_field


def all_nan(scene: Scene) -> None:
    scene.image[:] = np.nan


def no_variance(scene: Scene) -> None:
    scene.variance[:] = 0


def saturated(scene: Scene) -> None:
    scene.mask.set("SAT", np.s_[:, :])


def empty(scene: Scene) -> None:
    scene.image[:] = 0


def negative(scene: Scene) -> None:
    scene.image *= -1


@pytest.mark.parametrize("spoil", [all_nan, no_variance, saturated, empty, negative])
def test_flags_instead_of_exceptions(spoil: Callable[[Scene], None]) -> None:
    scene = star_field(4)
    spoil(scene)
    scene.sources = HeavyFootprints.from_image(scene.sources.footprints, scene.image)
    found = measure_sources(
        scene.image,
        scene.variance,
        scene.mask,
        scene.sources,
        scene.psf,
        MeasurementConfig(),
        np.random.default_rng(1),
    )
    assert found["psfFlux_flag"].all()
    # Saturated stars keep the centre of their interpolated pixels.
    assert found["centroid_flag"].all() == (spoil is not saturated)
    corrected = found | {
        f"{n}_apCorr": np.ones(16, np.float32) for n in ("psfFlux", "gaussianFlux")
    }
    assert extendedness(corrected)["extendedness_flag"].all()


def test_a_star_on_a_tiny_image() -> None:
    scene = star_field(1, step=20)
    found = measure_sources(
        scene.image,
        scene.variance,
        scene.mask,
        scene.sources,
        scene.psf,
        MeasurementConfig(),
        np.random.default_rng(1),
    )
    assert found["x"][0] == pytest.approx(scene.x[0], abs=0.2)
    assert found["ap12Flux_flag"][0]
