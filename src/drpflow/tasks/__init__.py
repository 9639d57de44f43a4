"""The tasks: which algorithms, in which order; objects in, objects out."""
