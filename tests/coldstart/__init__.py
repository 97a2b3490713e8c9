"""Tests of gpfn.coldstart."""
