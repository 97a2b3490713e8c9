"""What goes over a transport: a body and its headers, before anyone asks what it means."""

from typing import NamedTuple

__all__ = ["Message"]


class Message(NamedTuple):
    """A body with its media type and the other headers; names are lower-case.

    ``headers`` hold neither content-type nor content-length. Repeated names are kept.
    """

    body: bytes | memoryview
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """Return the first value of the header ``name`` (lower-case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None
