"""The in-memory model: exposures and their components, which know nothing of files."""
