"""The final PSF models of a visit, and its stars measured with them."""
