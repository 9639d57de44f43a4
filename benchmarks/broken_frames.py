"""A survey with broken frames: what becomes of each, and whether it is told.

    python benchmarks/broken_frames.py FOLDER [--visits 10] [--share 0.1] [--cores 2] [--target all]

Simulates the survey ``tiny`` with more visits and 15 detectors in FOLDER, breaks a share of its
frames in one way after the other, ingests and runs it, and prints a row a broken frame: where it
was noticed, and the reason that ``drpflow status`` and the report give. Broken frames are spread
evenly over ``--among`` visits, so that none is lost as a whole. Visits that lack frames from the
start are processed a job a detector, which takes longer; hence few of them.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from astropy.io import fits
from scipy.ndimage import uniform_filter

from drpflow.io.sheets import read_rejected
from drpflow.io.status_files import read_all_outcomes
from drpflow.paths import share_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from drpflow.io.status_files import Outcome

    Pixels = NDArray[Any]

FULL_ADU = 65535
BIAS_ADU, READ_NOISE_ADU = 1150, 4
VISITS_A_NIGHT = 5
# An amplifier of the survey: prescan, light, overscan in each row, and rows after the last one.
CELL_PIX, PRESCAN_PIX, LIT_PIX = (144, 168), 8, 128
INSTRUMENT = {"columns": 5, "rows": 3, "optics": {"radius_mm": 12.0}}


def lit(change: Callable[[Pixels], Pixels]) -> Callable[[Pixels], Pixels]:
    """Return what changes the pixels that light falls on, amplifier by amplifier."""

    def changed(data: Pixels) -> Pixels:
        data = data.copy()
        for y in range(0, data.shape[0], CELL_PIX[0]):
            for x in range(0, data.shape[1], CELL_PIX[1]):
                cell = np.s_[y : y + LIT_PIX, x + PRESCAN_PIX : x + PRESCAN_PIX + LIT_PIX]
                data[cell] = change(data[cell])
        return data

    return changed


def pixels(change: Callable[[Pixels], Pixels]) -> Callable[[Path], None]:
    """Return what changes the pixels of a frame, of which each stays an unsigned integer."""

    def harm(path: Path) -> None:
        with fits.open(path) as hdus:
            data, header = hdus[0].data.astype(float), hdus[0].header
        changed = change(data)
        if np.isfinite(changed).all():
            changed = np.clip(np.round(changed), 0, FULL_ADU).astype(np.uint16)
        fits.PrimaryHDU(changed, header).writeto(path, overwrite=True)

    return harm


def key(name: str, value: object) -> Callable[[Path], None]:
    """Return what gives a header key another value, or takes it away (None)."""

    def harm(path: Path) -> None:
        if value is None:
            fits.delval(path, name)
        else:
            fits.setval(path, name, value=value)

    return harm


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def repeat(path: Path) -> None:
    shutil.copy(path, path.with_name(f"{path.stem}_again.fits"))


def no_light(data: Pixels) -> Pixels:
    rng = np.random.default_rng(1)
    return BIAS_ADU + rng.normal(0, READ_NOISE_ADU, data.shape)


def half_dead(data: Pixels) -> Pixels:
    return np.where(np.arange(data.shape[1]) < data.shape[1] // 2, 0, data)


def trailed(data: Pixels) -> Pixels:
    return uniform_filter(data, (1, 60))


def defocused(data: Pixels) -> Pixels:
    return uniform_filter(data, 25)


WAYS: dict[str, Callable[[Path], None]] = {
    "cut short": cut,
    "empty file": lambda path: path.write_bytes(b"") and None,
    "no exposure time in the header": key("EXPTIME", None),
    "exposure time zero": key("EXPTIME", 0.0),
    "unknown filter": key("FILTER", "sim_q"),
    "pointing one degree away": key("DEC", "-13:17:58.54"),
    "exposure stands there twice": repeat,
    "wrong size": pixels(lambda data: data[:-10]),
    "all pixels NaN": pixels(lambda data: np.full(data.shape, np.nan, np.float32)),
    "saturated": pixels(lambda data: np.full(data.shape, FULL_ADU)),
    "no light": pixels(no_light),
    "sky of 36,000 adu": pixels(lit(lambda data: data + 36000)),
    "half of the amplifiers dead": pixels(half_dead),
    "trailed by 60 pixels": pixels(lit(trailed)),
    "out of focus": pixels(lit(defocused)),
}


def simulate(folder: Path, visits: int, cores: int) -> None:
    """Make the frames of a survey like ``tiny``, with more visits."""
    nights = [
        {"day": day, "bands": [("r", "g")[k % 2] for k in range(VISITS_A_NIGHT)]}
        for day in range(visits // VISITS_A_NIGHT)
    ]
    preset = share_root() / "config/simulations/tiny.yaml"
    values = {"base": str(preset), "name": "broken"}
    values["observing"] = {"nights": nights, "special": []}
    values["instrument"] = INSTRUMENT
    folder.parent.mkdir(parents=True)
    (folder.parent / "survey.yaml").write_text(yaml.safe_dump(values))
    words = "simulate", "survey.yaml", "--output", folder.name, "--cores", str(cores)
    drpflow(folder.parent, *words)


def drpflow(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "drpflow.cli", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return done


def break_frames(folder: Path, share: float, among: int, seed: int) -> dict[Path, str]:
    """Break frames of some visits, one after the other; return what was done to each."""
    rng = random.Random(seed)
    frames = sorted((folder / "raw").rglob("*.fits"))
    number = round(share * len(frames))
    by_visit: dict[str, list[Path]] = {}
    for path in frames:
        by_visit.setdefault(path.stem.split("_")[1], []).append(path)
    visits = rng.sample(sorted(by_visit), among)
    broken = {}
    for k in range(number):
        way = list(WAYS)[k % len(WAYS)]
        of_visit = by_visit[visits[k % len(visits)]]
        path = of_visit.pop(rng.randrange(len(of_visit)))
        WAYS[way](path)
        broken[path.relative_to(folder)] = way
    return broken


def write_config(folder: Path) -> None:
    field = {"ra_deg": 150.1, "dec_deg": -12.3, "width_deg": 0.08, "height_deg": 0.08}
    values = {
        "camera": "camera.yaml",
        "sheets": "sheets",
        "reference_stars": "reference/reference_stars.parquet",
        "batch": "visit",
        "skyMap": {"layout": "field", "field": field, "patch_inner_pix": 1600},
    }
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def verdict(folder: Path, path: Path, outcomes: list[Outcome]) -> tuple[str, str]:
    """Return the task that noticed a broken frame, and the reason that it gave."""
    for row in read_rejected(folder / "sheets/rejected.tsv"):
        if Path(row.path).stem.removesuffix("_again") == path.stem:
            return "ingest", row.reason
    _, visit, detector = path.stem.split("_")
    frame = {"visit": int(visit), "detector": int(detector)}
    for task in ("isr", "calibrateImage"):
        for outcome in outcomes:
            whole = outcome.task == task and outcome.data_id == frame
            if whole and (outcome.failed or outcome.partial):
                return f"{task}, {outcome.outcome}", outcome.reason
    return "", ""


def plain(text: str) -> str:
    """Return a text without white space and figures, which status wraps, and gives of one frame."""
    return re.sub(r"\d+(\.\d+)?", "#", "".join(text.split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--among", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--target", default="all")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = args.folder.absolute() / "run"
    simulate(folder, args.visits, args.cores)
    frames = len(list((folder / "raw").rglob("*.fits")))
    broken = break_frames(folder, args.share, args.among, args.seed)
    write_config(folder)
    drpflow(folder, "ingest", "raw", "--camera", "camera.yaml", "--calibrations", "calib")
    begun = time.monotonic()
    done = drpflow(folder, "run", args.target, "--cores", str(args.cores), check=False)
    seconds = time.monotonic() - begun
    drpflow(folder, "report")
    said = plain(drpflow(folder, "status", "--all", check=False).stdout)
    page = unescape((folder / "results/report/index.html").read_text())
    outcomes = read_all_outcomes(folder / "results")
    print(f"{frames} frames, {len(broken)} broken; exit code {done.returncode}, {seconds:.0f} s\n")
    print("| frame | noticed by | reason | listed |\n|---|---|---|---|")
    for path, way in sorted(broken.items(), key=lambda item: list(WAYS).index(item[1])):
        task, reason = verdict(folder, path, outcomes)
        listed = bool(reason) and reason in page and plain(reason) in said
        print(f"| {way} | {task} | {reason} | {'yes' if listed else 'no'} |")
    ends = Counter((o.task, o.outcome) for o in outcomes)
    print("\n" + ", ".join(f"{task} {end}: {n}" for (task, end), n in sorted(ends.items())))
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


if __name__ == "__main__":
    main()
