"""Faults in a camera file that its schema cannot see, and what its geometry amounts to."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from drpflow.errors import InputError
from drpflow.ingest.header_map import check_header_map
from drpflow.io.camera_yaml import read_filter_throughputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from drpflow.data.camera import Amplifier, Camera, Detector, Section

# Neighbours may share an edge; rounded positions may make them overlap by this much.
_TOUCH_MM = 0.1


@dataclass(frozen=True)
class FieldOfView:
    """What a camera sees.

    Parameters
    ----------
    width_deg, height_deg
        Of the box about all detectors, along the focal plane's x and y.
    area_deg2
        Of the detectors, without the gaps.
    corners_deg
        Field angles of the corners of each detector, by id, shape (4, 2).
    """

    width_deg: float
    height_deg: float
    area_deg2: float
    corners_deg: dict[int, NDArray[np.float64]]


def field_of_view(camera: Camera) -> FieldOfView:
    """Return the field of view: the detectors' corners in the tangent plane of the sky."""
    from drpflow.data.sky_wcs import detector_map, optics_map

    optics = optics_map(camera.optics)
    corners = {}
    for detector in camera.detectors:
        u, v = optics.forward(*detector_map(detector).forward(*_corner_pixels(detector)))
        corners[detector.id] = np.stack([u, v], axis=1)
    every = np.concatenate(list(corners.values()))
    width, height = every.max(axis=0) - every.min(axis=0)
    area = sum(_polygon_area(points) for points in corners.values())
    return FieldOfView(float(width), float(height), area, corners)


def camera_faults(camera: Camera) -> list[str]:
    """Return what is wrong with a camera, as sentences: ingest or later steps will fail on it."""
    faults = check_header_map(camera)
    for detector in camera.detectors:
        faults += _detector_faults(detector)
    faults += _overlaps(camera) + _optics_faults(camera)
    for item in camera.filters:
        try:
            read_filter_throughputs(item, [d.id for d in camera.detectors])
        except InputError as fault:
            faults.append(f"filter {item.physical_filter}: {fault}")
    return faults


def camera_gaps(camera: Camera) -> list[str]:
    """Return what a camera leaves unsaid and what then cannot be done, as sentences."""
    gaps = []
    site = camera.observatory
    if site.longitude_deg is None or site.latitude_deg is None:
        gaps.append("the observatory's place is unknown: no airmass nor hour angle is computed")
    gaps += [
        f"filter {item.physical_filter} has neither effective_wavelength_nm nor throughput: "
        "chromatic corrections leave it out"
        for item in camera.filters
        if item.effective_wavelength_nm is None
        and item.throughput is None
        and item.detector_throughput is None
    ]
    if camera.wcs_from == "camera" and "rotation_deg" not in camera.header:
        gaps.append("'header: rotation_deg:' is absent: the rotation has to be found on the sky")
    if "visit" not in camera.header:
        gaps.append("'header: visit:' is absent: visit numbers are made from the time")
    return gaps


def _corner_pixels(detector: Detector) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    nx, ny = detector.size_pix
    x = np.array([-0.5, nx - 0.5, nx - 0.5, -0.5])
    y = np.array([-0.5, -0.5, ny - 0.5, ny - 0.5])
    return x, y


def _polygon_area(points: NDArray[np.float64]) -> float:
    x, y = points.T
    return float(0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def _detector_faults(detector: Detector) -> list[str]:
    """Find amplifiers that overlap: their areas add up, but they leave other pixels out."""
    faults = [
        f"detector {detector.name}: amplifiers {a.name} and {b.name} share pixels"
        for a, b in combinations(detector.amplifiers, 2)
        if _share(a.data_section, b.data_section)
    ]
    for amp in detector.amplifiers:
        for name, section in _overscans(amp):
            if _share(section, amp.raw_data_section):
                faults.append(f"detector {detector.name}: {name} of amplifier {amp.name} shares "
                              "pixels with its raw_data_section")  # fmt: skip
    return faults


def _overscans(amp: Amplifier) -> list[tuple[str, Section]]:
    named = (
        ("raw_serial_overscan", amp.raw_serial_overscan),
        ("raw_parallel_overscan", amp.raw_parallel_overscan),
    )
    return [(name, section) for name, section in named if section is not None]


def _share(one: Section, other: Section) -> bool:
    """Tell whether two boxes have a pixel in common."""
    return (
        max(one[0], other[0]) < min(one[1], other[1])
        and max(one[2], other[2]) < min(one[3], other[3])
    )  # fmt: skip


def _overlaps(camera: Camera) -> list[str]:
    """Find detectors that stand on one another; exact where they are turned by right angles."""
    from drpflow.data.sky_wcs import detector_map

    boxes = {}
    for detector in camera.detectors:
        u, v = detector_map(detector).forward(*_corner_pixels(detector))
        boxes[detector.name] = u.min(), u.max(), v.min(), v.max()
    return [
        f"detectors {a} and {b} overlap in the focal plane: correct center_mm or rotation_deg"
        for (a, one), (b, other) in combinations(boxes.items(), 2)
        if min(one[1], other[1]) - max(one[0], other[0]) > _TOUCH_MM
        and min(one[3], other[3]) - max(one[2], other[2]) > _TOUCH_MM
    ]


def _optics_faults(camera: Camera) -> list[str]:
    """Find a distortion that folds the field: the field angle must grow with the radius."""
    from drpflow.data.sky_wcs import detector_map

    optics = camera.optics
    center = np.array(optics.boresight_mm)
    corners = [
        np.stack(detector_map(d).forward(*_corner_pixels(d)), axis=1) for d in camera.detectors
    ]
    reach = max(float(np.hypot(*(points - center).T).max()) for points in corners)
    r = np.linspace(0.0, reach, 200)
    powers = [(r / optics.radius_mm) ** (2 * k) for k in range(len(optics.radial) + 1)]
    angle = r * sum(c * p for c, p in zip((1.0, *optics.radial), powers, strict=True))
    if (np.diff(angle) > 0).all():
        return []
    problem = f"the distortion folds the field within {reach:.1f} mm of the boresight"
    return [f"optics: {problem}: correct radial or radius_mm"]
