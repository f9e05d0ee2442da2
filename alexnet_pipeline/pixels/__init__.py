"""From encoded bytes of any size to pixels of a fixed size."""
