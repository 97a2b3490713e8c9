"""Tests of gpfn.function."""
