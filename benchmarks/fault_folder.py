"""The reference, the copy in which faults happen, and what came of them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from faults import ASIDE, forget, is_mark, wrong_products

import drpflow
from drpflow.io.datasets import DatasetTable

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.workflow.small_survey import WITHOUT_NUMBA, SmallSurvey

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

NO_PRODUCTS = ("logs", "benchmarks")
REPORT, REPORT_STATUS = "report/index.html", "status/makeReport/run.json"
# The chapter of the report that tells how long jobs have taken.
_RUN_TIMES = re.compile(rb'<section id="resources".*?</section>', re.DOTALL)


@dataclass
class Folder:
    """A run folder of the drpflow that runs this script.

    Parameters
    ----------
    folder
        The folder.
    small
        Whether it holds the survey of the workflow tests, whose frames are so small that no kernel
        need be compiled.
    """

    folder: Path
    small: bool = False

    @property
    def root(self) -> Path:
        return self.folder / "results"

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "drpflow.cli", *words]

    def environment(self, **more: str) -> dict[str, str]:
        if self.small:
            path = f"{Path(drpflow.__file__).parents[1]}:{WITHOUT_NUMBA}"
            return os.environ | {"PYTHONPATH": path} | more
        return os.environ | more

    def run(self, *words: str, before: Callable[[], None] | None = None) -> tuple[int, str]:
        """Return exit code and words of ``drpflow run``."""
        done = subprocess.run(
            self.command("run", "--cores", "1", *words),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=before,
        )
        return done.returncode, done.stderr + done.stdout

    def products(self) -> dict[str, str]:
        """Return the digest of every product by its name."""
        found = {}
        for name in self.names():
            with suppress(FileNotFoundError):  # a temporary one, deleted just now
                found[str(name)] = digest(self.root, name)
        return found

    def names(self) -> list[Path]:
        """Return the names of all products."""
        # os.walk bears folders that vanish.
        paths = (Path(f, name) for f, _, names in os.walk(self.root) for name in names)
        names = sorted(path.relative_to(self.root) for path in paths)
        return [n for n in names if n.parts[0] not in {*NO_PRODUCTS, ASIDE} and not is_mark(n)]


def digest(root: Path, name: Path) -> str:
    """Return the digest of a product; of the report without what it tells of run times."""
    content = (root / name).read_bytes()
    if str(name) == REPORT:
        content = _RUN_TIMES.sub(b"", content)
    elif str(name) == REPORT_STATUS:
        with suppress(ValueError, AttributeError):
            status = json.loads(content)
            content = json.dumps({k: v for k, v in status.items() if k in _ALIKE}).encode()
    return hashlib.sha256(content).hexdigest()


# What two status files of the report have alike: not its checksum.
_ALIKE = ("task", "data_id", "outcome", "reason", "hint", "numbers")


@dataclass
class Row:
    """What came of one kind of fault."""

    trials: int = 0
    wrong: int = 0
    missing: int = 0
    failed: int = 0
    message: str = ""


@dataclass
class Trials:
    """The reference, with its temporary products, and a copy in which faults happen."""

    reference: Folder
    work: Folder
    rng: random.Random
    rows: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    start_s: float = 10.0  # from the start of the last run to its first job

    def __post_init__(self) -> None:
        self.right = self.reference.products()
        self.wanted = {name for name in self.right if not _is_temporary(name)}

    def renew(self, source: Path | None = None, *, temporary: bool = False) -> None:
        """Make the copy what the reference, or another folder, is."""
        shutil.rmtree(self.work.folder, ignore_errors=True)
        shutil.copytree(source or self.reference.folder, self.work.folder, symlinks=True)
        if source is None and not temporary:
            for name in _TEMPORARY:
                shutil.rmtree(self.work.root / name, ignore_errors=True)

    @contextmanager
    def trial(self, kind: str) -> Iterator[Row]:
        row, begun = self.rows[kind], time.monotonic()
        row.trials += 1
        yield row
        tell(f"{kind}: {row}, {time.monotonic() - begun:.0f} s")

    def compare(self, row: Row, *, complete: bool = True, work: Folder | None = None) -> None:
        """Count what is wrong, and what is missing."""
        work = work or self.work
        found = work.products()
        wrong = wrong_products(found, self.right)
        missing = sorted(self.wanted - set(found)) if complete else []
        row.wrong += len(wrong)
        row.missing += len(missing)
        if wrong or missing:
            tell(f"WRONG {wrong[:5]} MISSING {missing[:5]}")
            self.keep(work, wrong)

    def keep(self, work: Folder, names: list[str]) -> None:
        """Keep wrong products beside the folders, to be looked at."""
        for name in names:
            kept = self.work.folder.with_suffix(".wrong") / f"{time.time():.0f}" / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(work.root / name, kept)

    def complete(self, row: Row, *words: str, work: Folder | None = None) -> str:
        """Let the same command end what is left; return what it says."""
        code, text = (work or self.work).run(*words)
        row.failed += code != 0
        if code:
            tell(text[-3000:])
        self.compare(row, work=work)
        return text

    def refused(self, row: Row, code: int, text: str, pattern: str) -> None:
        """Count a run as failed that ended well in spite of a fault, or did not tell of it."""
        row.message = row.message or found(text, pattern)
        if not code or not found(text, pattern) or "Traceback" in text:
            row.failed += 1
            tell(f"exit code {code}: {text[-3000:]}")


_TABLE = DatasetTable.load()
_TEMPORARY = tuple(name for name in _TABLE.datasets if _TABLE.is_temporary(name))


def _is_temporary(name: str) -> bool:
    return Path(name).parts[0] in _TEMPORARY


def tell(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def found(text: str, pattern: str) -> str:
    """Return what a run has said."""
    match = re.search(pattern, text)
    return match[0].strip() if match else ""


def make_reference(run: Folder) -> None:
    """Make a survey, and run it; temporary products are kept."""
    if run.small:
        _make_small(run.folder)
    else:
        _make_tiny(run)
    for step in (lambda: run.run("--", "--notemp"), lambda: _report_without_temporary(run)):
        code, text = step()
        if code:
            raise SystemExit(text)


def _make_small(folder: Path) -> None:
    """Make the survey of the workflow tests."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(SmallSurvey.make(Path(name)).folder, folder)
    config = folder / "config/config.yaml"
    values = yaml.safe_load(config.read_text())
    del values["keep"]
    config.write_text(yaml.safe_dump(values, sort_keys=False))


def _make_tiny(run: Folder) -> None:
    """Simulate the survey ``tiny``, of which two visits are run."""
    folder = run.folder
    folder.mkdir(parents=True)
    for words in (
        ("simulate", "tiny", "--output", ".", "--cores", "1"),
        ("ingest", "raw", "--camera", "camera.yaml", "--calibrations", "calib"),
    ):
        subprocess.run(run.command(*words), cwd=folder, check=True)
    field = {"ra_deg": 150.1, "dec_deg": -12.3, "width_deg": 0.03, "height_deg": 0.02}
    values = {
        "camera": "camera.yaml",
        "sheets": "sheets",
        "reference_stars": "reference/reference_stars.parquet",
        "visits": [1, 2],
        "skypix": {"association_order": 6},
        "skyMap": {"layout": "field", "field": field, "patch_inner_pix": 400},
    }
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def _report_without_temporary(run: Folder) -> tuple[int, str]:
    """Make the report of what a run leaves."""
    aside = run.folder / "temporary"
    aside.mkdir()
    for name in _TEMPORARY:
        if (run.root / name).exists():
            (run.root / name).rename(aside / name)
    forget(run, ("makeReport",))
    ended = run.run()
    for path in list(aside.iterdir()):
        path.rename(run.root / path.name)
    aside.rmdir()
    return ended
