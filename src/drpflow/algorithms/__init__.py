"""Pure functions of arrays and of the in-memory model, by task."""
