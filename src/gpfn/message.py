"""What goes over a transport: a body and its headers, before anyone asks what it means."""

from typing import NamedTuple

__all__ = ["Message", "has_escaped_letter"]

_ESCAPED_LETTERS = (b"\\u004", b"\\u005", b"\\u006", b"\\u007")


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


def has_escaped_letter(body: bytes) -> bool:
    r"""Say whether JSON text spells a letter as ``\u0073``, as nobody does but with intent."""
    return b"\\u00" in body and any(letter in body for letter in _ESCAPED_LETTERS)
