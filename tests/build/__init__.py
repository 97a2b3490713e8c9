"""Tests of gpfn.build that need no engine."""
