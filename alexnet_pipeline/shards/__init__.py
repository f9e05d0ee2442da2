"""Shards out: from a plan to committed shards, their indexes and the manifest."""
