"""Light of neighbours on the images of PSF stars."""

from __future__ import annotations

import numpy as np
import pytest

from drpflow.algorithms.psf_fit.neighbors import fit_neighbors, moffat_psf
from drpflow.algorithms.psf_fit.stamps import cut
from drpflow.config.psf import NeighborConfig
from drpflow.data.geometry import Box

SHAPE, SIGMA_PIX, HALF = (121, 121), 2.0, 15
STAR = 60.3, 59.8, 2e5
OTHERS = ((67.1, 62.4, 8e4), (52.6, 50.2, 3e5), (60.9, 78.0, 2e4))
SKY_VARIANCE = 400.0


@pytest.fixture(scope="module")
def scene() -> dict[str, np.ndarray]:
    psf = moffat_psf(SIGMA_PIX, Box.from_shape(SHAPE), 12.0)
    own, light = np.zeros(SHAPE), np.zeros(SHAPE)
    for target, sources in ((own, (STAR,)), (light, OTHERS)):
        for x, y, flux in sources:
            image, box = psf.compute_image(x, y)
            target[box.y0 : box.y1, box.x0 : box.x1] += flux * image
    variance = SKY_VARIANCE + own + light
    noise = np.random.default_rng(1).normal(size=SHAPE) * np.sqrt(variance)
    return {
        "image": (own + light + noise).astype(np.float32),
        "variance": variance.astype(np.float32),
        "own": own,
        "light": light,
    }


def neighbors(scene: dict[str, np.ndarray], error: float = 0.05):
    x, y, _ = np.array([STAR, *OTHERS]).T
    return fit_neighbors(
        scene["image"], scene["variance"], np.zeros(SHAPE, bool), (np.rint(x), np.rint(y)),
        (np.array([STAR[0]]), np.array([STAR[1]])),
        moffat_psf(SIGMA_PIX, Box.from_shape(SHAPE), 12.0), error, NeighborConfig(),
    )  # fmt: skip


def stamp(scene: dict[str, np.ndarray], found=None):
    star = np.array([STAR[0]]), np.array([STAR[1]])
    bad = np.zeros(SHAPE, bool)
    return cut(scene["image"], scene["variance"], bad, *star, HALF, found)


def test_fluxes_and_places_of_neighbors_are_found(scene: dict[str, np.ndarray]) -> None:
    found = neighbors(scene)
    for x, y, flux in (STAR, *OTHERS):
        k = int(np.argmin(np.hypot(found.x - x, found.y - y)))
        assert np.hypot(found.x[k] - x, found.y[k] - y) < 0.1, "pixels"
        # Pixels of the core tell the flux: its photon noise and that of the sky there.
        assert found.flux[k] == pytest.approx(flux, rel=0.02, abs=5 * 20 * 8)


def test_the_star_alone_is_left(scene: dict[str, np.ndarray]) -> None:
    before, after = stamp(scene), stamp(scene, neighbors(scene))
    rows, columns = (int(v) + np.arange(-HALF, HALF + 1) for v in (after.row[0], after.column[0]))
    own = scene["own"][np.ix_(rows, columns)]
    noise = np.sqrt(scene["variance"][np.ix_(rows, columns)])
    good = after.good[0]
    assert np.abs((before.data[0] - own) / noise)[good].max() > 10, "neighbours to begin with"
    pull = ((after.data[0] - own) / noise)[good]
    assert np.std(pull) == pytest.approx(1, abs=0.15)
    assert abs(pull.mean()) < 0.2


def test_what_is_uncertain_is_not_used(scene: dict[str, np.ndarray]) -> None:
    careful, careless = (stamp(scene, neighbors(scene, error)).good[0] for error in (0.2, 0.02))
    assert careful.sum() < careless.sum()
    assert careful[HALF, HALF], "the core of the star itself"


def test_a_star_without_neighbors_stays_as_it_is(scene: dict[str, np.ndarray]) -> None:
    nobody = np.zeros(0)
    found = fit_neighbors(
        scene["image"], scene["variance"], np.zeros(SHAPE, bool), (nobody, nobody),
        (np.array([STAR[0]]), np.array([STAR[1]])),
        moffat_psf(SIGMA_PIX, Box.from_shape(SHAPE), 12.0), 0.05, NeighborConfig(),
    )  # fmt: skip
    assert np.array_equal(stamp(scene, found).data, stamp(scene).data)


@pytest.mark.parametrize("sigma_pix", [0.35, 0.5, 0.7])
def test_what_is_sharper_than_a_pixel_is_no_fault(
    scene: dict[str, np.ndarray], sigma_pix: float
) -> None:
    """Hot pixels of a frame without stars look so; the fit of the PSF refuses them."""
    x, y, _ = np.array([STAR, *OTHERS]).T
    psf = moffat_psf(sigma_pix, Box.from_shape(SHAPE), 3.0)
    found = fit_neighbors(
        scene["image"], scene["variance"], np.zeros(SHAPE, bool), (x, y),
        (np.array([STAR[0]]), np.array([STAR[1]])), psf, 0.05, NeighborConfig(),
    )  # fmt: skip
    assert np.isfinite(found.total).all()
