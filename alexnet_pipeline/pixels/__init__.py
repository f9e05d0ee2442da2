"""Pixels: decode images, resample them to a fixed size and encode them."""
