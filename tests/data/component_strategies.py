"""Hypothesis strategies for components with arbitrary finite content."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from drpflow.data.air import AirAbsorption, AirState
from drpflow.data.ap_corr import ApCorr, ApCorrMap
from drpflow.data.background import Background, MeshLayer, PolynomialLayer
from drpflow.data.coadd_inputs import CoaddInput, CoaddInputs
from drpflow.data.coadd_psf import CoaddPsf, CoaddPsfInput
from drpflow.data.double_gaussian_psf import DoubleGaussianPsf
from drpflow.data.geometry import Box, ValidPolygon
from drpflow.data.look_up_table import FilterTable, LookUpTable, StandardPassband
from drpflow.data.noise_covariance import NoiseCovariance
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.plane_maps import AffineMap, PolynomialMap, RadialMap
from drpflow.data.polynomial import Basis2D, Domain, Polynomial2D
from drpflow.data.psf import GaussianPsf, PixelGridPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.spatial_kernel import SpatialKernel
from drpflow.data.star_wings import StarWingsLayer
from drpflow.data.summary_stats import STATISTICS, SummaryStats
from drpflow.data.tan_projection import TanProjection
from drpflow.data.transmission import TransmissionCurve, TransmissionFactor
from drpflow.data.visit_info import VisitInfo

finite = st.floats(allow_nan=False, allow_infinity=False)
moderate = st.floats(-1e6, 1e6, allow_subnormal=True)
positive = st.floats(1e-6, 1e6)
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=12)


def arrays(shape: Any, elements: st.SearchStrategy[float] = finite) -> Any:
    """Float64 arrays of one shape."""
    return hnp.arrays(np.float64, shape, elements=elements)


@st.composite
def increasing(draw: st.DrawFn, size: int) -> np.ndarray:
    steps = draw(arrays(size, st.floats(0.125, 100)))
    return draw(st.floats(-1000, 1000)) + np.cumsum(steps)


@st.composite
def domains(draw: st.DrawFn) -> Domain:
    x, y = draw(moderate), draw(moderate)
    return Domain(x, x + draw(st.floats(1, 1e5)), y, y + draw(st.floats(1, 1e5)))


@st.composite
def bases(draw: st.DrawFn, max_order: int = 4, min_order: int = 0) -> Basis2D:
    kind = draw(st.sampled_from(["chebyshev", "power"]))
    return Basis2D(draw(st.integers(min_order, max_order)), draw(domains()), kind)


@st.composite
def polynomials(draw: st.DrawFn) -> Polynomial2D:
    basis = draw(bases())
    return Polynomial2D(basis, draw(arrays(basis.n_terms)))


boxes = st.builds(
    lambda x, y, w, h: Box(x, x + w, y, y + h),
    st.integers(-50, 50),
    st.integers(-50, 50),
    st.integers(0, 40),
    st.integers(0, 40),
)


@st.composite
def plane_maps(draw: st.DrawFn) -> AffineMap | PolynomialMap | RadialMap:
    kind = draw(st.sampled_from(["affine", "polynomial", "radial"]))
    if kind == "affine":
        a, b = draw(positive), draw(st.floats(-1e3, 1e3))
        return AffineMap(np.array([[a, b], [-b, a]]), draw(arrays(2)))
    if kind == "polynomial":
        basis = draw(bases())
        return PolynomialMap(basis, draw(arrays((2, basis.n_terms))))
    coefficients = draw(st.lists(moderate, max_size=4))
    return RadialMap(draw(positive), draw(positive), tuple(coefficients), (draw(moderate), 2.5))


projections = st.builds(
    TanProjection,
    st.floats(-720, 720),
    st.floats(-90, 90),
    st.floats(-360, 360),
    st.sampled_from(["east", "west"]),
)


@st.composite
def sky_wcs(draw: st.DrawFn) -> SkyWcs:
    labels = draw(st.lists(names, max_size=4, unique=True))
    shape = draw(st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
    return SkyWcs(tuple((n, draw(plane_maps())) for n in labels), draw(projections), shape)


@st.composite
def pixel_grid_psfs(draw: st.DrawFn, elements: st.SearchStrategy[float] = finite) -> PixelGridPsf:
    n = draw(st.sampled_from([1, 3, 5]))
    basis = draw(bases(2))
    color: dict[str, Any] = {}
    if draw(st.booleans()):
        color_basis = draw(bases(1))
        color = {
            "color_ref": draw(moderate),
            "color_basis": color_basis,
            "color_coefficients": draw(arrays((color_basis.n_terms, n, n), elements)),
        }
    return PixelGridPsf(
        basis,
        draw(arrays((basis.n_terms, n, n), elements)),
        step_pix=draw(st.floats(0.1, 4)),
        kernel_order=draw(st.integers(1, 12)),
        **color,
    )


photo_calibs = st.builds(
    PhotoCalib,
    positive,
    st.floats(0, 10),
    st.none() | polynomials(),
    st.sampled_from(["electron", "adu", "nJy"]),
)
ap_corrs = st.builds(
    ApCorrMap,
    st.dictionaries(names, st.builds(ApCorr, polynomials(), st.floats(0, 1)), max_size=3),
)


@st.composite
def mesh_layers(draw: st.DrawFn) -> MeshLayer:
    ny, nx = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    return MeshLayer(
        draw(arrays((ny, nx))),
        draw(arrays((ny, nx), positive)),
        draw(increasing(nx)),
        draw(increasing(ny)),
        draw(st.sampled_from(["bilinear", "spline"])),
    )


@st.composite
def star_wings_layers(draw: st.DrawFn) -> StarWingsLayer:
    n_stars, n_regions, n_nodes = (draw(st.integers(*ends)) for ends in ((0, 4), (1, 3), (2, 6)))
    profile = draw(arrays((n_regions, n_nodes), st.floats(0, 1e6)))
    profile[:, -1] = 0
    return StarWingsLayer(
        *(draw(arrays(n_stars)) for _ in range(3)),
        draw(hnp.arrays(np.int64, n_stars, elements=st.integers(0, n_regions - 1))),
        draw(st.floats(1e-3, 1e3)) * draw(st.floats(1.001, 10)) ** np.arange(n_nodes),
        profile,
        draw(positive),
    )


@st.composite
def backgrounds(draw: st.DrawFn) -> Background:
    labels = draw(st.lists(names, max_size=3, unique=True))
    layer = mesh_layers() | st.builds(PolynomialLayer, polynomials()) | star_wings_layers()
    return Background(
        tuple((n, draw(layer)) for n in labels), draw(st.sampled_from(["electron", "nJy"]))
    )


@st.composite
def transmission_factors(draw: st.DrawFn) -> TransmissionFactor:
    wavelength = draw(increasing(draw(st.integers(2, 6))))
    kind = draw(st.sampled_from(["constant", "polynomial", "radius"]))
    rows, varying = 1, {}
    if kind == "polynomial":
        varying = {"basis": draw(bases(2))}
        rows = varying["basis"].n_terms
    elif kind == "radius":
        rows = draw(st.integers(1, 4))
        varying = {"radius": draw(increasing(rows)), "center": (draw(moderate), draw(moderate))}
    return TransmissionFactor(wavelength, draw(arrays((rows, wavelength.size))), **varying)


transmissions = st.builds(
    TransmissionCurve, st.lists(transmission_factors(), max_size=3).map(tuple)
)
valid_polygons = st.integers(3, 8).flatmap(lambda n: arrays((n, 2)).map(ValidPolygon))
optional = st.none() | moderate
visit_infos = st.builds(
    VisitInfo,
    visit=st.integers(0, 2**62),
    instrument=names,
    band=names,
    target=st.text(max_size=20),
    exposure_time_s=st.none() | positive,
    mjd=optional,
    ra_deg=optional,
    dec_deg=st.none() | st.floats(-90, 90),
    recorded_airmass=st.none() | st.floats(1, 40),
    recorded_hour_angle_deg=optional,
    latitude_deg=st.none() | st.floats(-90, 90),
    longitude_deg=optional,
    temperature_c=optional,
)


def _statistic(name: str) -> st.SearchStrategy[float | int | None]:
    return st.none() | (st.integers(0, 2**40) if STATISTICS[name].is_count else finite)


summary_stats = st.lists(st.sampled_from(sorted(STATISTICS)), unique=True).flatmap(
    lambda found: st.fixed_dictionaries({n: _statistic(n) for n in found}).map(SummaryStats)
)
data_ids = st.dictionaries(names, st.integers(0, 10**9) | names, max_size=3)
coadd_inputs = st.builds(
    CoaddInputs, st.lists(st.builds(CoaddInput, names, data_ids, st.floats(0, 1e9))).map(tuple)
)
gaussian_psfs = st.builds(GaussianPsf, positive, st.none() | st.integers(1, 30))

double_gaussian_psfs = st.builds(
    DoubleGaussianPsf, positive, st.floats(0, 10), positive, st.none() | st.integers(1, 30)
)

coadd_psf_inputs = st.builds(
    CoaddPsfInput,
    gaussian_psfs | pixel_grid_psfs(moderate),
    sky_wcs(),
    valid_polygons,
    positive,
    st.integers(0, 2**62),
    st.integers(0, 200),
)
coadd_psfs = st.builds(
    CoaddPsf,
    sky_wcs(),
    st.lists(coadd_psf_inputs, min_size=1, max_size=3).map(tuple),
    st.integers(1, 5),
)


@st.composite
def noise_covariances(draw: st.DrawFn) -> NoiseCovariance:
    half = draw(st.integers(0, 4))
    values = draw(arrays((2 * half + 1, 2 * half + 1), st.floats(-1, 1)))
    values[half, half] = 1.0
    return NoiseCovariance.from_covariance(values)


@st.composite
def spatial_kernels(draw: st.DrawFn) -> SpatialKernel:
    n, m = draw(st.sampled_from([1, 3, 5])), draw(st.integers(1, 4))
    basis = draw(bases(2))
    return SpatialKernel(basis, draw(arrays((m, n, n))), draw(arrays((m, basis.n_terms))))


@st.composite
def absorptions(draw: st.DrawFn, size: int) -> AirAbsorption:
    coefficients = [
        draw(arrays(shape, st.floats(0, 1e3))) for shape in (size, size, (3, size), (3, size))
    ]
    return AirAbsorption(draw(increasing(size)) + 1001.0, *coefficients)


@st.composite
def look_up_tables(draw: st.DrawFn) -> LookUpTable:
    detectors = draw(st.lists(st.integers(0, 200), min_size=1, max_size=3, unique=True))
    tables = []
    for name in draw(st.lists(names, max_size=3, unique=True)):
        n_curves, n_nodes = draw(st.integers(1, 3)), draw(st.integers(1, 5))
        tables.append(
            FilterTable(
                name,
                draw(names),
                draw(st.booleans()),
                StandardPassband(*(draw(finite) for _ in range(3))),
                draw(absorptions(n_nodes)),
                draw(arrays((2, n_curves, n_nodes))),
                draw(hnp.arrays(np.int32, len(detectors), elements=st.integers(0, n_curves - 1))),
            )
        )
    state = AirState(*(draw(finite) for _ in range(6)))
    return LookUpTable(tuple(tables), tuple(detectors), state, draw(absorptions(4)))


COMPONENTS = {
    "sky_wcs": sky_wcs(),
    "gaussian_psf": gaussian_psfs,
    "pixel_grid_psf": pixel_grid_psfs(),
    "photo_calib": photo_calibs,
    "ap_corr": ap_corrs,
    "background": backgrounds(),
    "transmission": transmissions,
    "valid_polygon": valid_polygons,
    "visit_info": visit_infos,
    "summary_stats": summary_stats,
    "fgcm_look_up_table": look_up_tables(),
    "coadd_inputs": coadd_inputs,
    "coadd_psf": coadd_psfs,
    "noise_covariance": noise_covariances(),
    "double_gaussian_psf": double_gaussian_psfs,
    "spatial_kernel": spatial_kernels(),
}
"""Strategy of each kind of component (the detector has a test of its own)."""
