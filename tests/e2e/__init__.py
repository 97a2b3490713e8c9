"""Tests of whole paths, with real programs."""
