"""One call: a message is decoded, computed on and answered, on a frozen contract."""

__all__: list[str] = []
