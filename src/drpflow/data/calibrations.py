"""Calibrations of one detector, in memory.

Images are in assembled detector pixels. What belongs to an amplifier is found by the
amplifier's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from drpflow.data.camera import Detector

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CalibrationImage:
    """A bias [adu], dark [electron s-1] or flat [1] image.

    Parameters
    ----------
    data
        Shape (ny, nx).
    variance
        Variance of its noise, squared unit of `data`; None where it is not known.
    """

    data: Float32
    variance: Float32 | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != 2:
            raise ValueError(f"a calibration image has 2 dimensions, not {self.data.ndim}")
        if self.variance is not None and self.variance.shape != self.data.shape:
            raise ValueError(
                f"variance is {self.variance.shape}, the image {self.data.shape}: they must agree"
            )


@dataclass(frozen=True, eq=False)
class Defects:
    """Boxes of defective pixels.

    Parameters
    ----------
    boxes
        ``x0, x1, y0, y1`` of each, half open, shape (N, 4), pixels.
    kinds
        What each is ("hot", "column" …), length N.
    """

    boxes: NDArray[np.int32]
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"defect boxes have the shape (N, 4), not {self.boxes.shape}")
        if self.kinds and len(self.kinds) != len(self.boxes):
            raise ValueError(f"{len(self.kinds)} kinds for {len(self.boxes)} boxes")


@dataclass(frozen=True)
class AmplifierNoise:
    """Measured properties of an amplifier, from its photon transfer curve.

    Parameters
    ----------
    gain
        electron adu-1.
    gain_error
        Its standard error, electron adu-1; NaN where it is not known.
    read_noise_electron
        Noise of a pixel without charge, electron.
    saturation_adu
        Level above the bias from which a pixel counts as saturated, adu.
    """

    gain: float
    gain_error: float
    read_noise_electron: float
    saturation_adu: float


@dataclass(frozen=True)
class Ptc:
    """Photon transfer curve results, by amplifier name."""

    amplifiers: Mapping[str, AmplifierNoise]


@dataclass(frozen=True, eq=False)
class NonLinearity:
    """Non-linearity of one amplifier: ``linear = measured - correction(measured)``.

    Parameters
    ----------
    node_adu
        Measured signal above the bias, increasing, shape (N,), adu.
    correction_adu
        What is to be taken off there, shape (N,), adu.
    """

    node_adu: Float64
    correction_adu: Float64

    def __post_init__(self) -> None:
        if self.node_adu.shape != self.correction_adu.shape or self.node_adu.ndim != 1:
            raise ValueError(
                f"{self.node_adu.shape} nodes and {self.correction_adu.shape} corrections: "
                "both are lists of one length"
            )
        if len(self.node_adu) < 2 or not (np.diff(self.node_adu) > 0).all():
            raise ValueError("nodes are two or more, and increase")


@dataclass(frozen=True)
class Linearizer:
    """Non-linearity by amplifier name."""

    amplifiers: Mapping[str, NonLinearity]


@dataclass(frozen=True, eq=False)
class Crosstalk:
    """Ghosts between amplifiers read at the same time.

    ``observed[v] = S[v] + Σ_s linear[v, s]·S[s] + quadratic[v, s]·S[s]²`` with S the signal
    above the bias, before linearisation, adu.

    Parameters
    ----------
    amplifiers
        Names, in the order of rows and columns.
    linear
        Shape (n_amp, n_amp), victim × source.
    quadratic
        The same shape, adu-1; None for zero.
    """

    amplifiers: tuple[str, ...]
    linear: Float64
    quadratic: Float64 | None = None

    def __post_init__(self) -> None:
        wanted = (len(self.amplifiers),) * 2
        for name in ("linear", "quadratic"):
            matrix = getattr(self, name)
            if matrix is not None and matrix.shape != wanted:
                raise ValueError(f"the {name} coefficients are {matrix.shape}, not {wanted}")

    def ordered(self, names: tuple[str, ...]) -> Crosstalk:
        """Return the same coefficients with the amplifiers in another order.

        Raises
        ------
        KeyError
            If an amplifier has no coefficients.
        """
        for name in names:
            if name not in self.amplifiers:
                raise KeyError(f"no crosstalk coefficients for amplifier {name}")
        index = np.ix_(*2 * ([self.amplifiers.index(name) for name in names],))
        quadratic = None if self.quadratic is None else self.quadratic[index]
        return Crosstalk(names, self.linear[index], quadratic)


@dataclass(frozen=True, eq=False)
class BrighterFatterKernel:
    """Scalar brighter-fatter kernel (Coulton et al. 2018), shape (n, n), n odd, electron-1."""

    kernel: Float64

    def __post_init__(self) -> None:
        shape = self.kernel.shape
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] % 2 == 0:
            raise ValueError(f"a brighter-fatter kernel is a square of odd size, not {shape}")


@dataclass(frozen=True)
class Cti:
    """Fraction of the charge left behind at each serial transfer, by amplifier name."""

    serial: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Calibrations:
    """All calibrations of a detector; None where there is none."""

    bias: CalibrationImage | None = None
    dark: CalibrationImage | None = None
    flat: CalibrationImage | None = None
    defects: Defects | None = None
    ptc: Ptc | None = None
    linearizer: Linearizer | None = None
    crosstalk: Crosstalk | None = None
    brighter_fatter: BrighterFatterKernel | None = None
    cti: Cti | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each kind came from, for messages and provenance."""

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Return the names of all kinds."""
        return tuple(f.name for f in fields(cls) if f.name != "sources")

    def get(self, kind: str) -> Any:
        """Return the calibration of a kind, or None."""
        return getattr(self, kind)

    def without(self, kinds: tuple[str, ...]) -> Calibrations:
        """Return the same calibrations without some kinds."""
        kept = {k: self.get(k) for k in self.kinds() if k not in kinds}
        return Calibrations(
            **kept, sources={k: v for k, v in self.sources.items() if k not in kinds}
        )


def amplifier_noise(detector: Detector, ptc: Ptc | None) -> dict[str, AmplifierNoise]:
    """Return gain, read noise and saturation of each amplifier.

    Parameters
    ----------
    detector
        Gives the nominal values.
    ptc
        Measured values, which supersede the nominal ones.

    Raises
    ------
    KeyError
        If `ptc` lacks an amplifier of the detector.
    """
    if ptc is not None:
        return {amp.name: ptc.amplifiers[amp.name] for amp in detector.amplifiers}
    return {
        amp.name: AmplifierNoise(amp.gain, float("nan"), amp.read_noise, amp.saturation)
        for amp in detector.amplifiers
    }
