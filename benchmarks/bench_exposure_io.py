"""Time writing and reading of one exposure: whole, one component, a cut-out.

Run ``python benchmarks/bench_exposure_io.py [--size 4096] [--folder DIR]``. Times are the best of
several in one process, the imports done; files are in the page cache, as they are for a task
that reads what the last one wrote. The CPU column counts user and system time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow import Store
from drpflow.data.background import Background, MeshLayer
from drpflow.data.component_table import ComponentRow, ComponentTable
from drpflow.data.exposure import Exposure
from drpflow.data.geometry import Box
from drpflow.data.mask import Mask
from drpflow.data.photo_calib import PhotoCalib
from drpflow.data.plane_maps import AffineMap, RadialMap
from drpflow.data.polynomial import Basis2D, Domain
from drpflow.data.psf import PixelGridPsf
from drpflow.data.sky_wcs import SkyWcs
from drpflow.data.tan_projection import TanProjection
from drpflow.data.visit_info import VisitInfo

if TYPE_CHECKING:
    from collections.abc import Callable

ID = {"visit": 12, "detector": 3}


def make_exposure(n: int) -> Exposure:
    """An exposure of n × n pixels with the components that a calibrated one has."""
    rng = np.random.default_rng(1)
    box, domain = Box(0, n, 0, n), Domain(-0.5, n - 0.5, -0.5, n - 0.5)
    image = rng.normal(0, 12, (n, n)).astype(np.float32)
    mask = Mask.zeros((n, n))
    mask.set("DETECTED", rng.random((n, n)) < 0.02)
    basis = Basis2D(2, domain, "chebyshev")
    shape = np.exp(-0.5 * (np.hypot(*np.mgrid[-20:21, -20:21]) / 2.0) ** 2)
    psf = PixelGridPsf(basis, shape * rng.normal(1, 0.01, (basis.n_terms, 41, 41)))
    wcs = SkyWcs(
        (
            ("detector", AffineMap(0.015 * np.eye(2), np.array([40.0, 10.0]))),
            ("optics", RadialMap(13.3 / 3600, 100.0, (8e-3,))),
        ),
        TanProjection(150.0, 2.0, 20.0, "west"),
        (n, n),
    )
    return Exposure(
        image,
        mask,
        np.full((n, n), 144, np.float32),
        unit="nJy",
        components={
            "wcs": wcs,
            "psf": psf,
            "photo_calib": PhotoCalib(1.2),
            "background": Background((("local", MeshLayer.on_box(box, np.ones((32, 32)))),)),
            "visit_info": VisitInfo(12, band="r"),
        },
    )


def best(action: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the smallest wall and CPU times of an action, ms."""
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return 1e3 * min(t[0] for t in times), 1e3 * min(t[1] for t in times)


def report(label: str, action: Callable[[], Any], repeats: int = 5) -> None:
    wall, cpu = best(action, repeats)
    print(f"{label:58s} {wall:10.1f} {cpu:10.1f}")


def read_all(store: Store, name: str) -> None:
    exposure = store.get(name, **ID)
    _ = exposure.image, exposure.mask, exposure.variance


def bench(root: Path, n: int) -> None:
    exposure = make_exposure(n)
    store = Store(root)
    print(f"{f'{n} x {n} pixels':58s} {'wall ms':>10s} {'CPU ms':>10s}")
    for name in ("initial_pvi", "compressed_pvi"):
        kind = store.table.dataset(name).compression
        report(f"{name} ({kind}): write", lambda k=name: store.put(exposure, k, **ID), 3)
        size = store.path(name, **ID).stat().st_size / 1e6
        report(f"{name}: read all pixels ({size:.0f} MB)", lambda k=name: read_all(Store(root), k))
        for part in ("wcs", "psf", "visit_info"):
            report(f"{name}.{part}", lambda k=f"{name}.{part}": Store(root).get(k, **ID))
        at = n // 2
        box = (at, at + 100, at, at + 100)
        report(
            f"{name}: 100 x 100 cut-out of the image",
            lambda k=name, b=box: Store(root).get(k, box=b, **ID).image,
        )
        report(
            f"{name}: 100 x 100 cut-out of image, mask and variance",
            lambda k=name, b=box: read_all_of(Store(root).get(k, box=b, **ID)),
        )
    report("initial_pvi.wcs again, same store", lambda: store.get("initial_pvi.wcs", **ID))
    report("replace the mask alone", lambda: store.put(exposure.mask, "initial_pvi.mask", **ID), 3)
    bench_summary(root, exposure)


def read_all_of(exposure: Exposure) -> None:
    _ = exposure.image, exposure.mask, exposure.variance


def bench_summary(root: Path, exposure: Exposure) -> None:
    """A visit of 62 detectors in one table, and the view that takes its components."""
    store = Store(root)
    held = store.table.dataset("final_visit_summary").holds
    row = ComponentRow({k: v for k, v in exposure.components.items() if k in held})
    table = ComponentTable(dict.fromkeys(range(62), row))
    report("final_visit_summary, 62 rows: write", lambda: put_summary(store, table), 3)
    key = "final_visit_summary.psf"
    report("final_visit_summary.psf of one row", lambda: Store(root).get(key, **ID))
    background = ComponentRow({"background": exposure.background})
    store.put(ComponentTable({3: background}), "visit_background", visit=12)
    report("recalibrated_pvi: all pixels", lambda: read_all(Store(root), "recalibrated_pvi"), 3)


def put_summary(store: Store, table: ComponentTable) -> None:
    store.put(table, "final_visit_summary", visit=12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="pixels along a side")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        bench(Path(folder), args.size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
