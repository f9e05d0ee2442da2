"""Baseline JPEG, the kind that nearly all photographs are: faster than a general decoder, and only what is asked."""
