"""Tests of gpfn.models."""
