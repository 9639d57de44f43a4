"""Final PSFs of real frames beside their stars, and beside SDSS's own.

    python benchmarks/real_final_psf.py RUN_FOLDER [--sdss ../shared/data/sdss_m2]

RUN_FOLDER is where a workflow ran up to finalizeCharacterization (``docs/real-frames.md``). Prints
for each detector image how the trace of the stars' moments differs from those of the first and the
final PSF at their places, median of reserved stars and of all, and the same of SDSS's ``psField``,
which the final PSF is compared with too.
Sizes are 2.35 σ of adaptive moments.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accuracy_final_psf import photon_snr
from scoring import resampled
from sdss_frames import kl_psf, sdss_field

from drpflow import Store
from drpflow.data.psf_moments import adaptive_moments
from drpflow.errors import DrpflowError
from drpflow.io.run_yaml import load_run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_FWHM_PER_SIGMA = 2.3548
_MIN_SNR = 50.0


def image_row(store: Store, key: dict[str, int], stars: Any, sdss: Path | None) -> str:
    """Return a detector image's row of the table."""
    here = stars["detector"] == key["detector"]
    good = here & ~stars["shape_flag"] & stars["calib_psf_candidate"]
    good &= photon_snr(stars, slice(None)) > _MIN_SNR
    x, y = stars["x"][good], stars["y"][good]
    trace = stars["ixx"][good] + stars["iyy"][good]
    sigma = (stars["ixx"] * stars["iyy"] - stars["ixy"] ** 2)[good] ** 0.25
    reserved = stars["calib_psf_reserved"][good]
    model = (stars["ixxPSF"] + stars["iyyPSF"])[good]
    final = trace / model - 1
    cells = [f"{key['visit']}", f"{key['detector']}", f"{good.sum()}"]
    cells += [f"{_FWHM_PER_SIGMA * np.median(sigma):.2f}" if good.any() else ""]
    first = _trace(store, key, x, y)
    cells += [_percent(trace / first - 1), _percent(final), _percent(final[reserved])]
    if sdss is not None:
        own = _sdss_trace(store, key, x, y, sdss)
        cells += [_percent(trace / own - 1), _percent(model / own - 1)]
    return f"| {' | '.join(cells)} |"


def _percent(values: Floats) -> str:
    if not np.isfinite(values).any():
        return ""
    found = resampled(values, np.median, resamplings=300)
    return f"{found.text(2, 100)} ({found.number})"


def _trace(store: Store, key: dict[str, int], x: Floats, y: Floats) -> Floats:
    """Return the trace of the first PSF."""
    try:
        shape = store.get("initial_visit_summary.psf", **key).compute_shape(x, y)
    except DrpflowError:
        return np.full(len(x), np.nan)
    return np.asarray(shape.xx + shape.yy)


def _sdss_trace(store: Store, key: dict[str, int], x: Floats, y: Floats, folder: Path) -> Floats:
    """Return the trace of SDSS's PSF."""
    band = store.get("visit_info", visit=key["visit"]).band
    (ps_field,) = folder.glob("psField-002583-*.fits")
    (frame,) = folder.glob(f"frame-{band}-002583-*")
    field = sdss_field(frame, ps_field)
    images = [kl_psf(field.psf, b, a) for a, b in zip(x, y, strict=True)]
    moments = adaptive_moments(np.array(images))[0] if images else None
    return np.zeros(0) if moments is None else np.asarray(moments.xx + moments.yy)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of config/config.yaml")
    parser.add_argument("--results", type=Path, nargs="+", help="roots; as the run says by default")
    parser.add_argument("--sdss", type=Path, help="folder of SDSS's psField")
    arguments = parser.parse_args()
    roots = arguments.results
    if roots is None:
        run = load_run(arguments.run / "config/config.yaml")
        roots = [arguments.run / run.output]
    store = Store(roots)
    more = " SDSS's PSF | final PSF over SDSS's |" if arguments.sdss else ""
    print(
        "| visit | detector | stars | FWHM, pix | first PSF, % | final PSF, % | reserved |" + more
    )
    print("|---" * (7 + 2 * bool(arguments.sdss)) + "|")
    for visit in sorted(k["visit"] for k in store.query("final_characterization_stars")):
        stars = store.get("final_characterization_stars", visit=visit)
        stars = {name: np.asarray(stars[name]) for name in stars.columns}
        for key in store.query("initial_pvi", visit=visit):
            print(image_row(store, key, stars, arguments.sdss), flush=True)


if __name__ == "__main__":
    main()
