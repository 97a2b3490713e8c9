"""The platforms: one package for each, none of which imports another, and their table."""

__all__: list[str] = []
