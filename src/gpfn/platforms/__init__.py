"""Homes of a function: one package for each platform, none of which knows another."""

__all__: list[str] = []
