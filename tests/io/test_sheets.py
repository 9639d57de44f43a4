"""Sheets come back as written, and faults in them are told with file, row, value and remedy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drpflow.errors import InputError
from drpflow.io.sheets import (
    CalibrationIndex,
    CalibrationRow,
    ExposureRow,
    RejectedRow,
    VisitRow,
    read_calibrations,
    read_exposures,
    read_rejected,
    read_visits,
    write_sheet,
)

VISIT = VisitRow(
    visit=12, night="20250301", physical_filter="r_duo", band="r", exposure_time_s=30.0,
    mjd=60735.16722801, ra_deg=150.0, dec_deg=-30.2, rotation_deg=1.5, airmass=1.05,
    target="a field",
)  # fmt: skip
TEXT = st.text(
    st.characters(categories=("L", "N", "P", "S"), include_characters=" \t"), max_size=12
)
PLACES = st.integers(0, 10**9)


def optional(places: st.SearchStrategy[int], decimals: int) -> st.SearchStrategy[float | None]:
    return st.none() | places.map(lambda n: n / 10**decimals)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            VisitRow,
            visit=st.integers(0, 2**62),
            night=TEXT,
            physical_filter=TEXT,
            band=TEXT,
            exposure_time_s=st.integers(1, 10**9).map(lambda n: n / 10**6),
            mjd=st.integers(1, 10**12).map(lambda n: n / 10**8),
            ra_deg=st.integers(0, 3_599_999_999).map(lambda n: n / 10**7),
            dec_deg=st.integers(-900_000_000, 900_000_000).map(lambda n: n / 10**7),
            rotation_deg=optional(PLACES, 6),
            airmass=optional(PLACES, 5),
            hour_angle_deg=optional(PLACES, 5),
            temperature_c=optional(PLACES, 3),
            pressure_hpa=optional(PLACES, 3),
            humidity_percent=optional(PLACES, 3),
            target=TEXT,
        ),
        unique_by=lambda row: row.visit,
        max_size=5,
    )
)
def test_visits_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[VisitRow]) -> None:
    path = tmp_path_factory.mktemp("sheet") / "visits.tsv"
    write_sheet(path, VisitRow, rows)
    back = read_visits(path)
    assert [r.visit for r in back] == sorted(r.visit for r in rows)
    for ours, theirs in zip(back, sorted(rows), strict=True):
        for name in VisitRow._fields:
            a, b = getattr(ours, name), getattr(theirs, name)
            assert a == (pytest.approx(b, abs=1e-9) if isinstance(b, float) else b)
    write_sheet(path.with_name("again.tsv"), VisitRow, back)
    assert path.with_name("again.tsv").read_bytes() == path.read_bytes()


def test_every_kind_of_row_comes_back(tmp_path: Path) -> None:
    exposures = [
        ExposureRow(12, 2, "a b.fits", "S4", "w.fits", "m.fits"),
        ExposureRow(12, 1, "c", 3),
    ]
    calibrations = [
        CalibrationRow("flat", 2, "r_duo", 60000.0, None, "flat.fits", "FLAT"),
        CalibrationRow("bias", None, "", None, None, "bias.fits"),
    ]
    rejected = [RejectedRow("x.fits", 1, "no good. Mend it.")]
    write_sheet(tmp_path / "e.tsv", ExposureRow, exposures)
    write_sheet(tmp_path / "c.tsv", CalibrationRow, calibrations)
    write_sheet(tmp_path / "r.tsv", RejectedRow, rejected)
    assert read_exposures(tmp_path / "e.tsv") == exposures[::-1]
    assert read_calibrations(tmp_path / "c.tsv") == calibrations[::-1]
    assert read_rejected(tmp_path / "r.tsv") == rejected
    assert read_calibrations(tmp_path / "none.tsv") == []


def test_an_equal_sheet_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "visits.tsv"
    assert write_sheet(path, VisitRow, [VISIT])
    before = path.stat()
    assert not write_sheet(path, VisitRow, [VISIT])
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_sheet_made_by_hand_may_leave_out_columns(tmp_path: Path) -> None:
    path = tmp_path / "visits.tsv"
    path.write_text(
        "\ufeffband\tvisit\tmjd\tra_deg\tdec_deg\texposure_time_s\tphysical_filter\r\n"
        "r\t3\t60000.5\t10\t-5\t30\tr_duo\r\n\r\n"
    )
    assert read_visits(path) == [VisitRow(3, "", "r_duo", "r", 30.0, 60000.5, 10.0, -5.0)]


HEADER = "visit\tphysical_filter\tband\texposure_time_s\tmjd\tra_deg\tdec_deg"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("visit\tphysical_filter\n1\tr\n", "column 'band' is missing"),
        (f"{HEADER}\tairmas\n", "unknown column 'airmas'; did you mean 'airmass'?"),
        (f"{HEADER}\n1\tr\tr\t30\t60000\t10\n", "row 2 has 6 fields, the header line 7"),
        (f"{HEADER}\n1\tr\tr\t30\t60000\t10\t-5\n1\tr\tr\t30\t60000\t10\t-5\n",
         "visit 1 stands in rows 2 and 3"),
        (f"{HEADER}\n1\tr\tr\t30 s\t60000\t10\t-5\n",
         "row 2: column 'exposure_time_s' holds '30 s'. It takes a number"),
        (f"{HEADER}\n1\tr\tr\t30\tnan\t10\t-5\n", "row 2: column 'mjd' holds 'nan'"),
        (f"{HEADER}\n1.5\tr\tr\t30\t60000\t10\t-5\n", "column 'visit' holds '1.5'"),
        (f"{HEADER}\n1\tr\tr\t-1\t60000\t10\t-5\n", "exposure_time_s is -1.0"),
        (f"{HEADER}\n1\tr\tr\t30\t2460000.5\t10\t-5\n", "no Modified Julian Date"),
        (f"{HEADER}\n1\tr\tr\t30\t60000\t10\t-95\n", "dec_deg is -95.0, outside -90 to 90"),
    ],
)  # fmt: skip
def test_faults_of_a_visit_sheet(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "visits.tsv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_visits(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_duplicate_exposures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "exposures.tsv"
    path.write_text("visit\tdetector\tpath\n1\t2\ta.fits\n1\t3\tb.fits\n1\t2\tc.fits\n")
    with pytest.raises(InputError, match="visit 1 detector 2 stands in rows 2 and 4"):
        read_exposures(path)


def test_exposures_belong_to_visits(tmp_path: Path) -> None:
    path = tmp_path / "exposures.tsv"
    path.write_text("visit\tdetector\tpath\n12\t2\ta.fits\n13\t2\tb.fits\n")
    with pytest.raises(InputError, match="row 3: visit 13 is not in the visit sheet"):
        read_exposures(path, [VISIT])


def test_an_absent_sheet_tells_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Run drpflow ingest"):
        read_visits(tmp_path / "visits.tsv")


def test_validity_must_be_a_span(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.tsv"
    path.write_text("kind\tmjd_from\tmjd_until\tpath\nbias\t60001\t60000\tb.fits\n")
    with pytest.raises(InputError, match="no span of time"):
        read_calibrations(path)


def row(
    path: str, detector: int | None = None, physical_filter: str = "",
    since: float | None = None, until: float | None = None, kind: str = "flat",
) -> CalibrationRow:  # fmt: skip
    return CalibrationRow(kind, detector, physical_filter, since, until, path)


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([row("any"), row("r", physical_filter="r_duo")], "r"),
        ([row("any"), row("i", physical_filter="i_duo")], "any"),
        ([row("r", physical_filter="r_duo"), row("both", 2, "r_duo")], "both"),
        ([row("other", 1, "r_duo"), row("any")], "any"),
        ([row("old", 2, since=60000.0), row("new", 2, since=60100.0)], "new"),
        ([row("old", 2, since=60000.0), row("future", 2, since=60200.0)], "old"),
        ([row("past", 2, until=60150.0), row("now", 2, since=60150.0)], "now"),
        ([row("always", 2), row("since", 2, since=59000.0)], "since"),
    ],
)
def test_the_most_specific_calibration_is_taken(rows: list[CalibrationRow], chosen: str) -> None:
    for order in (rows, rows[::-1]):
        found = CalibrationIndex([*order, row("bias.fits", kind="bias")]).select(
            2, "r_duo", 60150.0
        )
        assert found["flat"].path == chosen
        assert found["bias"].path == "bias.fits"


@pytest.mark.parametrize(
    "rows", [[row("a", 2), row("b", 2)], [row("a", 2), row("b", physical_filter="r_duo")]]
)
def test_ambiguous_calibrations_are_named(rows: list[CalibrationRow]) -> None:
    with pytest.raises(InputError, match="a and b are both the flat for detector 2"):
        CalibrationIndex(rows).select(2, "r_duo", 60150.0)
    assert (
        CalibrationIndex([*rows, row("c", 2, "r_duo")]).select(2, "r_duo", 6e4)["flat"].path == "c"
    )


def test_ten_thousand_rows_read_quickly(tmp_path: Path) -> None:
    count = 10_000
    write_sheet(tmp_path / "v.tsv", VisitRow, [VISIT._replace(visit=i) for i in range(count)])
    write_sheet(tmp_path / "e.tsv", ExposureRow, [ExposureRow(i, 1, "x") for i in range(count)])
    seconds = []
    for _ in range(3):
        start = time.process_time()
        rows = read_visits(tmp_path / "v.tsv")
        read_exposures(tmp_path / "e.tsv", rows)
        seconds.append(time.process_time() - start)
    assert len(rows) == count
    assert min(seconds) < 0.2
