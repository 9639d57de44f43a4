"""Whose frame it is: camera, detector and visit, as the scripts of per-detector tasks read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drpflow.errors import InputError
from drpflow.io.camera_yaml import load_camera
from drpflow.io.visit_info_files import read_visit_info

if TYPE_CHECKING:
    from pathlib import Path

    from drpflow.data.camera import Camera, Detector
    from drpflow.data.visit_info import VisitInfo


@dataclass(frozen=True)
class Geometry:
    """Whose frame it is.

    Parameters
    ----------
    camera, detector
        From the camera file.
    visit_info
        From the visit's metadata.
    """

    camera: Camera
    detector: Detector
    visit_info: VisitInfo

    def of_shape(self, shape: tuple[int, ...]) -> Geometry:
        """Return the geometry of an image of this shape: of a cut-out, where the camera has some.

        Any other shape that does not fit is left to whoever processes the image.
        """
        smaller = len(shape) == 2 and all(
            n <= m for n, m in zip(shape, self.detector.shape, strict=True)
        )
        if not self.camera.allow_cutouts or not smaller or shape == self.detector.shape:
            return self
        return replace(self, detector=self.detector.cut_to(shape[1], shape[0]))

    @property
    def data_id(self) -> dict[str, int]:
        """Visit and detector."""
        return {"visit": self.visit_info.visit, "detector": self.detector.id}


def read_geometry(camera: str, detector: int, visit_info: Path) -> Geometry:
    """Read the camera file and the visit's metadata.

    Raises
    ------
    InputError
        If one of them is faulty, or the camera has no such detector.
    """
    loaded = load_camera(camera)
    try:
        found = loaded.detector(detector)
    except KeyError:
        known = ", ".join(str(d.id) for d in loaded.detectors)
        problem = f"there is no detector {detector}"
        raise InputError(camera, problem, f"Detectors here: {known}") from None
    info = read_visit_info(visit_info)
    return Geometry(loaded, found, info)
