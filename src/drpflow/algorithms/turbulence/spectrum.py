"""The spectrum of the displacements that turbulence leaves in an exposure.

Air bends light along the gradient of its delay, so that the displacement d has (almost) no curl:
with k̂ the direction of the wave vector and c the share of the curl,

    ⟨d d†⟩(k) ∝ (1 - c) P k̂ k̂ᵀ + c P (1 - k̂ k̂ᵀ),     P = (q² + k0²)^(-11/6),   q = M k,

the spectrum of von Kármán for the displacement. Wind stretches its patches: M is symmetric with
determinant 1 (Léget et al. 2021, A&A 650, A81; Fortino et al. 2021, AJ 162, 106).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

# Where (k0 r)^(5/6) K_{5/6}(k0 r), the correlation of von Kármán, has fallen to 1/e of its start.
_K0_TIMES_COHERENCE = 1.4656


@dataclass(frozen=True)
class Spectrum:
    """Second moments of a displacement field, the same everywhere.

    Parameters
    ----------
    rms_mas
        Of each coordinate (mean of both).
    coherence_deg
        Separation at which the correlation of the delay's scales has fallen to 1/e, geometric
        mean over directions.
    stretch_1, stretch_2
        ln of the axis ratio of the patches times (cos 2θ, sin 2θ), θ the direction of the longer
        axis from +x towards +y.
    curl_fraction
        Share of the power that is not a gradient.
    """

    rms_mas: float
    coherence_deg: float
    stretch_1: float = 0.0
    stretch_2: float = 0.0
    curl_fraction: float = 0.05

    @property
    def stretch(self) -> float:
        """Axis ratio of the patches."""
        return float(np.exp(np.hypot(self.stretch_1, self.stretch_2)))

    @property
    def direction_deg(self) -> float:
        """Direction of the longer axis, from +x towards +y, in [0, 180)."""
        return float(np.degrees(np.arctan2(self.stretch_2, self.stretch_1)) / 2 % 180.0)

    @property
    def shortest_deg(self) -> float:
        """Coherence across the wind."""
        return self.coherence_deg / np.sqrt(self.stretch)

    def with_rms(self, rms_mas: float) -> Spectrum:
        """Return the spectrum of stronger or weaker turbulence."""
        return replace(self, rms_mas=rms_mas)

    def matrix(self) -> Floats:
        """Return M = exp(S/2), S symmetric without trace: patches longer along its larger axis."""
        size = np.hypot(self.stretch_1, self.stretch_2) / 2
        ratio = 0.5 if size < 1e-12 else np.sinh(size) / (2 * size)
        s = np.array([[self.stretch_1, self.stretch_2], [self.stretch_2, -self.stretch_1]])
        return np.cosh(size) * np.eye(2) + ratio * s


@dataclass(frozen=True, eq=False)
class Modes:
    """A spectrum on the wave vectors of a periodic grid (real transforms: half the plane).

    With white noise z of unit variance, unitary transform F and these,
    d = F⁻¹ (root_along k̂ e + root_across k̂⊥ b), (e, b) = F z, is a displacement field.

    Parameters
    ----------
    shape
        (ny, nx) of the grid.
    direction
        k̂ times the imaginary unit, shape (2, ny, nx//2 + 1).
    root_along, root_across
        Roots of the power of gradient and curl, mas, shape (ny, nx//2 + 1).
    weight
        How often each column counts in a sum over the whole plane, shape (nx//2 + 1,).
    """

    shape: tuple[int, int]
    direction: NDArray[np.complex128]
    root_along: Floats
    root_across: Floats
    weight: Floats

    def correlation(self, window: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """Return ⟨dx dx⟩, ⟨dy dy⟩ and ⟨dx dy⟩ at the separations of the grid, mas².

        Parameters
        ----------
        window
            By what to multiply the power.
        """
        from scipy.fft import irfft2

        along, across = self.root_along**2, self.root_across**2
        if window is not None:
            along, across = along * window, across * window
        x2 = np.abs(self.direction[0]) ** 2
        y2 = np.abs(self.direction[1]) ** 2
        xy = (self.direction[0] * np.conj(self.direction[1])).real
        powers = (along * x2 + across * y2, along * y2 + across * x2, (along - across) * xy)
        xx, yy, both = (irfft2(p, s=self.shape) for p in powers)
        return xx, yy, both


def modes(spectrum: Spectrum, shape: tuple[int, int], spacing_deg: float) -> Modes:
    """Return a spectrum on a grid.

    Parameters
    ----------
    spectrum
        The spectrum.
    shape
        (ny, nx) of the grid.
    spacing_deg
        Distance between its nodes.
    """
    kx = 2 * np.pi * np.fft.rfftfreq(shape[1], spacing_deg)
    ky = 2 * np.pi * np.fft.fftfreq(shape[0], spacing_deg)[:, None]
    m = spectrum.matrix()
    q2 = (m[0, 0] * kx + m[0, 1] * ky) ** 2 + (m[1, 0] * kx + m[1, 1] * ky) ** 2
    k0 = _K0_TIMES_COHERENCE / spectrum.coherence_deg
    power = (q2 + k0**2) ** (-11 / 6)
    # A wave at the Nyquist frequency has no direction on a real grid.
    if shape[1] % 2 == 0:
        power[:, -1] = 0.0
    if shape[0] % 2 == 0:
        power[shape[0] // 2] = 0.0
    weight = np.full(kx.size, 2.0)
    weight[0] = 1.0
    if shape[1] % 2 == 0:
        weight[-1] = 1.0
    norm = np.hypot(kx, ky)
    norm[0, 0] = 1.0
    direction = 1j * np.stack([kx / norm, ky / norm])
    # An even shift of the whole field has no direction either; each coordinate has half of it.
    direction[:, 0, 0] = 1.0, 0.0
    c = spectrum.curl_fraction
    along, across = (1 - c) * power, c * power
    along[0, 0] = across[0, 0] = power[0, 0] / 2
    total = ((along + across) * weight).sum() / (shape[0] * shape[1])
    scale = spectrum.rms_mas**2 / (total / 2)
    return Modes(shape, direction, np.sqrt(scale * along), np.sqrt(scale * across), weight)
