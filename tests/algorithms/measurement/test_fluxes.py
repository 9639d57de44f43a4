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
    assert np.median(ratio) == pytest.approx(1, abs=2e-3)
    assert factor == pytest.approx(1, abs=0.01)
    found, factor = normalized_top_hat(columns, ~stars)
    assert np.isnan(factor)
    assert found["normCompTophatFlux_flag"].all()


def wrong_sky(seed: int) -> dict[str, np.ndarray]:
    """Fluxes of 70 faint and 5 bright stars, 2 % in the ring, on a sky that is too bright."""
    rng = np.random.default_rng(seed)
    sky_noise, wrong = 300.0, 40.0
    flux = np.concatenate([rng.uniform(1e4, 4e4, 70), rng.uniform(2e5, 5e5, 5)])
    disc, ring = (rng.normal(0, 1, flux.size) for _ in range(2))
    noise = np.sqrt(flux + sky_noise**2)
    nothing = np.zeros(flux.size, bool)
    return {
        "compTophatFlux_instFlux": flux + noise * disc + 0.5 * sky_noise * ring,
        "compTophatFlux_instFluxErr": np.hypot(noise, 0.5 * sky_noise),
        "compTophatFlux_flag": nothing,
        "ap12Flux_instFlux": 1.02 * flux + noise * disc + wrong,
        "ap12Flux_instFluxErr": noise,
        "ap12Flux_flag": nothing,
    }


def test_a_sky_that_is_wrong_hardly_moves_the_scale() -> None:
    found, plain = [], []
    for seed in range(40):
        columns = wrong_sky(seed)
        found.append(normalized_top_hat(columns, np.ones(75, bool))[1] - 1.02)
        ratio = columns["ap12Flux_instFlux"] / columns["compTophatFlux_instFlux"]
        plain.append(np.median(ratio) - 1.02)
    # 40 electrons are 1.6 mmag of a typical star here, 0.1 of a bright one.
    assert np.mean(plain) > 1e-3
    assert abs(np.mean(found)) < 5e-4
    assert np.std(found) < 0.7 * np.std(plain)


def test_scale_of_one_star_and_of_none() -> None:
    columns = wrong_sky(1)
    one = np.arange(75) == 3
    ratio = columns["ap12Flux_instFlux"] / columns["compTophatFlux_instFlux"]
    assert normalized_top_hat(columns, one)[1] == ratio[3]
    columns["ap12Flux_instFluxErr"] = np.full(75, np.nan)
    assert np.isnan(normalized_top_hat(columns, one)[1])
