"""Shards: plan, write, resume and finish data sets, and verify and inspect them."""
