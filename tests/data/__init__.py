"""Loads of a model server."""
