"""Shards in, batches out: what the network sees."""
