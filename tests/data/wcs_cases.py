"""World coordinate systems that the tests share."""

from __future__ import annotations

import numpy as np

from drpflow.data.camera import Amplifier, Camera, Detector, Optics
from drpflow.data.plane_maps import PolynomialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.sky_wcs import SkyWcs

NX, NY = 2048, 4096


def detector(number: int, center: tuple[float, float], rotation: float = 0.0) -> Detector:
    amplifier = Amplifier(
        name="A",
        data_section=(0, NX, 0, NY),
        raw_data_section=(0, NX, 0, NY),
        gain=1.0,
        read_noise=5.0,
        saturation=6e4,
    )
    return Detector(
        id=number,
        name=f"ccd{number}",
        size_pix=(NX, NY),
        center_mm=center,
        rotation_deg=rotation,
        pixel_size_mm=0.015,
        amplifiers=(amplifier,),
    )


def camera(x_axis: str = "west") -> Camera:
    """A wide-field camera with a percent of distortion at its rim, 0.27 arcsec pixels."""
    return Camera(
        name="widecam",
        optics=Optics(
            plate_scale_arcsec_per_mm=17.6,
            radius_mm=220.0,
            radial=(0.012, -0.003),
            x_axis=x_axis,
            boresight_mm=(0.3, -0.2),
        ),
        detectors=(detector(0, (0.0, 0.0)), detector(1, (100.0, -150.0), 90.0)),
        filters=(),
    )


def visit_map(seed: int = 0, size_arcsec: float = 0.3, order: int = 5) -> PolynomialMap:
    """The identity on the field with some tenths of an arcsecond of turbulence."""
    basis = Basis2D(order, Domain(-1.2, 1.2, -1.2, 1.2))
    noise = np.random.default_rng(seed).normal(0, size_arcsec / 3600, (2, basis.n_terms))
    return PolynomialMap(basis, PolynomialMap.identity(basis).coefficients + noise)


def wcs_at(ra: float, dec: float, rotation: float = 33.0, number: int = 1, seed: int = 0) -> SkyWcs:
    """The full chain: detector, optics, visit, sky."""
    return SkyWcs.from_camera(camera(), number, ra, dec, rotation).with_visit_map(visit_map(seed))


def pixels(n: int = 400, seed: int = 2, margin: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Points on the detector, out to the edges of its pixels."""
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(-margin, NX - 1 + margin, n),
        rng.uniform(-margin, NY - 1 + margin, n),
    )
