"""How complete and pure isolated stars are, pooled over made-up skies, with 95 % intervals.

Run ``python benchmarks/accuracy_associate.py [--seeds 101 102 103 104 105]``. Skies of
benchmarks/star_catalogs.py, each across the borders of HEALPix pixels: 20 visits of nine detectors
in three bands, five years, of which one visit has a wrong and a poor WCS; 20,000 stars and 8,000
galaxies a square degree, asteroids and rubbish. Stars with S/N > 20 that three visits cover, or
more, count. Associated at two HEALPix orders, and compared to the last digit.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from associations import Found, associate_sky
from scoring import share
from star_catalogs import Score, Sky, make_catalog, score

ORDERS = (6, 8)
# Equator and meridian, high latitude, the corner of a polar cap, the pole.
PLACES = ((359.98, -12.0), (200.0, 60.0), (45.0, 41.8), (100.0, 89.9))


def same(one: Found, two: Found) -> bool:
    """Return whether two associations are equal to the last digit."""
    pairs = ((one.stars, two.stars), (one.sources, two.sources))
    return all(
        a.keys() == b.keys()
        and all(np.array_equal(a[k], b[k], equal_nan=a[k].dtype.kind == "f") for k in a)
        for a, b in pairs
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    args = parser.parse_args()
    total, equal, started = np.zeros(len(Score._fields)), 0, time.process_time()
    for k, seed in enumerate(args.seeds):
        ra_deg, dec_deg = PLACES[k % len(PLACES)]
        sky = Sky(seed=seed, stars=20_000, ra_deg=ra_deg, dec_deg=dec_deg)
        catalog = make_catalog(sky)
        coarse, fine = (associate_sky(catalog, sky, order) for order in ORDERS)
        result = score(catalog, coarse.stars, coarse.sources)
        print(f"seed {seed}: {result}; {coarse.pieces} and {fine.pieces} pieces")
        total += result
        equal += same(coarse, fine)
    pooled = Score(*total.astype(int).tolist())
    print(f"found once          {share(pooled.found, pooled.wanted)}")
    print(f"false or mixed      {share(pooled.false, pooled.made)}")
    print(f"galaxies            {share(pooled.galaxies, pooled.made)}")
    print(f"equal at two orders {equal} of {len(args.seeds)}")
    print(f"{time.process_time() - started:.0f} CPU s")


if __name__ == "__main__":
    main()
