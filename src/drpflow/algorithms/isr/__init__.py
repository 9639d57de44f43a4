"""Instrument signature removal: one module a step, each a pure function of arrays."""
