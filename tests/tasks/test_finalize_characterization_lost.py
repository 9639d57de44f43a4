"""A visit none of whose images can be read has no PSF, and says why."""

from __future__ import annotations

import pytest

from drpflow.config.final_psf import FinalPsfConfig
from drpflow.config.finalize_characterization import FinalizeCharacterizationConfig
from drpflow.errors import AlgorithmError
from drpflow.tasks.finalize_characterization import finalize_characterization
from tests.tasks.characterized_visit import make_visit


@pytest.mark.parametrize("method", ["focal_plane", "detectors"])
def test_no_image_can_be_read(method: str) -> None:
    made = make_visit((12,), 4, lost=(0,))
    config = FinalizeCharacterizationConfig(psf=FinalPsfConfig(method=method, iterations=2))
    with pytest.raises(AlgorithmError, match=r"no detector of the visit has a PSF: .*cannot be"):
        finalize_characterization(made.visit, made.exposure, config)
