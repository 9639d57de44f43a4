"""A simulated survey: the sky, the telescope and the log, ready to be rendered.

This is the seam between the two halves of the simulator: a survey says how many
photo-electrons each pixel should expect; what the detector makes of them is told elsewhere.
A survey is immutable, small and picklable; each (visit, detector) is rendered independently of
all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from drpflow.sim.astrometry import pixel_to_sky
from drpflow.sim.catalog import build_catalog
from drpflow.sim.dome import dome_illumination
from drpflow.sim.earth import unit_vector
from drpflow.sim.instrument import build_instrument
from drpflow.sim.optics import build_true_optics
from drpflow.sim.placement import place_sources, reference_ratio
from drpflow.sim.pointing import build_log
from drpflow.sim.psf_image import psf_image
from drpflow.sim.scene import render_scene
from drpflow.sim.sed import REFERENCE_TEMPERATURE_K, SedLibrary, build_library
from drpflow.sim.sources import SOURCE_DTYPE, visit_sources
from drpflow.sim.throughput import build_throughputs
from drpflow.sim.transients import build_transients
from drpflow.sim.visit_model import VisitModel, build_visit_model

if TYPE_CHECKING:
    from pathlib import Path

    from drpflow.sim.catalog import Catalog
    from drpflow.sim.config import SurveyConfig
    from drpflow.sim.instrument import Instrument
    from drpflow.sim.optics import TrueOptics
    from drpflow.sim.pointing import VisitTruth
    from drpflow.sim.scene import Scene
    from drpflow.sim.throughput import Throughputs
    from drpflow.sim.transients import Transients


@dataclass(frozen=True)
class Survey:
    """A simulated survey; make one with :meth:`build`.

    Parameters
    ----------
    config
        What it was built from.
    instrument
        The camera as its makers describe it.
    visits
        The observing log, in order of time.
    optics
        The camera as it is.
    sed_library, throughputs
        Spectra and throughput curves.
    catalog, transients
        What is in the sky.
    """

    config: SurveyConfig
    instrument: Instrument
    visits: tuple[VisitTruth, ...]
    optics: TrueOptics
    sed_library: SedLibrary
    throughputs: Throughputs
    catalog: Catalog
    transients: Transients

    @classmethod
    def build(cls, config: SurveyConfig) -> Survey:
        """Draw a survey. The same configuration gives the same survey, to the last bit.

        Raises
        ------
        InputError
            If the field cannot be observed as configured.
        """
        instrument = build_instrument(config.instrument)
        visits = build_log(config, instrument)
        catalog = build_catalog(config, instrument)
        return cls(
            config=config,
            instrument=instrument,
            visits=visits,
            optics=build_true_optics(config, instrument),
            sed_library=build_library(),
            throughputs=build_throughputs(config, instrument),
            catalog=catalog,
            transients=build_transients(config, catalog, visits),
        )

    def visit(self, visit: int) -> VisitTruth:
        """Return one entry of the log.

        Raises
        ------
        KeyError
            If there is no such visit.
        """
        for item in self.visits:
            if item.visit == visit:
                return item
        raise KeyError(f"survey {self.config.name} has no visit {visit}")

    def model(self, visit: int) -> VisitModel:
        """Return everything that the images of one visit depend on."""
        return build_visit_model(
            self.config,
            self.instrument,
            self.optics,
            self.sed_library,
            self.throughputs,
            self.visit(visit),
        )

    def sources(self, visit: int) -> np.ndarray:
        """Return all sources of a visit, of :data:`drpflow.sim.sources.SOURCE_DTYPE`."""
        return visit_sources(self.config, self.catalog, self.transients, self.visit(visit))

    def render(self, visit: int, detector: int) -> Scene:
        """Return the expected photo-electrons on one detector in one visit.

        Included are sources, sky, wings, ghosts, trails and scattered light, through air,
        optics (vignetting too), filter and the CCD's spectral efficiency. Not included is
        anything that pixels, charge or electronics do.
        """
        self.instrument.detector(detector)
        return render_scene(self.model(visit), detector, self.sources(visit))

    def dome_illumination(self, detector: int, physical_filter: str) -> np.ndarray:
        """Return the light of the flat-field screen on a detector, about 1, shape (ny, nx).

        It is in the units of :meth:`render` but for one factor common to the camera.
        """
        self.instrument.filter_named(physical_filter)
        self.instrument.detector(detector)
        return dome_illumination(
            self.config, self.optics, self.throughputs, detector, physical_filter
        )

    def psf_image(
        self,
        visit: int,
        detector: int,
        x: float,
        y: float,
        temperature_k: float = REFERENCE_TEMPERATURE_K,
        size: int = 41,
    ) -> np.ndarray:
        """Return the true image of a star of unit flux, see :mod:`drpflow.sim.psf_image`."""
        return psf_image(self.model(visit), detector, x, y, temperature_k, size)

    def pixel_to_sky(
        self, visit: int, detector: int, x: np.ndarray, y: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where a reference star would have to stand to be imaged at these pixels.

        Returns
        -------
        ra, dec
            ICRS, degrees; as seen from the Earth, without aberration and refraction.
        """
        model = self.model(visit)
        return pixel_to_sky(
            self.optics,
            detector,
            model.geometry,
            np.asarray(x, dtype=float),
            np.asarray(y, dtype=float),
            reference_ratio(model, detector),
        )

    def sky_to_pixel(
        self,
        visit: int,
        detector: int,
        ra_deg: np.ndarray,
        dec_deg: np.ndarray,
        temperature_k: float = REFERENCE_TEMPERATURE_K,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels of point sources of a colour; by default that of the WCS."""
        sources = np.zeros(np.size(ra_deg), SOURCE_DTYPE)
        sources["direction"] = unit_vector(np.ravel(ra_deg), np.ravel(dec_deg))
        sources["sed"] = SedLibrary.star_index(np.array(temperature_k))
        placed = place_sources(self.model(visit), detector, sources)
        shape = np.shape(ra_deg)
        return placed.x.reshape(shape), placed.y.reshape(shape)

    def write_reference(self, path: Path) -> None:
        """Write the reference catalogue (Parquet)."""
        from drpflow.sim.reference import write_reference

        write_reference(self, path)

    def write_throughputs(self, folder: Path) -> None:
        """Write throughput curves (CSV), one a filter and one a filter and detector."""
        from drpflow.sim.truth_tables import write_throughputs

        write_throughputs(self, folder)

    def write_truth(self, folder: Path) -> None:
        """Write the truth tables (Parquet)."""
        from drpflow.sim.truth_tables import write_truth

        write_truth(self, folder)
