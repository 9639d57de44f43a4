import sys

import numpy as np
import pytest

from drpflow.errors import InputError
from drpflow.sim.canvas import canvas
from drpflow.sim.galaxy_profile import (
    galaxy_transfer,
    radial_transform,
    sersic_transfer,
    trail_transfer,
)
from drpflow.sim.sources import SOURCE_DTYPE

TURBULENCE = 3.44195 * (4.0 / (2 * np.pi * 0.97586)) ** (5 / 3)
COVARIANCE = np.array([0.5, 0.0, 0.5])
NO_COMA = np.zeros(2)


def galaxy(bulge_fraction: float) -> np.void:
    row = np.zeros(1, SOURCE_DTYPE)
    row["bulge_fraction"] = bulge_fraction
    row["disc_radius_arcsec"], row["bulge_radius_arcsec"], row["axis_ratio"] = 0.9, 0.4, 0.5
    return row[0]


@pytest.mark.parametrize("bulge_fraction", [0.0, 0.4, 1.0])
def test_galaxy_agrees_with_galsim(bulge_fraction: float) -> None:
    import galsim

    board = canvas(256, 1)
    angle = np.deg2rad(30.0)
    shape = galaxy_transfer(board, galaxy(bulge_fraction), 0.2, angle)
    ours = board.draw((128.0, 128.0), TURBULENCE, COVARIANCE, NO_COMA, shape)

    def ellipse(profile: "galsim.GSObject", q: float) -> "galsim.GSObject":
        # Ours keeps the major axis; GalSim's shear keeps the area.
        return profile.dilate(np.sqrt(q)).shear(q=q, beta=30.0 * galsim.degrees)

    disc = ellipse(galsim.Exponential(half_light_radius=4.5), 0.5)
    bulge = ellipse(galsim.DeVaucouleurs(half_light_radius=2.0), 0.75)
    total = (1 - bulge_fraction) * disc + bulge_fraction * bulge
    star = galsim.Convolve(total, galsim.Kolmogorov(fwhm=4.0), galsim.Gaussian(sigma=np.sqrt(0.5)))
    theirs = star.drawImage(nx=256, ny=256, scale=1.0, offset=(0.5, 0.5)).array
    assert np.abs(ours - theirs).max() < 2e-3 * theirs.max()
    assert ours.sum() == pytest.approx(1.0, abs=1e-12)


def test_transfer_is_one_at_zero_and_falls() -> None:
    board = canvas(64, 1)
    transfer = sersic_transfer(board, 1.0, 4.0, 0.3, 0.0)
    assert transfer[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert (np.diff(transfer[0]) < 0).all()
    # The minor axis is along y: it is less resolved.
    assert transfer[5, 0] > transfer[0, 5]


def test_disc_is_the_transform_of_an_exponential() -> None:
    board = canvas(64, 1)
    transfer = sersic_transfer(board, 1.0, 3.0, 1.0, 0.0)
    scale = 3.0 / 1.6783469900166605
    np.testing.assert_allclose(transfer, (1 + board.k2 * scale**2) ** -1.5, atol=3e-4)


def test_missing_galsim_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "galsim", None)
    with pytest.raises(InputError, match=r"Install drpflow\[sim\]"):
        radial_transform.__wrapped__(1.0)


def test_trailed_point_is_a_line_of_its_length() -> None:
    board = canvas(64, 1)
    shape = trail_transfer(board, (9.0, 0.0))
    image = board.draw((32.0, 32.0), TURBULENCE, COVARIANCE, NO_COMA, shape)
    point = board.draw((32.0, 32.0), TURBULENCE, COVARIANCE, NO_COMA)
    x, y = np.meshgrid(np.arange(64) - 32.0, np.arange(64) - 32.0)
    # A uniform line of length L has the variance L²/12.
    assert ((image - point) * x**2).sum() == pytest.approx(81 / 12, rel=1e-2)
    assert ((image - point) * y**2).sum() == pytest.approx(0.0, abs=0.05)
