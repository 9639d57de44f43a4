"""Matching of two PSF models, and the convolution that makes an image have the other PSF."""
