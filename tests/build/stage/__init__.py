"""Tests of what runs in an image's build."""
