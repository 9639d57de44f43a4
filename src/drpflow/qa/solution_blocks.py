"""What the report says of an astrometric solution, block by block: numbers with their figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.qa.charts import Order
from drpflow.qa.checks import Check, percent
from drpflow.qa.page import Block, Column, Picture, make_table
from drpflow.qa.solution_data import (
    ELSEWHERE,
    NO_COLOR,
    NO_MOTION,
    NO_OBSERVATION,
    RESERVED,
    SCATTERED,
    TIED,
    Solution,
)
from drpflow.qa.solution_figures import (
    error_figure,
    pull_figure,
    residual_field,
    two_point_figure,
    visit_trends,
)
from drpflow.qa.solution_scores import (
    MOTIONS,
    Against,
    Am,
    MeanVectors,
    bright_limit_mas,
    error_bins,
    mean_vectors,
    pull_width,
    two_points,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from drpflow.io.status_files import Outcome

_LIMIT_MAS = 20.0
_VISIT_COLUMNS = (
    Column("visit"),
    Column("piece"),
    Column("band", text=True),
    Column("detectors"),
    Column("WCS before", "off by, mas", 1),
    Column("turbulence", "mas", 2),
    Column("error of WCS", "median, mas", 2),
    Column("residual", "rms, mas", 2),
    Column("of reserved", "rms, mas", 2),
    Column("refraction east", "mas/mag", 2),
    Column("±", "", 2),
    Column("north", "mas/mag", 2),
    Column("±", "", 2),
    Column("observations"),
    Column("outliers", "%", 2),
    Column("order"),
    Column("group"),
)
_LOST_COLUMNS = (
    Column("visit"),
    Column("piece"),
    Column("band", text=True),
    Column("why it is not solved", text=True),
)
_MEAN_COLUMNS = (
    Column("detector"),
    Column("cells"),
    Column("observations"),
    Column("mean length", "before, mas", 2),
    Column("structure", "before, mas", 2),
    Column("mean length", "after, mas", 2),
    Column("its noise", "mas", 2),
    Column("structure", "after, mas", 2),
)
_PAIR_COLUMNS = (
    Column("separation", "arcmin", 2),
    Column("whose", text=True),
    Column("pairs"),
    Column("along", "mas²", 2),
    Column("across", "mas²", 2),
    Column("both", "mas²", 2),
    Column("±", "", 2),
)
_AM_COLUMNS = (
    Column("measure", text=True),
    Column("separation", "arcmin", 0),
    Column("whose", text=True),
    Column("pairs"),
    Column("before", "mas", 2),
    Column("after", "mas", 2),
    Column(f"pairs over {_LIMIT_MAS:g} mas", "after, %", 1),
)
_AA_COLUMNS = (
    Column("measure", text=True),
    Column("whose", text=True),
    Column("stars"),
    Column("east-west", "before, mas", 2),
    Column("north-south", "before, mas", 2),
    Column("east-west", "after, mas", 2),
    Column("north-south", "after, mas", 2),
)
_PULL_COLUMNS = (
    Column("motion", text=True),
    Column("whose", text=True),
    Column("stars"),
    Column("median pull", "", 3),
    Column("±", "", 3),
    Column("width", "1.48 MAD", 3),
    Column("beyond 4", "%", 2),
)
_BIN_COLUMNS = (
    Column("error of the centroid", "mas", 2),
    Column("with turbulence", "mas", 2),
    Column("observations"),
    Column("stars of the fit", "rms, mas", 2),
    Column("reserved stars", "rms, mas", 2),
)
_FLAGS = (
    (RESERVED, "reserved"),
    (TIED, "tied to the catalogue"),
    (ELSEWHERE, "elsewhere than the catalogue says"),
    (NO_COLOR, "colour unknown"),
    (NO_MOTION, "motion not fitted"),
    (SCATTERED, "scatters too much"),
    (NO_OBSERVATION, "no observation left"),
)


def note_blocks(found: Solution, outcomes: Sequence[Outcome]) -> list[Block]:
    """Return what the fits want to be known, a row a note."""
    rows: list[list[Any]] = [list(note) for note in found.notes]
    rows += [[o.data_id.get("skypix"), o.reason] for o in outcomes if o.reason]
    if found.reference_fault:
        rows.append([None, f"no comparison with the catalogue: {found.reference_fault}"])
    if found.thinned > 1:
        rows.append([None, f"residuals below are those of one star in {found.thinned}"])
    columns = [Column("piece"), Column("note", text=True)]
    blocks = [Block("What must be known", table=make_table(columns, rows))] if rows else []
    if found.held:
        note = (
            "Combinations of maps and stars that the observations do not tell apart, or hardly; "
            "what is stated of them holds as far as the priors do."
        )
        table = make_table(columns, [list(each) for each in found.held])
        blocks.append(Block("What the data leave open", note, table=table))
    return blocks


def field_block(found: Solution) -> Block:
    """Return mean residuals of all visits over the field, before and after."""
    used = found.residuals["used"]
    before, after = (mean_vectors(found, used, before=b) for b in (True, False))
    pictures = [
        Picture(residual_field(before, found.outlines), "Mean of all visits, before."),
        Picture(residual_field(after, found.outlines), "Mean of all visits, after."),
    ]
    note = (
        "Mean residual over all visits in cells of each detector, as arrows; the two figures "
        "have scales of their own. The structure is the rms in each coordinate beyond the errors "
        "of the means."
    )
    table = make_table(_MEAN_COLUMNS, _mean_rows(before, after))
    return Block(
        "Residuals over the focal plane", note, pictures, table, "Numbers of each detector"
    )


def _mean_rows(before: MeanVectors, after: MeanVectors) -> Iterator[list[Any]]:
    for key in np.unique(after.detector).tolist():
        one, two = before.detector == key, after.detector == key
        yield [
            key, int(two.sum()), int(after.number[two].sum()), _mean(before.length_mas[one]),
            before.structure(one), _mean(after.length_mas[two]),
            _mean(after.error_mas[two] * np.sqrt(np.pi / 2)), after.structure(two),
        ]  # fmt: skip


def solution_checks(found: Solution, ams: Sequence[Am], against: Against | None) -> list[Check]:
    """Return the figures by which a solution is judged.

    Parameters
    ----------
    found
        The solution.
    ams
        Its AM1 and AM2; those of reserved stars count.
    against
        Stars against the reference catalogue.
    """
    v = found.visits
    visits, solved = np.unique(v["visit"]).size, np.unique(v["visit"][v["solved"]]).size
    checks = [Check("not_solved", percent(visits - solved, visits), visits)]
    checks += [
        Check(_am_name(am).lower(), am.after.median_mas, am.after.rms_mas.size)
        for am in ams
        if am.which == "reserved stars"
    ]
    if against is not None:
        east, north, number = against.aa1["reserved stars"]
        checks.append(Check("aa1", max(east, north), number))
    return checks


def _am_name(am: Am) -> str:
    return f"AM{1 + (am.separation_arcmin > 10)}"


def scatter_blocks(found: Solution, ams: Sequence[Am]) -> list[Block]:
    """Return what residuals have in common, how large they are, and how repeatable places."""
    functions, bins = two_points(found), error_bins(found)
    rows = [
        [
            float(f.separation_arcmin[k]), name, int(f.n_pairs[k]), float(f.along_mas2[k]),
            float(f.across_mas2[k]), float(f.total_mas2[k]), float(f.error_mas2[k]),
        ]
        for name, f in functions.items()
        for k in np.flatnonzero(f.n_pairs)
    ]  # fmt: skip
    pictures = [Picture(two_point_figure(functions), "Two-point function, before and after.")]
    if bins:
        caption = "Residuals in each coordinate against the errors of centroids."
        pictures.append(Picture(error_figure(bins), caption))
    note = (
        "The two-point function of residuals of bright stars on one visit: what the WCSs of a "
        "visit have wrong shows at all separations up to its size, turbulence at small ones. "
        "Reserved stars have "
        "places of their own observations, but no part in the maps; residuals of stars seen on "
        "few visits are smaller than their errors."
    )
    table = make_table(_PAIR_COLUMNS, rows)
    blocks = [
        Block("What residuals have in common", note, pictures, table, "Numbers of each separation")
    ]
    if bins:
        numbers = [
            [b.centroid_mas, b.expected_mas, b.number, b.fitted_mas, b.reserved_mas] for b in bins
        ]
        table = make_table(_BIN_COLUMNS, numbers)
        blocks.append(Block(table=table, folded="Numbers of each bin of errors"))
    return [*blocks, _repeatability_block(found, ams)]


def _repeatability_block(found: Solution, ams: Sequence[Am]) -> Block:
    rows = [
        [
            _am_name(am), am.separation_arcmin, am.which,
            am.after.rms_mas.size, am.before.median_mas, am.after.median_mas,
            100 * am.after.share_above(_LIMIT_MAS),
        ]
        for am in ams
    ]  # fmt: skip
    note = (
        "Median over pairs of bright stars (centroids known to "
        f"{bright_limit_mas(found):.1f} mas) of the rms over "
        "visits of their separation. There are no pairs where the field is smaller than the "
        "separation."
    )
    return Block("Repeatability", note, table=make_table(_AM_COLUMNS, rows))


def accuracy_blocks(against: Against | None) -> list[Block]:
    """Return stars against the reference catalogue."""
    if against is None:
        return []
    none = (float("nan"), float("nan"), 0)
    rows = [
        ["AA1", name, number, *against.aa1_before.get(name, none)[:2], east, north]
        for name, (east, north, number) in against.aa1.items()
    ]
    note = "Median distance from the reference catalogue at the epoch of the stars."
    blocks = [Block("Absolute accuracy", note, table=make_table(_AA_COLUMNS, rows))]
    pulls = [
        [
            motion, name, each[motion].size, middle(each[motion]), _median_error(each[motion]),
            pull_width(each[motion]), 100 * _mean((np.abs(each[motion]) > 4).astype(float)),
        ]
        for name, each in against.pulls.items()
        for motion in MOTIONS
        if each[motion].size
    ]  # fmt: skip
    if pulls:
        note = (
            "Proper motions and parallaxes less those of the catalogue, over the error of the "
            "difference. Where the catalogue was the prior of the fit, its variance counts less "
            "that of the fit; stars whose motion the fit does not know better are left out."
        )
        figure = Picture(pull_figure(against.pulls, MOTIONS), "Pulls; the width should be 1.")
        table = make_table(_PULL_COLUMNS, pulls)
        blocks.append(Block("Pulls of motions", note, [figure], table, wide=True))
    return blocks


def _median_error(values: NDArray[np.float64]) -> float:
    return 1.2533 * float(np.std(values)) / float(np.sqrt(values.size)) if values.size else np.nan


def visit_block(found: Solution) -> Block:
    """Return what was found of each visit."""
    v, images = found.visits, found.images
    first = np.unique(v["visit"], return_index=True)[1]
    numbers = v["visit"][first].tolist()
    nights = [found.nights.get(number, -1) for number in numbers]
    order = Order.of(numbers, v["mjd"][first].tolist(), nights)
    rows = [_visit_row(v, images, k) for k in np.argsort(order.place(v["visit"]), kind="stable")]
    columns = [
        *_VISIT_COLUMNS,
        *([Column("change of WCS", "median, mas", 2)] if "change" in images else []),
    ]
    return Block(
        "Visits",
        "Turbulence is the scatter in each coordinate beside the errors of centroids; refraction "
        "by colour is how much farther along redder stars are seen.",
        [Picture(visit_trends(v, order, images), "Visits in the order of time.")],
        make_table(columns, rows),
        "Numbers of each visit",
        wide=True,
    )


def _visit_row(v: dict[str, Any], images: dict[str, Any], k: int) -> list[Any]:
    mine = (images["visit"] == v["visit"][k]) & (images["skypix"] == v["skypix"][k])
    number = int(v["n_good"][k] + v["n_rejected"][k])
    return [
        int(v["visit"][k]), int(v["skypix"][k]), str(v["band"][k]),
        int(np.isfinite(images["wcs_error"][mine]).sum()), 1e3 * float(v["offset"][k]),
        float(v["floor"][k]), 1e3 * middle(images["wcs_error"][mine]),
        middle(images["rms"][mine]), middle(images["reserved_rms"][mine]),
        *(float(v[f"dcr_{axis}{e}"][k]) for axis in ("east", "north") for e in ("", "_err")),
        number, 100 * float(v["n_rejected"][k]) / number if number else float("nan"),
        int(v["order"][k]), int(v["group"][k]),
        *([middle(images["change"][mine])] if "change" in images else []),
    ]  # fmt: skip


def lost_block(found: Solution) -> list[Block]:
    """Return the visits without a solution."""
    v = found.visits
    rows = [
        [int(v["visit"][k]), int(v["skypix"][k]), str(v["band"][k]), str(v["reason"][k]) or "–"]
        for k in np.flatnonzero(~v["solved"])
    ]
    return (
        [Block("Visits without a solution", table=make_table(_LOST_COLUMNS, rows))] if rows else []
    )


def outlier_block(found: Solution) -> Block:
    """Return what was rejected, and what is special about stars."""
    s, r = found.stars, found.residuals
    columns = [Column("stars"), *(Column(name) for _, name in _FLAGS), Column("observations"),
               Column("outliers"), Column("of reserved stars"),
               Column("stars with three or more")]  # fmt: skip
    counts = [int(((s["flag"] & bit) > 0).sum()) for bit, _ in _FLAGS]
    row = [
        s["flag"].size, *counts, r["used"].size, int(r["rejected"].sum()),
        int((r["rejected"] & r["reserved"]).sum()), int((s["n_rejected"] >= 3).sum()),
    ]  # fmt: skip
    return Block("Outliers and flags", table=make_table(columns, [row]))


def middle(values: Any) -> float:
    """Return the median of what is finite, NaN if nothing is."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    return float(np.median(finite)) if finite.size else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values)) if values.size else float("nan")
