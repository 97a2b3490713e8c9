"""Apache OpenWhisk: an action's main(args)."""

__all__: list[str] = []
