"""How complete and pure groups of sources are, pooled over made-up surveys, 95 % intervals.

Run ``python benchmarks/accuracy_match_source.py [--seeds 501 502 503 504]``. Surveys of
``drpflow.sim.motion_survey`` with 25 visits over two years, 120,000 stars a square degree down to
beyond the limit of single visits, nothing of which is blended, however near: pairs within 0.5
arcsec have to be told apart. Beside it what a match of each visit to the sources of the first one
gives (nearest within 0.5 arcsec; what the first visit lacks begins its own list in the next).
Matched at two HEALPix orders, and from rows in another order.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from motion_tables import Columns, catalog_of, match, rows_of, visits_of
from scoring import share

from drpflow.algorithms.sky_match import match_nearest
from drpflow.config.match_source import MatchSourceConfig
from drpflow.data.healpix import pixels_of_deg
from drpflow.sim.motion_survey import PIXEL_ARCSEC, MotionConfig, MotionSurvey, simulate_motions
from drpflow.tasks.match_source import VisitSources, match_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FINE_ORDER = 9


class Score(NamedTuple):
    """How well groups agree with the truth.

    Parameters
    ----------
    sources, together
        Sources of stars that were seen twice or more; of these, those in the largest group of
        their star.
    groups, mixed
        Groups of stars with two sources or more; of these, those with a source of something else.
    stars, whole
        Stars seen four times or more; of these, those whose sources are one group and alone in it.
    """

    sources: int
    together: int
    groups: int
    mixed: int
    stars: int
    whole: int


def score(group: NDArray[np.int64], true: NDArray[np.int64]) -> Score:
    """Compare groups with the truth, -1 for what is no star."""
    _, group = np.unique(group, return_inverse=True)
    n_star = int(true.max()) + 1
    own = true >= 0
    pairs = np.stack([true[own], group[own]], axis=1)
    kinds, count = np.unique(pairs, axis=0, return_counts=True)
    most, total = np.zeros(n_star, np.int64), np.bincount(true[own], minlength=n_star)
    np.maximum.at(most, kinds[:, 0], count)
    size = np.bincount(group)
    largest = np.zeros(size.size, np.int64)
    np.maximum.at(largest, kinds[:, 1], count)
    seen = total >= 2
    several = (size >= 2) & (largest > 0)
    pure = np.zeros(n_star, bool)
    full = (count == total[kinds[:, 0]]) & (count == size[kinds[:, 1]])
    pure[kinds[full, 0]] = True
    many = total >= 4
    return Score(
        *(int(total[seen].sum()), int(most[seen].sum())),
        *(int(several.sum()), int((several & (largest < size)).sum())),
        *(int(many.sum()), int((many & pure).sum())),
    )


def to_first_visit(survey: MotionSurvey, rows: Columns) -> NDArray[np.int64]:
    """Return the groups of a match of each visit to what earlier ones began."""
    group = np.full(rows["ra"].size, -1, np.int64)
    ra, dec = np.zeros(0), np.zeros(0)
    for visit in survey.visits:
        own = np.flatnonzero(rows["visit"] == visit.number)
        pairs = match_nearest(rows["ra"][own], rows["dec"][own], ra, dec, 0.5)
        group[own[pairs.first]] = pairs.second
        new = own[group[own] < 0]
        group[new] = ra.size + np.arange(new.size)
        ra, dec = np.append(ra, rows["ra"][new]), np.append(dec, rows["dec"][new])
    return group


def same_at_any_cut(survey: MotionSurvey, join: Columns) -> bool:
    """Return whether small pieces of the sky, with rows shuffled, give the same groups."""
    visits = visits_of(survey)
    ra = np.concatenate([v.sources["ra"] for v in visits])
    dec = np.concatenate([v.sources["dec"] for v in visits])
    found = []
    for pixel in np.unique(pixels_of_deg(_FINE_ORDER, ra, dec)).tolist():
        turned = [_shuffled(v) for v in visits_of(survey)]
        piece = (_FINE_ORDER, pixel)
        made = match_source(turned, piece, catalog_of(survey), PIXEL_ARCSEC, MatchSourceConfig())
        found.append(made.join)
    columns = {
        n: np.concatenate([j[n] for j in found if j]) for n in ("source_match_id", "sourceId")
    }
    order = np.lexsort((columns["sourceId"],))
    other = np.lexsort((join["sourceId"],))
    return all(np.array_equal(columns[n][order], join[n][other]) for n in columns)


def _shuffled(visit: VisitSources) -> VisitSources:
    order = np.random.default_rng(visit.visit).permutation(visit.sources["ra"].size)
    return visit._replace(sources={n: v[order] for n, v in visit.sources.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[501, 502, 503, 504])
    parser.add_argument("--stars", type=int, default=10_800)
    args = parser.parse_args()
    total, first, equal = np.zeros(6, int), np.zeros(6, int), 0
    started = time.process_time()
    for seed in args.seeds:
        survey = simulate_motions(MotionConfig(seed=seed, stars=args.stars))
        matches = match(survey)
        rows = rows_of(survey, matches)
        own = score(rows["source_match_id"], rows["true_star"])
        print(f"seed {seed}: {matches.numbers} {own}")
        total += own
        first += score(to_first_visit(survey, rows), rows["true_star"])
        equal += same_at_any_cut(survey, matches.join)
    for name, values in (("all visits at once", total), ("match to the first visit", first)):
        s = Score(*values.tolist())
        print(f"\n{name}")
        print(f"sources in the group of their star  {share(s.together, s.sources).text(2, 100)} %")
        print(f"groups with something else          {share(s.mixed, s.groups).text(2, 100)} %")
        print(f"stars whole and alone               {share(s.whole, s.stars).text(2, 100)} %")
    print(f"\nequal in pieces and with rows shuffled: {equal} of {len(args.seeds)}")
    print(f"{time.process_time() - started:.0f} CPU s")


if __name__ == "__main__":
    main()
