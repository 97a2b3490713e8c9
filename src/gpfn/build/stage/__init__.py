"""What runs in the first stage of an image's build: ``python3 -m stage STEP``.

It is copied into the build as it is, so it uses the standard library only.
"""

__all__: list[str] = []
