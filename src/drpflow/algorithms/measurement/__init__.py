"""Measurement of sources: positions, shapes, fluxes, flags."""
