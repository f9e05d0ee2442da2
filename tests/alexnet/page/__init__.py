"""Tests of the parts of a run's report."""
