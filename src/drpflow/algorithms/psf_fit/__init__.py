"""A model of the point spread function from pixels of stars."""

from drpflow.algorithms.psf_fit.fit import PsfFit, fit_psf

__all__ = ["PsfFit", "fit_psf"]
