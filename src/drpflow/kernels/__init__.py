"""numba loops over arrays; nothing here knows of files, configs or components."""
