"""What a simulated survey consists of: the model behind ``config/simulations/*.yaml``.

One section per effect. An effect is switched off by ``enabled: false`` where a section has
that key, else by an amplitude (or a number of objects) of zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from drpflow.config.base import StrictModel, param, validate
from drpflow.errors import InputError
from drpflow.sim.detector_config import DetectorEffects

Fraction = Annotated[float, Field(ge=0, le=1)]


class FilterConfig(StrictModel):
    """A filter: a trapezium with smooth edges."""

    physical_filter: str = param(..., "name, as in headers")
    band: str = param(..., "short band name")
    lower_nm: float = param(..., "half-power point on the blue side", unit="nm", gt=300)
    upper_nm: float = param(..., "half-power point on the red side", unit="nm", lt=1100)
    edge_nm: float = param(3.0, "width of the edges", unit="nm", gt=0)
    peak: float = param(0.95, "transmission between the edges", gt=0, le=1)
    sky_mag: float = param(
        ..., "dark-sky brightness at the zenith, AB", unit="mag arcsec-2", ge=10, le=30
    )


class OpticsConfig(StrictModel):
    """Nominal optics (told to the pipeline) and how far the true ones are from them."""

    plate_scale_arcsec_per_mm: float = param(40 / 3, "at the centre", unit="arcsec mm-1", gt=0)
    radius_mm: float = param(20.0, "normalising radius of the distortion", unit="mm", gt=0)
    radial: tuple[float, ...] = param((3e-4, 2e-5), "nominal distortion k3, k5, …")
    radial_error: Fraction = param(0.03, "relative error of the nominal distortion")
    scale_error: float = param(1e-4, "relative error of the nominal plate scale", ge=0)
    detector_shift_um: float = param(8.0, "rms misplacement of a detector", unit="um", ge=0)
    detector_turn_deg: float = param(0.01, "rms misrotation of a detector", unit="deg", ge=0)
    static_mas: float = param(
        30.0, "rms of each detector's own static distortion (cubic)", unit="mas", ge=0
    )
    flexure_mas: float = param(
        20.0, "rms of each visit's smooth distortion (quadratic)", unit="mas", ge=0
    )
    vignetting: float = param(0.12, "light lost at radius_mm", ge=0, lt=0.8)


class InstrumentConfig(StrictModel):
    """Telescope and mosaic."""

    name: str = param("simcam", "camera name", pattern=r"^[a-z0-9_]+$")
    telescope: str = param("drpflow simulator", "telescope name, as in headers")
    observatory: str = param("Cerro Simulado", "name")
    longitude_deg: float = param(-70.75, "east positive", unit="deg", ge=-180, le=360)
    latitude_deg: float = param(-30.24, "north positive", unit="deg", ge=-90, le=90)
    elevation_m: float = param(2650.0, "height", unit="m")
    columns: int = param(2, "detectors along x", ge=1)
    rows: int = param(2, "detectors along y", ge=1)
    detector_size_pix: tuple[int, int] = param((1024, 1024), "columns, rows", unit="pix")
    pixel_size_mm: float = param(0.015, "pixel pitch", unit="mm", gt=0)
    gap_mm: float = param(1.0, "gap between detectors", unit="mm", ge=0)
    rotations_deg: tuple[float, ...] = param(
        (0.0,), "nominal turn of the detectors, repeated as needed", unit="deg"
    )
    collecting_area_m2: float = param(5.0, "unobstructed aperture", unit="m2", gt=0)
    optics: OpticsConfig = Field(default_factory=OpticsConfig)
    filters: tuple[FilterConfig, ...] = param(..., "the filters", min_length=1)


class NightConfig(StrictModel):
    """One night's visits."""

    day: int = param(..., "days after the first night", unit="d", ge=0)
    bands: tuple[str, ...] = param(..., "the bands of its visits, in order", min_length=1)


class SpecialVisit(StrictModel):
    """What is out of the ordinary in one visit; a key left out keeps the ordinary value."""

    visit: int = param(..., "visit number")
    exposure_time_s: float | None = param(None, "exposure time", unit="s", gt=0)
    cloud_mag: float | None = param(None, "mean extinction by cloud", unit="mag", ge=0)
    pointing_error_arcsec: float | None = param(None, "header pointing off by", unit="arcsec", ge=0)
    rotation_error_deg: float | None = param(None, "header rotation off by", unit="deg")
    seeing_arcsec: float | None = param(
        None, "zenith seeing (FWHM) at 500 nm", unit="arcsec", gt=0.2
    )
    trails: int | None = param(None, "satellite trails", ge=0)
    empty_detectors: tuple[int, ...] = param((), "detectors that see sky only, no source")


class ObservingConfig(StrictModel):
    """Where and when the telescope looks."""

    target: str = param("FIELD", "field name, as in headers")
    ra_deg: float = param(..., "centre of the field", unit="deg", ge=0, lt=360)
    dec_deg: float = param(..., "centre of the field", unit="deg", ge=-90, le=90)
    first_night: str = param(..., "evening date of the first night, YYYY-MM-DD")
    first_visit: int = param(1, "number of the first visit", ge=1)
    nights: tuple[NightConfig, ...] = param(..., "the nights", min_length=1)
    exposure_time_s: float = param(30.0, "ordinary exposure time", unit="s", gt=0)
    hour_angle_range_deg: tuple[float, float] = param(
        (-50.0, 50.0), "each night's visits spread over it", unit="deg"
    )
    dither_arcsec: float = param(60.0, "radius of the dither", unit="arcsec", ge=0)
    rotations_deg: tuple[float, ...] = param((0.0,), "position angles, taken in turn", unit="deg")
    rotation_jitter_deg: float = param(2.0, "rms added to them", unit="deg", ge=0)
    pointing_error_arcsec: float = param(
        3.0, "rms error of header pointings per axis", unit="arcsec", ge=0
    )
    rotation_error_deg: float = param(0.02, "rms error of header rotations", unit="deg", ge=0)
    special: tuple[SpecialVisit, ...] = param((), "visits out of the ordinary")

    @model_validator(mode="after")
    def _special_exist(self) -> ObservingConfig:
        last = self.first_visit + sum(len(night.bands) for night in self.nights) - 1
        for item in self.special:
            if not self.first_visit <= item.visit <= last:
                raise ValueError(f"special visit {item.visit} is not in {self.first_visit}…{last}")
        return self


class StarConfig(StrictModel):
    """Stars: counts, kinds, motions."""

    density_per_arcmin2: float = param(
        4.5, "stars brighter than density_mag", unit="arcmin-2", ge=0
    )
    density_mag: float = param(20.0, "magnitude (r) of that density", unit="mag")
    bright_mag: float = param(11.0, "brightest star (r)", unit="mag")
    faint_mag: float = param(24.5, "faintest star (r)", unit="mag")
    count_slope: float = param(0.21, "d log10 (dN/dm) / dm up to density_mag", unit="mag-1", gt=0)
    slope_change: float = param(-0.075, "change of that slope per magnitude beyond", unit="mag-2")
    variable_fraction: Fraction = param(0.05, "share of variable stars")
    variable_amplitude_mag: float = param(0.15, "median semi-amplitude", unit="mag", ge=0)
    proper_motions: bool = param(True, "stars move")
    parallaxes: bool = param(True, "stars show parallax")


class GalaxyConfig(StrictModel):
    """Galaxies: Sérsic disc and bulge."""

    density_per_arcmin2: float = param(24.0, "galaxies brighter than faint_mag", unit="arcmin-2")
    bright_mag: float = param(16.5, "brightest (r)", unit="mag")
    faint_mag: float = param(24.3, "faintest (r)", unit="mag")
    count_slope: float = param(0.36, "d log10 N / dm", unit="mag-1", gt=0)
    low_surface_brightness: int = param(1, "large diffuse galaxies in the field", ge=0)


class TransientConfig(StrictModel):
    """Point sources that were not there before, and those that move."""

    supernovae: int = param(12, "on galaxies over the survey", ge=0)
    flares: int = param(8, "seen in one visit only", ge=0)
    peak_mag: tuple[float, float] = param((18.5, 23.0), "range of peak r magnitudes", unit="mag")
    asteroids_per_night: int = param(6, "moving objects near the field a night", ge=0)
    asteroid_rate_arcsec_per_hour: tuple[float, float] = param(
        (10.0, 60.0), "range of rates", unit="arcsec h-1"
    )


class PsfConfig(StrictModel):
    """Atmosphere and optics as they blur."""

    seeing_arcsec: tuple[float, float] = param(
        (0.56, 0.96), "range of the visits' zenith seeing at 500 nm", unit="arcsec"
    )
    wavelength_exponent: float = param(-0.2, "FWHM ∝ wavelength to this power")
    airmass_exponent: float = param(0.6, "FWHM ∝ airmass to this power")
    atmospheric_ellipticity: float = param(
        0.012, "rms per component for a 30 s exposure", ge=0, lt=0.2
    )
    atmospheric_ellipticity_arcmin: float = param(
        5.0, "length over which it changes", unit="arcmin", gt=0
    )
    optics_fwhm_arcsec: float = param(0.25, "diffraction, polish, charge diffusion", unit="arcsec")
    defocus_arcsec: float = param(
        0.14, "rms geometric spot radius by a visit's focus error", unit="arcsec", ge=0
    )
    tilt_arcsec: float = param(
        0.08, "change of that radius from centre to radius_mm", unit="arcsec", ge=0
    )
    astigmatism_arcsec: float = param(0.10, "spot radius at radius_mm", unit="arcsec", ge=0)
    coma_arcsec: float = param(0.08, "cube root of the coma's third moment", unit="arcsec", ge=0)
    jitter_arcsec: float = param(0.08, "rms of the guiding, along one axis", unit="arcsec", ge=0)


class TurbulenceConfig(StrictModel):
    """Displacement of images by the atmosphere, coherent over arcminutes."""

    rms_mas: float = param(5.0, "per coordinate, at reference_exposure_s", unit="mas", ge=0)
    reference_exposure_s: float = param(30.0, "rms falls as 1/√time", unit="s", gt=0)
    coherence_arcmin: float = param(
        3.0, "separation at which correlation is 1/e", unit="arcmin", gt=0
    )
    curl_fraction: Fraction = param(0.1, "share of the power that is not a gradient")


class AtmosphereConfig(StrictModel):
    """Nightly transmission, clouds and refraction."""

    extinction: bool = param(True, "the air takes light")
    refraction: bool = param(True, "differential refraction, by position and colour")
    aberration: bool = param(True, "annual aberration changes the scale")
    water_mm: tuple[float, float] = param((1.0, 9.0), "range of nightly water vapour", unit="mm")
    aerosol_depth: tuple[float, float] = param((0.02, 0.15), "range at 550 nm and airmass 1")
    ozone_dobson: tuple[float, float] = param((240.0, 310.0), "range of ozone", unit="DU")
    cloud_structure: Fraction = param(
        0.2, "rms of a cloud's extinction over the field, relative to its mean"
    )
    cloud_arcmin: float = param(5.0, "size of cloud patches", unit="arcmin", gt=0)


class SkyConfig(StrictModel):
    """Light that comes from no source."""

    brightness_scatter_mag: float = param(0.25, "rms from visit to visit", unit="mag", ge=0)
    gradient: float = param(0.03, "rms relative change from centre to radius_mm", ge=0)
    scattered: float = param(0.02, "additive pattern fixed to the camera, relative to the sky")


class ArtifactConfig(StrictModel):
    """Light that falls where it should not."""

    trails_per_visit: float = param(0.8, "mean number of satellite trails over the camera", ge=0)
    trail_mag_per_arcsec2: tuple[float, float] = param(
        (19.5, 22.5), "range of peak surface brightness, AB", unit="mag arcsec-2"
    )
    ghosts: bool = param(True, "rings from reflections of bright stars")
    ghost_mag: float = param(13.5, "stars brighter than this have them", unit="mag")
    ghost_fraction: float = param(6e-3, "share of the star's light in its ghosts", ge=0, lt=0.1)
    aureole: bool = param(True, "power-law wings of every star")
    aureole_fraction: float = param(0.02, "share of the light in them", ge=0, lt=0.3)
    aureole_core_arcsec: float = param(4.0, "where they begin to fall as r^-2", unit="arcsec", gt=0)
    aureole_edge_arcsec: float = param(150.0, "where they end", unit="arcsec", gt=0)
    spikes: bool = param(True, "diffraction spikes of the spider")
    spike_fraction: float = param(0.004, "share of the light in the spikes", ge=0, lt=0.1)


class DomeConfig(StrictModel):
    """How flat-field light differs from the light of the sky."""

    screen_gradient: float = param(0.03, "unevenness of the screen over radius_mm", ge=0)
    stray_light: float = param(0.015, "reflected light at the centre of the camera", ge=0)
    lamp_temperature_k: float = param(3000.0, "colour temperature of the lamp", unit="K", gt=1000)


class ReferenceConfig(StrictModel):
    """The Gaia-like reference catalogue."""

    epoch_mjd: float = param(57388.5, "epoch of positions, TAI", unit="d")
    bright_mag: float = param(12.0, "brightest entry (r)", unit="mag")
    faint_mag: float = param(20.5, "faintest entry (r)", unit="mag")
    missing_fraction: Fraction = param(0.04, "share of stars left out at random")
    resolution_arcsec: float = param(0.7, "closer pairs lose the fainter star", unit="arcsec", ge=0)
    position_floor_mas: float = param(0.05, "smallest position error", unit="mas", ge=0)
    flux_floor: float = param(0.003, "smallest relative flux error", ge=0)
    passband_shift_nm: dict[str, float] = Field(
        default_factory=dict,
        description="the catalogue's passbands against the camera's, by band",
        json_schema_extra={"unit": "nm"},
    )


class SurveyConfig(StrictModel):
    """A simulated survey."""

    name: str = param(..., "name of the survey", pattern=r"^[A-Za-z0-9_-]+$")
    description: str = param("", "one line")
    seed: int = param(..., "everything random follows from it", ge=0)
    instrument: InstrumentConfig = param(..., "telescope and camera")
    observing: ObservingConfig = param(..., "field and visits")
    stars: StarConfig = Field(default_factory=StarConfig)
    galaxies: GalaxyConfig = Field(default_factory=GalaxyConfig)
    transients: TransientConfig = Field(default_factory=TransientConfig)
    psf: PsfConfig = Field(default_factory=PsfConfig)
    turbulence: TurbulenceConfig = Field(default_factory=TurbulenceConfig)
    atmosphere: AtmosphereConfig = Field(default_factory=AtmosphereConfig)
    sky: SkyConfig = Field(default_factory=SkyConfig)
    artifacts: ArtifactConfig = Field(default_factory=ArtifactConfig)
    dome: DomeConfig = Field(default_factory=DomeConfig)
    reference: ReferenceConfig = Field(default_factory=ReferenceConfig)
    detector: DetectorEffects = Field(default_factory=DetectorEffects)

    @model_validator(mode="after")
    def _bands_exist(self) -> SurveyConfig:
        known = {item.band for item in self.instrument.filters}
        for night in self.observing.nights:
            unknown = set(night.bands) - known
            if unknown:
                raise ValueError(f"no filter has band {unknown.pop()!r}; there are {sorted(known)}")
        return self


def load_survey_config(path: Path | str) -> SurveyConfig:
    """Read and check a simulation file.

    A file may name another one under ``base`` (a path relative to itself): its own keys are
    laid over that file's, section by section.

    Raises
    ------
    InputError
        If the file cannot be read, is not YAML or does not describe a survey.
    """
    return validate(SurveyConfig, _read(Path(path), ()), path)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, object]:
    """Return the mapping in a file, laid over the one that it names as its base."""
    import yaml

    if path.resolve() in seen:
        raise InputError(path, "its 'base' leads back to itself", "Name another file as base")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            path, f"cannot be read ({error.strerror})", "Name a file of config/simulations"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(path, f"is not YAML: {first}", "Mend the file") from None
    if not isinstance(values, dict):
        raise InputError(path, "holds no keys", "Start from config/simulations/tiny.yaml")
    base = values.pop("base", None)
    if base is None:
        return values
    return _overlay(_read(path.parent / str(base), (*seen, path.resolve())), values)


def _overlay(base: dict[str, object], values: dict[str, object]) -> dict[str, object]:
    """Lay `values` over `base`; mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in values.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _overlay(below, value)
        else:
            merged[key] = value
    return merged
