"""The brighter-fatter effect: stored charge moves the boundaries of pixels while light falls.

The model is electrostatic and works on boundaries (after Antilogus et al. 2014, JINST 9 C03048,
and Guyonnet et al. 2015, A&A 575 A41). A charge at height h above the conducting gates, with its
image at -h, bends the paths of electrons that drift down from the back side at z = D. The
displacement of a point of a boundary at (u, v), seen from the charge, is in proportion to the
transverse field summed over the path; for u

    g(u, v) = u/ρ² · [ P(D - h) - P(D + h) + P(2h) ],    P(z) = z / √(ρ² + z²),   ρ² = u² + v²,

which falls off as ρ⁻² for h << ρ << D and faster beyond. It is averaged along the boundary.
During an exposure the charge grows, and with it the displacements. The exposure is therefore
integrated in steps: in each, the light that falls between the old and the new place of a boundary
changes sides. Whatever one pixel loses its neighbour gains, so that charge is conserved exactly.
The walls of the detector do not move (the charge outside is the mirror image of that inside).

Nothing here uses a scalar kernel: boundaries between columns and between rows have strengths of
their own, and the response is not a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.sim.detector_config import BrighterFatter


@dataclass(frozen=True)
class BoundaryShifts:
    """How far one stored electron pushes the light that would fall on pixel boundaries, in pixels.

    Attributes
    ----------
    right
        Shape (2R+1, 2R+2): displacement along +x at the boundary between two columns whose
        centre lies at x = column - R - 0.5, y = row - R from the charge.
    upper
        Shape (2R+2, 2R+1): the same along +y for boundaries between rows.
    """

    right: NDArray[np.float64]
    upper: NDArray[np.float64]


def boundary_shifts(config: BrighterFatter) -> BoundaryShifts:
    """Compute the displacements, scaled to the loss of area that a pixel causes to itself."""
    reach = config.range_pix
    across = np.arange(-reach - 1, reach + 1, dtype=np.float64) + 0.5
    along = np.arange(-reach, reach + 1, dtype=np.float64)
    field = _mean_field(across[None, :], along[:, None], config)
    right, upper = config.serial_to_parallel * field, field.T
    # The four sides of the pixel that holds the charge come closer by this much in all.
    area_loss = 2 * right[reach, reach + 1] + 2 * upper[reach + 1, reach]
    scale = config.area_loss_per_electron / area_loss
    return BoundaryShifts(right * scale, upper * scale)


def _mean_field(
    across: NDArray[np.float64], along: NDArray[np.float64], config: BrighterFatter
) -> NDArray[np.float64]:
    """Return g averaged over the unit length of a boundary (8-point Gauss-Legendre)."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    total = np.zeros(np.broadcast_shapes(across.shape, along.shape))
    for node, weight in zip(nodes, weights, strict=True):
        total += weight / 2 * _path_field(across, along + node / 2, config)
    return total


def _path_field(
    u: NDArray[np.float64], v: NDArray[np.float64], config: BrighterFatter
) -> NDArray[np.float64]:
    h, depth = config.charge_height_pix, config.thickness_pix
    rho2 = u**2 + v**2

    def reach(z: float) -> NDArray[np.float64]:
        return z / np.sqrt(rho2 + z**2)

    return u / rho2 * (reach(depth - h) - reach(depth + h) + reach(2 * h))


class ChargeCollection:
    """Collects the light of an exposure in pixels whose boundaries move.

    Parameters
    ----------
    config
        The effect.
    full_well_electron
        Charge beyond which a pixel's field no longer grows.
    """

    def __init__(self, config: BrighterFatter, full_well_electron: float = np.inf) -> None:
        self._steps = config.steps
        self._reach = config.range_pix
        self._full_well = np.float32(full_well_electron)
        self._shifts = boundary_shifts(config)
        self._transforms: dict[tuple[int, int], tuple[NDArray, NDArray]] = {}

    def collect(
        self, arrived: NDArray[np.float32], expected: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the charge that each pixel holds at the end of the exposure.

        Parameters
        ----------
        arrived
            Photo-electrons that arrived above each pixel's place, with their noise, evenly in
            time. That the noise is drawn once, and not anew in each step, changes the
            covariances only in the second order of the effect.
        expected
            Their expectation, whose smoothness gives the flux density at the boundaries.

        Returns
        -------
        ndarray of float32, shape (ny, nx)
            Electrons; their sum is that of `arrived`.
        """
        density_x, density_y = boundary_density(expected, 1), boundary_density(expected, 0)
        step = np.float32(1 / self._steps)
        charge = np.zeros(arrived.shape, np.float32)
        for _ in range(self._steps):
            middle = np.minimum(charge + arrived * (step / 2), self._full_well)
            shift_x, shift_y = self._displacements(middle)
            charge += arrived * step
            _move(charge, shift_x * density_x * step, axis=1)
            _move(charge, shift_y * density_y * step, axis=0)
        return charge

    def _displacements(
        self, charge: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Convolve the charge with the boundary shifts.

        Returns the displacement of light along +x at the boundaries between columns i and i + 1,
        shape (ny, nx - 1), and along +y between rows, (ny - 1, nx). Two-dimensional FFTs in single
        precision: 1e-6 of a displacement that is itself at most some hundredths of a pixel.
        """
        from scipy import fft

        ny, nx = charge.shape
        reach = self._reach
        padded = np.pad(charge, reach + 1, mode="symmetric")
        size = _fft_size(padded.shape)
        transform = fft.rfft2(padded, size)
        right, upper = self._kernel_transforms(size)
        rows, columns = slice(reach + 1, reach + 1 + ny), slice(reach + 1, reach + 1 + nx)
        shift_x = fft.irfft2(transform * right, size)[rows, columns][:, :-1]
        shift_y = fft.irfft2(transform * upper, size)[rows, columns][:-1]
        return shift_x, shift_y

    def _kernel_transforms(self, size: tuple[int, int]) -> tuple[NDArray, NDArray]:
        if size not in self._transforms:
            from scipy import fft

            transforms = []
            for kernel in (self._shifts.right, self._shifts.upper):
                grid = np.zeros(size, np.float32)
                grid[: kernel.shape[0], : kernel.shape[1]] = kernel
                # The boundary at i + 1/2 is filed under pixel i, so that the one at +1/2 from the
                # charge, index R + 1, has the offset 0.
                origin_y = self._reach + (kernel.shape[0] > kernel.shape[1])
                origin_x = self._reach + (kernel.shape[1] > kernel.shape[0])
                transforms.append(fft.rfft2(np.roll(grid, (-origin_y, -origin_x), (0, 1))))
            self._transforms[size] = (transforms[0], transforms[1])
        return self._transforms[size]


def boundary_density(expected: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Estimate the flux density at the boundaries between pixels, electrons per pixel.

    From the integrals over four pixels in a row, f = (7 (a₀ + a₁) - (a₋₁ + a₂)) / 12, exact for
    cubic profiles; the mean of two at the walls. Kept between 0 and the brighter of its two
    pixels.
    """
    a = np.moveaxis(expected, axis, -1)
    left, right = a[..., :-1], a[..., 1:]
    density = (left + right) * np.float32(0.5)
    density[..., 1:-1] += (left + right)[..., 1:-1] * np.float32(1 / 12)
    density[..., 1:-1] -= (a[..., :-3] + a[..., 3:]) * np.float32(1 / 12)
    np.clip(density, 0, np.maximum(left, right), out=density)
    return np.moveaxis(density, -1, axis)


def _move(charge: NDArray[np.float32], amount: NDArray[np.float32], axis: int) -> None:
    """Move charge across the boundaries along an axis, from each pixel to the next, in place."""
    c = np.moveaxis(charge, axis, -1)
    m = np.moveaxis(amount, axis, -1)
    c[..., :-1] -= m
    c[..., 1:] += m


def _fft_size(shape: tuple[int, int]) -> tuple[int, int]:
    from scipy import fft

    return fft.next_fast_len(shape[0], real=True), fft.next_fast_len(shape[1], real=True)
