"""The ``gpfn`` command; each command is a module that is loaded when it is asked for."""

__all__: list[str] = []
