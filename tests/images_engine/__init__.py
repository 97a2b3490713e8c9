"""Tests on a real container engine: ``make images``."""
