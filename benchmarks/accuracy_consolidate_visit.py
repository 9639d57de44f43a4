"""How well consolidateVisit rescues a detector whose own WCS and zero point are taken away.

    python benchmarks/accuracy_consolidate_visit.py demo-b

The survey is simulated and has been run. Each usable detector in turn loses WCS, zero point and
what they gave its stars, as if calibrateImage had met no reference star, and the visit is
consolidated anew: the WCS is compared with the truth, the zero point with the detector's own fit,
which is good to a few mmag.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from frame_scores import wcs_error_pix
from scoring import resampled, rms
from truth_survey import TruthSurvey

from drpflow import Store
from drpflow.config.consolidate_visit import ConsolidateVisitConfig
from drpflow.io.consolidate_files import read_detectors, read_references, read_visit
from drpflow.tasks.consolidate_visit import DetectorProducts, consolidate_visit

if TYPE_CHECKING:
    from drpflow.io.consolidate_files import Parts

_TABLE = "initial_stars_detector"
_UNKNOWN = (
    *("ra", "dec", "raErr", "decErr", "ra_dec_Cov", "reference_separation"),
    *("psfFlux", "psfFluxErr", "calibFlux", "calibFluxErr"),
)


def spoiled(parts: Parts) -> DetectorProducts:
    """Return a detector as it is where no reference star was met."""
    lost = dict.fromkeys(("wcs", "photo_calib"), "taken away")
    components = {k: v for k, v in parts.components.items() if k not in lost}
    stars = dict(parts.stars)
    for name in _UNKNOWN:
        stars[name] = np.full_like(stars[name], np.nan)
    stars["reference_id"] = np.zeros_like(stars["reference_id"])
    for name in ("calib_astrometry_used", "calib_photometry_used"):
        stars[name] = np.zeros_like(stars[name])
    return DetectorProducts(components, parts.missing | lost, stars)


class Rescue:
    """What became of the detectors of a survey."""

    def __init__(self, survey: Path, results: Path, references: Path | None) -> None:
        self.survey, self.truth, self.store = survey, TruthSurvey(survey), Store(results)
        self.references = references
        self.wcs_pix: list[float] = []
        self.zero_point_mmag: list[float] = []
        self.sources: Counter[tuple[str, str]] = Counter()

    def visit(self, visit: int) -> None:
        """Take the WCS of each detector of a visit away, one at a time."""
        frames = {f.detector: f for f in self.truth.frames() if f.visit == visit}
        paths = [
            [self.store.path(name, visit=visit, detector=d) for d in frames]
            for name in ("initial_pvi", _TABLE)
        ]
        config = ConsolidateVisitConfig()
        parts = read_detectors(*paths, visit)
        info = self.store.path("visit_info", visit=visit)
        camera, of = read_visit(str(self.survey / "camera.yaml"), info)
        whole = {d: DetectorProducts(*p) for d, p in parts.items()}
        for number, frame in frames.items():
            own = parts[number].components
            if not frame.usable or "photo_calib" not in own or "wcs" not in own:
                continue
            products = whole | {number: spoiled(parts[number])}
            known = {d: p.components for d, p in products.items()}
            wcss = {d: c["wcs"] for d, c in known.items() if "wcs" in c}
            margin_deg = config.reference_margin_deg
            references = read_references(self.references, camera, wcss, margin_deg)
            summary = consolidate_visit(products, camera, of, config, references).summary
            row = list(summary.rows).index(number)
            found = summary.rows[number].components
            names = ("wcs_source", "photo_calib_source")
            self.sources[tuple(str(summary.columns[n][row]) for n in names)] += 1
            if found.get("wcs") is not None:
                self.wcs_pix.append(wcs_error_pix(found["wcs"], frame))
            if found.get("photo_calib") is not None:
                off = found["photo_calib"].zero_point_mag - own["photo_calib"].zero_point_mag
                self.zero_point_mmag.append(1e3 * off)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    parser.add_argument("--results", type=Path, help="output root; SURVEY/results by default")
    parser.add_argument("--no-references", action="store_true", help="without the catalogue")
    args = parser.parse_args()
    catalogue = args.survey / "reference/reference_stars.parquet"
    results = args.results or args.survey / "results"
    rescue = Rescue(args.survey, results, None if args.no_references else catalogue)
    for visit in sorted({f.visit for f in rescue.truth.frames()}):
        rescue.visit(visit)
    print(f"{args.survey.name}: {sum(rescue.sources.values())} detectors, one at a time")
    for (wcs, zero_point), number in rescue.sources.most_common():
        print(f"WCS from {wcs}, zero point from {zero_point}: {number}")
    wcs_pix, off = np.array(rescue.wcs_pix), np.array(rescue.zero_point_mmag)
    for name, values in (("WCS error, pix", wcs_pix), ("zero point, mmag", off)):
        figure = resampled(values, rms)
        share = np.mean(np.abs(values) <= (0.5 if name.startswith("WCS") else 30.0))
        print(
            f"{name}: rms {figure.text(3, 1.0)}, median {np.median(np.abs(values)):.3f}, "
            f"worst {np.abs(values).max():.3f}, within what is asked {share:.1%} of {values.size}"
        )


if __name__ == "__main__":
    main()
