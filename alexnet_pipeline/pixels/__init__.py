"""Bytes in, pixels of a fixed size out."""
