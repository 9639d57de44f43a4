"""CPU time and memory of associateIsolatedStars on a million sources, through its script and files.

Run ``python benchmarks/bench_associate.py [--visits 40] [--sources 25000]``. A HEALPix pixel of
order 6 (0.84 square degrees) that visits of 62 detectors cover, each with as many sources in it;
stars, galaxies, noise peaks, positions with errors of 50 mas. The script runs twice, so that
kernels are compiled. Then the time to find which pieces of the sky visits touch.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from drpflow.config.skypix import SkypixConfig
from drpflow.data.camera import Camera
from drpflow.data.healpix import pixel_centers_deg, pixels_of_deg
from drpflow.data.source_ids import make_source_ids
from drpflow.data.visit_info import VisitInfo
from drpflow.io.records import write_component_json
from drpflow.io.schemas import load_schema
from drpflow.io.sheets import ExposureRow, VisitRow
from drpflow.io.tables import write_table
from drpflow.paths import share_root
from drpflow.tasks.associate_isolated_stars import SUMMARY_COLUMNS
from drpflow.workflow.overlaps import Overlaps
from drpflow.workflow.survey import Frame, Survey

ORDER, PIXEL = 6, 20_000
N_DETECTOR = 62
KINDS = ("visit_info", "initial_visit_summary", "initial_stars")


def path_of(folder: Path, kind: str, visit: int | str) -> Path:
    suffix = "json" if kind == "visit_info" else "parquet"
    return folder / kind / f"visit={visit}" / f"{kind}.{suffix}"


def true_sky(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return places in the pixel, shape (n, 2), degrees."""
    ra, dec = pixel_centers_deg(ORDER, PIXEL)
    places = np.empty((0, 2))
    while len(places) < n:
        new = rng.uniform(-1, 1, (4 * n, 2)) * [1 / np.cos(np.radians(dec)), 1] + [ra, dec]
        inside = pixels_of_deg(ORDER, *new.T) == PIXEL
        places = np.concatenate([places, new[inside]])
    return places[:n]


def write_visit(folder: Path, visit: int, sky: np.ndarray, rng: np.random.Generator) -> None:
    """Write what consolidateVisit would of a visit that sees most of the sky's sources."""
    seen = sky[rng.random(len(sky)) < 0.9]
    noise = rng.uniform(-0.4, 0.4, (len(sky) // 50, 2)) + sky[0]
    places = np.concatenate([seen, noise])
    n = len(places)
    detector = np.sort(rng.integers(0, N_DETECTOR, n)).astype(np.int32)
    count = np.bincount(detector, minlength=N_DETECTOR)
    schema = load_schema("initial_stars").without({"visit"})
    columns = {
        c.name: np.zeros(n, c.type) if c.type == "bool" else rng.random(n).astype(c.type)
        for c in schema.columns
    }
    jitter = rng.normal(0, 0.05 / 3600, (n, 2))
    snr = 10 ** rng.uniform(0.8, 2.5, n)
    columns |= {
        "detector": detector,
        "sourceId": np.concatenate(
            [make_source_ids(visit, d, int(k)) for d, k in enumerate(count)]
        ),
        "ra": places[:, 0] + jitter[:, 0],
        "dec": places[:, 1] + jitter[:, 1],
        "raErr": np.full(n, 1e-5),
        "decErr": np.full(n, 1e-5),
        "psfFlux_instFlux": snr,
        "psfFlux_instFluxErr": np.ones(n),
        "psfFlux": snr * 100,
        **{name: np.full(n, 4.0) for name in ("ixx", "iyy", "ixxPSF", "iyyPSF")},
        "ixxErr": 4 / snr,
        "iyyErr": 4 / snr,
        "blendedness": np.zeros(n),
        "detect_isPrimary": np.ones(n, bool),
    }
    data_id = {"visit": visit}
    write_table(path_of(folder, "initial_stars", visit), columns, schema, data_id=data_id)
    summary = {name: np.full(N_DETECTOR, np.nan) for name in SUMMARY_COLUMNS}
    summary["detector"], summary["lost"] = np.arange(N_DETECTOR), np.full(N_DETECTOR, "")
    summary["magLim"] = np.full(N_DETECTOR, 26.0)
    for name, (dx, dy) in {"llc": (0, 0), "lrc": (1, 0), "urc": (1, 1), "ulc": (0, 1)}.items():
        x, y = np.arange(N_DETECTOR) % 8 + dx, np.arange(N_DETECTOR) // 8 + dy
        summary[f"{name}ra"] = sky[:, 0].mean() + 0.2 * (x - 4)
        summary[f"{name}dec"] = sky[:, 1].mean() + 0.2 * (y - 4)
    write_table(path_of(folder, "initial_visit_summary", visit), summary, data_id=data_id)
    info = VisitInfo(visit, physical_filter="r1", band="gri"[visit % 3], mjd=60000.0 + visit)
    write_component_json(path_of(folder, "visit_info", visit), info)


def run(folder: Path, n_visit: int) -> tuple[float, float, dict[str, int]]:
    """Return CPU seconds, peak memory in MB and the figures of one run of the script."""
    words = [sys.executable, str(share_root() / "scripts/associate_isolated_stars.py")]
    words += ["--skypix", str(PIXEL), "--order", str(ORDER), "--bands", "g,r,i"]
    words += ["--pixel-arcsec", "0.26", "--visits", f"1-{n_visit}"]
    for kind in KINDS:
        words += [f"--{kind.replace('_', '-')}", str(path_of(folder, kind, "{visit}"))]
    for kind in ("isolated_stars", "isolated_stars_source"):
        words += [f"--{kind.replace('_', '-')}", str(folder / f"{kind}.parquet")]
    status = folder / "status.json"
    with subprocess.Popen([*words, "--status", str(status)]) as process:
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    assert process.returncode == 0
    numbers = json.loads(status.read_text())["numbers"]
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, numbers


def time_overlaps(n_visit: int) -> float:
    """Return the CPU seconds to find the pieces that visits all over the sky touch."""
    amplifier = {"name": "A", "gain": 1.0, "read_noise": 5.0, "saturation": 6e4}
    amplifier |= {key: [0, 2048, 0, 4096] for key in ("data_section", "raw_data_section")}
    detector = {"size_pix": [2048, 4096], "pixel_size_mm": 0.015, "amplifiers": [amplifier]}
    detectors = [
        detector | {"id": d, "name": str(d), "center_mm": [31.0 * (d % 12 - 6), 62.0 * (d // 12)]}
        for d in range(N_DETECTOR)
    ]
    camera = Camera.model_validate(
        {
            "name": "manycam",
            "optics": {"plate_scale_arcsec_per_mm": 17.5},
            "detectors": detectors,
            "filters": [{"physical_filter": "r1", "band": "r"}],
        }
    )
    rng = np.random.default_rng(0)
    visits = [
        VisitRow(v, "", "r1", "r", 30.0, 6e4, rng.uniform(0, 360), rng.uniform(-60, 30), 10.0)
        for v in range(n_visit)
    ]
    frames = [Frame(ExposureRow(v, d, "x"), {}) for v in range(n_visit) for d in range(N_DETECTOR)]
    survey = Survey(visits, frames, camera, None)  # type: ignore[arg-type]
    started = time.process_time()
    Overlaps(survey, SkypixConfig())
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--sources", type=int, default=25_000, help="of each visit")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sky = true_sky(rng, int(args.sources / 0.92))
        for visit in range(1, args.visits + 1):
            write_visit(folder, visit, sky, rng)
        run(folder, args.visits)
        cpu_s, memory_mb, numbers = run(folder, args.visits)
    per_million = 1e6 * cpu_s / numbers["detections"]
    print(
        f"{numbers['detections']} detections of {args.visits} visits, {numbers['stars']} stars: "
        f"{cpu_s:.1f} CPU s ({per_million:.1f} a million), {memory_mb:.0f} MB"
    )
    print(f"pieces of 1000 visits of {N_DETECTOR} detectors: {time_overlaps(1000):.1f} CPU s")


if __name__ == "__main__":
    main()
