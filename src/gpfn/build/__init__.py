"""Images of functions: the Dockerfile, its context, the engine, and the platforms' sandboxes.

``stage`` runs inside the build and needs nothing but Python's standard library; everything
else here runs on the machine that builds. What an image is, is one value: a Recipe.
"""

__all__: list[str] = []
