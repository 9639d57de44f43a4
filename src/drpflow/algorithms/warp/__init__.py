"""Resampling of detectors to a patch of the sky (``docs/algorithms/warp.md``)."""
