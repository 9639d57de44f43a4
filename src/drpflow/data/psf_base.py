"""What every model of the point spread function offers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.psf_moments import Moments, adaptive_moments
from drpflow.data.record import StoredComponent
from drpflow.errors import AlgorithmError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]


# Images made or measured at a time: with 41 x 41 pixels and some temporaries, 30 MB.
_STACK = 256
_CENTERED = np.zeros(1)


class Psf(StoredComponent):
    """The image of a point source, as a function of place and colour.

    A PSF here is the *effective* one, with the response of the pixel included: the value of a
    pixel at the offset d from a source of unit flux is p(d), sampled and not integrated.

    Where `color` is None the model's reference colour is used, `color_ref`, the mean of the stars
    that it was made from. Models without colour ignore the argument.
    """

    color_ref: float | None = None

    @property
    @abstractmethod
    def half_size_pix(self) -> int:
        """Images have ``2 half_size_pix + 1`` rows and columns."""

    @abstractmethod
    def _sample(self, x: Floats, y: Floats, color: Floats | None, dx: Floats, dy: Floats) -> Floats:
        """Return p at the offsets (column - dx, row - dy), shape (N, n, n), not normalised.

        Parameters
        ----------
        x, y, color
            Shape (N,); where the model is evaluated.
        dx, dy
            Place of the source relative to the centre of the central pixel; shape (N,), or (1,)
            for one place in all images.
        """

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the images."""
        return 2 * self.half_size_pix + 1, 2 * self.half_size_pix + 1

    def compute_kernel_image(self, x: float, y: float, color: float | None = None) -> Floats:
        """Return the PSF centred on the central pixel.

        Parameters
        ----------
        x, y
            Where in the image the model is evaluated, pixels.
        color
            Colour of the source, mag.

        Returns
        -------
        ndarray
            Odd square array, float64, sum 1.

        Raises
        ------
        AlgorithmError
            If the model has no positive sum there.
        """
        return self.compute_kernel_images([x], [y], None if color is None else [color])[0]

    def compute_kernel_images(
        self, x: ArrayLike, y: ArrayLike, color: ArrayLike | None = None
    ) -> Floats:
        """Return the PSF at N places at once, shape (N, n, n); see `compute_kernel_image`."""
        xs, ys = np.broadcast_arrays(np.ravel(x).astype(float), np.ravel(y).astype(float))
        colors = None if color is None else np.broadcast_to(np.asarray(color, float), xs.shape)
        return _normalized(self._sample(xs, ys, colors, _CENTERED, _CENTERED), xs, ys)

    def compute_image(self, x: float, y: float, color: float | None = None) -> tuple[Floats, Box]:
        """Return a source of unit flux as the image shows it at (x, y), at its sub-pixel place.

        Returns
        -------
        image
            Odd square array, float64, sum 1.
        box
            The pixels that it covers.

        Raises
        ------
        AlgorithmError
            If the model has no positive sum there.
        """
        images, _, _ = self.compute_images([x], [y], None if color is None else [color])
        return images[0], Box.around(x, y, self.half_size_pix)

    def compute_images(
        self, x: ArrayLike, y: ArrayLike, color: ArrayLike | None = None
    ) -> tuple[Floats, Ints, Ints]:
        """Return N sources of unit flux, each at its sub-pixel place.

        Parameters
        ----------
        x, y
            Finite positions in the image, pixels, shape (N,).
        color
            Colours, mag, shape (N,) or one.

        Returns
        -------
        images
            Shape (N, n, n), float64, each of sum 1: n² × 8 bytes a source.
        x0, y0
            Column and row of the first pixel of each image, shape (N,); may be negative.

        Raises
        ------
        AlgorithmError
            If the model has no positive sum somewhere.

        Notes
        -----
        A source of a pixel-grid model of 41 × 41 pixels and order 2 costs 45 µs.
        """
        xs, ys = np.broadcast_arrays(np.ravel(x).astype(float), np.ravel(y).astype(float))
        colors = None if color is None else np.broadcast_to(np.asarray(color, float), xs.shape)
        # As in Box.around: halves belong to the next pixel.
        column, row = (np.floor(v + 0.5) for v in (xs, ys))
        images = np.empty((xs.size, *self.shape))
        for start in range(0, xs.size, _STACK):
            k = slice(start, start + _STACK)
            of_stack = None if colors is None else colors[k]
            sampled = self._sample(xs[k], ys[k], of_stack, xs[k] - column[k], ys[k] - row[k])
            images[k] = _normalized(sampled, xs[k], ys[k])
        half = self.half_size_pix
        return images, column.astype(np.int64) - half, row.astype(np.int64) - half

    def compute_shape(self, x: ArrayLike, y: ArrayLike, color: ArrayLike | None = None) -> Moments:
        """Return the adaptive moments Ixx, Iyy, Ixy at scalar or array positions, pix².

        See :mod:`drpflow.data.psf_moments`; NaN where the iteration does not converge.
        """
        xs, ys = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        colors = None if color is None else np.broadcast_to(np.asarray(color), xs.shape).ravel()
        found = np.empty((3, xs.size))
        for start in range(0, xs.size, _STACK):
            part = slice(start, start + _STACK)
            images = self.compute_kernel_images(
                xs.ravel()[part], ys.ravel()[part], None if colors is None else colors[part]
            )
            found[:, part] = adaptive_moments(images)[0]
        return Moments(*(row.reshape(xs.shape)[()] for row in found))

    def compute_sigma(self, x: ArrayLike, y: ArrayLike, color: ArrayLike | None = None) -> Floats:
        """Return the determinant radius, pixels: sigma of a round Gaussian of the same area."""
        return self.compute_shape(x, y, color).determinant_radius

    def effective_area(self, x: float, y: float, color: float | None = None) -> float:
        """Return (Σ p)²/Σ p², pixels: the area over which sky noise enters a PSF flux."""
        return float(1 / np.square(self.compute_kernel_image(x, y, color)).sum())


def _normalized(images: Floats, x: Floats, y: Floats) -> Floats:
    totals = images.sum(axis=(1, 2))
    bad = np.flatnonzero(~(totals > 0) | ~np.isfinite(totals))
    if bad.size:
        k = bad[0]
        raise AlgorithmError(
            f"the PSF model sums to {totals[k]:.3g} at ({x[k]:.1f}, {y[k]:.1f})",
            {"sum": float(totals[k]), "x": float(x[k]), "y": float(y[k])},
            "The model is used far from the stars that it was made from, or its order is too high.",
        )
    return images / totals[:, None, None]
