"""The engines by name; light, since command lines are declared with it."""

__all__ = ["ENGINES"]

ENGINES = ("docker", "podman")
