"""Coadds: the static sky, what moves or flashes, the weighted mean without it."""
