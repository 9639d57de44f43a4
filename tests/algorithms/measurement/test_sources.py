"""Truth recovery: positions, fluxes and shapes, and whether their errors are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.algorithms.measurement.sources import (
    measure_on,
    measure_positions_at,
    measure_sources,
)
from drpflow.algorithms.measurement.work_image import neighbour_free
from drpflow.config.measurement import MeasurementConfig
from drpflow.data.footprints import Footprints
from drpflow.data.heavy_footprints import HeavyFootprints
from drpflow.data.mask import Mask
from drpflow.data.psf import GaussianPsf
from drpflow.io.schemas import load_schema
from tests.algorithms.measurement.scenes import Scene, draw, robust_width, star_field

CONFIG = MeasurementConfig()
FLUXES = ("psfFlux", "gaussianFlux", "ap12Flux", "ap25Flux", "compTophatFlux")


def measured(scene: Scene, seed: int = 3) -> dict[str, np.ndarray]:
    return measure_sources(
        scene.image,
        scene.variance,
        scene.mask,
        scene.sources,
        scene.psf,
        CONFIG,
        np.random.default_rng(seed),
    )


@pytest.fixture(scope="module")
def field() -> Scene:
    return star_field(22)


@pytest.fixture(scope="module")
def columns(field: Scene) -> dict[str, np.ndarray]:
    return measured(field)


def test_positions_have_the_errors_that_are_quoted(field: Scene, columns: dict) -> None:
    assert not columns["centroid_flag"].any()
    for axis, truth in (("x", field.x), ("y", field.y)):
        pull = (columns[axis] - truth) / columns[f"{axis}Err"]
        assert abs(pull.mean()) < 0.15
        assert 0.9 < pull.std() < 1.1
    # 2σ²/SNR² of the sky-limited and σ²/f of the photon-limited case bracket the error.
    bright = field.flux > 5e4
    assert np.median(columns["xErr"][bright] * np.sqrt(field.flux[bright])) > 1.9
    assert np.median(columns["xErr"][bright] * np.sqrt(field.flux[bright])) < 2.4


@pytest.mark.parametrize("name", FLUXES)
def test_fluxes_are_unbiased_with_the_errors_that_are_quoted(
    field: Scene, columns: dict, name: str
) -> None:
    good = ~columns[f"{name}_flag"]
    assert good.mean() > 0.8
    pull = ((columns[f"{name}_instFlux"] - field.flux) / columns[f"{name}_instFluxErr"])[good]
    assert abs(pull.mean()) < 0.2
    assert 0.85 < robust_width(pull) < 1.15
    assert 0.9 < pull.std() < 1.12


@pytest.mark.parametrize("name", ["ixx", "iyy", "ixy"])
def test_shapes_are_those_of_the_psf(field: Scene, columns: dict, name: str) -> None:
    good = ~columns["shape_flag"]
    assert good.all()
    pull = (columns[name] - columns[f"{name}PSF"]) / columns[f"{name}Err"]
    assert abs(pull.mean()) < 0.25
    assert 0.9 < robust_width(pull) < 1.12
    np.testing.assert_allclose(columns["ixxPSF"], 1.9**2, rtol=1e-4)


def test_the_psf_describes_the_pixels(columns: dict) -> None:
    reduced = columns["psfFlux_chi2"] / columns["psfFlux_npix"]
    assert np.median(reduced) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(columns["psfFlux_area"], 4 * np.pi * 1.9**2, rtol=1e-3)


def test_columns_are_those_of_the_table(columns: dict) -> None:
    schema = {column.name: column for column in load_schema("initial_stars_detector").columns}
    assert set(columns) <= set(schema)
    for name, values in columns.items():
        assert values.dtype == np.dtype(schema[name].type), name
    wanted = {n for n in schema if n.startswith(("ap", "comp", "pixelFlags", "psfFlux_", "i"))}
    assert wanted - {n for n in schema if n.endswith(("apCorr", "apCorrErr"))} <= {
        *columns,
        "apcorr",
    }


def test_no_sources_give_empty_columns(field: Scene, columns: dict) -> None:
    none = HeavyFootprints(Footprints.empty(), np.zeros(0, np.float32))
    found = measure_sources(
        field.image, field.variance, field.mask, none, field.psf, CONFIG, np.random.default_rng(1)
    )
    assert {n: (v.dtype, v.shape) for n, v in found.items()} == {
        n: (v.dtype, (0,)) for n, v in columns.items()
    }


def test_order_of_sources_does_not_matter(field: Scene, columns: dict) -> None:
    rows = np.random.default_rng(8).permutation(len(field.sources))
    shuffled = Scene(**{**vars(field), "sources": field.sources.select(rows)})
    found = measured(shuffled)
    for name in ("x", "psfFlux_instFlux", "ap70Flux_instFlux", "ixx"):
        np.testing.assert_array_equal(found[name], columns[name][rows])


@settings(max_examples=8)
@given(dx=st.integers(-3, 3), dy=st.integers(-3, 3), scale=st.sampled_from([0.25, 0.5, 2.0, 64.0]))
def test_whole_shifts_and_units_change_nothing_else(dx: int, dy: int, scale: float) -> None:
    """Powers of two scale floats without rounding."""
    scene = star_field(3, step=50)
    before = measured(scene)
    prints = scene.sources.footprints
    shifted = Footprints(
        prints.span_y + dy,
        prints.span_x0 + dx,
        prints.span_x1 + dx,
        prints.first_span,
        prints.peak_x + dx,
        prints.peak_y + dy,
        prints.peak_significance,
        prints.first_peak,
    )
    image = np.roll(scene.image, (dy, dx), (0, 1)) * np.float32(scale)
    variance = np.roll(scene.variance, (dy, dx), (0, 1)) * np.float32(scale**2)
    after = measure_sources(
        image,
        variance,
        scene.mask,
        HeavyFootprints(shifted, scene.sources.values * np.float32(scale)),
        scene.psf,
        CONFIG,
        np.random.default_rng(3),
    )
    np.testing.assert_allclose(after["x"], before["x"] + dx, atol=1e-7)
    np.testing.assert_allclose(after["y"], before["y"] + dy, atol=1e-7)
    for name in ("psfFlux_instFlux", "psfFlux_instFluxErr", "gaussianFlux_instFlux"):
        np.testing.assert_allclose(after[name], scale * before[name], rtol=1e-7)
    for name in ("xErr", "ixx", "ixxErr", "ixxPSF", "psfFlux_chi2"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.8, 1.2, 4.2])
def test_from_undersampled_to_poor_seeing(sigma: float) -> None:
    scene = star_field(12, step=int(24 + 12 * sigma), sigma=sigma, flux=(1e4, 1e5))
    found = measured(scene)
    assert not found["centroid_flag"].any()
    for pull in (
        (found["x"] - scene.x) / found["xErr"],
        (found["psfFlux_instFlux"] - scene.flux) / found["psfFlux_instFluxErr"],
    ):
        assert abs(pull.mean()) < 0.3
        assert 0.85 < pull.std() < 1.15


def test_faint_sources_fail_seldom_and_openly() -> None:
    """At a signal-to-noise ratio of 5 to 10; the truth's peak pixel is given."""
    scene = star_field(16, flux=(650, 1300))
    found = measured(scene)
    assert found["centroid_flag"].mean() < 0.03
    kept = ~found["centroid_flag"]
    assert 0.85 < robust_width((found["x"] - scene.x)[kept] / found["xErr"][kept]) < 1.25
    peak = scene.sources.peak_x
    np.testing.assert_array_equal(found["x"][~kept], peak[~kept])
    assert np.isnan(found["xErr"][~kept]).all()
    assert found["psfFlux_flag"][~kept].all()


def test_neighbours_do_not_enter() -> None:
    """A star 15 pixels from one fifty times brighter, as the deblender hands it over."""
    rng = np.random.default_rng(5)
    psf = GaussianPsf(1.9, half_size=12)
    x, y = np.array([50.2, 65.1]), np.array([50.4, 49.7])
    flux = np.array([1e6, 2e4])
    alone = [draw(psf, (100, 100), x[[k]], y[[k]], flux[[k]]) for k in (0, 1)]
    sky = rng.normal(0, 5, (100, 100))
    image = (alone[0] + alone[1] + sky).astype(np.float32)
    labels = np.zeros((100, 100), np.int32)
    labels[37:64, 37:58], labels[37:64, 58:78] = 1, 2
    prints = Footprints.from_labels(labels, np.rint(x), np.rint(y), flux)
    rows, columns = prints.pixels()
    of_one = np.repeat([True, False], prints.areas())
    values = np.where(of_one, alone[0][rows, columns], alone[1][rows, columns])
    sources = HeavyFootprints(prints, values + sky[rows, columns])
    variance = np.full(image.shape, 25, np.float32)
    found = measure_sources(
        image, variance, Mask.zeros(image.shape), sources, psf, CONFIG, np.random.default_rng(1)
    )
    assert found["x"][1] == pytest.approx(x[1], abs=4 * float(found["xErr"][1]))
    for name in ("psfFlux", "ap12Flux", "ap25Flux"):
        error = found[f"{name}_instFluxErr"][1]
        assert found[f"{name}_instFlux"][1] == pytest.approx(flux[1], abs=4 * error)


def test_places_of_sky_have_no_flux(field: Scene) -> None:
    work = neighbour_free(
        field.image,
        field.variance,
        field.mask,
        field.sources,
        CONFIG,
        np.random.default_rng(3),
    )
    x, y = (grid.ravel() for grid in np.meshgrid(*[np.arange(40, 860, 40.0)] * 2))
    found = measure_positions_at(x, y, work, field.mask, field.psf, CONFIG)
    assert set(found) == set(measure_on(work, field.mask, field.sources, field.psf, CONFIG))
    np.testing.assert_array_equal(found["x"], x)
    assert not found["centroid_flag"].any()
    assert found["shape_flag"].all()
    for name in ("psfFlux", "ap03Flux", "ap09Flux", "compGaussianFlux3"):
        pull = found[f"{name}_instFlux"] / found[f"{name}_instFluxErr"]
        assert abs(pull.mean()) < 0.15
        assert 0.9 < pull.std() < 1.1


def test_masked_pixels_do_not_bias_the_psf_flux() -> None:
    scene = star_field(10, flux=(5e4, 1e5))
    column = np.floor(scene.x + 0.5).astype(int) + 1
    for k, row in enumerate(np.floor(scene.y + 0.5).astype(int)):
        scene.mask.array[row - 15 : row + 15, column[k]] |= scene.mask.bit(["BAD", "INTRP"])
        scene.image[row - 15 : row + 15, column[k]] = 0
    scene.sources = HeavyFootprints.from_image(scene.sources.footprints, scene.image)
    found = measured(scene)
    assert found["pixelFlags_bad"].all()
    assert found["pixelFlags_interpolatedCenter"].mean() > 0.97
    pull = (found["psfFlux_instFlux"] - scene.flux) / found["psfFlux_instFluxErr"]
    assert abs(pull.mean()) < 0.35
    assert pull.std() < 1.2
    assert abs(((found["x"] - scene.x) / found["xErr"]).mean()) < 0.35
    # The aperture takes the zeros as they are.
    assert np.median(found["ap12Flux_instFlux"] / scene.flux) < 0.9


def test_pixels_without_data_are_flagged() -> None:
    scene = star_field(4, step=60)
    scene.mask.set("NO_DATA", np.s_[:, :30])
    scene.image[:, :30] = np.nan
    found = measured(scene)
    left = scene.x < 35
    assert found["pixelFlags_nodata"][left].all()
    assert found["psfFlux_flag"][left].sum() >= 2
    assert found["ap17Flux_flag"][left].all()
    assert not found["psfFlux_flag"][~left].any()
    assert not found["ap03Flux_flag"][~left].any()
    assert np.isfinite(found["psfFlux_instFlux"][~left]).all()


def test_edges_are_flagged(field: Scene) -> None:
    ny, nx = field.image.shape
    work = neighbour_free(
        field.image,
        field.variance,
        field.mask,
        field.sources,
        CONFIG,
        np.random.default_rng(3),
    )
    x, y = np.array([0.1, nx - 1.0, 40.0, 0.0]), np.array([40.0, 60.0, 40.0, ny - 1.0])
    found = measure_positions_at(x, y, work, field.mask, field.psf, CONFIG)
    np.testing.assert_array_equal(found["pixelFlags_edge"], [True, True, False, True])
    np.testing.assert_array_equal(found["psfFlux_flag"], [True, True, False, True])
    assert found["ap70Flux_flag"].all()
    assert np.isfinite(found["psfFlux_instFlux"]).all()
