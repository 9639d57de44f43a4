"""Stars and galaxies, and that corrections for aperture come first."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from drpflow.algorithms.measurement.classification import extendedness, is_primary
from drpflow.algorithms.measurement.sources import measure_sources
from drpflow.config.measurement import ClassificationConfig, MeasurementConfig
from drpflow.data.footprints import Footprints
from drpflow.data.heavy_footprints import HeavyFootprints
from drpflow.data.mask import Mask
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf

STEP, SIDE = 60, 8
SEEING = galsim.Moffat(beta=2.5, fwhm=4.0)


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    """Stars with broad wings, and, in every other row, galaxies as small as the seeing."""
    rng = np.random.default_rng(4)
    n = STEP * SIDE
    image = galsim.Image(np.zeros((n, n)), xmin=0, ymin=0)
    galaxy = galsim.Convolve(galsim.Exponential(half_light_radius=2.0), SEEING)
    xs, ys = [], []
    for k in range(SIDE**2):
        x, y = (np.array([k % SIDE, k // SIDE]) + 0.5) * STEP + rng.uniform(-0.5, 0.5, 2)
        profile = (galaxy if (k // SIDE) % 2 else SEEING) * 1e5
        profile.drawImage(
            image, center=galsim.PositionD(x, y), add_to_image=True, method="no_pixel"
        )
        xs.append(x)
        ys.append(y)
    data = (image.array + rng.normal(0, 10, (n, n))).astype(np.float32)
    labels = np.kron(np.arange(1, SIDE**2 + 1).reshape(SIDE, SIDE), np.ones((STEP, STEP), np.int32))
    prints = Footprints.from_labels(labels, np.rint(xs), np.rint(ys))
    model = SEEING.drawImage(nx=41, ny=41, scale=1, method="no_pixel").array.astype(float)
    psf = PixelGridPsf(Basis2D(0, Domain(0, n, 0, n)), model[None] / model.sum())
    return measure_sources(
        data,
        np.full(data.shape, 100, np.float32),
        Mask.zeros(data.shape),
        HeavyFootprints.from_image(prints, data),
        psf,
        MeasurementConfig(),
        np.random.default_rng(5),
    )


GALAXY = (np.arange(SIDE**2) // SIDE) % 2 == 1


def corrected(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Bring fluxes to that of the 12-pixel aperture for stars."""
    columns = dict(columns)
    for name in ("psfFlux", "gaussianFlux"):
        flux = columns[f"{name}_instFlux"]
        factor = np.median((columns["ap12Flux_instFlux"] / flux)[~GALAXY])
        columns[f"{name}_instFlux"] = flux * factor
        columns[f"{name}_instFluxErr"] = columns[f"{name}_instFluxErr"] * factor
        columns[f"{name}_apCorr"] = np.full(flux.size, factor, np.float32)
    return columns


def test_stars_and_galaxies_are_told_apart(columns: dict) -> None:
    found = extendedness(corrected(columns))
    assert not found["extendedness_flag"].any()
    np.testing.assert_array_equal(found["extendedness"], GALAXY)
    np.testing.assert_array_less(found["sizeExtendedness"][~GALAXY], 0.5)
    np.testing.assert_array_less(0.99, found["sizeExtendedness"][GALAXY])


def test_without_corrections_there_is_no_answer(columns: dict) -> None:
    with pytest.raises(ValueError, match="corrected for aperture"):
        extendedness(columns)


def test_corrections_must_come_first(columns: dict) -> None:
    """With fluxes as measured, but said to be corrected, galaxies pass for stars.

    A Gaussian misses a third of the light of these stars, in their wings.
    """
    as_measured = columns | {
        f"{name}_apCorr": np.ones(GALAXY.size, np.float32) for name in ("psfFlux", "gaussianFlux")
    }
    assert extendedness(corrected(columns))["extendedness"][GALAXY].all()
    assert not extendedness(as_measured)["extendedness"][GALAXY].any()


def sources(excess: float, error: float) -> dict[str, np.ndarray]:
    """Return a source whose Gaussian flux of 100 exceeds the PSF flux, and its relative error."""
    no, one = np.zeros(1, bool), np.ones(1)
    fluxes = {"psfFlux": 100 * (1 - excess), "gaussianFlux": 100.0}
    made = {"shape_flag": no, "ixx": 4 * one, "iyy": 4 * one, "ixxPSF": 4 * one, "iyyPSF": 4 * one}
    # The error of Ixx + Iyy, over that sum, is twice that of the ratio of fluxes.
    made |= {name: one * 2 * error * 8 / np.sqrt(2) for name in ("ixxErr", "iyyErr")}
    for name, flux in fluxes.items():
        made |= {f"{name}_instFlux": flux * one, f"{name}_apCorr": one, f"{name}_flag": no}
    return made


@pytest.mark.parametrize(
    ("excess", "error", "limited", "unlimited"),
    [
        # Bright: three errors of 1 % are 3 %, and 2.7 % with the limit.
        (0.024, 0.01, 0, 0),
        (0.032, 0.01, 1, 1),
        # Faint: a galaxy that exceeds by 20 % would have to be known to 7 %.
        (0.20, 0.15, 1, 0),
        (0.14, 0.15, 0, 0),
        # No error asks for more than the limit.
        (0.26, 5.0, 1, 0),
    ],
)
def test_large_errors_count_for_no_more_than_the_limit(
    excess: float, error: float, limited: int, unlimited: int
) -> None:
    rule = {"flux_ratio": 1.0, "error_factor": 3.0, "model_error": 0.0}
    source = sources(excess, error)
    found = extendedness(source, ClassificationConfig(excess_limit=0.25, **rule))
    assert found["extendedness"] == limited
    assert extendedness(source, ClassificationConfig(**rule))["extendedness"] == unlimited


def test_failures_have_no_class(columns: dict) -> None:
    broken = corrected(columns)
    broken["gaussianFlux_instFlux"] = broken["gaussianFlux_instFlux"].copy()
    broken["gaussianFlux_instFlux"][3] = np.nan
    broken["psfFlux_flag"] = broken["psfFlux_flag"].copy()
    broken["psfFlux_flag"][5] = True
    found = extendedness(broken)
    assert list(np.flatnonzero(found["extendedness_flag"])) == [3, 5]
    assert np.isnan(found["extendedness"][[3, 5]]).all()


def test_primary() -> None:
    sky, blend = np.array([False, True, False]), np.array([False, False, True])
    np.testing.assert_array_equal(is_primary(sky, blend), [True, False, False])


def test_points_of_the_deblender_are_points_where_the_field_is_all_stars(
    columns: dict[str, np.ndarray],
) -> None:
    """Light of neighbours widens the Gaussian of stars, which is what galaxies look like."""
    config = ClassificationConfig(points_of_blends=True)
    stars_on_stars = GALAXY & (np.arange(SIDE**2) % 2 == 0)
    blends = corrected(columns) | {"deblend_isPoint": stars_on_stars}
    plain = extendedness(blends)["extendedness"]
    found = extendedness(blends, config)["extendedness"]
    assert (plain[GALAXY] == 1).all()
    assert (found[stars_on_stars] == 0).all()
    assert np.array_equal(found[~stars_on_stars], plain[~stars_on_stars])
