"""Pixels and stars that are left out, and those that must not be."""

from __future__ import annotations

import numpy as np

from drpflow.algorithms.psf_fit import fit_psf
from drpflow.algorithms.psf_fit.stamps import cut
from drpflow.algorithms.psf_fit.stars import Places, compare
from drpflow.config.psf import PsfConfig
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from tests.algorithms.psf_fit.star_images import StarField, draw, star_field

SIZE = 400
FWHM_PIX = 4.0


def field_with_giants(snr_factor: float) -> tuple[StarField, np.ndarray]:
    """Thirty stars, two of them brightened, with an aureole of 2 % that the faint do not show."""
    random = np.random.default_rng(21)
    field = star_field(30, SIZE, FWHM_PIX, random, sky=1000.0)
    giants = np.argsort(field.flux)[-2:]
    yy, xx = np.mgrid[:SIZE, :SIZE]
    for k in giants:
        x, y, light = field.x[k], field.y[k], (snr_factor - 1) * field.flux[k]
        column, row = round(x), round(y)
        half = int(5 * FWHM_PIX)
        stamp = draw(FWHM_PIX, x, y, SIZE, 2 * half + 1, x - column, y - row)
        aureole = 1 / (1 + ((xx - x) ** 2 + (yy - y) ** 2) / 15**2) ** 2
        added = 0.02 * light * aureole / aureole.sum()
        ys, xs = np.arange(row - half, row + half + 1), np.arange(column - half, column + half + 1)
        inside_y, inside_x = (v[(v >= 0) & (v < SIZE)] for v in (ys, xs))
        part = stamp[np.ix_(inside_y - row + half, inside_x - column + half)]
        added[np.ix_(inside_y, inside_x)] += 0.98 * light * part
        noise = random.normal(size=added.shape) * np.sqrt(added)
        field.image += (added + noise).astype(np.float32)
        field.variance += added.astype(np.float32)
        field.flux[k] *= snr_factor
    return field, giants


def test_the_brightest_stars_stay_though_they_alone_show_their_wings() -> None:
    field, giants = field_with_giants(8.0)
    found = fit_psf(
        field.image, field.variance, field.bad, field.x, field.y, field.flux, field.box,
        PsfConfig(reserve_fraction=0.0), np.random.default_rng(1),
    )  # fmt: skip
    assert found.used[giants].all()
    assert found.used.sum() >= 28


def test_noise_of_faint_stars_masks_no_pixels_of_a_bright_one() -> None:
    random = np.random.default_rng(5)
    n, half = 9, 12
    star = draw(FWHM_PIX, 0, 0, SIZE, 2 * half + 1)
    flux = np.r_[1e6, np.full(n - 1, 5e3)]
    x = np.full(n, 50.0)
    y = 50.0 + 100 * np.arange(n)
    image, variance = np.zeros((100 * n, 100)), np.full((100 * n, 100), 400.0)
    for k in range(n):
        box = slice(100 * k + 50 - half, 100 * k + 51 + half), slice(50 - half, 51 + half)
        image[box] += flux[k] * star
        variance[box] += flux[k] * star
    image += random.normal(size=image.shape) * np.sqrt(variance)
    arrays = image.astype(np.float32), variance.astype(np.float32), np.zeros(image.shape, bool)
    stamps = cut(*arrays, x, y, half)
    basis = Basis2D(0, Domain(-0.5, 99.5, -0.5, 100 * n - 0.5))
    psf = PixelGridPsf(basis, star[None], step_pix=1.0, kernel_order=9)
    seen = compare(psf, stamps, Places(flux, np.zeros(n), np.zeros(n)), 0.0, 5.0)
    assert (seen.weight[0] > 0).all()


def test_a_cosmic_ray_on_the_brightest_star_is_masked() -> None:
    field, giants = field_with_giants(2.0)
    x, y = (round(float(v[giants[-1]])) for v in (field.x, field.y))
    field.image[y, x + 4] += 0.1 * field.flux[giants[-1]]
    psf = fit_psf(
        field.image, field.variance, field.bad, field.x, field.y, field.flux, field.box,
        PsfConfig(reserve_fraction=0.0), np.random.default_rng(1),
    ).psf  # fmt: skip
    stamps = cut(field.image, field.variance, field.bad, field.x, field.y, psf.half_size_pix)
    places = Places(field.flux, field.x - stamps.column, field.y - stamps.row)
    seen = compare(psf, stamps, places, 0.005, 5.0)
    row, column = (int(v[giants[-1]]) for v in (stamps.row, stamps.column))
    half = stamps.half_size
    assert seen.weight[giants[-1], y - row + half, x + 4 - column + half] == 0
    assert seen.weight[giants[-1], half, half] > 0
