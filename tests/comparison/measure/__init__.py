"""Tests of what is measured on images."""
