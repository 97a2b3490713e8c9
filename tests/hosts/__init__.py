"""Tests of gpfn.hosts."""
