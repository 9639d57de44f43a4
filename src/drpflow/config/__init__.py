"""Validated configuration: one model per section, each parameter with unit, text and default."""
