"""Tests of the platforms on a laptop."""
