"""Photometric calibration of an image: nJy per unit of the pixels, varying over the detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from drpflow.data.geometry import Box
from drpflow.data.polynomial import Basis2D, Polynomial2D
from drpflow.data.record import Record, StoredComponent, component

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]

NJY_ZERO_POINT_MAG = 31.4
"""AB magnitude of 1 nJy: -2.5 log10(1e-32 erg s⁻¹ cm⁻² Hz⁻¹) - 48.6, exactly."""


# A block of rows and its temporaries stay near the cache; a whole image in float64 does not.
_ROWS = 64


@component
@dataclass(frozen=True, eq=False)
class PhotoCalib(StoredComponent):
    """Calibration ``c(x, y) = mean · field(x, y)``, nJy per input unit.

    Parameters
    ----------
    mean
        nJy per input unit.
    error
        Standard deviation of the mean, the same unit; common to all sources of the image.
    field
        Spatial variation, dimensionless, about 1; None for 1 everywhere.
    input_unit
        Unit of what is calibrated: ``"electron"``, ``"adu"``, or ``"nJy"`` for pixels that
        carry their calibration already (mean 1).

    Raises
    ------
    ValueError
        If the mean is not positive, or the error is negative.

    Notes
    -----
    Calibrated pixels are in nJy in the sense that photometry through the PSF and the aperture
    correction gives nJy; a single pixel is no surface brightness measurement without them.
    """

    KIND: ClassVar[str] = "photo_calib"
    mean: float
    error: float = 0.0
    field: Polynomial2D | None = None
    input_unit: str = "electron"

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", float(self.mean))
        object.__setattr__(self, "error", float(self.error))
        if not 0 < self.mean < np.inf:
            raise ValueError(f"the mean calibration must be positive, not {self.mean}")
        if not 0 <= self.error < np.inf:
            raise ValueError(f"the calibration error must not be negative, not {self.error}")

    @classmethod
    def from_zero_point(
        cls, zero_point_mag: float, error_mag: float = 0.0, input_unit: str = "electron"
    ) -> Self:
        """Return the calibration in which 1 input unit has this AB magnitude."""
        mean = 10 ** (0.4 * (NJY_ZERO_POINT_MAG - zero_point_mag))
        return cls(mean, mean * error_mag * np.log(10) / 2.5, None, input_unit)

    @classmethod
    def identity(cls) -> Self:
        """Return the calibration of pixels that are in nJy already."""
        return cls(1.0, 0.0, None, "nJy")

    @property
    def zero_point_mag(self) -> float:
        """AB magnitude of 1 input unit, by the mean calibration."""
        return float(NJY_ZERO_POINT_MAG - 2.5 * np.log10(self.mean))

    @property
    def zero_point_error_mag(self) -> float:
        """Standard deviation of the zero point."""
        return float(2.5 / np.log(10) * self.error / self.mean)

    def factor(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return c(x, y), nJy per input unit, NaN where the field is not positive."""
        shape = np.broadcast(x, y).shape
        if self.field is None:
            return np.full(shape, self.mean)[()]
        return np.asarray(_positive(self.mean * self.field(x, y)))[()]

    def factor_on(self, box: Box) -> Floats:
        """Return c at the pixel centres of a box, shape ``box.shape``; NaN as in :meth:`factor`."""
        if self.field is None:
            return np.full(box.shape, self.mean)
        return _positive(self.mean * self.field.on_box(box))

    def flux_to_njy(self, flux: ArrayLike, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return fluxes, or their standard deviations, at pixel positions in nJy."""
        return np.asarray(flux, np.float64) * self.factor(x, y)

    def njy_to_flux(self, flux_njy: ArrayLike, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return fluxes in nJy at pixel positions in the input unit."""
        return np.asarray(flux_njy, np.float64) / self.factor(x, y)

    def flux_to_magnitude(self, flux: ArrayLike, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return AB magnitudes of fluxes at pixel positions; NaN where one is not positive."""
        flux_njy = self.flux_to_njy(flux, x, y)
        return NJY_ZERO_POINT_MAG - 2.5 * np.log10(_positive(flux_njy))

    def calibrate_image(
        self,
        image: NDArray[np.float32],
        variance: NDArray[np.float32] | None = None,
        xy0: tuple[int, int] = (0, 0),
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the image in nJy and its variance in nJy²: image · c, variance · c².

        The product is made in float64 and rounded to float32 once, so that
        :meth:`uncalibrate_image` returns the input to within 1 unit in the last place (except
        where a value leaves the range of float32).

        Parameters
        ----------
        image
            In the input unit, shape (ny, nx).
        variance
            In the square of the input unit, or None.
        xy0
            Detector coordinates (x, y) of the first pixel.
        """
        scaled = None if variance is None else self.calibrate_variance(variance, xy0)
        return self._times_power(image, xy0, 1), scaled

    def uncalibrate_image(
        self,
        image: NDArray[np.float32],
        variance: NDArray[np.float32] | None = None,
        xy0: tuple[int, int] = (0, 0),
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Undo :meth:`calibrate_image`: image / c, variance / c²."""
        scaled = None if variance is None else self.uncalibrate_variance(variance, xy0)
        return self._times_power(image, xy0, -1), scaled

    def calibrate_variance(
        self, variance: NDArray[np.float32], xy0: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Return variance · c², nJy²."""
        return self._times_power(variance, xy0, 2)

    def uncalibrate_variance(
        self, variance: NDArray[np.float32], xy0: tuple[int, int] = (0, 0)
    ) -> NDArray[np.float32]:
        """Undo :meth:`calibrate_variance`: variance / c²."""
        return self._times_power(variance, xy0, -2)

    def _times_power(
        self, image: NDArray[np.float32], xy0: tuple[int, int], power: int
    ) -> NDArray[np.float32]:
        out = np.empty(image.shape, np.float32)
        for rows, factor in self._factor_blocks(Box.from_shape(image.shape, xy0)):
            c = factor if power > 0 else 1 / factor
            out[rows] = image[rows] * (c if abs(power) == 1 else c * c)
        return out

    def _factor_blocks(self, box: Box) -> Iterator[tuple[slice, Floats]]:
        """Yield slices of rows with c(x, y) there, or with one number where there is no field."""
        if self.field is not None:
            for rows, values in self.field.row_blocks(box, _ROWS):
                yield rows, _positive(self.mean * values)
            return
        for start in range(0, box.height, _ROWS):
            yield slice(start, start + _ROWS), np.array(self.mean)

    def to_record(self) -> Record:
        """Return the stored form."""
        meta: dict[str, Any] = {
            "mean": self.mean,
            "error": self.error,
            "input_unit": self.input_unit,
            "field": None if self.field is None else self.field.basis.to_meta(),
        }
        arrays = {} if self.field is None else {"field": self.field.coefficients}
        return self._record(meta, arrays)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the calibration from its stored form."""
        meta, field = record.meta, None
        if meta["field"] is not None:
            field = Polynomial2D(Basis2D.from_meta(meta["field"]), record.arrays["field"])
        return cls(meta["mean"], meta["error"], field, meta["input_unit"])


def _positive(values: Floats) -> Floats:
    """Return values with NaN in place of what has no logarithm."""
    return np.where(np.asarray(values) > 0, values, np.nan)
