"""The detector as a component of its exposure, so that an image explains itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from drpflow.data.camera import Amplifier, Detector
from drpflow.data.geometry import Box
from drpflow.data.record import Record, StoredComponent, component


@component
@dataclass(frozen=True, eq=False)
class DetectorInfo(StoredComponent):
    """A detector as its camera file describes it.

    Parameters
    ----------
    detector
        Geometry and amplifiers.
    instrument
        Name of the camera.
    """

    KIND: ClassVar[str] = "detector"
    detector: Detector
    instrument: str = ""

    @property
    def id(self) -> int:
        """Number used in data IDs."""
        return self.detector.id

    @property
    def name(self) -> str:
        """Name, as in headers."""
        return self.detector.name

    @property
    def box(self) -> Box:
        """The pixels of the assembled detector."""
        return Box.from_shape(self.detector.shape)

    @property
    def amplifiers(self) -> tuple[Amplifier, ...]:
        """Readout channels, in calibration order."""
        return self.detector.amplifiers

    def amplifier_at(self, x: float, y: float) -> Amplifier:
        """Return the amplifier that reads the pixel at a point.

        Raises
        ------
        LookupError
            If the point is not on the detector.
        """
        for amplifier in self.detector.amplifiers:
            if Box(*amplifier.data_section).contains(x, y):
                return amplifier
        raise LookupError(f"({x}, {y}) is not on detector {self.name}")

    def to_record(self) -> Record:
        """Return the stored form."""
        return self._record(
            {"instrument": self.instrument, "detector": self.detector.model_dump(mode="json")}
        )

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Rebuild the detector from its stored form."""
        detector = Detector.model_validate(record.meta["detector"])
        return cls(detector, record.meta["instrument"])
