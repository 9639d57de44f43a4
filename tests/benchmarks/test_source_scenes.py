"""The scenes of the benchmark of final sources hold what they say."""

from __future__ import annotations

import numpy as np
from accuracy_final_sources import pair_errors
from final_source_scores import SourceScores, half_complete
from source_scenes import MixturePsf, SourceScene, _draw, pairs


def test_half_of_the_light_is_within_the_half_light_radius() -> None:
    psf = MixturePsf(6.0, half_size=70)
    image = psf.compute_kernel_image(0, 0)
    v, u = np.mgrid[-70:71, -70:71]
    inside = np.hypot(u, v) <= psf.half_light_pix
    assert abs(image[inside].sum() - 0.5) < 0.015
    row = image[70] / image[70].max()
    assert abs(np.interp(psf.fwhm_pix / 2, np.arange(71), row[70:]) - 0.5) < 0.005


def test_galaxies_hold_their_flux_and_are_as_large_as_they_should_be() -> None:
    image = np.zeros((1024, 1024))
    radius = 6.0
    _draw(image, 0.8, (500.3, 400.8), 1e4, 1, (radius, 0.7, 0.4))
    # The 4 % beyond the stamp are the disc's and the PSF's.
    assert 0.96 < image.sum() / 1e4 < 1.001
    _draw(image, 0.8, (5.0, 1020.0), 1e4, 1, (radius, 0.7, 0.4))
    v, u = np.mgrid[:1024, :1024]
    c, s = np.cos(0.4), np.sin(0.4)
    dx, dy = u - 500.3, v - 400.8
    along, across = dx * c + dy * s, dy * c - dx * s
    inside = 0.7 * along**2 + across**2 / 0.7 <= radius**2
    assert 0.46 < image[inside].sum() / 1e4 < 0.54


def test_pairs_are_as_far_apart_as_asked() -> None:
    scene = pairs(3, 1.3)
    x, y = (scene.truth[name].reshape(-1, 2) for name in ("x", "y"))
    apart = np.hypot(np.diff(x)[:, 0], np.diff(y)[:, 0])
    np.testing.assert_allclose(apart, 1.3 * scene.psf.fwhm_pix)
    flux = scene.truth["flux"].reshape(-1, 2)
    assert (flux[:, 1] >= flux[:, 0]).all()


def test_errors_of_pairs_are_those_of_both_members() -> None:
    psf = MixturePsf(1.7)
    truth = {
        "x": np.array([10.0, 14.0, 50.0, 54.0]),
        "y": np.full(4, 20.0),
        "flux": np.array([100.0, 200.0, 100.0, 300.0]),
    }
    scene = SourceScene(psf, truth)
    two, error = pair_errors([54.1, 10.0, 14.0], [20.0, 20.1, 20.0], [300.0, 110.0, 190.0], scene)
    assert two.tolist() == [True, False]
    np.testing.assert_allclose(error, [0.1, -0.05])


def test_the_middle_of_the_curve_is_found() -> None:
    rng = np.random.default_rng(1)
    snr = rng.uniform(3, 8, 4000)
    found = rng.random(snr.size) < 1 / (1 + np.exp(-(snr - 5.2) / 0.4))
    figure = half_complete(snr, found)
    assert figure.low < 5.2 < figure.high
    assert figure.high - figure.low < 0.2


def test_values_are_pooled_by_name() -> None:
    scores = SourceScores()
    scores.add(a=np.array([1.0]), b=2)
    scores.add(a=np.array([3.0, 4.0]))
    assert scores["a"].tolist() == [1, 3, 4]
    assert scores["b"].tolist() == [2]
    assert scores["none"].size == 0
