"""Small detectors for the tests."""

from __future__ import annotations

from typing import Any

from drpflow.data.camera import Amplifier, Detector


def two_by_two(
    nx: int = 100, ny: int = 80, prescan: int = 4, overscan: int = 20, **changes: Any
) -> Detector:
    """Return four amplifiers, each read to its own corner, one raw array with overscans.

    ``raw`` blocks stand in the order of readout, so that the right and upper ones are mirrored
    with respect to the detector.
    """
    hx, hy, width = nx // 2, ny // 2, prescan + nx // 2 + overscan
    amplifiers = []
    for row in (0, 1):
        for column in (0, 1):
            x0, y0 = column * width + prescan, row * hy
            values: dict[str, Any] = {
                "name": f"{'LU'[row]}{'LR'[column]}",
                "data_section": (column * hx, column * hx + hx, row * hy, row * hy + hy),
                "raw_data_section": (x0, x0 + hx, y0, y0 + hy),
                "raw_serial_overscan": (x0 + hx, x0 + hx + overscan, y0, y0 + hy),
                "flip_x": bool(column),
                "flip_y": bool(row),
                "gain": 1.5 + 0.1 * column + 0.05 * row,
                "read_noise": 5.0 + column,
                "saturation": 50000.0,
            }
            amplifiers.append(Amplifier(**(values | changes)))
    return Detector(
        id=3, name="S1", size_pix=(nx, ny), pixel_size_mm=0.015, amplifiers=tuple(amplifiers)
    )
