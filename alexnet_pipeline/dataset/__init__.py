"""The data set format: its manifest and indexes, and access to its samples."""
