"""Measure how slopes of spectra inside a band follow from colours: fgcm's ``sensitivity``.

Run ``python benchmarks/stellar_slopes.py [--spectra FOLDER]``. The folder holds text files with the
columns wavelength [Å] and f_λ. Without one, the measured spectra that come with GalSim serve: Vega
(HST CALSPEC) and four stellar populations, from young to old (Coleman, Wu & Weedman 1980). They
have no M dwarfs, whose TiO bands bend the red bands.

Inside a band the slope is the one that tells what happens to a magnitude if the passband tilts,
F = Cov(f_ν, λ) / (Var(λ) <f_ν>) with the passband's photons as weights; between bands it is that of
``spectral_slopes``. The sensitivity is how the first grows with the second over the spectra: a
constant difference is in the zero points.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from drpflow.algorithms.fgcm.nominal_passbands import nominal_passband
from drpflow.algorithms.fgcm.slopes import spectral_slopes

# Effective wavelengths of LSST (Ivezić et al. 2019, ApJ 873, 111).
BANDS_NM = {"u": 368.0, "g": 482.0, "r": 622.0, "i": 754.0, "z": 869.0, "y": 971.0}
WAVELENGTH_NM = np.arange(320.0, 1040.0, 0.5)


def read_spectra(folder: Path | None) -> dict[str, np.ndarray]:
    """Return f_ν of the spectra on `WAVELENGTH_NM`, by name."""
    unit_nm = {}
    if folder is None:
        import galsim

        folder = Path(galsim.meta_data.share_dir) / "SEDs"
        files = [folder / "vega.txt", *sorted(folder.glob("CWW_*_ext.sed"))]
        unit_nm[files[0]] = 1.0
    else:
        files = sorted(folder.iterdir())
    out = {}
    for file in files:
        wavelength, flux = np.loadtxt(file, usecols=(0, 1), unpack=True)
        wavelength_nm = unit_nm.get(file, 0.1) * wavelength
        out[file.name] = np.interp(WAVELENGTH_NM, wavelength_nm, flux) * WAVELENGTH_NM**2
    return out


def slopes(f_nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes [1/nm] inside the bands and between them, shape (spectra, bands)."""
    curves = [nominal_passband(b, b, center)[0] for b, center in BANDS_NM.items()]
    photons = np.array([np.interp(WAVELENGTH_NM, *c, left=0, right=0) for c in curves])
    photons /= WAVELENGTH_NM
    photons /= photons.sum(axis=1, keepdims=True)
    middle = photons @ WAVELENGTH_NM
    away = WAVELENGTH_NM - middle[:, None]
    light = f_nu @ photons.T
    inside = f_nu @ (photons * away).T / (photons * away**2).sum(axis=1) / light
    none = np.ones(len(BANDS_NM))
    return inside, spectral_slopes(-2.5 * np.log10(light), middle, none, 0.0)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=Path, help="folder of spectra")
    spectra = read_spectra(parser.parse_args().spectra)
    inside, between = slopes(np.array(list(spectra.values())))
    print("1000 / nm inside | between: " + ", ".join(BANDS_NM))
    for name, a, b in zip(spectra, 1e3 * inside, 1e3 * between, strict=True):
        print(f"{name:20s}" + "".join(f"{x:7.2f} |{y:6.2f}" for x, y in zip(a, b, strict=True)))
    a, b = inside - inside.mean(axis=0), between - between.mean(axis=0)
    found = (a * b).sum(axis=0) / (b * b).sum(axis=0)
    scatter = np.sqrt(((a - found * b) ** 2).sum(axis=0) / (len(a) - 2) / (b * b).sum(axis=0))
    for band, value, error in zip(BANDS_NM, found, scatter, strict=True):
        print(f"{band}: {value:.2f} ± {error:.2f}")


if __name__ == "__main__":
    main()
