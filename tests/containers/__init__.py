"""Tests of gpfn.containers that need no engine."""
