"""What the simulated detectors do to the light: every effect with its size and its switch.

The defaults describe a thick, deep-depleted CCD with four amplifiers. They are a little worse
than a good camera, so that each correction has something to prove.
"""

from __future__ import annotations

from pydantic import Field

from drpflow.config.base import StrictModel, param


class Effect(StrictModel):
    """An effect that can be switched off."""

    enabled: bool = param(True, "whether the effect is simulated")


class PixelResponse(Effect):
    """Quantum efficiency: detector to detector, across a detector, pixel to pixel."""

    detector_rms: float = param(0.02, "scatter of the mean efficiency of detectors", ge=0, lt=0.3)
    low_order_rms: float = param(0.012, "smooth variation across a detector", ge=0, lt=0.2)
    filter_rms: float = param(
        0.004, "part of the smooth variation that differs between filters", ge=0, lt=0.2
    )
    pixel_rms: float = param(0.01, "white pixel-to-pixel variation", ge=0, lt=0.1)
    tree_rings: float = param(0.0, "amplitude of tree rings in the response", ge=0, lt=0.1)
    tree_ring_period_pix: float = param(70.0, "their mean distance", unit="pix", gt=4)


class BrighterFatter(Effect):
    """Charge that a pixel holds pushes its boundaries, so that it collects less of the next."""

    area_loss_per_electron: float = param(
        1.7e-6,
        "relative area that a pixel loses to each electron it holds",
        unit="electron-1",
        ge=0,
        lt=1e-5,
    )
    charge_height_pix: float = param(
        0.22, "height of the stored charge above the gates", unit="pix", gt=0.02, lt=2
    )
    thickness_pix: float = param(13.3, "thickness of the sensor", unit="pix", gt=2)
    serial_to_parallel: float = param(
        0.95, "strength at boundaries between columns over that between rows", gt=0.3, lt=3
    )
    range_pix: int = param(16, "farthest pixel that is felt", unit="pix", ge=2, le=64)
    steps: int = param(3, "steps in which the exposure is integrated", ge=1, le=64)


class DarkCurrent(Effect):
    """Thermal charge and hot pixels."""

    rate_electron_s: float = param(0.04, "median dark current", unit="electron s-1", ge=0)
    pixel_rms: float = param(0.2, "scatter of its logarithm from pixel to pixel", ge=0, lt=2)
    glow_electron_s: float = param(
        0.05, "glow of the amplifiers at the corners", unit="electron s-1", ge=0
    )
    hot_fraction: float = param(3e-4, "fraction of pixels that are hot", ge=0, lt=0.1)
    hot_min_electron_s: float = param(0.5, "faintest hot pixel", unit="electron s-1", gt=0)
    hot_max_electron_s: float = param(300.0, "brightest hot pixel", unit="electron s-1", gt=0)


class Defects(Effect):
    """Columns and pixels that do not work."""

    dead_columns: float = param(1.5, "dead columns on 1024 x 1024 pixels", ge=0)
    hot_columns: float = param(1.0, "hot columns on 1024 x 1024 pixels", ge=0)
    dead_spots: float = param(6.0, "groups of insensitive pixels on 1024 x 1024 pixels", ge=0)
    hot_column_electron_s: float = param(
        60.0, "typical extra charge in a hot column", unit="electron s-1", gt=0
    )


class CosmicRays(Effect):
    """Muons, electrons that scatter (worms) and X-rays."""

    rate_cm2_s: float = param(0.6, "hits", unit="cm-2 s-1", ge=0)
    muon_fraction: float = param(0.55, "straight tracks among the hits", ge=0, le=1)
    worm_fraction: float = param(0.2, "scattered electrons among the hits", ge=0, le=1)
    thickness_um: float = param(200.0, "depth of the sensor", unit="um", gt=5)
    diffusion_um: float = param(
        6.0, "rms spread of charge that crosses the whole depth", unit="um", ge=0
    )


class Saturation(Effect):
    """Full well, and charge that bleeds along columns."""

    full_well_electron: float = param(90000.0, "median full well", unit="electron", gt=100)
    pixel_rms: float = param(0.006, "scatter of the full well from pixel to pixel", ge=0, lt=0.1)
    split_at_midline: bool = param(True, "charge does not bleed from one half to the other")


class SerialCti(Effect):
    """Charge left behind in each transfer along the serial register."""

    loss_per_transfer: float = param(3e-6, "fraction left behind", ge=0, lt=1e-3)
    spread: float = param(0.3, "relative scatter between amplifiers", ge=0, lt=1)


class NonLinearity(Effect):
    """Signal that grows less than the charge."""

    at_full_scale: float = param(0.01, "relative loss at full scale", ge=-0.1, lt=0.2)
    spread: float = param(0.25, "relative scatter between amplifiers", ge=0, lt=1)
    wave: float = param(0.0008, "relative amplitude of a wave on top of it", ge=0, lt=0.01)
    full_scale_adu: float = param(60000.0, "signal at full scale", unit="adu", gt=1000)


class Crosstalk(Effect):
    """A copy of each amplifier's signal in those read at the same time."""

    neighbor: float = param(5e-4, "ratio between amplifiers that share a side", ge=0, lt=0.05)
    opposite: float = param(1.5e-4, "ratio between amplifiers across the diagonal", ge=0, lt=0.05)
    spread: float = param(0.3, "relative scatter of the ratios", ge=0, lt=1)


class BiasStructure(Effect):
    """What is left of the bias when the level of each row is gone."""

    ramp_adu: float = param(4.0, "settling at the start of each row", unit="adu", ge=0)
    ramp_length_pix: float = param(25.0, "its decay length", unit="pix", gt=0)
    glow_adu: float = param(2.0, "settling over the first rows", unit="adu", ge=0)
    column_rms_adu: float = param(0.5, "fixed pattern of columns", unit="adu", ge=0)


class BiasDrift(Effect):
    """How the bias level wanders, from exposure to exposure and while it is read."""

    exposure_rms_adu: float = param(3.0, "from exposure to exposure", unit="adu", ge=0)
    row_rms_adu: float = param(1.5, "within an exposure, row to row", unit="adu", ge=0)
    row_length_pix: float = param(120.0, "rows over which it wanders", unit="pix", ge=1)
    common_fraction: float = param(
        0.7, "part of the wandering that all amplifiers share", ge=0, le=1
    )


class Electronics(StrictModel):
    """Amplifiers: how the detector is read and what is always there."""

    serial_prescan_pix: int = param(8, "samples before the first pixel of a row", unit="pix", ge=0)
    serial_overscan_pix: int = param(32, "samples after the last pixel", unit="pix", ge=8)
    parallel_overscan_pix: int = param(16, "rows after the last one", unit="pix", ge=0)
    gain: float = param(1.7, "nominal gain of the series", unit="electron adu-1", gt=0.05)
    gain_spread: float = param(0.02, "scatter of the nominal gains of amplifiers", ge=0, lt=0.2)
    gain_error: float = param(0.01, "scatter of true over nominal gain", ge=0, lt=0.2)
    read_noise_electron: float = param(5.5, "nominal read noise", unit="electron", ge=0)
    read_noise_spread: float = param(0.08, "scatter of true over nominal noise", ge=0, lt=0.5)
    bias_adu: float = param(1200.0, "median bias level", unit="adu", ge=0, lt=60000)
    bias_spread_adu: float = param(80.0, "scatter between amplifiers", unit="adu", ge=0)
    nonlinearity: NonLinearity = Field(default_factory=NonLinearity, description="non-linearity")
    crosstalk: Crosstalk = Field(default_factory=Crosstalk, description="crosstalk")
    bias_structure: BiasStructure = Field(
        default_factory=BiasStructure, description="fixed pattern of the bias"
    )
    bias_drift: BiasDrift = Field(default_factory=BiasDrift, description="wandering bias level")


class CalibrationPlan(StrictModel):
    """The calibration frames that the observatory takes."""

    bias_frames: int = param(25, "bias frames of each detector", ge=3)
    dark_frames: int = param(10, "dark frames of each detector", ge=3)
    dark_exposure_s: float = param(300.0, "length of a dark frame", unit="s", gt=0)
    flat_frames: int = param(10, "flat frames of each detector and filter", ge=4)
    flat_level_electron: float = param(
        36000.0, "their level at the camera's median", unit="electron", gt=100
    )
    lamp_drift: float = param(0.01, "scatter of the lamp", ge=0, lt=0.3)
    lamp_monitor_error: float = param(5e-5, "how well its photodiode follows it", ge=0, lt=0.1)
    ramp_levels: int = param(18, "levels of the exposure-time ramp; two frames each", ge=6)
    ramp_rows: int = param(
        256, "rows on each side that are read in the ramp (windowed readout)", unit="pix", ge=16
    )
    spot_frames: int = param(2, "frames with bright spots, for the crosstalk", ge=1)
    pair_megapixels: float = param(
        40.0,
        "pixels of flat pairs of all detectors that the brighter-fatter kernel is made from; "
        "the flats count, more pairs are taken if need be",
        unit="Mpix",
        gt=0,
    )
    most_pairs: int = param(30, "flat pairs of a detector that are taken for it at most", ge=1)


class DetectorEffects(StrictModel):
    """Everything that happens between the focal plane and the raw file."""

    response: PixelResponse = Field(default_factory=PixelResponse, description="efficiency")
    brighter_fatter: BrighterFatter = Field(
        default_factory=BrighterFatter, description="brighter-fatter effect"
    )
    dark_current: DarkCurrent = Field(default_factory=DarkCurrent, description="dark current")
    defects: Defects = Field(default_factory=Defects, description="defective pixels")
    cosmic_rays: CosmicRays = Field(default_factory=CosmicRays, description="cosmic rays")
    saturation: Saturation = Field(default_factory=Saturation, description="full well and bleeds")
    serial_cti: SerialCti = Field(default_factory=SerialCti, description="charge transfer")
    electronics: Electronics = Field(default_factory=Electronics, description="amplifiers")
    calibrations: CalibrationPlan = Field(
        default_factory=CalibrationPlan, description="calibration frames"
    )
    photon_noise: bool = param(True, "whether photons and dark electrons arrive at random")
    truth_images: bool = param(True, "keep the true images beside the tables")

    @classmethod
    def none(cls) -> DetectorEffects:
        """Return a detector without any effect: true gains nominal, no noise, flat bias."""
        off = {"enabled": False}
        return cls.model_validate(
            {
                **dict.fromkeys(
                    (
                        "response",
                        "brighter_fatter",
                        "dark_current",
                        "defects",
                        "cosmic_rays",
                        "saturation",
                        "serial_cti",
                    ),
                    off,
                ),
                "photon_noise": False,
                "electronics": {
                    **dict.fromkeys(
                        ("nonlinearity", "crosstalk", "bias_structure", "bias_drift"), off
                    ),
                    "gain_error": 0.0,
                    "read_noise_electron": 0.0,
                },
            }
        )
