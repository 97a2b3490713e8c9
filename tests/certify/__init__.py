"""Tests of gpfn.certify."""
