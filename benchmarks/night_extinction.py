"""The extinction of nights: by the air of the fit, and by zero points against airmass.

Part of night_photometry.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drpflow.algorithms.photometric_input import sec_z
from drpflow.qa.air_data import nights_of
from drpflow.qa.photometry_data import PHOTOMETRIC, read_photometry

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from drpflow.io.store import Store
    from drpflow.qa.photometry_data import Photometry

    Floats = NDArray[np.float64]

MIN_VISITS = 5
MIN_AIRMASSES = 0.2
"""Photometric visits of a night, and their range, for a straight line."""
MIN_SHARED = 10
"""Photometric visits of a night for a correlation of what their stars share."""
BRIGHT_SNR = 100.0
_LEAST_TAU = 1e-4


@dataclass(frozen=True, eq=False)
class Visits:
    """Rows of zero points of a run (N) in the band of the first.

    Parameters
    ----------
    of
        The calibration.
    points
        Columns of ``fgcm_zero_points``.
    band
        The band.
    airmass, hours
        sec z and time of each row, NaN where they are not known.
    clear
        Photometric ones with a zero point, airmass and time.
    """

    of: Photometry
    points: dict[str, NDArray[Any]]
    band: str
    airmass: Floats
    hours: Floats
    clear: NDArray[np.bool_]


@dataclass(frozen=True)
class Night:
    """The extinction of a night.

    Parameters
    ----------
    night, visits, photometric
        Date, number of visits, and of those that are photometric.
    airmass
        Range of the photometric visits, or of all if there is none; NaN where it is not known.
    tau
        Aerosol depth by fgcm, with its error.
    extinction
        mag per airmass, of fgcm's air at the middle of the night from airmass 1 to 2, with an
        error that takes those of the air's parameters as independent.
    line, drifting
        Slope of the photometric visits' zero points with airmass, mag, with its error: of a
        straight line, and of one that drifts with time; NaN for few.
    """

    night: int
    visits: int
    photometric: int
    airmass: tuple[float, float]
    tau: tuple[float, float]
    extinction: tuple[float, float]
    line: tuple[float, float]
    drifting: tuple[float, float]


def read_visits(store: Store) -> Visits:
    """Return the zero points with time and airmass, in the band of the first."""
    found = read_photometry(store)
    assert found is not None
    band = str(found.zero_points["band"][0])
    mine = found.zero_points["band"] == band
    points = {name: values[mine] for name, values in found.zero_points.items()}
    infos = [found.visits.get(int(v)) for v in points["visit"]]
    airmass = np.array([np.nan if i is None else sec_z(i) for i in infos])
    hours = np.array([24 * found.mjd(int(v)) for v in points["visit"]])
    clear = (points["flag"] & PHOTOMETRIC) > 0
    clear &= np.isfinite(points["zero_point"] + airmass + hours)
    return Visits(found, points, band, airmass, hours, clear)


def read_nights(store: Store, visits: Visits) -> list[Night]:
    """Return the extinction of all nights."""
    nights = []
    for night in nights_of(visits.of, store.get("fgcm_look_up_table")):
        here = visits.points["night"] == night.night
        own = here & visits.clear
        used = visits.airmass[own if own.any() else here]
        x, hours, zero_point = (
            values[own] for values in (visits.airmass, visits.hours, visits.points["zero_point"])
        )
        nights.append(
            Night(
                night.night, night.visits, int(own.sum()),
                (float(used.min()), float(used.max())) if used.size else (np.nan, np.nan),
                night.values["aerosol_tau"], night.extinction[visits.band],
                line_extinction(x, zero_point), line_extinction(x, zero_point, hours),
            )
        )  # fmt: skip
    return nights


def line_extinction(
    airmass: Floats, zero_point: Floats, hours: Floats | None = None
) -> tuple[float, float]:
    """Return minus the slope of zero points with airmass, and its error by the scatter about it.

    Where a field sets, airmass grows with time: a straight line takes all that changes in the night
    for extinction. With `hours` the line drifts with time too.
    """
    if airmass.size < MIN_VISITS or np.ptp(airmass) < MIN_AIRMASSES:
        return float("nan"), float("nan")
    columns = [np.ones_like(airmass), -airmass]
    if hours is not None:
        columns.append(hours - hours.mean())
    design = np.column_stack(columns)
    if np.linalg.matrix_rank(design) < len(columns):
        return float("nan"), float("nan")
    found = np.linalg.lstsq(design, zero_point, rcond=None)[0]
    rest = zero_point - design @ found
    variance = rest @ rest / (airmass.size - len(columns))
    covariance = variance * np.linalg.inv(design.T @ design)
    return float(found[1]), float(np.sqrt(covariance[1, 1]))


def print_nights(nights: list[Night]) -> None:
    """Print the extinction of all nights."""
    print(
        "| night | visits | photometric | airmass | τ | air of the fit | straight line | drifting |"
    )
    print("|---" * 8 + "|")
    for n in nights:
        told = [_with_error(v) if n.photometric else "" for v in (n.tau, n.extinction)]
        lines = [_with_error(v) for v in (n.line, n.drifting)]
        low, high = n.airmass
        numbers = f"{n.night} | {n.visits} | {n.photometric} | {low:.2f} to {high:.2f}"
        print(f"| {numbers} | {' | '.join([*told, *lines])} |")


def _with_error(value: tuple[float, float]) -> str:
    return f"{value[0]:.3f} ± {value[1]:.3f}" if np.isfinite(value[0]) else ""


def plot_nights(nights: list[Night], path: Path) -> None:
    """Draw the extinction of the nights that have a photometric visit."""
    from matplotlib.figure import Figure as Canvas

    shown = [n for n in nights if n.photometric]
    figure = Canvas(figsize=(7.0, 3.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    x = np.arange(len(shown))
    for shift, marker, color, name, values in (
        (0.0, "o", "#20639b", "air of the fit", [n.extinction for n in shown]),
        (0.2, "s", "#c8553d", "zero points against airmass", [n.line for n in shown]),
        (0.4, "D", "#2b7a4b", "the same with a drift", [n.drifting for n in shown]),
    ):
        value, error = np.array(values).T
        axes.errorbar(
            x + shift, value, error, fmt=marker, color=color, capsize=2, label=name, markersize=5
        )
    axes.set_xticks(x, [f"{str(n.night)[4:6]}-{str(n.night)[6:]}" for n in shown], rotation=60)
    axes.set_ylabel("extinction, mag per airmass")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def print_terms(store: Store, visits: Visits, nights: list[Night]) -> None:
    """Print of what the slopes of straight lines consist.

    *Air* is that at the middle of the night, *drift* what the growth of its aerosols adds, *gray*
    what the fit takes for the visit's own; the rest is that of the instrument. Last, how airmass
    and time go together.
    """
    print(
        "| night | slope | air | drift | gray | rest | τ an hour | airmass and time go together |"
    )
    print("|---" * 8 + "|")
    for night in nights:
        if np.isfinite(night.line[0]):
            terms = line_terms(store, visits, night.night)
            cells = [f"{v:.3f}" for v in terms[:5]]
            print(f"| {night.night} | {' | '.join(cells)} | {terms[5]:.4f} | {terms[6]:.2f} |")


def line_terms(store: Store, visits: Visits, night: int) -> tuple[float, ...]:
    """Return the slope of a night's straight line, its four parts, τ an hour and a correlation."""
    own = visits.points["night"] == night
    middle = visits.hours[own].mean()
    own &= visits.clear
    x, hours = visits.airmass[own], visits.hours[own] - middle
    p = visits.of.parameters
    mine = (p["night"] == night) & (p["physical_filter"] == "")
    air = dict(zip(p["name"][mine].tolist(), p["value"][mine].tolist(), strict=True))
    table = store.get("fgcm_look_up_table")
    drifted = air["aerosol_tau"] + air["aerosol_tau_slope"] * hours

    def loss(tau: Floats) -> Floats:
        state = np.exp(air["ln_pwv"]), air["ozone"], np.maximum(tau, _LEAST_TAU)
        pressure = table.standard_atmosphere.pressure_hpa
        i0 = table.evaluate(visits.band, 0, *state, air["aerosol_alpha"], x, pressure).i0
        return np.asarray(-2.5 * np.log10(i0))

    steady = loss(np.full(x.size, air["aerosol_tau"]))
    parts = (
        _slope(x, -visits.points["zero_point"][own]),
        _slope(x, steady),
        _slope(x, loss(drifted) - steady),
        _slope(x, -visits.points["gray"][own]),
    )
    rest = parts[0] - sum(parts[1:])
    together = float(np.corrcoef(x, hours)[0, 1])
    return (*parts, rest, float(air["aerosol_tau_slope"]), together)


def _slope(x: Floats, y: Floats) -> float:
    off = x - x.mean()
    return float(off @ y / (off @ off))


def print_shared(store: Store, visits: Visits) -> None:
    """Print how the gray of a night's photometric visits goes with their aperture corrections.

    For what stands in for the latter: the median over bright isolated stars of the difference of
    PSF and 12-pixel magnitudes.
    """
    difference = aperture_differences(store)
    print(
        "| night | visits | gray, rms, mmag | largest step | correlation with PSF less aperture |"
    )
    print("|---" * 5 + "|")
    for night in np.unique(visits.points["night"]):
        own = np.flatnonzero(visits.clear & (visits.points["night"] == night))
        own = own[np.argsort(visits.hours[own])]
        if own.size < MIN_SHARED:
            continue
        gray = 1e3 * visits.points["gray"][own]
        off = np.array([difference.get(int(v), np.nan) for v in visits.points["visit"][own]])
        known = np.isfinite(off)
        together = np.corrcoef(gray[known], off[known])[0, 1]
        step = np.abs(np.diff(gray)).max()
        print(f"| {night} | {own.size} | {gray.std():.1f} | {step:.0f} | {together:.2f} |")


def aperture_differences(store: Store) -> dict[int, float]:
    """Return by visit the median of PSF less 12-pixel magnitudes of bright isolated stars."""
    names = ["visit"]
    names += [f"{f}_{p}" for f in ("psfFlux", "ap12Flux") for p in ("instFlux", "flag")]
    names += ["ap12Flux_instFluxErr"]
    parts = [
        store.get("isolated_stars_source", columns=names, **item).to_dict()
        for item in store.query("isolated_stars_source")
    ]
    columns = {n: np.concatenate([part[n] for part in parts]) for n in names}
    aperture, psf = columns["ap12Flux_instFlux"], columns["psfFlux_instFlux"]
    good = (aperture > BRIGHT_SNR * columns["ap12Flux_instFluxErr"]) & (psf > 0)
    good &= ~columns["psfFlux_flag"] & ~columns["ap12Flux_flag"]
    visit, off = columns["visit"][good], -2.5 * np.log10(psf[good] / aperture[good])
    return {int(v): float(np.median(off[visit == v])) for v in np.unique(visit)}


__all__ = [
    "Night",
    "aperture_differences",
    "line_extinction",
    "line_terms",
    "plot_nights",
    "print_nights",
    "print_shared",
    "print_terms",
    "read_nights",
    "read_visits",
]
