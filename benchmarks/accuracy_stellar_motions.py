"""How right stellar motions and their errors are, pooled over made-up surveys, 95 % intervals.

Run ``python benchmarks/accuracy_stellar_motions.py [--seeds 401 402 403 404 405 406]``. Surveys of
``drpflow.sim.motion_survey``: 25 visits on five nights over two years in g, r and i, stars down to
beyond the limit of single visits, turbulence, smooth errors of each visit's WCS, refraction, 1 % of
spoilt positions, false detections, a catalogue of which 1 % of the entries is wrong. Sources are
matched and fitted as the tasks do it. Pulls are errors over stated ones; the limit is that of
Cramér and Rao, for stars without the catalogue. Beside it what simpler ways give: least squares
without weights, colours and rejection on the same groups; no refraction; a match to the first
visit.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from motion_scores import (
    PARAMETERS,
    Errors,
    color_slopes,
    errors_of,
    first_visit_share,
    mean_pulls,
    place_pulls,
    plain_fits,
    width,
)
from motion_tables import fit_survey
from scoring import share

from drpflow.sim.motion_survey import MotionConfig, simulate_motions

_SNR = ((5, 6), (6, 8), (8, 12), (12, 30), (30, 1000))


def pooled(parts: list[Errors]) -> Errors:
    """Return all stars of all surveys."""
    return Errors(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def told(name: str, errors: Errors) -> None:
    """Print widths of pulls, their means, and errors over the limit."""
    words, (mean, error) = [], mean_pulls(errors)
    for k, parameter in enumerate(PARAMETERS):
        half, low, high = width(errors.pulls[:, k])
        middle = f"mean {mean[k]:+.3f} +- {error[k]:.3f}"
        words.append(f"{parameter} {half:.3f} ({low:.3f} to {high:.3f}), {middle}")
    print(f"{name:22s} {len(errors.snr):6d}  " + "; ".join(words))


def beside_limit(name: str, errors: Errors) -> None:
    """Print errors over the least that are possible."""
    words = []
    for k, parameter in enumerate(PARAMETERS):
        half, low, high = width(errors.error[:, k] / errors.limit[:, k])
        words.append(f"{parameter} {half:.3f} ({low:.3f} to {high:.3f})")
    print(f"{name:22s} {len(errors.snr):6d}  " + "; ".join(words))


def by_color(name: str, errors: Errors) -> None:
    """Print slopes of the pulls over colour."""
    slope, error = color_slopes(errors)
    words = [f"{p} {s:+.3f} +- {e:.3f}" for p, s, e in zip(PARAMETERS, slope, error, strict=True)]
    print(f"{name:22s} {len(errors.snr):6d}  " + "; ".join(words))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[401, 402, 403, 404, 405, 406])
    parser.add_argument("--stars", type=int, default=4000)
    args = parser.parse_args()
    started = time.process_time()
    parts, plain, gray, places, first = [], [], [], [], np.zeros(2, int)
    for seed in args.seeds:
        survey = simulate_motions(MotionConfig(seed=seed, stars=args.stars))
        fitted = fit_survey(survey)
        print(f"seed {seed}: {fitted.matches.numbers} {fitted.stars.numbers}")
        parts.append(errors_of(survey, fitted, seed))
        plain.append(plain_fits(survey, fitted, seed))
        gray.append(errors_of(survey, fit_survey(survey, refraction=False), seed))
        places.append(place_pulls(survey, fitted))
        first += first_visit_share(fitted, 5.0)
    errors, rough, colorless = pooled(parts), pooled(plain), pooled(gray)
    print("\npulls")
    told("all", errors)
    told("tied to the catalogue", errors.select(errors.tied))
    for low, high in _SNR:
        chosen = ~errors.tied & (errors.snr >= low) & (errors.snr < high)
        told(f"others, S/N {low} to {high}", errors.select(chosen))
    place = np.concatenate(places)
    for k, axis in enumerate(("ra", "dec")):
        half, low, high = width(place[:, k])
        print(f"{axis:22s} {len(place):6d}  {half:.3f} ({low:.3f} to {high:.3f})")
    told("without weights", rough)
    print("\nerrors over the limit, without the catalogue")
    for low, high in _SNR:
        for name, which in (("", errors), ("no weights, ", rough)):
            chosen = ~which.tied & (which.snr >= low) & (which.snr < high)
            beside_limit(f"{name}S/N {low} to {high}", which.select(chosen))
    print("\nslope of pulls over g - i, a magnitude")
    for name, which in (("", errors), ("no refraction, ", colorless), ("no weights, ", rough)):
        by_color(f"{name}all", which)
        by_color(f"{name}S/N > 30", which.select(which.snr > 30))
        by_color(f"{name}S/N < 10", which.select(which.snr < 10))
    seen = share(int(first[0]), int(first[1]))
    print(f"\nstars of S/N 5 to 10 that the first visit has: {seen.text(1, 100)} %")
    print(f"{time.process_time() - started:.0f} CPU s")


if __name__ == "__main__":
    main()
