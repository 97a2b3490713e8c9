"""Tests of the descriptors in deploy/."""
