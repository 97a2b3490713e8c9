"""Tests of gpfn.packaging."""
