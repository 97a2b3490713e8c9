"""One HTTP request, complete."""

from typing import NamedTuple

__all__ = ["Request"]


class Request(NamedTuple):
    """One complete HTTP/1.1 or 1.0 request.

    ``headers`` keep their order and their repetitions; names are lower-case, values are
    the bytes read as Latin-1. ``body`` is decoded (no chunks); a large one is a read-only
    view that begins at a multiple of 64.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | memoryview
    keep_alive: bool

    def header(self, name: str) -> str | None:
        """Return the first value of the header ``name`` (lower-case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None
