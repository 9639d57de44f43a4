"""A round double Gaussian: the PSF that images are brought to."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.psf_base import Psf
from drpflow.data.record import Record, component

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

WING_AMPLITUDE = 0.1
"""Amplitude of the wide Gaussian where that of the narrow one is 1."""
WING_RATIO = 2.5
"""Sigma of the wide Gaussian in sigmas of the narrow one."""

# The images end where the profile has fallen to this fraction of the peak: 5e-5 of the flux of the
# default wings lies outside.
_EDGE = 1e-5
_BISECTIONS = 60
# The size of a profile that is scaled is measured on one of this sigma, where the grid of pixels
# no longer matters.
_FINE_SIGMA_PIX = 4.0


@component
@dataclass(frozen=True, eq=False)
class DoubleGaussianPsf(Psf):
    """The sum of two round Gaussians, the same everywhere.

        p(d) ∝ exp(-d²/2σ²) + b exp(-d²/2(rσ)²)

    A single Gaussian falls faster than any seeing disc: a kernel that leads to it would have to
    take light out of the wings. The second Gaussian is there for this light.

    Parameters
    ----------
    sigma_pix
        σ of the narrow Gaussian, pixels; the response of the pixel is included.
    wing_amplitude
        b.
    wing_ratio
        r.
    half_size
        Half the size of the images, pixels; by default where the profile falls below 1e-5.

    Raises
    ------
    ValueError
        If a width is not positive, the amplitude negative or the half size below 1.
    """

    KIND: ClassVar[str] = "double_gaussian_psf"
    sigma_pix: float
    wing_amplitude: float = WING_AMPLITUDE
    wing_ratio: float = WING_RATIO
    half_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("sigma_pix", "wing_amplitude", "wing_ratio"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (0 < self.sigma_pix < np.inf and 0 < self.wing_ratio < np.inf):
            raise ValueError(f"widths must be positive: {self.sigma_pix}, {self.wing_ratio}")
        if not 0 <= self.wing_amplitude < np.inf:
            raise ValueError(f"wing_amplitude must not be negative: {self.wing_amplitude}")
        if self.half_size is not None:
            object.__setattr__(self, "half_size", index(self.half_size))
            if self.half_size < 1:
                raise ValueError(f"half_size must be at least 1, not {self.half_size}")

    @classmethod
    def from_fwhm(
        cls,
        fwhm_pix: float,
        wing_amplitude: float = WING_AMPLITUDE,
        wing_ratio: float = WING_RATIO,
    ) -> Self:
        """Return the profile that falls to half its peak at ``fwhm_pix / 2``."""
        at_one = _half_radius(wing_amplitude, wing_ratio)
        return cls(fwhm_pix / (2 * at_one), wing_amplitude, wing_ratio)

    @classmethod
    def from_sigma(
        cls,
        sigma_pix: float,
        wing_amplitude: float = WING_AMPLITUDE,
        wing_ratio: float = WING_RATIO,
    ) -> Self:
        """Return the profile whose adaptive moments are those of a Gaussian of this sigma, pixels.

        It is as wide as stars whose PSF has this `compute_sigma`.
        """
        fine = cls(_FINE_SIGMA_PIX, wing_amplitude, wing_ratio)
        ratio = float(fine.compute_sigma(0.0, 0.0)) / _FINE_SIGMA_PIX
        return cls(sigma_pix / ratio, wing_amplitude, wing_ratio)

    @property
    def fwhm_pix(self) -> float:
        """Full width at half maximum of the whole profile, pixels."""
        return 2 * self.sigma_pix * _half_radius(self.wing_amplitude, self.wing_ratio)

    @property
    def half_size_pix(self) -> int:
        """Images have ``2 half_size_pix + 1`` rows and columns."""
        if self.half_size is not None:
            return self.half_size
        return max(1, int(np.ceil(self.radius_pix(_EDGE))))

    def radius_pix(self, fraction: float) -> float:
        """Return where the profile has fallen to a fraction of its peak, pixels."""
        return self.sigma_pix * _radius(fraction, self.wing_amplitude, self.wing_ratio)

    def _sample(
        self,
        x: Floats,
        y: Floats,  # noqa: ARG002 - the same everywhere
        color: Floats | None,  # noqa: ARG002
        dx: Floats,
        dy: Floats,
    ) -> Floats:
        offsets = np.arange(-self.half_size_pix, self.half_size_pix + 1)
        images = np.zeros((1, 1, 1))
        for amplitude, ratio in ((1.0, 1.0), (self.wing_amplitude, self.wing_ratio)):
            along_x, along_y = (
                np.exp(-0.5 * ((offsets - shift[:, None]) / (ratio * self.sigma_pix)) ** 2)
                for shift in (dx, dy)
            )
            images = images + amplitude * along_y[:, :, None] * along_x[:, None, :]
        return np.broadcast_to(images, (x.size, *self.shape))

    def to_record(self) -> Record:
        """Return the stored form."""
        names = ("sigma_pix", "wing_amplitude", "wing_ratio", "half_size")
        return self._record({name: getattr(self, name) for name in names})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the PSF from its stored form."""
        return cls(**record.meta)


def _half_radius(wing_amplitude: float, wing_ratio: float) -> float:
    return _radius(0.5, wing_amplitude, wing_ratio)


def _radius(fraction: float, wing_amplitude: float, wing_ratio: float) -> float:
    """Return the radius, in σ, at which the profile has fallen to a fraction of its peak."""
    level = fraction * (1 + wing_amplitude)
    low, high = 0.0, np.sqrt(-2 * np.log(fraction)) * max(1.0, wing_ratio)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        value = np.exp(-(middle**2) / 2)
        value += wing_amplitude * np.exp(-((middle / wing_ratio) ** 2) / 2)
        low, high = (middle, high) if value > level else (low, middle)
    return (low + high) / 2
