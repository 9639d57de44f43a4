"""Simulated surveys: truth catalogue, air, telescope, detector, raw frames, calibrations."""
