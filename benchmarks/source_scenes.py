"""Small scenes whose truth is known to the last photon: stars, close pairs, galaxies.

PSF and galaxies are mixtures of Gaussians, so that a convolved profile is one more mixture and
needs no sampling (Hogg & Lang 2013, PASP 125, 719, for the exponential disc and the law of de
Vaucouleurs). Noise is that of a detector: photons, readout, and a variance estimated from the
very pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from drpflow.algorithms.source_catalog import find_sources, measure_found
from drpflow.config.finalize_image import FinalizeImageConfig
from drpflow.data.mask import Mask
from drpflow.data.psf_base import Psf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SIZE = 1024
SKY_ELECTRON = 150.0
READ_NOISE_ELECTRON = 5.5
# Weights and widths of the PSF's Gaussians: seeing has wings.
_WEIGHTS, _WIDTHS = np.array([0.70, 0.25, 0.05]), np.array([1.0, 1.7, 3.5])
# Light and variance, in units of the half-light radius squared.
PROFILES = {
    "star": (np.ones(1), np.zeros(1)),
    "exponential": (
        np.array([2.34853813e-3, 3.07995260e-2, 0.223364214, 1.17949102, 4.33873750, 5.99820770]),
        np.array([1.20078965e-3, 8.84526493e-3, 0.0391463084, 0.139976817, 0.4609625, 1.50159566]),
    ),
    "de Vaucouleurs": (
        np.array(
            [
                *(0.0426347652, 0.240127183, 0.685907632, 1.51937350),
                *(2.83627243, 4.46467501, 5.72440830, 5.60989349),
            ]
        ),
        np.array(
            [
                *(2.23759216e-4, 1.00220099e-3, 4.18731126e-3, 0.0169432589),
                *(0.0684850479, 0.287207080, 1.33320254, 8.40215071),
            ]
        ),
    ),
}


@dataclass(frozen=True, eq=False)
class MixturePsf(Psf):
    """A round mixture of Gaussians, the same everywhere, sampled without error."""

    KIND: ClassVar[str] = "mixture_psf"
    sigma_pix: float = 1.7
    half_size: int = 20

    @property
    def half_size_pix(self) -> int:
        """Half the size of the images."""
        return self.half_size

    def _sample(self, x: Floats, y: Floats, color: Any, dx: Floats, dy: Floats) -> Floats:  # noqa: ARG002
        offset = np.arange(-self.half_size, self.half_size + 1)
        total = np.zeros((np.size(x), offset.size, offset.size))
        for weight, width in zip(_WEIGHTS, _WIDTHS * self.sigma_pix, strict=True):
            along = [np.exp(-0.5 * ((offset - d[:, None]) / width) ** 2) for d in (dx, dy)]
            total += weight / (2 * np.pi * width**2) * along[1][:, :, None] * along[0][:, None, :]
        return total

    def to_record(self) -> Any:
        """Not stored."""
        raise NotImplementedError

    @classmethod
    def from_record(cls, record: Any) -> MixturePsf:
        """Not stored."""
        raise NotImplementedError

    @property
    def fwhm_pix(self) -> float:
        """Full width at half maximum."""
        r = np.linspace(0, 3 * self.sigma_pix, 5000)
        profile = sum(
            w / s**2 * np.exp(-0.5 * (r / (s * self.sigma_pix)) ** 2)
            for w, s in zip(_WEIGHTS, _WIDTHS, strict=True)
        )
        return float(2 * r[np.argmax(profile < profile[0] / 2)])

    @property
    def half_light_pix(self) -> float:
        """Radius of half of the light."""
        r = np.linspace(0, 6 * self.sigma_pix, 5000)
        inside = 1 - sum(
            w * np.exp(-0.5 * (r / (s * self.sigma_pix)) ** 2)
            for w, s in zip(_WEIGHTS, _WIDTHS, strict=True)
        )
        return float(np.interp(0.5, inside, r))

    def flux_at(self, snr: float) -> float:
        """Return the flux at which a PSF flux has a signal-to-noise ratio, electrons."""
        image = self.compute_kernel_image(0, 0)
        own = (image**3).sum() / (image**2).sum() ** 2
        sky = self.effective_area(0, 0) * (SKY_ELECTRON + READ_NOISE_ELECTRON**2)
        return float((snr**2 * own + np.sqrt((snr**2 * own) ** 2 + 4 * snr**2 * sky)) / 2)


@dataclass(eq=False)
class SourceScene:
    """Pixels, and what is in them.

    Attributes
    ----------
    image, variance, mask, visit, detector
        As :func:`drpflow.algorithms.source_catalog.find_sources` takes them.
    psf
        The true PSF.
    truth
        ``x``, ``y``, ``flux``, ``snr``, ``size`` (half-light radius over that of the PSF),
        ``kind`` (index of `PROFILES`), shape (n,).
    """

    psf: MixturePsf
    truth: dict[str, Floats]
    image: Any = None
    variance: Any = None
    mask: Mask = field(default_factory=lambda: Mask.zeros((SIZE, SIZE)))
    visit: int = 1
    detector: int = 0

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the random numbers of one purpose."""
        return np.random.default_rng([self.visit, purpose])

    def expose(self, ratios: Floats, angles: Floats) -> SourceScene:
        """Draw the truth and add noise."""
        image = np.zeros((SIZE, SIZE))
        columns = [self.truth[name] for name in ("x", "y", "flux", "size", "kind")]
        for x, y, flux, size, kind, q, angle in zip(*columns, ratios, angles, strict=True):
            radius = size * self.psf.half_light_pix
            _draw(image, self.psf.sigma_pix, (x, y), flux, int(kind), (radius, q, angle))
        rng = self.rng(0)
        counts = rng.poisson(image + SKY_ELECTRON)
        counts = counts + rng.normal(0, READ_NOISE_ELECTRON, counts.shape)
        self.image = (counts - SKY_ELECTRON).astype(np.float32)
        self.variance = (np.maximum(counts, 0) + READ_NOISE_ELECTRON**2).astype(np.float32)
        return self

    def catalog(self, config: FinalizeImageConfig | None = None) -> dict[str, NDArray[Any]]:
        """Return what finalizeImage's algorithms measure, sources and places of sky."""
        config = config or FinalizeImageConfig()
        found = find_sources(self, self.psf, config)
        none = np.zeros(self.image.shape, bool)
        return measure_found(self, found, none, self.psf, config).columns


def _draw(
    image: Floats, sigma: float, place: tuple[float, float], flux: float, kind: int,
    shape: tuple[float, float, float],
) -> None:  # fmt: skip
    """Add a source to an image."""
    radius, ratio, angle = shape
    column, row = (round(v) for v in place)
    half = 44
    box = slice(max(0, row - half), row + half + 1), slice(max(0, column - half), column + half + 1)
    v, u = np.mgrid[box]
    v, u = v[: SIZE - box[0].start] - place[1], u[:, : SIZE - box[1].start] - place[0]
    v, u = v[:, : u.shape[1]], u[: v.shape[0]]
    light, variances = PROFILES[list(PROFILES)[kind]]
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    stretched = turn @ np.diag([1 / ratio, ratio]) @ turn.T * radius**2
    for part, variance in zip(light / light.sum(), variances, strict=True):
        for weight, width in zip(_WEIGHTS, _WIDTHS * sigma, strict=True):
            moments = np.eye(2) * width**2 + variance * stretched
            a, b, c = np.linalg.inv(moments)[[0, 1, 0], [0, 1, 1]]
            norm = part * weight / (2 * np.pi * np.sqrt(np.linalg.det(moments)))
            image[box] += flux * norm * np.exp(-0.5 * (a * u**2 + b * v**2 + 2 * c * u * v))


def _places(rng: np.random.Generator, step: int) -> tuple[Floats, Floats]:
    """Return places on a grid, none in phase with the pixels."""
    nodes = np.arange(step, SIZE - step, step)
    x, y = (v.ravel() + rng.uniform(-3, 3, v.size) for v in np.meshgrid(nodes, nodes))
    return x, y


def pairs(
    seed: int,
    separation_fwhm: float = 1.0,
    snr: tuple[float, float] = (50.0, 500.0),
    ratio: tuple[float, float] = (1.0, 3.0),
    sigma_pix: float = 1.7,
) -> SourceScene:
    """Return 324 pairs of stars; rows 2 k and 2 k + 1 are the fainter and the brighter of one.

    Parameters
    ----------
    seed
        Of places, fluxes, directions and noise.
    separation_fwhm
        Distance of the members.
    snr
        Range of the fainter one's, as if it were alone.
    ratio
        Range of the flux ratios.
    sigma_pix
        Of the PSF's core.
    """
    rng = np.random.default_rng([seed, 1])
    psf = MixturePsf(sigma_pix)
    x, y = _places(rng, 54)
    faint = np.exp(rng.uniform(*np.log(snr), x.size))
    flux = np.array([psf.flux_at(s) for s in faint])
    times = np.exp(rng.uniform(*np.log(ratio), x.size))
    angle = rng.uniform(0, 2 * np.pi, x.size)
    apart = separation_fwhm * psf.fwhm_pix

    def both(first: Floats, second: Floats) -> Floats:
        return np.column_stack([first, second]).ravel()

    truth = {
        "x": both(x, x + apart * np.cos(angle)),
        "y": both(y, y + apart * np.sin(angle)),
        "flux": both(flux, flux * times),
        "snr": np.repeat(faint, 2),
        "size": np.zeros(2 * x.size),
        "kind": np.zeros(2 * x.size),
    }
    return SourceScene(psf, truth, visit=seed).expose(np.ones(2 * x.size), np.zeros(2 * x.size))


def small_galaxies(seed: int, least_size: float = 0.3, sigma_pix: float = 1.7) -> SourceScene:
    """Return 576 stars and small galaxies, a third each, of S/N 50 and more.

    Numbers fall with S/N as 1/S/N^1.24 does. Sizes are uniform in the logarithm from `least_size`
    to 6 times that, in half-light radii of the PSF.
    """
    rng = np.random.default_rng([seed, 2])
    psf = MixturePsf(sigma_pix)
    x, y = _places(rng, 40)
    snr = np.minimum(50 * 10 ** rng.exponential(0.35, x.size), 1000)
    kind = rng.integers(0, 3, x.size)
    size = np.where(kind > 0, least_size * 10 ** rng.uniform(0, 0.8, x.size), 0.0)
    truth = {
        "x": x,
        "y": y,
        "flux": np.array([psf.flux_at(s) for s in snr]),
        "snr": snr,
        "size": size,
        "kind": kind.astype(float),
    }
    ratios, angles = rng.uniform(0.3, 1, x.size), rng.uniform(0, np.pi, x.size)
    return SourceScene(psf, truth, visit=seed).expose(ratios, angles)


def faint_stars(seed: int, snr: float, sigma_pix: float = 1.7) -> SourceScene:
    """Return 576 stars of one S/N, and nothing else."""
    rng = np.random.default_rng([seed, 3])
    psf = MixturePsf(sigma_pix)
    x, y = _places(rng, 40)
    nothing = np.zeros(x.size)
    truth = {"x": x, "y": y, "flux": np.full(x.size, psf.flux_at(snr)), "snr": nothing + snr}
    truth |= {"size": nothing, "kind": nothing}
    return SourceScene(psf, truth, visit=seed).expose(np.ones(x.size), nothing)


def pair_limit(scene: SourceScene) -> Floats:
    """Return the relative errors of the members' fluxes that photon noise alone would leave.

    From the Fisher matrix of two fluxes and two positions, with the true variance and PSF; shape
    (n,), as the truth.
    """
    truth, psf, step = scene.truth, scene.psf, 0.05
    x, y = truth["x"], truth["y"]
    v, u = np.mgrid[-24:25, -24:25]
    errors = np.empty(x.size)
    for k in range(0, x.size, 2):
        pair = slice(k, k + 2)
        columns = []
        for dx, dy in ((0, 0), (step, 0), (-step, 0), (0, step), (0, -step)):
            places = zip(x[pair] - round(x[k]) + dx, y[pair] - round(y[k]) + dy, strict=True)
            columns.append([_profile(psf.sigma_pix, u - a, v - b).ravel() for a, b in places])
        light, flux = np.array(columns), truth["flux"][pair, None]
        rows = [*light[0], *(flux * (light[1] - light[2])), *(flux * (light[3] - light[4]))]
        variance = (flux * light[0]).sum(axis=0) + SKY_ELECTRON + READ_NOISE_ELECTRON**2
        design = np.array(rows) / np.sqrt(variance)
        errors[pair] = np.sqrt(np.diag(np.linalg.inv(design @ design.T))[:2]) / flux[:, 0]
    return errors


def _profile(sigma: float, u: Floats, v: Floats) -> Floats:
    """Return the PSF at offsets."""
    return np.sum(
        [
            w / (2 * np.pi * s**2) * np.exp(-0.5 * (u**2 + v**2) / s**2)
            for w, s in zip(_WEIGHTS, _WIDTHS * sigma, strict=True)
        ],
        axis=0,
    )
