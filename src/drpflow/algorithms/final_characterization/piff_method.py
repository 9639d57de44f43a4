"""The method `piff`: Piff's PixelGrid × BasisPolynomial as the model of a detector.

Piff (Jarvis et al. 2021, MNRAS 501, 1282) is an optional extra. Its result is brought into a
:class:`~drpflow.data.psf.PixelGridPsf`, exactly: its grid of pixels becomes ours, its monomials of
place our Chebyshev terms. Only the interpolation between grid points differs (a Lanczos kernel
there, a windowed sinc here).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drpflow.algorithms.final_characterization.fit import DetectorFit, VisitFit
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from drpflow.data.psf_moments import adaptive_moments
from drpflow.errors import AlgorithmError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.algorithms.final_characterization.fit import DetectorStars
    from drpflow.config.final_psf import FinalPsfConfig

    Floats: TypeAlias = NDArray[np.float64]

_FWHM_PER_SIGMA = 2.3548
_KEYS = ("column", "row")
# Share of the stars that a round of rejection may remove, as in the LSST pipelines.
_MOST_REMOVED = 0.05


def fit_piff(stars: DetectorStars, config: FinalPsfConfig) -> VisitFit:
    """Fit the PSF of a detector with Piff.

    Parameters
    ----------
    stars
        Of the detector.
    config
        Parameters; those of its section `piff`, `min_stars`, `stars_per_term`, `kernel_order`.

    Raises
    ------
    InputError
        If Piff is not installed.
    AlgorithmError
        If there are too few stars, or Piff gives up.
    """
    try:
        import galsim
        import piff
    except ImportError as fault:
        problem = f"the method piff needs a package that is not installed ({fault.name})"
        remedy = "Install the extra: pip install 'drpflow[piff]'"
        raise InputError("finalizeCharacterization.psf.method", problem, remedy) from fault
    if len(stars) < config.min_stars:
        numbers = {"stars": len(stars), "least": config.min_stars}
        raise AlgorithmError(f"{len(stars)} stars are too few for a PSF model", numbers)
    order, domain = _order(len(stars), config), Domain.of_box(stars.place.box)
    kernel = galsim.Lanczos(config.piff.lanczos)
    psf = piff.SimplePSF(
        piff.PixelGrid(scale=1.0, size=config.piff.size_pix, interp=kernel),
        piff.BasisPolynomial(order=order, keys=_KEYS),
        [piff.ChisqOutliers(nsigma=config.piff.outlier_sigma, max_remove=_MOST_REMOVED)],
        max_iter=config.piff.max_iterations,
    )
    try:
        psf.fit(_stars_of(stars, domain, config), {0: galsim.PixelScale(1.0)}, None)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as fault:
        raise AlgorithmError(f"Piff gave up: {fault}", {"stars": len(stars)}) from fault
    model = _converted(psf, order, domain, config)
    used = np.zeros(len(stars), bool)
    for star in psf.stars:
        used[star.data.properties["number"]] = not star.is_flagged
    middle = model.compute_sigma(*domain.center)
    return VisitFit(
        [DetectorFit(model, used, np.full(len(stars), np.nan))],
        order,
        None,
        _FWHM_PER_SIGMA * float(middle),
        {"size": float("nan"), "e": float("nan")},
        {"size": float("nan"), "e": float("nan")},
    )


def _order(number: int, config: FinalPsfConfig) -> int:
    """Return the degree that the stars allow."""
    order = config.piff.order
    while order and (order + 1) * (order + 2) / 2 * config.stars_per_term > number:
        order -= 1
    return order


def _stars_of(stars: DetectorStars, domain: Domain, config: FinalPsfConfig) -> list[Any]:
    """Return the stars as Piff knows them; place is scaled to [-1, 1], as monomials need."""
    import galsim
    import piff

    stamps = stars.stamps
    u, v = domain.to_unit(stars.x, stars.y)
    found = []
    for k in range(len(stars)):
        weight = np.where(stamps.good[k], 1 / stamps.sky_variance[k], 0.0)
        snr = np.sqrt((weight * np.square(stamps.data[k])).sum())
        weight *= min(1.0, config.piff.max_snr / max(snr, 1e-9)) ** 2
        x0, y0 = (int(c) - stamps.half_size for c in (stamps.column[k], stamps.row[k]))
        images = [
            galsim.Image(np.ascontiguousarray(a), xmin=x0, ymin=y0, scale=1.0)
            for a in (stamps.data[k], weight)
        ]
        data = piff.StarData(
            images[0],
            galsim.PositionD(float(stars.x[k]), float(stars.y[k])),
            weight=images[1],
            properties={_KEYS[0]: float(u[k]), _KEYS[1]: float(v[k]), "number": k, "chipnum": 0},
            property_types={"number": int},
        )
        found.append(piff.Star(data, None))
    return found


def _converted(psf: Any, order: int, domain: Domain, config: FinalPsfConfig) -> PixelGridPsf:
    """Return Piff's model as our own, its adaptive centroid where Piff has its centre."""
    import piff

    basis = Basis2D(order, domain)
    nodes = np.linspace(-1, 1, order + 2)
    u, v = (a.ravel() for a in np.meshgrid(nodes, nodes))
    (xc, yc), (xh, yh) = domain.center, domain.half_size
    size, grids = config.piff.size_pix, []
    for a, b in zip(u, v, strict=True):
        place = {_KEYS[0]: float(a), _KEYS[1]: float(b)}
        target = piff.Star.makeTarget(x=xc + xh * a, y=yc + yh * b, scale=1.0, properties=place)
        params = psf.interpolateStar(target).fit.params
        grids.append(np.asarray(params).reshape(size, size))
    values = np.array(grids).reshape(len(u), -1)
    coefficients = basis.fit(xc + xh * u, yc + yh * v, values.T).T
    coefficients = coefficients.reshape(-1, size, size)
    if not np.isfinite(adaptive_moments(coefficients[0])[0].xx):
        raise AlgorithmError("Piff's mean star is no star", {"order": order})
    return PixelGridPsf(basis, coefficients, kernel_order=config.kernel_order)
