"""Tests of gpfn.platforms.openwhisk."""
