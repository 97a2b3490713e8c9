"""Tests of gpfn.local.deploying."""
