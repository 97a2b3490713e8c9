"""The checks of an Fn container.

container  the container under test: started, called through its socket
checks     L, R, P and F, in the order of its life
"""

__all__: list[str] = []
