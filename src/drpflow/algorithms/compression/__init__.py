"""Images in less space: quantised against their own noise, and compared with their originals."""
