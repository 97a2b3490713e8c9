"""Tests of Fn on a laptop."""
