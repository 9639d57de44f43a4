"""Compensated fluxes and the local background."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.measurement.fluxes import normalized_top_hat
from drpflow.algorithms.measurement.sources import measure_sources
from drpflow.config.measurement import MeasurementConfig
from tests.algorithms.measurement.scenes import Scene, star_field

CONFIG = MeasurementConfig()


@pytest.fixture(scope="module")
def on_pedestal() -> dict[float, dict[str, np.ndarray]]:
    """The same stars without and with a background that was not taken off."""
    found = {}
    for level in (0.0, 3.0):
        scene: Scene = star_field(8, step=70)
        image = scene.image + np.float32(level)
        sources = type(scene.sources)(scene.sources.footprints, scene.sources.values + level)
        found[level] = measure_sources(
            image,
            scene.variance,
            scene.mask,
            sources,
            scene.psf,
            CONFIG,
            np.random.default_rng(1),
        )
    return found


def test_apertures_take_the_background_in(on_pedestal: dict) -> None:
    change = on_pedestal[3.0]["ap09Flux_instFlux"] - on_pedestal[0.0]["ap09Flux_instFlux"]
    # Beyond the footprints noise has taken the pixels' place in neither case.
    assert np.median(change) == pytest.approx(3 * np.pi * 81, rel=1e-4)


@pytest.mark.parametrize("name", ["compTophatFlux", "compGaussianFlux3", "compGaussianFlux5"])
def test_compensated_fluxes_do_not(on_pedestal: dict, name: str) -> None:
    good = ~on_pedestal[0.0][f"{name}_flag"]
    change = on_pedestal[3.0][f"{name}_instFlux"] - on_pedestal[0.0][f"{name}_instFlux"]
    moved = on_pedestal[3.0]["ap12Flux_instFlux"] - on_pedestal[0.0]["ap12Flux_instFlux"]
    assert np.abs(np.median(change[good])) < 0.02 * np.median(moved)


def test_local_background_finds_the_pedestal(on_pedestal: dict) -> None:
    found = on_pedestal[3.0]
    good = ~found["localBackground_flag"]
    assert good.all()
    pull = (found["localBackground_instFlux"] - 3) / found["localBackground_instFluxErr"]
    assert abs(pull.mean()) < 0.5
    assert 0.8 < pull.std() < 1.25


def test_normalized_top_hat_is_on_the_scale_of_the_aperture(on_pedestal: dict) -> None:
    columns = on_pedestal[0.0]
    stars = np.ones(columns["x"].size, bool)
    found, factor = normalized_top_hat(columns, stars)
    good = ~found["normCompTophatFlux_flag"]
    ratio = found["normCompTophatFlux_instFlux"][good] / columns["ap12Flux_instFlux"][good]
    assert np.median(ratio) == pytest.approx(1, abs=1e-6)
    assert factor == pytest.approx(1, abs=0.01)
    found, factor = normalized_top_hat(columns, ~stars)
    assert np.isnan(factor)
    assert found["normCompTophatFlux_flag"].all()
