"""Fn: the runner that a container runs, and the adapter for the stock FDK."""

__all__: list[str] = []
