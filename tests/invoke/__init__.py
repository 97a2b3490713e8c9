"""Tests of gpfn.invoke."""
