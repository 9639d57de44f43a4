"""Bias of detrended images against the truth of a simulated survey, amplifier by amplifier.

    drpflow simulate demo-b --output demo-b
    drpflow ingest demo-b/raw --camera demo-b/camera.yaml \
        --calibrations demo-b/calib --output demo-b/sheets
    (a configuration with keep: [post_isr_image]); drpflow run --cores 2
    python benchmarks/accuracy_isr.py demo-b

What isr should make of a frame is the light that fell on it, divided by what its flat saw
beyond the response of the pixels (the unevenness of the dome, which no isr can know).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits

from drpflow import Store
from drpflow.paths import share_root
from drpflow.sim.config import load_survey_config
from drpflow.sim.readout import Readout
from drpflow.sim.survey import Survey


def dome_factors(survey: Survey) -> dict[tuple[int, str], np.ndarray]:
    """Unevenness of the dome relative to the flats' normalisation, by detector and filter."""
    readout = Readout(survey.config.detector, survey.config.seed)
    factors = {}
    for name in {visit.physical_filter for visit in survey.visits}:
        domes = {d.id: survey.dome_illumination(d.id, name) for d in survey.instrument.detectors}
        seen = [readout.response(d, name) * domes[d.id] for d in survey.instrument.detectors]
        level = np.median(seen)
        factors |= {(key, name): dome / level for key, dome in domes.items()}
    return factors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("survey", type=Path, help="folder that drpflow simulate made and ran")
    folder = parser.parse_args().survey
    config = share_root() / f"config/simulations/{folder.name}.yaml"
    survey, store = Survey.build(load_survey_config(config)), Store(folder / "results")
    factors = dome_factors(survey)
    biases, errors, ratios = [], [], []
    for data_id in store.query("post_isr_image"):
        exposure = store.get("post_isr_image", **data_id)
        v, d = data_id["visit"], data_id["detector"]
        light = fits.getdata(folder / f"truth/electrons/visit={v}/electrons_{v}_{d}.fits")
        truth = light / factors[d, exposure.visit_info.physical_filter]
        pull = (exposure.image - truth) / np.sqrt(exposure.variance)
        # Cosmic rays are for a later task; the variance of faint pixels tests the noise model.
        good = (exposure.mask.array == 0) & (np.abs(pull) < 5)
        for amp in exposure.detector.amplifiers:
            x0, x1, y0, y1 = amp.data_section
            box = slice(y0, y1), slice(x0, x1)
            off = (exposure.image - truth)[box][good[box]]
            biases.append(off.mean() / amp.read_noise)
            errors.append(off.std() / np.sqrt(off.size) / amp.read_noise)
            faint = good[box] & (truth[box] < np.percentile(truth[box], 70))
            scatter = (exposure.image - truth)[box][faint].var()
            ratios.append(scatter / exposure.variance[box][faint].mean())
    bias, ratio = np.abs(biases), np.array(ratios)
    print(f"{folder.name}: {bias.size} amplifiers")
    print(f"  |bias| / read noise: median {np.median(bias):.3f}, worst {bias.max():.3f}", end="")
    print(f", 95 % below {np.percentile(bias, 95):.3f}; statistical {np.median(errors):.3f}")
    print(f"  variance of pixels / variance plane: mean {ratio.mean():.4f}", end="")
    print(f" ± {ratio.std() / np.sqrt(ratio.size):.4f}, {ratio.min():.3f} to {ratio.max():.3f}")


if __name__ == "__main__":
    main()
