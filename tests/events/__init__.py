"""Tests of gpfn.events."""
