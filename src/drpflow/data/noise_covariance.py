"""How the noise of neighbouring pixels hangs together.

Resampling and averaging leave each pixel with its own variance, which the variance plane holds, and
with a correlation to its neighbours, which is much the same everywhere and is held here:

    cov(p, q) = √(v_p v_q) ρ(p - q) .

The error of a weighted sum follows from both: var(Σ a_p I_p) = Σ_pq a_p a_q cov(p, q), which is
Σ a_p² v_p times :meth:`NoiseCovariance.factor` where v is smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.record import Record, StoredComponent, component, frozen_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

_SYMMETRY = 1e-9


@component
@dataclass(frozen=True, eq=False)
class NoiseCovariance(StoredComponent):
    """Mean correlation of the noise of two pixels, by their distance in rows and columns.

    Parameters
    ----------
    correlation
        ρ at the lags (row, column) from -k to k, shape (2k + 1, 2k + 1): 1 in the middle, the same
        at opposite lags, 0 beyond.

    Raises
    ------
    ValueError
        If it is not of that form.
    """

    KIND: ClassVar[str] = "noise_covariance"
    correlation: Floats

    def __post_init__(self) -> None:
        rho = frozen_array(self.correlation, ndim=2)
        n = rho.shape[0]
        if rho.shape != (n, n) or n % 2 == 0 or not np.isfinite(rho).all():
            raise ValueError(f"a finite odd square of correlations is wanted, not {rho.shape}")
        if rho[n // 2, n // 2] != 1 or np.abs(rho - rho[::-1, ::-1]).max() > _SYMMETRY:
            raise ValueError("a correlation is 1 at no lag and the same at opposite lags")
        object.__setattr__(self, "correlation", rho)

    @classmethod
    def white(cls) -> Self:
        """Return that of independent pixels."""
        return cls(np.ones((1, 1)))

    @classmethod
    def from_covariance(cls, covariance: ArrayLike) -> Self:
        """Return the correlation of a covariance by lag, its variance in the middle.

        Raises
        ------
        ValueError
            If the variance is not positive.
        """
        values = np.asarray(covariance, np.float64)
        middle = values[values.shape[0] // 2, values.shape[1] // 2]
        if not middle > 0:
            raise ValueError(f"a variance is positive, not {middle}")
        return cls((values + values[::-1, ::-1]) / (2 * middle))

    @classmethod
    def combine(cls, parts: Iterable[tuple[NoiseCovariance, float]]) -> Self:
        """Return that of a sum of independent images.

        Parameters
        ----------
        parts
            Each image's correlation and what it adds to the variance of the sum: w² v for a
            weight w and a variance v.

        Raises
        ------
        ValueError
            If no image adds anything.
        """
        given = [(part, share) for part, share in parts if share > 0]
        if not given:
            raise ValueError("a sum of no images has no noise")
        half = max(part.half_size_pix for part, _ in given)
        total = sum(share * part.padded(half).correlation for part, share in given)
        return cls.from_covariance(total)

    @property
    def half_size_pix(self) -> int:
        """The largest lag, pixels."""
        return self.correlation.shape[0] // 2

    @property
    def total(self) -> float:
        """Σ ρ: the factor of a large area, as if each pixel had this many times its variance."""
        return float(self.correlation.sum())

    def padded(self, half_size_pix: int) -> NoiseCovariance:
        """Return it with zeros, or cut, up to another largest lag."""
        more = half_size_pix - self.half_size_pix
        if more >= 0:
            return NoiseCovariance(np.pad(self.correlation, more))
        return NoiseCovariance(self.correlation[-more:more, -more:more])

    def factor(self, weights: ArrayLike) -> float:
        """Return var(Σ a I) / Σ a² v for weights a, shape (ny, nx), and a smooth variance.

        For the flux by a PSF the weights are the PSF itself; for a convolution, the kernel.
        """
        a = np.asarray(weights, np.float64)
        half = self.half_size_pix
        overlaps = _autocorrelation(a, half)
        return float((overlaps * self.correlation).sum() / overlaps[half, half])

    def aperture_factor(self, radius_pix: float) -> float:
        """Return :meth:`factor` of a round aperture about the centre of a pixel."""
        from drpflow.kernels.photometry import circle_overlap

        n = int(np.ceil(radius_pix + 0.5))
        offsets = range(-n, n + 1)
        return self.factor(
            [[circle_overlap(float(u), float(v), radius_pix) for u in offsets] for v in offsets]
        )

    def convolved(self, kernel: ArrayLike, half_size_pix: int | None = None) -> NoiseCovariance:
        """Return that of the image convolved with a kernel of any odd shape.

        Parameters
        ----------
        kernel
            The kernel.
        half_size_pix
            Largest lag that is kept; by default all that are not zero.
        """
        kernel = np.asarray(kernel, np.float64)
        reach = max(kernel.shape) - 1
        # ρ ⋆ (K ⋆ K), on a frame that holds every lag.
        n = 2 * (reach + self.half_size_pix) + 1
        spectrum = np.fft.rfft2(_autocorrelation(kernel, reach), (n, n))
        spectrum = spectrum * np.fft.rfft2(self.correlation, (n, n))
        full = NoiseCovariance.from_covariance(np.fft.irfft2(spectrum, (n, n)))
        return full if half_size_pix is None else full.padded(half_size_pix)

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record(arrays={"correlation": self.correlation})

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild it from its stored form."""
        return cls(record.arrays["correlation"])


def _autocorrelation(values: Floats, half: int) -> Floats:
    """Return Σ a(p) a(p + lag) for lags up to `half` on both axes."""
    ny, nx = (n + half for n in values.shape)
    power = np.abs(np.fft.rfft2(values, (ny, nx))) ** 2
    lags = np.fft.irfft2(power, (ny, nx))
    around = np.arange(-half, half + 1)
    return lags[np.ix_(around % ny, around % nx)]
